"""Prints explanations: one for a person or a program, or one JSON line for each line that comes in."""

from collections.abc import Iterable

from rich.console import Console

from groyne import output
from groyne.explain import Explainer, Explanation, read_request
from groyne.output import Exit, Output
from policy.request import RawRequest


def explain_one(explainer: Explainer, raw: RawRequest, kind: Output, *, reveal: bool) -> Exit:
    explanation = explainer.explain(raw)
    if kind is Output.JSON:
        output.print_json(explanation.as_json(reveal=reveal))
    else:
        print_explanation(explanation, Console(highlight=False, soft_wrap=True), reveal=reveal)
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
    answer = explanation.as_json(reveal=reveal)
    raw = explanation.request
    console.print(f"{raw.method} {raw.scheme}://{raw.authority}{raw.path}", markup=False)
    said = (
        answer["verdict"]
        + (f" with {answer['status']}" if answer["status"] else "")
        + (f" ({answer['reason']})" if answer["reason"] else "")
    )
    console.print(said, markup=False, style=output.COLOURS.get(answer["verdict"], ""))
    if answer["body"] is not None:
        console.print(f"  body: {answer['body']}", markup=False)
    for name, value in answer["setHeaders"].items():
        console.print(f"  set {name}: {output.printable(value)}", markup=False)
    for name in answer["removeHeaders"]:
        console.print(f"  remove {name}", markup=False)
    inside = f"intercepted, because of {', '.join(explanation.because)}" if explanation.intercepted else "not intercepted"
    console.print(f"TLS: {inside}" if raw.scheme == "https" else "TLS: none", markup=False)
    rows = [
        (f"{trace['profile']}/{trace['rule']}", yes(trace["matched"]), yes(trace["acted"]), trace["engine"], trace["why"])
        for trace in answer["rules"]
    ]
    output.print_table(("rule", "matched", "acted", "engine", "why"), rows, console=console)


def yes(value: object) -> str:
    return "yes" if value else "no"
