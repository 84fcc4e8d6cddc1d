"""Rate, concurrency and pauses, on a clock that stands until it is told."""

import math
import time
from bisect import bisect_left, bisect_right

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.core.limit import Limit
from worker.limits import HardCap, Hold, Limits, Permit, Window, widened_s
from worker.settings import LimitSettings, Rate

ROOMY = Rate(count=1000, period_s=1.0)
periods = st.sampled_from([1.0, 60.0, 3600.0])


def make_limits(
    rate: Rate = ROOMY,
    concurrency: int = 100,
    namespace_rate: Rate | None = None,
    namespace_concurrency: int | None = None,
) -> Limits:
    return Limits(
        LimitSettings(
            rate=rate,
            concurrency=concurrency,
            namespace_rate=namespace_rate,
            namespace_concurrency=namespace_concurrency,
        )
    )


def held(limits: Limits, namespace: str, now: float) -> Hold | None:
    return limits.hold(now) or limits.namespace_hold(namespace, now)


def most_in(sent: list[float], period_s: float) -> int:
    """The most sends in any window of this length, one end of it open."""
    return max((bisect_left(sent, at + period_s) - number for number, at in enumerate(sent)), default=0)


# Windows --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period_s", "widened"),
    [
        pytest.param(1.0, 1.05, id="a second: by 50 ms"),
        pytest.param(2.5, 2.55, id="2.5 s: both are the same"),
        pytest.param(60.0, 61.2, id="a minute: by 2 %"),
        pytest.param(3600.0, 3672.0, id="an hour"),
    ],
)
def test_windows_are_wider_than_configured(period_s: float, widened: float) -> None:
    assert widened_s(period_s) == pytest.approx(widened)


def test_a_window_is_free_until_it_is_full_and_again_when_the_first_leaves_it() -> None:
    window = Window(Rate(count=2, period_s=1.0))
    assert window.free_at(10.0) <= 10.0
    window.take(Permit("ns_a", 10.0))
    assert window.free_at(10.2) <= 10.2
    window.take(Permit("ns_a", 10.2))
    assert window.free_at(10.3) == 11.05
    window.take(Permit("ns_a", 11.05))
    assert window.free_at(11.06) == 11.25


@given(
    count=st.integers(1, 5),
    period_s=periods,
    gaps=st.lists(st.floats(0, 2), max_size=40),
)
def test_no_window_ever_holds_more_than_its_count(count: int, period_s: float, gaps: list[float]) -> None:
    limits = make_limits(Rate(count=count, period_s=period_s))
    now, sent = 0.0, []
    for gap in gaps:
        now += gap * period_s / 3
        hold = limits.hold(now)
        if hold is not None:
            assert hold.limit is Limit.RATE
            now = hold.until
            assert limits.hold(now) is None
        limits.release(limits.take("ns_a", now), now)
        sent.append(now)
    assert most_in(sent, period_s) <= count


@given(count=st.integers(1, 5), period_s=periods)
def test_what_always_asks_gets_the_rate_of_the_wider_window(count: int, period_s: float) -> None:
    limits, now, sent = make_limits(Rate(count=count, period_s=period_s)), 0.0, 0
    while now < 20 * period_s:
        hold = limits.hold(now)
        if hold is None:
            limits.release(limits.take("ns_a", now), now)
            sent += 1
        else:
            now = hold.until
    assert sent >= 19 * count


@given(sends=st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.floats(0, 0.6)), max_size=60))
def test_a_namespaces_rate_holds_for_each_and_the_total_for_all(sends: list[tuple[str, float]]) -> None:
    total, each = Rate(count=5, period_s=1.0), Rate(count=2, period_s=1.0)
    limits = make_limits(total, namespace_rate=each)
    now, log = 0.0, list[tuple[float, str]]()
    for namespace, gap in sends:
        now += gap
        if held(limits, namespace, now) is None:
            limits.release(limits.take(namespace, now), now)
            log.append((now, namespace))
    assert most_in([at for at, _ in log], 1.0) <= 5
    for name in "abc":
        assert most_in([at for at, namespace in log if namespace == name], 1.0) <= 2


# What holds -----------------------------------------------------------------------------------------------------------


def test_at_most_so_many_are_in_flight() -> None:
    limits = make_limits(concurrency=2)
    first, _ = limits.take("ns_a", 0.0), limits.take("ns_b", 0.0)
    assert limits.inflight == 2
    assert limits.hold(0.0) == Hold(Limit.CONCURRENCY, math.inf)
    limits.release(first, 1.0)
    assert limits.hold(1.0) is None


def test_a_namespaces_concurrency_holds_up_no_other() -> None:
    limits = make_limits(namespace_concurrency=1)
    permit = limits.take("ns_a", 0.0)
    assert limits.hold(0.0) is None
    assert limits.namespace_hold("ns_a", 0.0) == Hold(Limit.NAMESPACE_CONCURRENCY, math.inf)
    assert limits.namespace_hold("ns_b", 0.0) is None
    limits.release(permit, 1.0)
    assert limits.namespace_hold("ns_a", 1.0) is None


def test_a_namespaces_rate_says_when_it_is_free() -> None:
    limits = make_limits(namespace_rate=Rate(count=1, period_s=60.0))
    limits.release(limits.take("ns_a", 0.0), 0.1)
    assert limits.namespace_hold("ns_a", 1.0) == Hold(Limit.NAMESPACE_RATE, 61.2)
    assert limits.namespace_hold("ns_b", 1.0) is None
    assert limits.namespace_hold("ns_a", 61.2) is None


def test_a_pause_is_told_before_concurrency_and_that_before_the_rate() -> None:
    one = Rate(count=1, period_s=1.0)
    limits = make_limits(one, 1, one, 1)
    permit = limits.take("ns_a", 0.0)
    assert limits.hold(0.0) == Hold(Limit.CONCURRENCY, math.inf)
    assert limits.namespace_hold("ns_a", 0.0) == Hold(Limit.NAMESPACE_CONCURRENCY, math.inf)
    limits.pause("ns_b", 0.0, 9.0)
    limits.pause("ns_a", 0.0, 9.0)
    assert limits.hold(0.0) == limits.namespace_hold("ns_a", 0.0) == Hold(Limit.PAUSE, 9.0)
    limits.release(permit, 0.5)
    assert limits.hold(0.5) == Hold(Limit.PAUSE, 9.0)


# Pauses ---------------------------------------------------------------------------------------------------------------


def refused(limits: Limits, namespace: str, now: float, until: float) -> bool:
    """One call that is answered with a 429 at once."""
    permit = limits.take(namespace, now)
    everything = limits.pause(namespace, now, until)
    limits.release(permit, now)
    return everything


def test_a_429_pauses_its_namespace_and_no_other() -> None:
    limits = make_limits()
    assert refused(limits, "ns_a", 0.0, 5.0) is False
    assert limits.namespace_hold("ns_a", 4.9) == Hold(Limit.PAUSE, 5.0)
    assert held(limits, "ns_b", 0.0) is None


def test_a_second_namespaces_429_during_the_pause_pauses_everything() -> None:
    limits = make_limits()
    refused(limits, "ns_a", 0.0, 5.0)
    assert refused(limits, "ns_b", 1.0, 8.0) is True
    assert limits.hold(1.0) == Hold(Limit.PAUSE, 8.0)
    assert held(limits, "ns_c", 7.9) == Hold(Limit.PAUSE, 8.0)
    assert held(limits, "ns_c", 8.0) is None


@pytest.mark.parametrize(
    ("namespace", "now"),
    [
        pytest.param("ns_a", 1.0, id="the same namespace again"),
        pytest.param("ns_b", 5.0, id="when the pause has just ended"),
        pytest.param("ns_b", 60.0, id="long after"),
    ],
)
def test_other_429s_pause_their_namespace_only(namespace: str, now: float) -> None:
    limits = make_limits()
    refused(limits, "ns_a", 0.0, 5.0)
    assert limits.pause(namespace, now, now + 5) is False
    assert limits.hold(now) is None
    assert limits.namespace_hold(namespace, now) == Hold(Limit.PAUSE, now + 5)


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    limits = make_limits()
    refused(limits, "ns_a", 0.0, 60.0)
    limits.pause("ns_a", 1.0, 2.0)
    assert limits.namespace_hold("ns_a", 3.0) == Hold(Limit.PAUSE, 60.0)


def test_when_a_pause_ends_one_call_goes_first() -> None:
    limits = make_limits()
    refused(limits, "ns_a", 0.0, 5.0)
    assert limits.namespace_hold("ns_a", 5.0) is None
    first = limits.take("ns_a", 5.0)
    assert limits.namespace_hold("ns_a", 5.0) == Hold(Limit.PAUSE, math.inf)
    assert held(limits, "ns_b", 5.0) is None
    limits.release(first, 5.2)
    assert limits.namespace_hold("ns_a", 5.2) is None
    assert limits.take("ns_a", 5.2).trials == limits.take("ns_a", 5.2).trials == ()


def test_when_that_one_is_refused_the_pause_goes_on() -> None:
    limits = make_limits()
    refused(limits, "ns_a", 0.0, 5.0)
    refused(limits, "ns_a", 5.0, 7.0)
    assert limits.namespace_hold("ns_a", 5.1) == Hold(Limit.PAUSE, 7.0)
    second = limits.take("ns_a", 7.0)
    assert limits.namespace_hold("ns_a", 7.0) == Hold(Limit.PAUSE, math.inf)
    limits.release(second, 7.1)
    assert limits.namespace_hold("ns_a", 7.1) is None


def test_when_that_one_ends_without_an_answer_the_others_go() -> None:
    limits = make_limits()
    refused(limits, "ns_a", 0.0, 5.0)
    cut_off = limits.take("ns_a", 5.0)
    limits.release(cut_off, 15.0)
    assert limits.namespace_hold("ns_a", 15.0) is None


def test_after_a_pause_of_everything_one_call_goes_first_for_all() -> None:
    limits = make_limits()
    refused(limits, "ns_a", 0.0, 5.0)
    refused(limits, "ns_b", 0.0, 5.0)
    first = limits.take("ns_c", 5.0)
    assert limits.hold(5.0) == Hold(Limit.PAUSE, math.inf)
    limits.release(first, 5.1)
    assert limits.hold(5.1) is None
    for name in ("ns_a", "ns_b"):  # each still tries its own gate out
        assert limits.namespace_hold(name, 5.1) is None
        permit = limits.take(name, 5.1)
        assert limits.namespace_hold(name, 5.1) == Hold(Limit.PAUSE, math.inf)
        limits.release(permit, 5.2)
        assert limits.namespace_hold(name, 5.2) is None


def test_what_was_in_flight_before_the_pause_ends_it_not() -> None:
    limits = make_limits()
    before = limits.take("ns_a", 0.0)
    refused(limits, "ns_a", 0.1, 5.0)
    limits.release(before, 1.0)
    assert limits.namespace_hold("ns_a", 1.0) == Hold(Limit.PAUSE, 5.0)


moves = st.lists(
    st.tuples(
        st.sampled_from(["call", "answered", "refused", "lost", "wait"]),
        st.sampled_from(["a", "b", "c"]),
        st.floats(0, 5),
    ),
    max_size=60,
)


@given(script=moves)
def test_whatever_happens_no_gate_stays_closed_and_every_cap_holds(script: list[tuple[str, str, float]]) -> None:
    limits = make_limits(concurrency=3, namespace_concurrency=2)
    now, last_pause = 0.0, 0.0
    flying: list[tuple[str, Permit]] = []
    for move, namespace, seconds in script:
        mine = [item for item in flying if item[0] == namespace]
        if move == "call" and held(limits, namespace, now) is None:
            flying.append((namespace, limits.take(namespace, now)))
        elif move == "wait":
            now += seconds
        elif move in ("answered", "refused", "lost") and mine:
            flying.remove(mine[0])
            if move == "refused":
                limits.pause(namespace, now, now + seconds)
                last_pause = max(last_pause, now + seconds)
            limits.release(mine[0][1], now)
        assert limits.inflight == len(flying) <= 3
        for name in "abc":
            assert sum(item[0] == name for item in flying) <= 2
    for _, permit in flying:
        limits.release(permit, now)
    now = max(now, last_pause)
    for _ in range(2):  # the first round is the calls that go first
        for name in "abc":
            assert held(limits, name, now) is None
            limits.release(limits.take(name, now), now)
    assert all(limits.take(name, now).trials == () for name in "abc")


@pytest.mark.parametrize("late_s", [0.0, 0.3])
def test_a_call_counts_from_when_it_went_out(late_s: float) -> None:
    limits = make_limits(Rate(count=1, period_s=1.0), 2)
    limits.release(limits.take("ns_a", 10.0), 10.4, late_s)
    hold = limits.hold(10.5)
    assert hold
    assert hold.limit is Limit.RATE
    assert hold.until == pytest.approx(11.05 + late_s)
    assert limits.hold(11.06 + late_s) is None


@given(
    gaps=st.lists(st.floats(0.0, 0.4), min_size=5, max_size=60),
    lates=st.lists(st.floats(0.0, 2.0), min_size=60, max_size=60),
    count=st.integers(1, 5),
)
def test_late_sends_exceed_no_cap_either(gaps: list[float], lates: list[float], count: int) -> None:
    limits, now, seen = make_limits(Rate(count=count, period_s=1.0), 100), 0.0, list[float]()
    for gap, late_s in zip(gaps, lates, strict=False):
        now += gap
        if limits.hold(now) is None:
            limits.release(limits.take("ns_a", now), now, late_s)
            seen.append(now + late_s)
    for at in seen:
        assert sum(at - 1.0 < other <= at for other in seen) <= count


# Reload ---------------------------------------------------------------------------------------------------------------


def test_a_reload_keeps_what_is_in_flight_sent_and_paused() -> None:
    one = Rate(count=1, period_s=60.0)
    before = make_limits(Rate(count=2, period_s=60.0), 2, one, 1)
    flying = before.take("ns_a", 0.0)
    refused(before, "ns_b", 1.0, 30.0)
    after = make_limits(Rate(count=2, period_s=60.0), 2, one, 1)
    after.adopt(before, now=2.0)
    assert after.inflight == 1
    assert after.hold(2.0) == Hold(Limit.RATE, 61.2)
    assert after.namespace_hold("ns_a", 2.0) == Hold(Limit.NAMESPACE_CONCURRENCY, math.inf)
    assert after.namespace_hold("ns_b", 2.0) == Hold(Limit.PAUSE, 30.0)
    after.release(flying, 3.0)
    assert after.inflight == 0
    assert after.namespace_hold("ns_a", 3.0) == Hold(Limit.NAMESPACE_RATE, 61.2)


def test_a_call_that_goes_first_across_a_reload_opens_the_gate() -> None:
    before = make_limits()
    refused(before, "ns_a", 0.0, 5.0)
    first = before.take("ns_a", 5.0)
    after = make_limits()
    after.adopt(before, now=5.0)
    assert after.namespace_hold("ns_a", 5.0) == Hold(Limit.PAUSE, math.inf)
    after.release(first, 5.5)
    assert after.namespace_hold("ns_a", 5.5) is None


def test_a_pause_of_everything_survives_a_reload() -> None:
    before = make_limits()
    refused(before, "ns_a", 0.0, 5.0)
    refused(before, "ns_b", 0.0, 9.0)
    after = make_limits()
    after.adopt(before, now=1.0)
    assert after.hold(1.0) == Hold(Limit.PAUSE, 9.0)


def test_namespace_rates_may_come_and_go_with_a_reload() -> None:
    one = Rate(count=1, period_s=60.0)
    with_rate, without = make_limits(namespace_rate=one), make_limits()
    with_rate.release(with_rate.take("ns_a", 0.0), 0.0)
    without.adopt(with_rate, now=1.0)
    assert without.namespace_hold("ns_a", 1.0) is None
    again = make_limits(namespace_rate=one)
    again.adopt(without, now=1.0)
    assert again.namespace_hold("ns_a", 1.0) is None


def test_a_reload_forgets_the_namespaces_that_nothing_holds_any_more() -> None:
    before = make_limits(namespace_rate=Rate(count=1, period_s=60.0))
    for name in ("ns_done", "ns_recent"):
        before.release(before.take(name, 0.0 if name == "ns_done" else 50.0), 51.0)
    after = make_limits(namespace_rate=Rate(count=1, period_s=60.0))
    after.adopt(before, now=70.0)
    assert set(after._namespaces) == {"ns_recent"}


RATES = st.builds(Rate, count=st.integers(1, 6), period_s=st.sampled_from([0.5, 1.0, 2.0]))


@given(rates=st.lists(RATES, max_size=4), gaps=st.lists(st.floats(0, 0.5), min_size=5, max_size=40))
@example(rates=[Rate(count=1, period_s=0.5), Rate(count=3, period_s=2.0)], gaps=[0.0] * 15)
def test_reloads_exceed_no_cap_that_is_at_most_the_first(rates: list[Rate], gaps: list[float]) -> None:
    rates = [Rate(count=6, period_s=2.0), *rates]
    limits, now, sent = make_limits(rates[0], namespace_rate=rates[0]), 0.0, list[float]()
    for number, gap in enumerate(gaps):
        rate = rates[number * len(rates) // len(gaps)]
        fresh = make_limits(rate, namespace_rate=rate)
        fresh.adopt(limits, now=now)
        limits, now = fresh, now + gap
        held = limits.hold(now)
        assert limits.namespace_hold("ns_a", now) == (held and Hold(Limit.NAMESPACE_RATE, held.until))
        if held is None:
            limits.release(limits.take("ns_a", now), now)
            sent.append(now)
            assert bisect_right(sent, now) - bisect_right(sent, now - rate.period_s) <= rate.count


# What the limits know of calls -------------------------------------------------------------------------------------


def test_how_long_calls_take_is_known_by_namespace_once_one_has_ended() -> None:
    limits = make_limits(concurrency=200)
    permit = limits.take("ns_a", 10.0)
    assert limits.call_s("ns_a") is None
    limits.release(permit, 13.0, late_s=1.0)
    assert (limits.call_s("ns_a"), limits.call_s("ns_b")) == (3.0, None)
    limits.release(limits.take("ns_a", 20.0), 21.0)
    assert limits.call_s("ns_a") == 2.0


def test_the_latest_calls_count_most() -> None:
    limits = make_limits()
    for number in range(400):
        limits.release(limits.take("ns_a", 10.0 * number), 10.0 * number + (9.0 if number < 200 else 1.0))
    assert limits.call_s("ns_a") == pytest.approx(1.0, abs=0.2)


def test_a_reload_keeps_how_long_calls_take() -> None:
    before, after = make_limits(), make_limits()
    before.release(before.take("ns_a", 0.0), 3.0)
    before.take("ns_a", 3.0)
    after.adopt(before, now=4.0)
    assert after.call_s("ns_a") == 3.0


def test_a_pause_is_remembered_after_its_end() -> None:
    limits = make_limits()
    assert not limits.paused_since("ns_a", 0.0)
    refused(limits, "ns_a", 1.0, 5.0)
    assert limits.paused_since("ns_a", 4.0)
    assert limits.paused_since("ns_a", 6.0), "a call is to go first"
    limits.release(limits.take("ns_a", 6.0), 7.0)
    assert [limits.paused_since("ns_a", at) for at in (4.9, 5.0, 7.0)] == [True, False, False]
    assert not any(limits.paused_since(name, 0.0) for name in ("ns_b", None))


def test_a_pause_of_everything_is_that_of_each() -> None:
    limits = make_limits()
    refused(limits, "ns_a", 0.0, 5.0)
    refused(limits, "ns_b", 1.0, 9.0)
    assert all(limits.paused_since(name, 8.0) for name in ("ns_a", "ns_c", None))


# The last word --------------------------------------------------------------------------------------------------------


async def test_the_hard_cap_is_a_sliding_window_in_real_time() -> None:
    cap = HardCap(Rate(count=2, period_s=0.05))
    started = time.monotonic()
    for _ in range(2):
        await cap()
    at_once = time.monotonic() - started
    await cap()
    assert at_once < 0.09
    assert time.monotonic() - started >= 0.1  # widened by 50 ms
