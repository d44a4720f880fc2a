"""From the end of the walk and the credentials that there are to the verdict: what is sent on, or how it is refused.

Changes are put together in the order of the rules, the last one that writes a header wins. A credential that is not to be
had is a failure of its rule: under failStrategy Block the request is refused with 503 (unless a rule refused it already; a
bypass does not save it), under Allow and Ignore the rule leaves no trace. Signatures come last, over the request as it goes on.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from policy.aliyun import AliyunCredential, Signed, Unsignable, Why, sign
from policy.mcp import MAX_BODY
from policy.program import AliyunForm, ApiKeyForm, FailStrategy, Rule, SecretRef, Selection, TokenTransformation
from policy.request import Request
from policy.verdict import Outcome, RuleTrace, Verdict
from policy.walk import End, Visit, Walked, Wanted, Written

UNAVAILABLE = 503
API_KEY = "apiKey"
NO_SECRET, NOT_ISSUED = "no-secret", "not-issued"
"""Why there is no credential: no Secret with it may be used, or the provider gave none (and whoever asked it knows more)."""

Values = Callable[[Rule], Mapping[str, str] | None]
"""The credential of a rule by key (`ApiKeyForm.keys`, `AliyunForm.keys`), as Latin-1 text; None where there is none."""


def finish(selection: Selection, walked: Walked, request: Request, values: Values, *, explained: bool = False) -> Verdict:
    """`values` is asked for what `walked.wanted` names; with `explained` for what a refused request wanted, too."""
    found = {rule.id: values(rule) for rule in (_all_wanted(walked) if explained else walked.wanted)}
    trace = tuple(_trace(selection, visit, found) for visit in walked.visits) if explained else ()
    if walked.end is End.BLOCKED and walked.by and walked.block:
        block = walked.block
        return Verdict(
            outcome=Outcome.BLOCKED, status=block.status, body=block.body, reason=walked.reason, rules=trace, decided_by=walked.by.id
        )
    changes = _Changes(request=request)
    for step in walked.steps:
        if isinstance(step, Written):
            changes.write(step.header, step.value)
        else:
            changes.put(step.rule, found[step.rule.id])
    verdict = changes.verdict(walked)
    return replace(verdict, rules=trace) if explained else verdict


def _all_wanted(walked: Walked) -> Iterator[Rule]:
    return (step.rule for step in walked.steps if isinstance(step, Wanted))


@dataclass(slots=True, kw_only=True)
class _Changes:
    request: Request
    headers: dict[str, str | None] = field(default_factory=dict)
    secret: set[str] = field(default_factory=set)
    changed: bool = False
    signers: list[tuple[Rule, AliyunCredential]] = field(default_factory=list)
    target: str | None = None
    failed: dict[str, str] = field(default_factory=dict)
    """Rules whose credential does not get in, with why."""
    refused_by: str = ""
    """The first of them under failStrategy Block."""

    def write(self, header: str, value: str | None, *, secret: bool = False) -> None:
        self.headers[header] = value
        self.secret = self.secret | {header} if secret else self.secret - {header}
        self.changed = True

    def put(self, rule: Rule, credential: Mapping[str, str] | None) -> None:
        form = _header_form(rule)
        if credential is not None and form is not None:
            self.write(form.target_header, form.template.render(credential[API_KEY]), secret=True)
        elif credential is not None:
            self.signers.append((rule, aliyun_credential(credential)))
        else:
            self.fail(rule, NO_SECRET if rule.token or (rule.exchange and isinstance(rule.exchange.source, SecretRef)) else NOT_ISSUED)

    def fail(self, rule: Rule, why: str) -> None:
        self.failed[rule.id] = why
        if _fail_strategy(rule) is FailStrategy.BLOCK:
            self.refused_by = self.refused_by or rule.id

    def sign(self) -> None:
        """Over the request as it goes on, in the order of the rules: each signature covers what is there before it."""
        for rule, credential in self.signers:
            # Of a longer body only the beginning is known.
            signed = sign(self.going_on(), credential) if len(self.request.body) <= MAX_BODY else Unsignable(why=Why.BODY)
            if isinstance(signed, Signed):
                for name, value in signed.set_headers:
                    self.write(name, value, secret=True)
                for name in signed.remove_headers:
                    self.write(name, None)
                self.target = signed.target or self.target
                self.changed = True
            else:
                self.fail(rule, signed.why.value)

    def going_on(self) -> Request:
        headers = {**dict(self.request.headers), **self.headers}
        kept = tuple((name, value) for name, value in headers.items() if value is not None)
        return replace(self.request, headers=kept, target=self.target or self.request.target)

    def verdict(self, walked: Walked) -> Verdict:
        self.sign()
        failed = tuple(self.failed.items())
        if self.refused_by:
            return Verdict(
                outcome=Outcome.BLOCKED, status=UNAVAILABLE, reason="CredentialUnavailable", decided_by=self.refused_by, failed=failed
            )
        forwarded = Outcome.MUTATED if self.changed else Outcome.PASSTHROUGH
        names = sorted(self.headers)
        return Verdict(
            outcome=Outcome.BYPASSED if walked.end is End.BYPASSED else forwarded,
            set_headers=tuple((name, value) for name in names if (value := self.headers[name]) is not None),
            remove_headers=tuple(name for name in names if self.headers[name] is None),
            secret_headers=tuple(sorted(self.secret)),
            target=self.target,
            decided_by=walked.by.id if walked.by else "",
            failed=failed,
        )


def aliyun_credential(values: Mapping[str, str]) -> AliyunCredential:
    key, secret, token = (values[name] for name in AliyunForm.keys)
    return AliyunCredential(access_key_id=key, access_key_secret=secret, security_token=token)


def _header_form(rule: Rule) -> TokenTransformation | ApiKeyForm | None:
    if rule.token:
        return rule.token
    return rule.exchange.form if rule.exchange and isinstance(rule.exchange.form, ApiKeyForm) else None


def _fail_strategy(rule: Rule) -> FailStrategy:
    action = rule.token or rule.exchange
    return action.fail_strategy if action else FailStrategy.BLOCK


def _trace(selection: Selection, visit: Visit, found: Mapping[str, Mapping[str, str] | None]) -> RuleTrace:
    said, rule, put = list(visit.said), visit.rule, False
    if visit.wanted:
        put = found[rule.id] is not None
        said.insert(len(said) - bool(rule.mcp), _credential_said(selection, rule, put=put))
    why = "; ".join(said) or "no action"
    return RuleTrace(
        profile=str(rule.profile), rule=rule.name, matched=visit.matched, acted=visit.acted or put, engine=rule.engine, why=why
    )


def _credential_said(selection: Selection, rule: Rule, *, put: bool) -> str:
    source: object = rule.exchange.source if rule.exchange else ""
    source = selection.secret_ref(rule.token.secret) if rule.token else source
    form = _header_form(rule)
    if put:
        return f"credential {source} in {form.target_header}" if form else f"request signed with {source}"
    if _fail_strategy(rule) is FailStrategy.BLOCK:
        return f"credential {source} is missing: refused unless a rule refuses first"
    return f"credential {source} is missing: forwarded without it"
