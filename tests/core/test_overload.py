"""When the worker is overloaded, by what, and what would do."""

from collections.abc import Iterable
from itertools import count
from typing import Any

import pytest

from tests.fakes import make_target
from worker.core.limit import Limit
from worker.core.overload import (
    CPU,
    LASTS_S,
    TELL_EVERY_S,
    Demand,
    Look,
    Need,
    Overload,
    Seen,
    Spell,
    Waiting,
    add_demand,
    fields,
    is_late,
    need,
    watch,
)
from worker.core.target import Distinct, Expectation, VectorExpectation

SKIPS = Seen(took_s=1.0, rate_s=0.9, skipped=4, probes=5, calls=5, lateness_s=3.0)
CALM = Seen(took_s=1.0, probes=5, calls=5, lateness_s=0.2)
CONFIGURED: dict[Limit, tuple[str | int, float]] = {
    Limit.RATE: ("300/m", 5.0),
    Limit.CONCURRENCY: (2, 2.0),
    Limit.NAMESPACE_RATE: ("1/s", 1.0),
    Limit.NAMESPACE_CONCURRENCY: (1, 1.0),
}


def waiting(waited_s: float = 40.0, held_by: Limit | None = None, interval_s: float = 60.0) -> Waiting:
    return Waiting("ns_a", waited_s, interval_s, held_by)


def watched(looks: Iterable[tuple[float, dict[str, Any]]], spell: Spell | None = None) -> tuple[Spell, list[float]]:
    """Looks at these instants; the spell at the end, and when overload was told."""
    spell, told = spell or Spell(), []
    for now, what in looks:
        spell, found = watch(spell, Look(**{"now": now, "seen": CALM, **what}))
        told += [now] if found else []
    return spell, told


def told_of(seen: Seen, longest: Waiting | None = None) -> Overload:
    """What is told when it goes on like this."""
    spell = Spell()
    for now in count():
        spell, found = watch(spell, Look(now=float(now), seen=seen, waiting=7, longest=longest))
        if found:
            return found
        assert now < 100
    raise AssertionError


def each_second(first: int, last: int, **what: Any) -> list[tuple[float, dict[str, Any]]]:
    return [(float(now), what) for now in range(first, last)]


# When it is told ------------------------------------------------------------------------------------------------------


def test_a_worker_that_keeps_up_says_nothing() -> None:
    assert watched(each_second(0, 1000)) == (Spell(), [])


@pytest.mark.parametrize(
    "sign",
    [
        pytest.param({"seen": SKIPS}, id="skips"),
        pytest.param({"longest": waiting()}, id="something waits for more than half its interval"),
        pytest.param({"seen": CALM.plus(Seen(late=1))}, id="what is started is late, and no limit holds calls back"),
    ],
)
def test_what_lasts_is_told_after_ten_seconds_and_then_once_a_minute(sign: dict[str, Any]) -> None:
    _, told = watched(each_second(100, 290, **sign))
    assert told == [100 + LASTS_S, 100 + LASTS_S + TELL_EVERY_S, 100 + LASTS_S + 2 * TELL_EVERY_S]


@pytest.mark.parametrize(
    "what",
    [
        pytest.param({"longest": waiting(29.9)}, id="less than half its interval"),
        pytest.param({"longest": waiting(4.9, interval_s=1.0)}, id="not long, be its interval ever so short"),
        pytest.param({"seen": Seen(took_s=1.0, rate_s=0.1, late=1)}, id="late, but a limit holds calls back"),
        pytest.param({"seen": SKIPS, "settling": True}, id="skips after a pause"),
    ],
)
def test_what_is_no_sign_is_never_told(what: dict[str, Any]) -> None:
    assert watched(each_second(0, 200, **what)) == (Spell(), [])


def test_a_burst_is_not_told() -> None:
    burst = [*each_second(0, 9, seen=SKIPS), *each_second(9, 30)]
    assert watched(burst) == (Spell(), [])


def test_signs_with_gaps_are_one_spell_and_told_at_a_sign() -> None:
    spell, told = watched([(0.0, {"seen": SKIPS}), *each_second(1, 9), (9.0, {"seen": SKIPS}), (10.5, {})])
    assert (spell.since, told) == (0.0, [])
    spell, told = watched([(12.0, {"seen": SKIPS})], spell)
    assert told == [12.0]


def test_a_spell_that_comes_back_is_told_no_sooner_than_a_minute_after() -> None:
    first = [*each_second(0, 11, seen=SKIPS), *each_second(11, 30)]
    spell, told = watched([*first, *each_second(30, 100, seen=SKIPS)])
    assert told == [10.0, 70.0]
    assert spell.since == 30.0


def test_a_pause_ends_the_spell() -> None:
    spell, told = watched([*each_second(0, 9, seen=SKIPS), (9.0, {"settling": True}), *each_second(10, 20, seen=SKIPS)])
    assert (spell.since, told) == (10.0, [])


def test_what_is_told_is_what_went_on_since_it_was_last_told() -> None:
    spell, windows = Spell(), []
    for now in range(71):
        spell, found = watch(spell, Look(now=float(now), seen=SKIPS))
        windows += [(found.window.took_s, found.window.skipped)] if found else []
    assert windows == [(11.0, 44), (60.0, 240)]


# What is in the way ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "longest", "limit", "namespace"),
    [
        pytest.param(SKIPS, None, Limit.RATE, None, id="the rate"),
        pytest.param(
            Seen(took_s=1.0, rate_s=0.2, concurrency_s=0.7, skipped=1), None, Limit.CONCURRENCY, None, id="concurrency"
        ),
        pytest.param(SKIPS, waiting(), Limit.RATE, None, id="it waits for its turn"),
        pytest.param(SKIPS, waiting(held_by=Limit.NAMESPACE_RATE), Limit.NAMESPACE_RATE, "ns_a", id="its own rate"),
        pytest.param(
            CALM,
            waiting(held_by=Limit.NAMESPACE_CONCURRENCY),
            Limit.NAMESPACE_CONCURRENCY,
            "ns_a",
            id="its own concurrency",
        ),
        pytest.param(
            CALM, waiting(held_by=Limit.CONCURRENCY), Limit.CONCURRENCY, None, id="calls kept free for others"
        ),
        pytest.param(
            Seen(took_s=1.0, cpu_s=0.95, skipped=1),
            waiting(held_by=Limit.CONCURRENCY),
            CPU,
            None,
            id="kept free, but busy",
        ),
        pytest.param(CALM, waiting(), CPU, None, id="no limit at all"),
        pytest.param(Seen(took_s=1.0, rate_s=0.05, skipped=1), None, CPU, None, id="none that matters"),
        pytest.param(
            Seen(took_s=1.0, cpu_s=0.95, concurrency_s=0.9, skipped=1), None, CPU, None, id="calls wait for the CPU"
        ),
        pytest.param(
            Seen(took_s=1.0, cpu_s=0.6, concurrency_s=0.9, skipped=51, probes=100),
            None,
            CPU,
            None,
            id="calls wait for a CPU that others use too",
        ),
        pytest.param(
            Seen(took_s=1.0, cpu_s=0.6, concurrency_s=0.9, skipped=49, probes=100),
            None,
            Limit.CONCURRENCY,
            None,
            id="all that is due needs less than a CPU",
        ),
        pytest.param(
            Seen(took_s=1.0, cpu_s=0.3, rate_s=0.9, skipped=50, probes=5),
            None,
            Limit.RATE,
            None,
            id="the rate comes first",
        ),
        pytest.param(SKIPS, waiting(held_by=Limit.PAUSE), Limit.RATE, None, id="a pause is told otherwise"),
    ],
)
def test_what_is_in_the_way_is_named(
    seen: Seen, longest: Waiting | None, limit: Limit | str, namespace: str | None
) -> None:
    found = told_of(seen, longest)
    assert (found.limit, found.namespace) == (limit, namespace)


def test_the_worst_lateness_may_be_that_of_what_still_waits() -> None:
    assert told_of(SKIPS).lateness_s == 3.0
    assert told_of(SKIPS, waiting(50.0)).lateness_s == 50.0


@pytest.mark.parametrize(
    ("waited_s", "interval_s", "late"),
    [(150.0, 300.0, True), (149.0, 300.0, False), (5.0, 1.0, True), (4.9, 1.0, False)],
)
def test_half_an_interval_is_late_but_never_less_than_5_s(waited_s: float, interval_s: float, late: bool) -> None:
    assert is_late(waited_s, interval_s) is late


# What would do --------------------------------------------------------------------------------------------------------


def test_what_is_asked_for_is_summed_up_by_namespace() -> None:
    asked = Distinct(inputs=({"text": "a"}, {"text": "b"}), every_s=60.0)
    expect = Expectation(vectors=(VectorExpectation(path="v", distinct=asked),))
    targets = [
        make_target("p", "ns_a", interval_s=2.0, timeout_s=1.0),
        make_target("q", "ns_a", interval_s=4.0, timeout_s=2.0),
        make_target("r", "ns_b", interval_s=60.0, timeout_s=30.0, expect=expect),
    ]
    summed: dict[str, Demand] = {}
    for target in targets:
        add_demand(summed, target)
    assert summed == {
        "ns_a": Demand(probes_per_s=0.75, calls_per_s=0.75, timeouts=1.0),
        "ns_b": Demand(probes_per_s=1 / 60, calls_per_s=0.05, timeouts=1.5),
    }


@pytest.mark.parametrize(
    ("call_s", "calls_per_probe", "wanted"),
    [
        pytest.param(2.5, 1.0, Need(4.0, 10.0), id="Little's law"),
        pytest.param(None, 1.0, Need(4.0, 30.0), id="no call has ended: the timeouts"),
        pytest.param(2.5, 3.0, Need(12.0, 30.0), id="two of three are asked again"),
        pytest.param(2.5, 0.0, Need(4.0, 10.0), id="no probe was started"),
    ],
)
def test_what_is_needed_follows_from_what_is_asked_and_measured(
    call_s: float | None, calls_per_probe: float, wanted: Need
) -> None:
    half = Demand(probes_per_s=2.0, calls_per_s=2.0, timeouts=15.0)
    assert need([(half, call_s), (half, call_s)], calls_per_probe) == wanted


def overload(limit: Limit | str, namespace: str | None = None) -> Overload:
    window = Seen(took_s=10.0, calls=50, skipped=450)
    return Overload(limit=limit, namespace=namespace, waiting=95, lateness_s=12.34567, window=window)


@pytest.mark.parametrize(
    ("found", "wanted", "told"),
    [
        pytest.param(
            overload(Limit.RATE),
            Need(50.0, 3.0),
            {
                "needed": "50/s",
                "configured": "300/m",
                "remedy": "limits.rate: 50/s fits, or intervals 10 times as long",
            },
            id="rate",
        ),
        pytest.param(
            overload(Limit.RATE),
            Need(4.9, 3.0),
            {
                "needed": "6/s",
                "configured": "300/m",
                "remedy": "limits.rate: 6/s fits, or intervals 1.1 times as long",
            },
            id="the sums say that the rate would do, and it did not",
        ),
        pytest.param(
            overload(Limit.CONCURRENCY),
            Need(4.0, 7.2),
            {
                "needed": 8,
                "configured": 2,
                "remedy": "limits.concurrency: 8 fits, or intervals 4 times as long, or shorter timeouts",
            },
            id="concurrency",
        ),
        pytest.param(
            overload(Limit.NAMESPACE_CONCURRENCY, "ns_a"),
            Need(0.1, 0.5),
            {
                "namespace": "ns_a",
                "needed": 2,
                "configured": 1,
                "remedy": (
                    "limits.per_namespace.concurrency: 2 fits, or intervals 2 times as long, or shorter timeouts"
                ),
            },
            id="the sums say that the concurrency would do, and it did not",
        ),
        pytest.param(
            overload(Limit.NAMESPACE_RATE, "ns_a"),
            Need(2.0, 0.5),
            {
                "namespace": "ns_a",
                "needed": "2/s",
                "configured": "1/s",
                "remedy": "limits.per_namespace.rate: 2/s fits, or intervals 2 times as long",
            },
            id="a namespace's rate",
        ),
        pytest.param(
            overload(CPU),
            Need(20.0, 3.0),
            {
                "needed": "20/s",
                "remedy": "intervals 4 times as long, or the targets shared among several workers",
            },
            id="cpu",
        ),
        pytest.param(
            overload(CPU),
            Need(3.0, 3.0),
            {
                "needed": "3/s",
                "remedy": "intervals 1.1 times as long, or the targets shared among several workers",
            },
            id="a CPU that would do, and it did not",
        ),
    ],
)
def test_the_fields_say_what_is_needed_and_what_to_change(found: Overload, wanted: Need, told: dict[str, Any]) -> None:
    common = {"waiting": 95, "lateness_s": 12.346, "skipped": 450, "window_s": 10.0}
    assert fields(found, wanted, CONFIGURED) == {"limit": found.limit, "namespace": None} | told | common
