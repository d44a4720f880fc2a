"""What stays in force when manifests are read again and something in them is broken.

In: what was read now, and the profiles that were in force. Out: those whose last good version holds on. A profile goes when its
manifest is gone, and not because somebody is in the middle of writing it: while a text cannot be told what it is, it may be any
profile's. For whoever follows a directory; reading alone knows no past.
"""

from collections.abc import Mapping

from manifests.load import Manifests
from policy.program import Profile, ProfileRef, Program


def still_there(manifests: Manifests, last_good: Mapping[ProfileRef, Profile]) -> dict[ProfileRef, Profile]:
    """Last good versions of profiles that were not deleted: those still named, and all while something here cannot be told what it is."""
    named = {(located.kind, located.namespace, located.name) for located in manifests.problems}
    named |= {(loaded.kind, loaded.namespace, loaded.name) for loaded in manifests.profiles.values()}
    unreadable = any(
        located.problem.fatal and (not located.kind or not located.name or located.problem.reason == "UnknownKind")
        for located in manifests.problems
    )
    return {ref: profile for ref, profile in last_good.items() if unreadable or (ref.kind, ref.namespace, ref.name) in named}


def with_unreadable(program: Program, manifests: Manifests, kept: Mapping[ProfileRef, Profile]) -> Program:
    """Adds last good versions of profiles whose manifest did not even parse, so that the compiler never saw them."""
    present = {profile.ref for profile in program.profiles}
    seen = {(loaded.kind, loaded.namespace, loaded.name) for loaded in manifests.profiles.values()}
    missing = [p for ref, p in kept.items() if ref not in present and (ref.kind, ref.namespace, ref.name) not in seen]
    if not missing:
        return program
    return Program(profiles=tuple(sorted((*program.profiles, *missing), key=lambda profile: profile.order)))
