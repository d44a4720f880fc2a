"""What the steps of a schedule do: people's edits past every fault, and faults on the controller's way to the API server.

Each deed is a method by the name that a step gives. A fault that lasts returns what ends it; what never ends by itself ends with the play.
"""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

from e2e.cluster.faults import Cut, CutLine, Delay, FaultProxy, Hang, Insert, Rule, Status, Truncate, Twice
from e2e.kubernetes.chaos.schedule import Step
from e2e.kubernetes.faults.operator import Operator
from e2e.kubernetes.faults.place import Place, secret
from unit_tests.controller.raw_objects import profile, rule, template

End = Callable[[], None]
TOKEN = {"credentialRef": {"secret": {"name": "key"}}, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}}
ERRORS = {
    "garbage": b"{garbage",
    "error": json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 500, "reason": "InternalError"}}).encode(),
    "gone": json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}).encode(),
}


@dataclass(slots=True, kw_only=True)
class Deeds:
    place: Place
    faults: FaultProxy
    operator: Operator

    def do(self, step: Step) -> tuple[float, End] | None:
        """When it is to be ended, and how."""
        found: tuple[float, End] | None = getattr(self, step.deed)(*step.given)
        return found

    def template(self, name: str, app: str, port: int, managed: bool) -> None:
        more = {"networkPolicy": {"egress": [{"ports": [{"port": 1000 + port, "protocol": "TCP"}]}]}} if port else {}
        self.place.apply(template(name, labels={"app": app}, networkPolicyManagement="Managed" if managed else "Unmanaged", **more))

    def profile(self, name: str, app: str, number: int, injects: bool) -> None:
        rules = [rule("paths", f"{name}-{number}.example.com")]
        rules += [rule("key", f"{name}-k{number}.example.com", tokenTransformation=TOKEN)] if injects else []
        self.place.apply(profile(name, labels={"app": app}, rules=rules))

    def credential(self, number: int) -> None:
        self.place.apply(secret("key", apiKey=f"value-{number}-end"))

    def no_template(self, name: str) -> None:
        self.place.delete("template", name)

    def no_profile(self, name: str) -> None:
        self.place.delete("profile", name)

    def no_credential(self) -> None:
        self.place.delete("secret", "key")

    def policy_deleted(self, name: str) -> None:
        self.place.delete("policy", f"{name}-network-policy")

    def policy_changed(self, name: str) -> None:
        self._if_there("policy", f"{name}-network-policy", {"spec": {"egress": [{}]}})

    def secret_deleted(self, name: str) -> None:
        self.place.delete("secret", f"{name}-egress")

    def secret_touched(self, name: str) -> None:
        self._if_there("secret", f"{name}-egress", {"data": {"rds-plain.json": "e30=", "theirs": "e30="}})

    def label_removed(self, name: str) -> None:
        self._if_there("template", name, {"metadata": {"labels": None}})

    def status(self, resource: str, code: int, chance: float, until: float) -> tuple[float, End]:
        return until, self._rule(
            Rule(resource=resource, action=Status(code, REASONS[code], retry_after=1 if code == 429 else None), chance=chance)
        )

    def slow(self, resource: str, seconds: float, until: float) -> tuple[float, End]:
        return until, self._rule(Rule(resource=resource, action=Delay(seconds)))

    def lost(self, how: str, resource: str, committed: bool, times: int) -> None:
        action = Cut(committed=committed) if how == "cut" else Hang(committed=committed)
        self._rule(Rule(verb="create,patch,delete", resource=resource, action=action, times=times))

    def truncated(self, resource: str, length: int, times: int) -> None:
        self._rule(Rule(verb="get,list,create,patch", resource=resource, action=Truncate(length), times=times))

    def garbled(self, how: str, times: int) -> None:
        action = {"twice": Twice(), "half a line": CutLine()}.get(how) or Insert(ERRORS[how])
        self._rule(Rule(verb="watch", action=action, times=times))

    def cut(self, resource: str) -> None:
        self.faults.cut_watches(**({"resource": resource} if resource else {}))

    def away(self, until: float) -> tuple[float, End]:
        self.faults.refuse()
        return until, self.faults.admit

    def killed(self) -> None:
        self.operator.kill()

    def frozen(self, until: float) -> tuple[float, End] | None:
        if not self.operator.alive:
            return None
        process = self.operator.replica.process
        process.send_signal(signal.SIGSTOP)
        return until, lambda: None if process.poll() is not None else os.kill(process.pid, signal.SIGCONT)

    def unbound(self, until: float) -> tuple[float, End]:
        self.place.delete("binding", "groyne")
        return until, self.place.bind

    def _rule(self, rule: Rule) -> End:
        armed = self.faults.add(rule)
        return lambda: self.faults.remove(armed)

    def _if_there(self, kind: str, name: str, body: dict[str, object]) -> None:
        if self.place.get(kind, name):
            self.place.patch(kind, name, body)


REASONS = {
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}
