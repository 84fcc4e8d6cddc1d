"""The probes under way."""

import asyncio

from tests.fakes import make_target
from worker.probe import Probe
from worker.running import Running

ONE, OTHER = make_target("one"), make_target("other", "ns_b")


def probe() -> Probe:
    return Probe(target=ONE, due_at=0.0)


def test_what_ended_is_not_current_and_may_end_again() -> None:
    running, first = Running(), probe()
    running.add(first)
    running.add(Probe(target=OTHER, due_at=0.0))
    assert (len(running), dict(running.namespaces)) == (2, {"ns_a": 1, "ns_b": 1})
    running.end(ONE.key)
    running.end(ONE.key)
    assert not running.is_current(first)
    assert ONE.key not in running
    assert dict(running.namespaces) == {"ns_b": 1}


def test_the_probe_that_counts_is_found_by_its_target() -> None:
    running, first = Running(), probe()
    running.add(first)
    assert running[ONE.key] is first


def test_a_probe_of_a_target_that_came_back_is_another_one() -> None:
    running, old, new = Running(), probe(), probe()
    running.add(old)
    running.end(ONE.key)
    running.add(new)
    assert (running.is_current(old), running.is_current(new)) == (False, True)


async def test_who_waits_is_told_even_if_one_of_them_has_given_up() -> None:
    running = Running()
    running.add(probe())
    waiting = running.wait_for(ONE.key)
    assert running.wait_for(ONE.key) is waiting
    running.end(ONE.key)
    await asyncio.wait_for(waiting, 1)
    given_up = running.wait_for(ONE.key)
    given_up.cancel()
    running.end(ONE.key)
