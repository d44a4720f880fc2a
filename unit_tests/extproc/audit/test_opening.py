"""All parts together, as the process opens them: from what became of a request to bytes at a receiver and a line in the log."""

import asyncio
import io
import json

from extproc.audit.log import AuditLog
from extproc.audit.opening import open_dispatcher
from kube.tasks import running
from unit_tests.extproc.audit.outcomes import Seen, hook, resolved
from unit_tests.extproc.audit.test_courier import Server, listening
from unit_tests.extproc.audit.test_log import NOW
from unit_tests.policy.profiles import block, rule


def test_what_became_of_a_request_is_told_and_logged():
    async def body():
        server, seen, out = Server(), Seen(), io.StringIO()
        log = AuditLog(out, seen, clock=lambda: NOW)
        async with listening(server) as port, open_dispatcher(seen, capacity=100, loopback=True) as dispatcher:
            given = hook(url=f"http://127.0.0.1:{port}/{{{{ .Rule.Name }}}}", body={"json": {"result": "{{ .Result }}"}})
            outcome = resolved(rule("no", block=block(), audit=[given]))
            async with running({"audit": dispatcher.run}):
                for tell in (dispatcher.tell, log.tell):
                    tell(outcome)
                await dispatcher.drain(10)
        await log.close(5)
        return server, seen, out

    server, seen, out = asyncio.run(body())
    ((head, content),) = server.requests
    assert head.startswith(b"POST /no HTTP/1.1\r\n")
    assert json.loads(content) == {"result": "blocked"}
    assert json.loads(out.getvalue())["outcome"] == "blocked"
    assert seen.counts == {"sent": 1, "logged": 1}


def test_loopback_is_refused_unless_it_was_allowed():
    async def body():
        server, seen = Server(), Seen()
        async with listening(server) as port, open_dispatcher(seen, capacity=100) as dispatcher, running({"audit": dispatcher.run}):
            dispatcher.tell(resolved(rule(audit=[hook(url=f"http://localhost:{port}/")])))
            await dispatcher.drain(10)
        return server, seen

    server, seen = asyncio.run(body())
    assert (server.connections, seen.counts) == (0, {"render_url": 1})
