"""Deliveries over real sockets: what arrives, what is not followed or read, and where no connection goes."""

import asyncio
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from extproc.audit.courier import READ, Courier, HttpCarrier
from extproc.audit.reasons import Dropped
from extproc.audit.rendering import Delivery
from policy.webhook_urls import parse_url


class Server:
    """Answers with `answer(request)`, and keeps what it was sent. Closes the connection after each."""

    def __init__(self, answer=b"HTTP/1.1 204 No Content\r\n\r\n"):
        self.answer = answer
        self.requests = []
        self.connections = 0
        self.sent = 0

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
                self.requests.append((head, await reader.readexactly(length)))
                if self.answer is None:
                    await asyncio.sleep(60)
                writer.write(self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(server):
    running = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    try:
        yield running.sockets[0].getsockname()[1]
    finally:
        running.close()


def delivery(url, *, body=b"{}", timeout=1.0, method="POST"):
    headers = ((b"content-type", b"application/json"), (b"x-a", "é".encode()))
    return Delivery(method=method, url=parse_url(url, loopback=True), headers=headers, body=body, timeout=timeout)


async def to_loopback(host, port):
    return ["127.0.0.1"]


def carrier(resolve=to_loopback, loopback=True):
    return HttpCarrier(tls=ssl.create_default_context(), loopback=loopback, resolve=resolve)


async def dropped(carrying, what):
    retries = []
    with pytest.raises(Dropped) as caught:
        await Courier(carrying, chance=lambda: 0.0, retried=lambda: retries.append(1)).deliver(what)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value.reason.value, len(retries)


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 30))


def test_a_delivery_arrives_as_it_was_made_and_connections_are_used_again():
    async def body():
        server = Server()
        async with listening(server) as port, carrier() as carrying:
            for _ in range(2):
                assert await carrying.carry(delivery(f"http://audit.test:{port}/a?b=c", body=b'{"x":1}', method="PUT")) == 204
        return server, port

    server, port = run(body())
    head, content = server.requests[0]
    lines = head.decode().split("\r\n")
    assert lines[0] == "PUT /a?b=c HTTP/1.1"
    assert lines[1] == f"host: audit.test:{port}"
    assert "x-a: é" in lines
    assert "content-length: 7" in lines
    assert content == b'{"x":1}'
    assert server.connections == 1


def test_a_redirect_is_not_followed():
    async def body():
        server = Server(b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n")
        async with listening(server) as port, carrier() as carrying:
            assert await dropped(carrying, delivery(f"http://audit.test:{port}/")) == ("status", 0)
        assert len(server.requests) == 1

    run(body())


def test_a_server_error_is_tried_three_times():
    async def body():
        server = Server(b"HTTP/1.1 500 Oops\r\ncontent-length: 6\r\n\r\ns3cret")
        async with listening(server) as port, carrier() as carrying:
            assert await dropped(carrying, delivery(f"http://audit.test:{port}/")) == ("status", 2)
        assert len(server.requests) == 3

    run(body())


def test_a_receiver_that_never_answers_costs_its_time_and_is_not_told_twice():
    async def body():
        server = Server(None)
        async with listening(server) as port, carrier() as carrying:
            started = asyncio.get_running_loop().time()
            assert await dropped(carrying, delivery(f"http://audit.test:{port}/", timeout=0.5)) == ("timeout", 0)
            assert asyncio.get_running_loop().time() - started < 3
        assert len(server.requests) == 1

    run(body())


def test_an_endless_answer_is_not_read_to_its_end():
    async def body():
        server = Server(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + b"x" * (READ * 4))
        async with listening(server) as port, carrier() as carrying:
            assert await carrying.carry(delivery(f"http://audit.test:{port}/")) == 200
            assert await carrying.carry(delivery(f"http://audit.test:{port}/")) == 200
        assert server.connections == 2

    run(body())


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nx", b"\x16\x03\x01"])
def test_an_answer_that_is_none_is_a_failure_without_words(answer):
    async def body():
        class Cut(Server):
            async def serve(self, reader, writer):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                await writer.drain()
                writer.close()

        server = Cut()
        async with listening(server) as port, carrier() as carrying:
            assert await dropped(carrying, delivery(f"http://audit.test:{port}/", body=b"")) == ("unreachable", 0)

    run(body())


def test_a_port_where_nobody_listens_is_tried_again():
    async def body():
        async with listening(Server()) as port:
            pass
        async with carrier() as carrying:
            assert await dropped(carrying, delivery(f"http://audit.test:{port}/")) == ("unreachable", 2)

    run(body())


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "100.100.100.200", "127.0.0.1", "::1", "0.0.0.0"]
)
def test_a_name_that_leads_to_a_refused_address_is_not_connected_to(address):
    async def body():
        async def resolve(host, port):
            return [address]

        async with carrier(resolve, loopback=False) as carrying:
            assert await dropped(carrying, delivery("http://audit.test/")) == ("address_refused", 0)

    run(body())


def test_of_several_addresses_those_that_may_be_reached_are_tried_in_turn():
    async def body():
        server = Server()
        async with listening(server) as port:

            async def resolve(host, asked):
                assert (host, asked) == ("audit.test", port)
                return ["169.254.169.254", "127.0.0.2", "127.0.0.1"]

            async with carrier(resolve) as carrying:
                assert await carrying.carry(delivery(f"http://audit.test:{port}/")) == 204

    run(body())


def test_a_name_that_leads_nowhere_is_unreachable():
    async def body():
        async def resolve(host, port):
            raise OSError("s3cret")

        async with carrier(resolve) as carrying:
            assert await dropped(carrying, delivery("http://audit.test/")) == ("unreachable", 2)

    run(body())


def test_tls_is_verified_by_the_name_of_the_url(tmp_path):
    """A certificate that nobody trusts ends the delivery; nothing of the event was sent."""

    async def body():
        certificate, key = self_signed(tmp_path, "audit.test")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server = Server()
        running = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
        port = running.sockets[0].getsockname()[1]
        async with carrier() as carrying:
            assert (await dropped(carrying, delivery(f"https://audit.test:{port}/")))[0] == "unreachable"
        trusted = ssl.create_default_context(cafile=str(certificate))
        async with HttpCarrier(tls=trusted, loopback=True, resolve=to_loopback) as carrying:
            assert await carrying.carry(delivery(f"https://audit.test:{port}/")) == 204
            assert (await dropped(carrying, delivery(f"https://other.test:{port}/")))[0] == "unreachable"
        running.close()
        assert len(server.requests) == 1

    run(body())


def self_signed(directory, name):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime(2024, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now).not_valid_after(now + timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    written = (directory / "cert.pem", directory / "key.pem")
    written[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    written[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return written


def test_errors_of_the_library_are_known():
    """Another version with another tree of errors must be noticed here."""
    assert issubclass(httpcore.ConnectError, httpcore.NetworkError)
    assert issubclass(httpcore.ReadTimeout, httpcore.TimeoutException)
    assert issubclass(httpcore.RemoteProtocolError, httpcore.ProtocolError)
