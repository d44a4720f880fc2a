"""Prints explanations: one for a person or a program, or one JSON line for each line that comes in."""

from collections.abc import Iterable, Iterator

from rich.console import Console

from groyne import output
from groyne.explain import Explainer, Explanation
from groyne.explain_input import CONNECT, read_request, readable
from groyne.output import Exit, Output
from policy.request import RawRequest


def explain_one(explainer: Explainer, raw: RawRequest, kind: Output, *, reveal: bool) -> Exit:
    explanation = explainer.explain(raw)
    if kind is Output.JSON:
        output.print_json(explanation.as_json(reveal=reveal))
    else:
        print_explanation(explanation, output.console(), reveal=reveal)
    return explanation.exit_code


def explain_lines(explainer: Explainer, lines: Iterable[str], *, reveal: bool) -> Exit:
    """Exit code 2 where a line is no request (its answer says why), 3 where any is refused."""
    worst = Exit.OK
    for line in lines:
        if not line.strip():
            continue
        raw = read_request(line)
        if isinstance(raw, str):
            output.print_json({"error": raw})
            worst = Exit.USAGE
            continue
        explanation = explainer.explain(raw)
        output.print_json(explanation.as_json(reveal=reveal))
        if worst is Exit.OK:
            worst = explanation.exit_code
    return worst


def print_explanation(explanation: Explanation, console: Console, *, reveal: bool) -> None:
    for line in explanation_lines(explanation, reveal=reveal):
        console.print(output.printable(line), markup=False, style=output.COLOURS.get(line.partition(" ")[0], ""))
    rows = [
        (f"{trace.profile}/{trace.rule}", yes(trace.matched), yes(trace.acted), trace.engine.value, trace.why)
        for trace in explanation.verdict.rules
    ]
    output.print_table(("rule", "matched", "acted", "engine", "why"), rows, console=console)
    for trace in explanation.verdict.rules:
        if because := explanation.engines.get(f"{trace.profile}/{trace.rule}"):
            line = f"{trace.profile}/{trace.rule} is for ext-proc, because {because}"
            console.print(output.printable(line), markup=False)


def explanation_lines(explanation: Explanation, *, reveal: bool) -> Iterator[str]:
    answer = explanation.as_json(reveal=reveal)
    yield requested(explanation.request)
    status = f" with {answer['status']}" if answer["status"] else ""
    reason = ": ".join(filter(None, (answer["reason"], answer["detail"])))
    yield answer["verdict"] + status + (f" ({reason})" if reason else "")
    if answer["body"] is not None:
        yield f"  body: {answer['body']}"
    yield from (f"  set {name}: {value}" for name, value in answer["setHeaders"].items())
    yield from (f"  remove {name}" for name in answer["removeHeaders"])
    if explanation.intercepted:
        yield f"TLS: intercepted, because of {', '.join(explanation.because)}"
    else:
        yield "TLS: none" if explanation.request.scheme == "http" else "TLS: not intercepted"


def requested(raw: RawRequest) -> str:
    if raw.method == CONNECT:
        return f"{CONNECT} {readable(raw.authority)}"
    return readable(f"{raw.method} {raw.scheme}://{raw.authority}{raw.path}")


def yes(value: bool) -> str:
    return "yes" if value else "no"
