"""What the controller says while it runs, on standard error: one JSON object a line for machines, or text for people.

    ts  level  logger  msg  …whatever the caller gave as `extra`…  error  traceback

An API server that is away is daily life and takes one line; a bug brings its traceback, without its words. Everything passes
`redaction` on its way out, and libraries that would tell of every request are not heard below a warning, whatever the level is.
"""

import json
import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, TextIO

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter
from rich.console import Console
from rich.text import Text

from daemon.redaction import clean, fields
from kube.errors import ApiError
from kube.outcome import Redacted, redacted

QUIET = (
    "asyncio", "httpx", "httpcore", "httpx_ws", "h11", "h2", "hpack", "anyio", "kr8s", "rustls", "urllib3", "markdown_it", "watchfiles",
)  # fmt: skip
"""Some of them write request lines, or even header fields."""
COLOURS = {"debug": "dim", "warning": "yellow", "error": "red", "critical": "bold red"}
_NOT_EXTRA = frozenset(RESERVED_ATTRS) | {"message", "asctime", "taskName"}

log = logging.getLogger(__name__)


def configure(*, level: str, form: Literal["json", "text"], stream: TextIO | None = None) -> None:
    """The root logger's only handler from now on; what nobody caught goes there too."""
    out = stream or sys.stderr
    handler = TextHandler(out) if form == "text" else JsonHandler(out)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = uncaught
    threading.excepthook = lambda args: uncaught(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)


def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt | SystemExit):
        log.critical("ended by an error that nobody expected", exc_info=(kind, error, trace))


class JsonHandler(logging.StreamHandler[TextIO]):
    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.setFormatter(Lines())

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """The standard one would print the arguments as they are."""
        unreadable(self.stream, record)


class Lines(JsonFormatter):
    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:  # noqa: ARG002
        log_data.update(entry(record))


class TextHandler(logging.Handler):
    """Colours where the stream is a terminal that has them."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream
        self.console = Console(file=stream, highlight=False, soft_wrap=True, emoji=False, markup=False)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.console.print(text(entry(record)))
        except Exception:  # noqa: BLE001 - a line that cannot be written must not end what it tells of
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        unreadable(self.stream, record)


def unreadable(stream: TextIO, record: logging.LogRecord) -> None:
    kind = getattr(sys.exc_info()[0], "__name__", "")
    try:
        stream.write(
            json.dumps(
                {"level": "error", "logger": record.name, "msg": f"a line of {record.module}:{record.lineno} could not be written: {kind}"}
            )
            + "\n"
        )
    except (OSError, ValueError):
        return  # the stream itself is gone, and nobody listens


def entry(record: logging.LogRecord) -> dict[str, Any]:
    """The line as plain data. A field of the caller's that is called as one of ours gives way."""
    ours: dict[str, Any] = {
        "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "msg": clean(record.getMessage()),
    }
    extra = {name: value for name, value in record.__dict__.items() if name not in _NOT_EXTRA and not name.startswith("_")}
    raised = failure(record.exc_info[1]) if record.exc_info and record.exc_info[1] else {}
    return {**ours, **{name: value for name, value in fields(extra.items()).items() if name not in ours}, **raised}


def failure(error: BaseException) -> dict[str, str]:
    """What an error of unknown origin says may be what an object holds: of it, the classes and where it happened."""
    known = list(leaves(error))
    said = clean("; ".join(dict.fromkeys(named(each) for each in known)))
    if all(isinstance(each, ApiError) for each in known):
        return {"error": said}
    shown = error if all(isinstance(each, Redacted) for each in known) else redacted(error)
    return {"error": said, "traceback": clean("".join(traceback.format_exception(shown)).rstrip())}


def leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    else:
        yield error


def named(error: BaseException) -> str:
    if isinstance(error, Redacted):
        return str(error)
    said = str(error) if isinstance(error, ApiError | OSError) else ""
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def text(line: dict[str, Any]) -> Text:
    """`12:00:01.250 warning kube.reflector  the watch ended  resource=pods` and the traceback below."""
    given = dict(line)
    moment, level, logger, said, trace = (given.pop(name, "") for name in ("ts", "level", "logger", "msg", "traceback"))
    rest = "  ".join(f"{printable(name)}={shown(value)}" for name, value in given.items())
    parts: list[str | tuple[str, str]] = [
        (f"{moment[11:-1]} ", "dim"),
        (f"{level:<8}", COLOURS.get(level, "")),
        (f"{logger}  ", "dim"),
        printable(said),
    ]
    assembled = Text.assemble(*parts, (f"  {rest}" if rest else "", "cyan"))
    return assembled.append("".join(f"\n    {printable(each)}" for each in trace.splitlines()), "dim")


def shown(value: Any) -> str:
    if isinstance(value, str) and value and value.isprintable() and " " not in value:
        return value
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else f'"{printable(value)}"'


def printable(said: str) -> str:
    """What objects are named must not steer a terminal, nor look like a second line."""
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in said)
