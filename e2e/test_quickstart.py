"""`make demo` shows what it promises: it checks itself, and its words are the policy's."""

import subprocess
import sys
from pathlib import Path

from e2e.support import cli

QUICKSTART = Path(__file__).resolve().parents[1] / "examples" / "quickstart"


def test_demo() -> None:
    done = subprocess.run(
        [sys.executable, QUICKSTART / "demo.py", *cli.wall()],
        check=False,
        capture_output=True,
        text=True,
        env=cli.environment(),
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    key = "hb_live_FAKE0demo0key0that0opens0nothing"
    agent = [line for line in done.stdout.splitlines() if "▸" not in line]
    assert key not in "\n".join(agent) + done.stderr, "only the server, whose key it is, may say it"
    assert f"api.harbour.test received GET /v1/tickets, Authorization: Bearer {key}" in done.stdout
    assert "Tickets are closed by people" in done.stdout
    assert "This agent may search and read tickets" in done.stdout
    assert "Public CA of this demo" in done.stdout
    assert "harbour-api" in done.stderr, "the table names the credential"


def test_its_manifests_are_right() -> None:
    done = cli.groyne("check", QUICKSTART / "policy")
    assert done.code == 0, str(done)
