"""wrk: one thread, kept-alive connections, one fixed request; in go a port and a scenario, out comes what wrk counted.

wrk looks the URL's host up and dials it; the script replaces that with the proxy's address, so that Host and SNI stay what a
client of the proxy sends. The request line is in absolute form, as a proxy's client writes it, except inside a tunnel.
"""

import asyncio
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from e2e.bench.policies import HEADERS, PATH

MISSING = "wrk is missing: apt-get install wrk (Debian, Ubuntu), brew install wrk (macOS), or build it from github.com/wg/wrk"
SCRIPT = """
function wrk.resolve(_, _)
  wrk.addrs = wrk.lookup("127.0.0.1", "{port}")
end
wrk.path = "{target}"
{headers}
"""


class LoadError(Exception):
    """wrk is missing, or what it met is not worth counting; the message is fit for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float


def find_wrk() -> str:
    if found := shutil.which("wrk"):
        return found
    raise LoadError(MISSING)


async def load(binary: str, directory: Path, *, dial: int, host: str, port: int, tls: bool, seconds: int, connections: int = 16) -> Load:
    """`dial` is where the proxy listens, `host` and `port` are what is asked of it. Raises LoadError."""
    script = directory / f"wrk-{dial}.lua"
    target = PATH if tls else f"http://{host}:{port}{PATH}"
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in HEADERS.items())
    script.write_text(SCRIPT.format(port=dial, target=target, headers=headers))
    url = f"{'https' if tls else 'http'}://{host}:{port}{PATH}"
    process = await asyncio.create_subprocess_exec(
        binary, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return read(out.decode(errors="replace"))


def read(text: str) -> Load:
    """Raises LoadError where requests were refused or failed: their speed says nothing."""
    counted = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if not counted or not rate:
        raise LoadError(f"wrk said: {text.strip()[-500:]}")
    if bad := re.search(r"Non-2xx.*|Socket errors: (?!connect 0, read 0, write 0, timeout 0).*", text):
        raise LoadError(f"requests that should pass did not: {bad.group(0).strip()}")
    return Load(requests=int(counted[1]), per_second=float(rate[1]), p50_ms=latency(text, 50), p99_ms=latency(text, 99))


def latency(text: str, percent: int) -> float:
    found = re.search(rf"{percent}(?:\.\d+)?%\s+([\d.]+)(us|ms|s)\b", text)
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]] if found else 0.0
