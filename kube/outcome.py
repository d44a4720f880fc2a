"""What became of one attempt to reconcile a key, and what an error may say of itself in the log.

An `ApiError` is written to be read: its message goes into the log. Any other exception may carry what an object holds, a secret
even, in its text; of it the log has the classes and the traceback and not a word more.
"""

from enum import StrEnum

from kube.errors import AlreadyExists, ApiError, Conflict, NotFound

DEEPEST = 10
"""Causes of causes; a chain may even lead back to its beginning."""


class TerminalError(Exception):
    """Trying again is useless until the object, or what it refers to, changes. The message is logged: names and reasons, no values."""


class Overdue(Exception):  # noqa: N818 — a TimeoutError would not be told from one that the work itself raised
    """The attempt took longer than it may."""


class Outcome(StrEnum):
    """The first four are controller-runtime's words for the label `result`; a terminal error is counted as an error there, too."""

    SUCCESS = "success"
    REQUEUE_AFTER = "requeue_after"
    REQUEUE = "requeue"
    ERROR = "error"
    TERMINAL = "terminal"


def cause_of(error: BaseException) -> BaseException:
    """Work done by several tasks fails as a group: one error alone in it is the error."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def outcome_of(error: BaseException) -> Outcome:
    if isinstance(error, TerminalError):
        return Outcome.TERMINAL
    # Somebody else was quicker than our cache: the next look will see it.
    return Outcome.REQUEUE if isinstance(error, Conflict | AlreadyExists | NotFound) else Outcome.ERROR


def retry_after(error: BaseException) -> float:
    return (error.retry_after or 0.0) if isinstance(error, ApiError) else 0.0


class Redacted(Exception):  # noqa: N818 — stands in the log for an error of another class
    pass


def redacted(error: BaseException, depth: int = DEEPEST) -> Exception:
    """The same traceback and chain of causes, without anything that the errors say."""
    name = type(error).__qualname__
    shown: Exception = Redacted(name)
    if isinstance(error, BaseExceptionGroup) and depth > 0:
        shown = ExceptionGroup(name, [redacted(each, depth - 1) for each in error.exceptions])
    shown.__traceback__ = error.__traceback__
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and depth > 0:
        shown.__cause__ = redacted(before, depth - 1)
    return shown
