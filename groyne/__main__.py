"""The command line. Options are read here and nothing is decided: each command is a module of its own.

Exit codes: `run` returns the command's own; 1 problems in the manifests, 2 wrong usage or nothing could be started, 3 refused
(explain), 126 and 127 as a shell means them.
"""

import asyncio
import os
import sys
from collections.abc import Iterable
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path
from shlex import quote
from typing import Annotated, NoReturn

import typer

from crds import names
from dataplane.external_settings import ExternalSettings, read_settings
from groyne import output
from groyne.check import check as check_directory
from groyne.explain import Explainer
from groyne.explain_command import explain_lines, explain_one
from groyne.explain_input import parse_request
from groyne.gateway import GatewayError, Scheme, not_of_a_gateway, write_gateway
from groyne.output import Exit, Output
from groyne.render import RenderError, render_to
from groyne.resolve_option import Pins, parse_pins
from groyne.run import run as run_command
from groyne.session import RunError, RunSpec
from groyne.summary import print_summary
from groyne.workspace import Who, Workspace, nothing_holds, read_workspace

app = typer.Typer(
    name="groyne",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Directory = Annotated[Path, typer.Argument(metavar="DIR", readable=False, help="Directory (or one file) of manifests.")]
Template = Annotated[
    str | None, typer.Option("--template", metavar="NAME", help="Judge as the pods of this SandboxTemplate (NAME or NAMESPACE/NAME).")
]
Labels = Annotated[str, typer.Option("--labels", metavar="k=v,…", help="Judge as a pod with these labels.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the labels or the template.")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="text for people, json for programs.")]
Resolve = Annotated[
    list[str] | None,
    typer.Option("--resolve", metavar="HOST:PORT:ADDR", help="Dial ADDR for HOST:PORT, also if private; may be repeated."),
]


def show_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"groyne {version('groyne')}\n")
        raise typer.Exit


@app.callback()
def groyne(
    _: Annotated[bool, typer.Option("--version", is_eager=True, callback=show_version, help="Show the version and exit.")] = False,
) -> None:
    """Keeps what is in an AI-agent sandbox in the sandbox: one SecurityProfile, enforced by Envoy."""


@app.command()
def run(
    directory: Directory,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[--] COMMAND…", help="What to run; without it, serve until interrupted.")
    ] = None,
    template: Template = None,
    labels: Labels = "",
    namespace: Namespace = "default",
    resolve: Resolve = None,
    upstream_ca: Annotated[
        Path | None, typer.Option("--upstream-ca", metavar="FILE", readable=False, help="Also trust these CA certificates upstream.")
    ] = None,
    audit: Annotated[
        Path | None, typer.Option("--audit", metavar="FILE", readable=False, help="Append one JSON line per request to FILE.")
    ] = None,
    isolate: Annotated[bool, typer.Option("--isolate/--no-isolate", help="On Linux: nothing leaves but through Envoy.")] = True,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Where to listen without isolation; 0 chooses.")] = 0,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, max=64, help="Envoy's worker threads.")] = 2,
    ext_proc: Annotated[
        Path | None,
        typer.Option("--ext-proc", metavar="FILE", readable=False, help="Settings of ext-proc, such as the provider's URL (YAML)."),
    ] = None,
    ext_proc_filter: Annotated[
        list[str] | None,
        typer.Option("--ext-proc-filter", metavar="NAME=VALUE", help="How Envoy treats ext-proc (messageTimeout=5s); may be repeated."),
    ] = None,
    sandbox_token: Annotated[
        Path | None,
        typer.Option("--sandbox-token", metavar="FILE", readable=False, help="What credential providers are shown: accessToken, JSON."),
    ] = None,
    output_: OutputOption = Output.TEXT,
) -> None:
    """Run COMMAND so that it reaches only what the policy allows, with credentials that it never holds."""
    if command and not command[0]:
        fail("COMMAND is empty: name a program to run, or leave out `--` and what follows to serve", Exit.NOT_FOUND)
    spec = RunSpec(
        directory=directory,
        who=who(template, labels, namespace),
        command=tuple(command or ()),
        pins=pins_of(resolve),
        upstream_ca=upstream_ca,
        audit=audit.absolute() if audit else None,
        isolate=isolate,
        port=port,
        concurrency=concurrency,
        ext_proc=ext_proc.absolute() if ext_proc else None,
        external=filter_settings(ext_proc_filter),
        sandbox_token=sandbox_token.absolute() if sandbox_token else None,
        environ=dict(os.environ),
    )
    try:
        code, audited = asyncio.run(run_command(spec, lambda env: announce(env, output_)))
    except RunError as error:
        fail(str(error), error.exit_code)
    print_summary(audited.summary, output_, stream_is_ours=not command)
    raise typer.Exit(code)


@app.command()
def check(directory: Directory, output_: OutputOption = Output.TEXT) -> None:
    """Every problem of the manifests, with file, line, object, field and remedy. Exit code 1 if there is one to mend.

    Notes, about what is right but leaves a credential readable, do not count. Sources of credentials are asked.
    """
    raise typer.Exit(check_directory(directory, output_))


@app.command()
def explain(
    directory: Directory,
    request: Annotated[str | None, typer.Option("--request", metavar="'METHOD URL'", help="The request to judge.")] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="'Name: value'", help="A header of it; may be repeated.")
    ] = None,
    body: Annotated[str, typer.Option("--body", help="Its body.")] = "",
    requests: Annotated[
        Path | None,
        typer.Option(
            "--requests", metavar="FILE", readable=False, help="One JSON request a line ('-': standard input); answers one a line."
        ),
    ] = None,
    template: Template = None,
    labels: Labels = "",
    namespace: Namespace = "default",
    resolve: Resolve = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show credential values, which are *** otherwise.")] = False,
    output_: OutputOption = Output.TEXT,
) -> None:
    """What would become of a request, which rules were tried and why. Exit code 0 allowed, 3 refused.

    A request by https is judged as a proxy's client meets it: first its CONNECT, by host and port alone. Credential values are
    shown as *** unless --reveal asks for them. No name is resolved and nothing is sent.
    """
    if (request is None) == (requests is None):
        fail("give either --request 'METHOD URL' or --requests FILE", Exit.USAGE)
    workspace = judged(directory, who(template, labels, namespace))
    if warning := nothing_holds(workspace, who(template, labels, namespace)):
        output.say(f"groyne: {warning}")
    explainer = Explainer(workspace, pins_of(resolve))
    if requests is not None:
        raise typer.Exit(explain_lines(explainer, lines_of(requests), reveal=reveal))
    raw = parse_request(request or "", header or (), body)
    if isinstance(raw, str):
        fail(raw, Exit.USAGE)
    raise typer.Exit(explain_one(explainer, raw, output_, reveal=reveal))


@app.command()
def render(
    directory: Directory,
    out: Annotated[Path, typer.Option("--out", metavar="OUT", readable=False, help="Directory to write to; made if it is not there.")],
    template: Template = None,
    labels: Labels = "",
    namespace: Namespace = "default",
    reveal: Annotated[bool, typer.Option("--reveal", help="Write credential values and keys instead of ***.")] = False,
    output_: OutputOption = Output.TEXT,
) -> None:
    """Write the Envoy configuration and the Kubernetes objects that the manifests imply."""
    workspace = judged(directory, who(template, labels, namespace))
    try:
        written = render_to(workspace, out, reveal=reveal)
    except (RenderError, OSError) as error:
        fail(f"--out: {output.because(error)}" if isinstance(error, OSError) else str(error), Exit.USAGE)
    say_written(written, output_)


@app.command()
def gateway(
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Where the gateway finds ext-proc.")],
    server_id: Annotated[str, typer.Option("--server-id", metavar="SPIFFE", help="The SPIFFE id that ext-proc's certificate must have.")],
    certificates: Annotated[
        str,
        typer.Option(
            "--certificates", metavar="DIR", help="Where the gateway has its own tls.crt and tls.key, and the authorities' ca.crt."
        ),
    ],
    scheme: Annotated[Scheme, typer.Option("--scheme", help="What pods speak to the listener that these files are for.")],
    out: Annotated[Path, typer.Option("--out", metavar="OUT", readable=False, help="Directory to write to; made if it is not there.")],
    at: Annotated[
        str, typer.Option("--at", metavar="DIR", help="Where the gateway sees OUT's files; without it, where they are here.")
    ] = "",
    ext_proc_filter: Annotated[
        list[str] | None,
        typer.Option("--ext-proc-filter", metavar="NAME=VALUE", help="How Envoy treats ext-proc (messageTimeout=5s); may be repeated."),
    ] = None,
    output_: OutputOption = Output.TEXT,
) -> None:
    """Write what a gateway that many pods share needs in its Envoy's configuration so that ext-proc decides each request."""
    place = at or str(out.absolute())
    try:
        not_of_a_gateway(part.partition("=")[0] for part in ext_proc_filter or ())
        written = write_gateway(address, server_id, certificates, filter_settings(ext_proc_filter), scheme=scheme, out=out, at=place)
    except (GatewayError, OSError) as error:
        fail(f"--out: {output.because(error)}" if isinstance(error, OSError) else str(error), Exit.USAGE)
    say_written(written, output_)


def say_written(names: list[str], output_: Output) -> None:
    if output_ is Output.JSON:
        output.print_json({"files": names})
    else:
        for name in names:
            output.say(f"wrote {name}")


def judged(directory: Path, identity: Who) -> Workspace:
    """The workspace to judge with; its problems are shown, and an error ends here."""
    workspace = read_workspace(directory, identity, dict(os.environ))
    output.print_problems((p for p in workspace.problems if p.severity == "error"), output.errors())
    if workspace.broken:
        raise typer.Exit(Exit.PROBLEMS)
    return workspace


def filter_settings(given: list[str] | None) -> ExternalSettings:
    raw = dict(part.partition("=")[::2] for part in given or ())
    settings, problems = read_settings(raw)
    if problems:
        fail("; ".join(f"--ext-proc-filter {problem.field}: {problem.message}" for problem in problems), Exit.USAGE)
    return settings


def who(template: str | None, labels: str, namespace: str) -> Who:
    if template and labels:
        fail("give --template or --labels, not both", Exit.USAGE)
    pairs: list[tuple[str, str]] = []
    for part in filter(None, (each.strip() for each in labels.split(","))):
        key, equals, value = (each.strip() for each in part.partition("="))
        if not equals or not key:
            fail(f"--labels {part!r}: write key=value, separated by commas", Exit.USAGE)
        if wrong := names.qualified(key) or names.label_value(value):
            fail(f"--labels {part!r}: {wrong}", Exit.USAGE)
        if key in dict(pairs):
            fail(f"--labels {part!r}: the key {key} stands twice", Exit.USAGE)
        pairs.append((key, value))
    if wrong := names.dns_label(namespace):
        fail(f"--namespace {namespace!r}: {wrong}", Exit.USAGE)
    return Who(template=template, namespace=namespace, labels=tuple(sorted(pairs)))


def pins_of(options: list[str] | None) -> Pins:
    pins = parse_pins(options or ())
    if isinstance(pins, str):
        fail(pins, Exit.USAGE)
    return pins


def lines_of(path: Path) -> Iterable[str]:
    """As bytes are: a line ends at a line feed and nowhere else."""
    try:
        stream = sys.stdin.buffer if str(path) == "-" else path.open("rb")
    except OSError as error:
        fail(f"--requests {path}: {error.strerror}", Exit.USAGE)
    return (line.decode("utf-8", "surrogateescape") for line in stream)


def announce(env: dict[str, str], output_: Output) -> None:
    if output_ is Output.JSON:
        output.print_json({"proxy": env["HTTPS_PROXY"], "environment": env})
        return
    for name, value in sorted(env.items()):
        sys.stdout.write(f"export {name}={quote(value)}\n")
    sys.stdout.flush()
    output.say(f"groyne: serving at {env['HTTPS_PROXY']} until interrupted; the lines above make clients use it")


def fail(message: str, code: int) -> NoReturn:
    output.say(f"groyne: {message}")
    raise typer.Exit(code)


def main() -> None:
    """Whatever goes wrong, the user gets a sentence: a traceback may quote what it should not."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except Exception as error:
        if os.environ.get("GROYNE_DEBUG"):
            raise
        output.say(f"groyne: internal error ({type(error).__name__}): please report it; GROYNE_DEBUG=1 shows where")
        sys.exit(Exit.INTERNAL)


if __name__ == "__main__":
    main()
