"""Placeholders in the command's environment become guards: the real value replaces one only where a rule says so.

A placeholder is no secret, but one that travels to another host says that the agent means to spend a key there: that is
refused with the reason instead of being sent (design decision 8).
"""

from collections.abc import Mapping

from dataplane.entries import Guard
from groyne.workspace import Workspace

USUAL_HEADERS = ("authorization", "api-key", "x-api-key", "x-goog-api-key", "private-token", "x-auth-token")


def guards_for(workspace: Workspace, placeholders: Mapping[str, str]) -> tuple[Guard, ...]:
    """One guard a credential, at home on every host of the rules that put it in."""
    selection = workspace.selection
    guards = []
    for name, placeholder in sorted(placeholders.items()):
        using = [rule for rule in selection.rules if workspace.credentials.names.get(rule.id) == name]
        headers = {*USUAL_HEADERS, *(rule.token.target_header for rule in using if rule.token)}
        hosts = {domain for rule in using for entry in rule.match for domain in entry.domains}
        guards.append(Guard(placeholder=placeholder, credential=name, headers=tuple(sorted(headers)), hosts=tuple(sorted(hosts))))
    return tuple(guards)
