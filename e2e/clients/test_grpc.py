"""grpcio: a unary call and one that streams both ways, by a rule on the host; a rule on a method refuses another."""

import sys
import threading
from concurrent import futures
from pathlib import Path

from e2e.clients import tools
from e2e.clients.harness import HOST, KEY, run
from e2e.clients.rows import Row
from e2e.support.pki import Authority

PROGRAM = Path(__file__).parent / "programs" / "call_grpc.py"


def test_grpcio(world: Authority, tmp_path: Path) -> None:
    tools.module("grpc")
    import grpc  # noqa: PLC0415

    seen: list[tuple[str, str | None]] = []
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[echo(grpc, seen)])
    certificate, key = world.issue(HOST)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())]))
    server.start()
    try:
        done = run(world, tmp_path, [sys.executable, PROGRAM, f"{HOST}:{port}"], port)
    finally:
        server.stop(None).wait()
    assert done.code == 0, str(done)
    assert done.out.splitlines() == ["ahoy", "one two three", "StatusCode.PERMISSION_DENIED"], str(done)
    assert seen == [("/echo.Echo/Once", f"Bearer {KEY}"), ("/echo.Echo/Both", f"Bearer {KEY}")]
    finds = "`grpc_proxy`, `GRPC_DEFAULT_SSL_ROOTS_FILE_PATH`"
    Row(client="Python grpcio", version=grpc.__version__, finds=finds, shown="unary and streaming calls; a method refused").report()


def echo(grpc, seen: list[tuple[str, str | None]]):
    lock = threading.Lock()

    class Echo(grpc.GenericRpcHandler):
        def service(self, details):
            with lock:
                seen.append((details.method, dict(details.invocation_metadata).get("authorization")))
            if details.method.endswith("Both"):
                return grpc.stream_stream_rpc_method_handler(lambda messages, _: iter(list(messages)))
            return grpc.unary_unary_rpc_method_handler(lambda message, _: message)

    return Echo()
