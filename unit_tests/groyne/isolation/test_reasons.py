"""Why the wall cannot stand is said in a sentence that helps."""

import errno
from pathlib import Path

import pytest

from groyne.isolation.reasons import explain


def settings(tmp_path: Path, **values: str) -> Path:
    for name, value in values.items():
        path = tmp_path / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("step", "number", "message", "values", "says"),
    [
        ("user namespace", errno.ENOSPC, "", {"user__max_user_namespaces": "0"}, "user.max_user_namespaces is 0"),
        ("user namespace", errno.EPERM, "", {"kernel__unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone=1"),
        ("mounts", errno.EACCES, "", {"kernel__apparmor_restrict_unprivileged_userns": "1"}, "AppArmor"),
        ("user map", errno.EPERM, "", {"kernel__apparmor_restrict_unprivileged_userns": "1"}, "AppArmor"),
        ("user namespace", errno.EPERM, "", {}, "seccomp"),
        ("mounts", errno.EPERM, "[Errno 1] Operation not permitted: 'mount /proc'", {}, "masks /proc"),
        ("namespaces", errno.ENOSPC, "", {"user__max_user_namespaces": "100"}, "limit of namespaces"),
        ("loopback", errno.ENODEV, "", {}, "'loopback' (No such device)"),
    ],
)
def test_each_cause_has_its_remedy(tmp_path: Path, step: str, number: int, message: str, values: dict[str, str], says: str) -> None:
    found = explain(step, number, message, settings(tmp_path, **values))
    assert found.step == step
    assert says in found.reason
    assert "--no-isolate" in found.reason
