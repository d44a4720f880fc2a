"""`make demo`: starts the demo's world and runs the agent under `groyne run`. The world's servers say (▸) what reaches them.

Ends with exit code 0 only if everything went as the policy in `policy/` says, so that the tests run it too.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from server import API, DOCS, HOSTS, MCP, PASTE, World

HERE = Path(__file__).resolve().parent
POLICY = HERE / "policy"
KEY = "hb_live_FAKE0demo0key0that0opens0nothing"
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


def main(options: list[str]) -> int:
    with tempfile.TemporaryDirectory() as scratch, World(Path(scratch), KEY) as world:
        audit = Path(scratch) / "audit.jsonl"
        print(f"{BOLD}$ groyne run examples/quickstart/policy -- python agent.py{PLAIN}\n", flush=True)
        code = subprocess.run(command(world, audit, options), env=environment(world), check=False).returncode
        wrong = [sentence for sentence, holds in expectations(world, code).items() if not holds]
    for sentence in wrong:
        print(f"NOT AS IT SHOULD BE: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


def command(world: World, audit: Path, options: list[str]) -> list[str]:
    """The demo's hosts exist on loopback only, which Groyne never dials unless `--resolve` allows it."""
    resolve = [part for host in HOSTS for part in ("--resolve", f"{host}:{world.port}:127.0.0.1")]
    trust = ["--upstream-ca", str(world.authority_file)]
    groyne = [sys.executable, "-m", "groyne", "run", str(POLICY), *resolve, *trust, "--audit", str(audit), *options]
    return [*groyne, "--", sys.executable, str(HERE / "agent.py")]


def environment(world: World) -> dict[str, str]:
    """Groyne's own: it holds the key, as a developer's shell does. What the agent gets is another matter."""
    proxies = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    kept = {name: value for name, value in os.environ.items() if name.lower() not in proxies}
    return {**kept, "HARBOUR_KEY": KEY, "HARBOUR_PORT": str(world.port)}


def expectations(world: World, code: int) -> dict[str, bool]:
    api = [entry for entry in world.seen if entry[0] == API]
    return {
        "groyne run returns the agent's exit code": code == 0,
        "the API received the read with the real key, and no delete": api == [(API, "GET", "/v1/tickets", f"Bearer {KEY}")],
        "the MCP server received one call": count(world, MCP) == 1,
        "the documentation was read without a key": (DOCS, "GET", "/moorings", None) in world.seen,
        "the paste site received nothing": count(world, PASTE) == 0,
    }


def count(world: World, host: str) -> int:
    return sum(entry[0] == host for entry in world.seen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
