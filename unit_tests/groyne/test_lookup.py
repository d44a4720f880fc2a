"""What a name leads to, without sockets: static names, the judgement of whole answers, the cache, the limits."""

import asyncio
import socket
import threading

import pytest

from groyne import lookup
from groyne.dns_wire import Rcode
from groyne.lookup import Names


class System:
    """A system resolver whose answers and mistakes the test sets; it can be held up."""

    def __init__(self, **answers) -> None:
        self.answers = {name.replace("_", "."): answer for name, answer in answers.items()}
        self.asked: list[str] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        self.go.wait(30)
        answer = self.answers.get(host, ["93.184.216.34"])
        if isinstance(answer, Exception):
            raise answer
        return answer


def names(system, static=None):
    refused: list[tuple[str, str]] = []
    return Names(static=static or {}, on_refused=lambda host, address: refused.append((host, address)), system=system), refused


def find(host: str, *, static=None, **answers):
    system = System(**answers)
    made, refused = names(system, static)
    return asyncio.run(made.find(host)), refused, system


def test_a_public_name_has_its_addresses_of_both_families():
    """All of them, in the system's order."""
    found, refused, _ = find("a.test", a_test=["93.184.216.34", "2606:2800::1"])
    assert (found.rcode, found.addresses, refused) == (Rcode.NOERROR, ("93.184.216.34", "2606:2800::1"), [])


@pytest.mark.parametrize("host", ["a.test", "localhost", "x.localhost", "printer.local", "metadata.google.internal"])
@pytest.mark.parametrize("private", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:8.8.8.8", "fe80::1%eth0"])
def test_one_private_address_refuses_the_whole_answer(host, private):
    """Whatever the name and wherever it stands in the answer; the audit is told which address it was."""
    found, refused, _ = find(host, **{host.replace(".", "_"): ["93.184.216.34", private]})
    assert (found.rcode, found.addresses) == (Rcode.REFUSED, ())
    assert refused == [(host, private)]


def test_a_static_name_has_exactly_its_addresses():
    """Private ones too; the system is not asked, and nothing is kept for later."""
    found, refused, system = find("a.test", static={"A.Test.": ("127.0.0.1",)}, a_test=["93.184.216.34"])
    assert (found.rcode, found.addresses, found.ttl(0)) == (Rcode.NOERROR, ("127.0.0.1",), 0)
    assert (refused, system.asked) == ([], [])


@pytest.mark.parametrize("host", ["127.1", "127.0.0.1", "0x7f000001", "0x7f.1", "2130706433", "a.1", "1", "0x", "a.0xff"])
def test_numbers_are_no_names(host):
    """Other spellings of addresses are not given to the system, which would understand them."""
    found, _, system = find(host)
    assert (found.rcode, system.asked) == (Rcode.NXDOMAIN, [])


@pytest.mark.parametrize(
    ("mistake", "rcode"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), Rcode.NXDOMAIN),
        (socket.gaierror(socket.EAI_AGAIN, "later"), Rcode.SERVFAIL),
        (OSError("no descriptors"), Rcode.SERVFAIL),
        (UnicodeError("label too long"), Rcode.SERVFAIL),
        ([], Rcode.NXDOMAIN),
    ],
)
def test_a_failure_is_an_answer(mistake, rcode):
    """Nothing of the system's mistakes is raised."""
    found, refused, _ = find("a.test", a_test=mistake)
    assert (found.rcode, found.addresses, refused) == (rcode, (), [])


def test_one_look_up_answers_everybody_who_asks_meanwhile_and_soon_after():
    """A and AAAA, retries and neighbours share one."""

    async def scene():
        system = System()
        made, _ = names(system)
        system.go.clear()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(made.find("a.test")) for _ in range(20)]
            while not system.asked:  # noqa: ASYNC110 - a thread says so
                await asyncio.sleep(0)
            system.go.set()
        again = await made.find("a.test")
        assert {task.result() for task in asked} == {again}
        assert 0 < again.ttl(asyncio.get_running_loop().time()) <= 30
        assert system.asked == ["a.test"]

    asyncio.run(scene())


def test_an_answer_is_asked_for_again_after_its_time(monkeypatch):
    """Nothing is believed for longer."""
    monkeypatch.setattr(lookup, "MAX_TTL", 0.0)
    system = System()
    made, _ = names(system)

    async def scene():
        await made.find("a.test")
        await made.find("a.test")

    asyncio.run(scene())
    assert len(system.asked) == 2


def test_a_refusal_is_told_each_time():
    """Also when it comes from the cache."""
    made, refused = names(System(a_test=["10.0.0.1"]))

    async def scene():
        await made.find("a.test")
        await made.find("a.test")

    asyncio.run(scene())
    assert refused == [("a.test", "10.0.0.1")] * 2


def test_the_cache_has_a_limit(monkeypatch):
    """The oldest names are forgotten."""
    monkeypatch.setattr(lookup, "MAX_CACHED", 3)
    made, _ = names(System())

    async def scene():
        for number in range(10):
            await made.find(f"a{number}.test")

    asyncio.run(scene())
    assert made.statistics() == {"cached": 3, "pending": 0, "threads": 0}


def test_a_system_that_hangs_is_left_behind(monkeypatch):
    """The question is answered at the deadline, further ones at once when too many hang; what comes late is kept."""
    monkeypatch.setattr(lookup, "DEADLINE", 0.02)
    monkeypatch.setattr(lookup, "MAX_LOOKUPS", 2)
    system = System()
    made, _ = names(system)

    async def scene():
        system.go.clear()
        assert (await made.find("a.test")).rcode is Rcode.SERVFAIL
        assert (await made.find("b.test")).rcode is Rcode.SERVFAIL
        assert (await made.find("c.test")).rcode is Rcode.SERVFAIL
        assert made.statistics()["threads"] == 2
        system.go.set()
        while made.statistics()["threads"]:  # noqa: ASYNC110 - a thread says so
            await asyncio.sleep(0)
        assert (await made.find("a.test")).rcode is Rcode.NOERROR

    asyncio.run(scene())
    assert sorted(system.asked) == ["a.test", "b.test"]


def test_a_loop_that_ended_does_not_hear_of_late_answers(monkeypatch):
    """The thread ends quietly."""
    monkeypatch.setattr(lookup, "DEADLINE", 0.0)
    raised = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    system = System()
    made, _ = names(system)
    system.go.clear()
    asyncio.run(made.find("a.test"))
    system.go.set()
    for thread in threading.enumerate():
        if thread.name.startswith("look up"):
            thread.join(10)
    assert raised == []


def test_a_huge_answer_is_cut_after_it_was_judged():
    """A private address cannot hide behind many public ones."""
    many = [f"93.184.{number // 250}.{number % 250}" for number in range(500)]
    assert len(find("a.test", a_test=many)[0].addresses) == lookup.MAX_ADDRESSES
    assert find("a.test", a_test=[*many, "10.0.0.1"])[0].rcode is Rcode.REFUSED


def test_the_systems_own_names_are_asked():
    """`localhost` is in every /etc/hosts, and is refused."""
    made, refused = names(lookup.ask_system)
    assert asyncio.run(made.find("localhost")).rcode is Rcode.REFUSED
    assert refused
