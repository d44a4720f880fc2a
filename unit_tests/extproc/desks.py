"""A desk as the process has it, without the process: a snapshot that is there, credentials that are known, outcomes that are kept."""

from prometheus_client import CollectorRegistry

from dataplane.external_protocol import PEER_NAME, PEER_NAMESPACE
from extproc.admission import Admission, IdentitySource
from extproc.desk import FrontDesk
from extproc.issuing import Issuer
from extproc.metrics import ExtprocMetrics
from extproc.providers.seam import Failure, ProviderAnswer, ProviderError
from extproc.snapshot import SecretData, Snapshot, Sources
from policy.compile import compile_program
from policy.program import Engine, Program
from unit_tests.policy.profiles import model

POD = {PEER_NAMESPACE: "default", PEER_NAME: "pod-0"}
"""Attributes of a request whose pod is known."""
TOKEN = "eyJhY2Nlc3NUb2tlbiI6ICJzYW5kYm94LXByb29mIiwgInNhbmRib3hDbGllbnRJZCI6ICJjbGllbnQtMSJ9"
"""As a gateway gives it: accessToken `sandbox-proof`, sandboxClientId `client-1`."""


class Provider:
    """Issues `values` by provider's name, fails for other names, and remembers who asked."""

    def __init__(self, **values):
        self.values = values
        self.asked, self.invalidated = [], []

    def invalidate(self, ask, answer):
        self.invalidated.append((ask, answer))

    async def fetch(self, ask, *, deadline):
        self.asked.append(ask)
        if ask.provider not in self.values:
            raise ProviderError(Failure.STATUS)
        return ProviderAnswer(values={key: self.values[ask.provider][key] for key in ask.keys})


class Desk(FrontDesk):
    """`outcomes` are those that were told; `failures` and `unattributed` what was counted."""

    def __init__(
        self, sources=None, *, provider=None, identity=(IdentitySource.ATTRIBUTES,), allow_unknown=False, overrides=False, told=(), **more
    ):
        self.registry, self.allow_unknown = CollectorRegistry(), allow_unknown
        self.outcomes, self.failures, self.unattributed = [], [], []
        admission = Admission(
            sources=identity,
            allow_unknown=allow_unknown,
            overrides=overrides,
            unattributed=lambda reason, outcome: self.unattributed.append((reason, outcome)),
            **more,
        )
        super().__init__(
            admission=admission,
            issuer=Issuer(provider, deadline=1.0, failed=self.failures.append),
            metrics=ExtprocMetrics(self.registry),
            clock=lambda: 0.0,
            told=(self.outcomes.append, *told),
        )
        if sources is not None:
            self.swap(Snapshot(sources))

    def value(self, name, **labels):
        return self.registry.get_sample_value(f"groyne_extproc_{name}", labels)


def program(*models) -> Program:
    result = compile_program(models, engines=frozenset(Engine))
    assert len(result.program.profiles) == len(models), result.problems
    return result.program


def sources(*rules, secrets=None, secret_annotations=None, **more) -> Sources:
    """One profile in `default` with these rules; `secrets` by name have one key, `apiKey`."""
    spec = {name: more.pop(name) for name in ("inputs", "selector", "annotations", "priority", "name") if name in more}
    data = {
        ("default", name): SecretData(data={"apiKey": value}, annotations=secret_annotations or {})
        for name, value in (secrets or {}).items()
    }
    return Sources(program=program(model(*rules, **spec)), secrets=data, **more)
