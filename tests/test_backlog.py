"""What waits for the limits: in turn, and none held up by another."""

import math
import random

import pytest

from tests.fakes import make_target
from worker.backlog import Backlog
from worker.core.limit import Limit
from worker.limits import Limits, Permit
from worker.probe import Probe
from worker.settings import LimitSettings, Rate

ROOMY = Rate(count=10_000, period_s=1.0)


class Told:
    """Remembers for how long namespaces were held."""

    def __init__(self) -> None:
        self.held: list[tuple[Limit, float]] = []

    def __call__(self, limit: Limit, seconds: float) -> None:
        self.held.append((limit, seconds))


def probe(namespace: str, plugin: str = "p") -> Probe:
    return Probe(target=make_target(plugin, namespace), due_at=0.0)


def make_limits(**changes: object) -> Limits:
    return Limits(LimitSettings(**({"rate": ROOMY, "concurrency": 10_000} | changes)))  # type: ignore[arg-type]  # by name


def filled(told: Told, **namespaces: int) -> Backlog:
    """So many probes of each namespace, numbered."""
    backlog = Backlog(told)
    for name, count in namespaces.items():
        for number in range(count):
            backlog.push(probe(name, f"{name}{number}"))
    return backlog


def popped(backlog: Backlog, limits: Limits, now: float = 0.0) -> list[str]:
    """Pops and takes as long as there is something, the calls staying in flight."""
    names = []
    while found := backlog.pop(limits, now):
        limits.take(found.target.key.namespace, now)
        names.append(found.target.key.plugin)
    return names


def test_namespaces_are_served_in_turn_and_each_in_order() -> None:
    backlog = filled(Told(), a=4, b=2, c=1)
    assert len(backlog) == 7
    assert popped(backlog, make_limits()) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]
    assert len(backlog) == 0


def test_a_namespace_that_arrives_late_waits_for_one_round_only() -> None:
    backlog, limits = filled(Told(), a=1000, b=1000), make_limits()
    backlog.pop(limits, 0.0)
    backlog.push(probe("c", "late"))
    found = [backlog.pop(limits, 0.0) for _ in range(3)]
    assert "late" in [item.target.key.plugin for item in found if item]


def test_what_is_asked_again_goes_ahead_of_its_namespace() -> None:
    backlog = filled(Told(), a=2, b=1)
    backlog.push(probe("a", "again"), first=True)
    assert popped(backlog, make_limits()) == ["again", "b0", "a0", "a1"]


def test_what_is_asked_again_may_be_all_there_is() -> None:
    backlog = Backlog(Told())
    backlog.push(probe("a", "again"), first=True)
    assert popped(backlog, make_limits()) == ["again"]


def test_nothing_comes_of_nothing() -> None:
    backlog = Backlog(Told())
    assert backlog.pop(make_limits(), 0.0) is None
    assert backlog.next_free_at() == math.inf
    assert backlog.drain() == []


def test_a_namespace_at_its_concurrency_holds_up_no_other() -> None:
    told = Told()
    backlog, limits = filled(told, a=5, b=3), make_limits(namespace_concurrency=1)
    assert popped(backlog, limits, 0.0) == ["a0", "b0"]
    assert backlog.next_free_at() == math.inf
    assert len(backlog) == 6
    backlog.free("a", 2.0)
    assert told.held == [(Limit.NAMESPACE_CONCURRENCY, 2.0)]
    assert popped(backlog, limits, 2.0) == []  # freed too soon: the call is still in flight


def test_a_namespace_goes_on_when_one_of_its_calls_ends() -> None:
    backlog, limits = filled(Told(), a=2), make_limits(namespace_concurrency=1)
    assert backlog.pop(limits, 0.0)
    permit = limits.take("a", 0.0)
    assert backlog.pop(limits, 0.0) is None
    limits.release(permit, 3.0)
    backlog.free("a", 3.0)
    assert popped(backlog, limits, 3.0) == ["a1"]


def test_a_namespace_at_its_rate_comes_back_by_itself() -> None:
    told = Told()
    backlog, limits = filled(told, a=2, b=1), make_limits(namespace_rate=Rate(count=1, period_s=1.0))
    assert popped(backlog, limits, 0.0) == ["a0", "b0"]
    assert backlog.next_free_at() == 1.05
    assert popped(backlog, limits, 1.0) == []
    assert popped(backlog, limits, 1.05) == ["a1"]
    assert told.held == [(Limit.NAMESPACE_RATE, 1.05)]


def test_a_paused_namespace_holds_up_no_other() -> None:
    told = Told()
    backlog, limits = filled(told, a=3, b=2), make_limits()
    limits.pause("a", 0.0, 7.0)
    assert popped(backlog, limits, 0.0) == ["b0", "b1"]
    assert backlog.next_free_at() == 7.0
    assert popped(backlog, limits, 7.0) == ["a0"]  # one goes first
    assert backlog.next_free_at() == math.inf


def test_the_first_of_several_held_is_looked_at_first() -> None:
    backlog, limits = filled(Told(), a=1, b=1, c=1), make_limits()
    for name, until in (("a", 9.0), ("b", 3.0), ("c", 6.0)):
        limits.pause(name, -1.0, until)
    limits.release(limits.take("x", 20.0), 20.0)  # the pause of everything is tried out
    assert popped(backlog, limits, 0.0) == []
    assert backlog.next_free_at() == 3.0
    assert popped(backlog, limits, 6.0) == ["b0", "c0"]
    assert backlog.next_free_at() == 9.0


def test_a_pause_that_grew_longer_is_held_anew() -> None:
    told = Told()
    backlog, limits = filled(told, a=1), make_limits()
    limits.pause("a", 0.0, 3.0)
    assert backlog.pop(limits, 0.0) is None
    limits.pause("a", 1.0, 8.0)
    assert backlog.pop(limits, 3.0) is None
    assert backlog.next_free_at() == 8.0
    assert popped(backlog, limits, 8.0) == ["a0"]
    assert told.held == [(Limit.PAUSE, 3.0), (Limit.PAUSE, 5.0)]


def test_an_instant_that_is_out_of_date_wakes_nobody() -> None:
    backlog, limits = filled(Told(), a=1), make_limits()
    limits.pause("a", 0.0, 3.0)
    assert backlog.pop(limits, 0.0) is None
    backlog.free("a", 1.0)
    limits.pause("a", 1.0, 8.0)
    assert backlog.pop(limits, 1.0) is None
    assert backlog.next_free_at() == 8.0


def test_new_limits_are_tried_at_once() -> None:
    told = Told()
    backlog = filled(told, a=1, b=1)
    tight = make_limits(namespace_concurrency=1)
    for name in "ab":
        tight.take(name, 0.0)
    assert popped(backlog, tight, 0.0) == []
    backlog.free_all(4.0)
    assert told.held == [(Limit.NAMESPACE_CONCURRENCY, 4.0)] * 2
    assert popped(backlog, make_limits(), 4.0) == ["a0", "b0"]


def test_freeing_what_is_not_held_does_nothing() -> None:
    told = Told()
    backlog = filled(told, a=2)
    for name in ("a", "b"):
        backlog.free(name, 1.0)
    assert told.held == []
    assert popped(backlog, make_limits()) == ["a0", "a1"]


def test_draining_takes_everything_out_held_or_not() -> None:
    backlog, limits = filled(Told(), a=2, b=2), make_limits()
    limits.pause("a", 0.0, 9.0)
    assert backlog.pop(limits, 0.0)
    assert sorted(item.target.key.plugin for item in backlog.drain()) == ["a0", "a1", "b1"]
    assert (len(backlog), backlog.pop(limits, 9.0), backlog.next_free_at()) == (0, None, math.inf)
    backlog.push(probe("a", "new"))
    assert popped(backlog, limits, 9.0) == ["new"]


def test_a_probe_that_is_pushed_waits() -> None:
    waits = probe("a")
    Backlog(Told()).push(waits)
    assert waits.waiting


def surveyed(backlog: Backlog, now: float) -> list[tuple[str, Limit | None]]:
    return [(found.target.key.plugin, held_by) for found, held_by in backlog.survey(now)]


def test_a_survey_shows_who_is_next_and_what_holds_it_and_tells_for_how_long_so_far() -> None:
    told = Told()
    backlog, limits = filled(told, a=2, b=1, c=2), make_limits(namespace_rate=Rate(count=1, period_s=60.0))
    limits.take("a", 0.0)
    assert popped(backlog, limits, 0.0) == ["b0", "c0"]
    assert surveyed(backlog, 1.0) == [("a0", Limit.NAMESPACE_RATE), ("c1", Limit.NAMESPACE_RATE)]
    assert told.held == [(Limit.NAMESPACE_RATE, 1.0)] * 2
    assert surveyed(backlog, 61.2) == [("a0", None), ("c1", None)], "nobody has looked yet whether they are free"
    assert popped(backlog, limits, 62.0) == ["a0", "c1"]
    assert sum(seconds for _, seconds in told.held) == pytest.approx(2 * 62.0), "no second is told twice"


def test_what_is_no_longer_wanted_is_thrown_out() -> None:
    backlog, limits = filled(Told(), a=3, b=2, c=1), make_limits(namespace_concurrency=1)
    limits.take("b", 0.0)
    assert popped(backlog, limits, 0.0) == ["a0", "c0"]
    backlog.sift(lambda found: found.target.key.plugin in ("a2", "b0"))
    assert len(backlog) == 2
    for name in "ab":
        backlog.free(name, 1.0)
    assert popped(backlog, make_limits(), 1.0) == ["a2", "b0"]
    backlog.push(probe("c", "new"))
    backlog.sift(lambda _: False)
    assert (len(backlog), backlog.pop(limits, 2.0)) == (0, None)


@pytest.mark.parametrize("seed", range(3))
def test_long_use_loses_nothing_and_leaves_nothing_behind(seed: int) -> None:
    chance = random.Random(seed)
    limits = make_limits(namespace_rate=Rate(count=3, period_s=1.0), namespace_concurrency=2, concurrency=8)
    backlog, now, pushed, done = Backlog(Told()), 0.0, 0, 0
    flying: list[Permit] = []
    largest = 0
    for _ in range(20_000):
        now += chance.random() * 0.05
        if len(backlog) < 40:
            backlog.push(probe(f"ns{chance.randrange(12)}", str(pushed)), first=chance.random() < 0.1)
            pushed += 1
        if flying and chance.random() < 0.5:
            permit = flying.pop(chance.randrange(len(flying)))
            if chance.random() < 0.05:
                limits.pause(permit.namespace, now, now + chance.random() * 2)
            limits.release(permit, now)
            backlog.free(permit.namespace, now)
        if limits.hold(now) is None and (found := backlog.pop(limits, now)):
            assert limits.namespace_hold(found.target.key.namespace, now) is None
            flying.append(limits.take(found.target.key.namespace, now))
            done += 1
        backlog.next_free_at()
        largest = max(largest, len(backlog._held) + len(backlog._turns) + len(backlog._queues))
    assert done + len(backlog) == pushed
    assert done > 3000
    assert largest < 150
