"""What is small is made at once, what is large beside the loop and one at a time."""

import asyncio
import threading
import time

from controller.workshop import SMALL, Workshop, small
from daemon.profile_book import ProfileBook
from policy.program import Identity, Selection
from unit_tests.controller.raw_objects import profile, rule


def selection(hosts: int) -> Selection:
    book = ProfileBook()
    book.put(profile(rules=[rule(f"r{number}", f"host-{number}.example.com") for number in range(hosts)]))
    return book.select(Identity(namespace="team-a", labels=(("app", "agent"),)))


def test_a_rule_counts_as_often_as_it_names_a_host():
    assert small(selection(SMALL))
    assert not small(selection(SMALL + 1))


def test_small_things_are_made_by_the_loop_itself():
    assert asyncio.run(Workshop().make(selection(1), threading.get_ident)) == threading.get_ident()


def test_between_two_small_things_the_loop_has_its_turn():
    """Else as many as there are workers would be made before anybody's answer is heard."""

    async def making() -> list[str]:
        workshop, happened = Workshop(), []

        async def ticking() -> None:
            for _ in range(8):
                happened.append("tick")
                await asyncio.sleep(0)

        work = [workshop.make(selection(1), happened.append, "made") for _ in range(3)]
        await asyncio.gather(*work, ticking())
        return happened

    happened = asyncio.run(making())
    assert happened.count("made") == 3
    assert "made made" not in " ".join(happened)


def test_large_things_are_made_elsewhere_while_the_loop_goes_on():
    async def making() -> tuple[int, bool]:
        ticking = threading.Event()
        asyncio.get_running_loop().call_later(0.01, ticking.set)
        return await Workshop().make(selection(SMALL + 1), lambda: (threading.get_ident(), ticking.wait(5)))

    elsewhere, ticked = asyncio.run(making())
    assert ticked
    assert elsewhere != threading.get_ident()


def test_large_things_are_made_one_at_a_time_and_one_that_fails_does_not_end_it():
    at_once: list[int] = []
    most: list[int] = []

    def work(number: int) -> int:
        at_once.append(number)
        most.append(len(at_once))
        time.sleep(0.01)
        at_once.remove(number)
        return 1 // number

    async def making() -> list[object]:
        workshop, large = Workshop(), selection(SMALL + 1)
        return await asyncio.gather(*(workshop.make(large, work, number) for number in (2, 0, 1)), return_exceptions=True)

    made = asyncio.run(making())
    assert (made[0], type(made[1]), made[2]) == (0, ZeroDivisionError, 1)
    assert max(most) == 1
