"""What a machine lacks to run a cluster, and how it is had: a fixture skips, or fails, with these words."""


class Missing(Exception):  # noqa: N818 — no error of ours: a fact about the machine
    """`str()` names the thing and the remedy, in one line."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}: {remedy}")
