"""Edits to the manifests take effect while a command runs, on connections that are open already.

Rules reach Envoy by RDS and hold for the next request on any connection. What is already a tunnel is closed where the edit
blocks its host, or changes whether what is in it is read. A broken edit is reported; the last good rules stay in force. That
never holds for credentials: what an edit takes away is gone, whatever else is wrong with it. ext-proc, where it is needed, has an
edit before Envoy does: what a new rule sends there is judged by that rule.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from httpx import HTTPError

from dataplane.compile import Plan
from dataplane.hosts import RuleIndex
from dataplane.interception import passes_unread, refused_by_name, refuses_unjudgeable
from groyne import output
from groyne.envoy import EnvoyError
from groyne.isolation.relay import Relay
from groyne.own_ca import other_ca
from groyne.session import Session
from groyne.watch import edits
from groyne.workspace import Workspace, read_workspace
from policy.domains import DomainPattern

Hide = Callable[[Iterable[Path]], object]
NOT_TAKEN = (
    "groyne: Envoy did not take the edited rules: those before the edit stay in force;"
    " credentials are as the edit has them, and what it took away is gone"
)
TEMPLATE_GONE = "groyne: without the SandboxTemplate the rules before the edit stay in force; credentials are as the edit has them"


async def obey_edits(session: Session, relay: Relay, hide: Hide) -> None:
    """`hide` covers files that an edit made secret."""
    async for _ in edits(session.spec.directory, since=session.seen):
        try:
            await take_effect(session, relay, hide)
        except (OSError, EnvoyError, HTTPError) as error:
            output.say(f"groyne: the edit did not take effect: {output.because(error)}")


async def take_effect(session: Session, relay: Relay, hide: Hide) -> None:
    spec, before = session.spec, session.workspace
    read = partial(read_workspace, last_good=before.good, last_sources=before.sources, last_template=before.template)
    workspace = await asyncio.to_thread(read, spec.directory, spec.who, spec.environ)
    if added := [path for path in workspace.credentials.files if path not in before.credentials.files]:
        hide(added)
    report_problems(before, workspace)
    old_plan = session.proxy.plan
    if not await taken(session, workspace):
        output.say(NOT_TAKEN)
        return
    if old_plan and session.proxy.plan:
        relay.close_where(partial(outdated, old_plan, session.proxy.plan))
    if changed(before, workspace) or (before.broken and not workspace.broken):
        output.say("groyne: the edited policy is in force")
    if told := news_of_ca(session, before):
        output.say(f"groyne: {told}")


def news_of_ca(session: Session, before: Workspace) -> str:
    """Clients read the CA's certificate when they start. A profile that broke names none, so nothing is said until it is mended."""
    told = "" if session.workspace.broken else other_ca(session.workspace, session.trust)
    return told if before.broken or told != other_ca(before, session.trust) else ""


async def taken(session: Session, workspace: Workspace) -> bool:
    """Whether Envoy obeys it now; otherwise the session has what it had."""
    session.catch_up()
    before, session.workspace = (session.workspace, session.proxy.plan), workspace
    done = False
    try:
        await session.external.obey(workspace)
        await asyncio.to_thread(session.proxy.apply, workspace)
        done = await session.proxy.in_force()
    finally:
        if not done:
            session.workspace, session.proxy.plan = before
            await restored(session, workspace)
        session.proxy.withdraw()
    return done


async def restored(session: Session, edited: Workspace) -> None:
    """ext-proc has the rules that Envoy has, with the edit's credentials."""
    await session.external.obey(replace(edited, sources=session.workspace.sources))


def report_problems(before: Workspace, after: Workspace) -> None:
    """Only what is new: problems that stood there before were told."""
    new = [p for p in after.problems if p not in before.problems and p.severity != "info"]
    output.print_problems(new, output.errors())
    if any(located.problem.reason == "TemplateNotFound" for located in new):
        output.say(TEMPLATE_GONE)
    elif after.broken:
        output.say("groyne: the edit has problems: what does not compile keeps its last good version in force")


def changed(before: Workspace, after: Workspace) -> bool:
    return (after.selection, after.credentials.values) != (before.selection, before.credentials.values)


def outdated(old: Plan, new: Plan, host: str, port: int) -> bool:
    """Whether an open tunnel to this host may not go on as it is."""
    handling = new.host(host).handling
    if old.host(host).handling is not handling or unread(old, host) is not unread(new, host):
        return True
    return refused_by_name(new.selection.rules, host, port, handling) is not None


def unread(plan: Plan, host: str) -> bool:
    """Whether bytes that no rule can judge may go there."""
    rules = plan.selection.rules
    return passes_unread(RuleIndex(rules).covering(DomainPattern(text=host))) and not refuses_unjudgeable(rules)
