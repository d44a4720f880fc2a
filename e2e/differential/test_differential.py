"""The differential test as CI runs it, and that it would see ten ways, and more, in which the compiler can be wrong.

Both run in a process of their own, because they move into a network namespace.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HAS_NAMESPACES = subprocess.run(["unshare", "--user", "--map-root-user", "--net", "true"], capture_output=True, check=False).returncode == 0

pytestmark = [pytest.mark.timeout(1200), pytest.mark.skipif(not HAS_NAMESPACES, reason="no user namespaces here")]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "e2e.differential", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_real_envoy_does_what_the_evaluator_says():
    """300 programs with 18 requests each; every action with every kind of condition on every transport at least 30 times."""
    done = run("--programs", "300", "--requests", "18", "--seed", "1", "--least", "30")
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_groups_of_headers_that_share_a_filter_do_the_same():
    """As if there were four slots instead of 64."""
    done = run("--programs", "60", "--seed", "2", "--slots", "4")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_mutant_of_the_compiler_is_caught():
    """Each of the compilers that are wrong on purpose shows a difference within 100 programs."""
    done = run("--mutants", "--programs", "100", "--seed", "1")
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
