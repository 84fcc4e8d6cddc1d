"""When a target is due, and in which order a batch goes."""

import math
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.schedule import batch_order, first_due, fraction, next_due
from worker.core.target import TargetKey

KEYS = [TargetKey(f"ns_{number % 40}", f"p_{number}_1_0_0") for number in range(4000)]

keys = st.builds(TargetKey, st.text(max_size=20), st.text(max_size=20))
intervals = st.floats(0.1, 30 * 86_400.0)
instants = st.floats(0.0, 4e9)


def key_at(wanted: float, tolerance: float = 1e-3) -> TargetKey:
    """A key whose fraction is near enough to `wanted`."""
    candidates = (TargetKey("ns", str(number)) for number in range(100_000))
    return next(key for key in candidates if abs(fraction(key) - wanted) < tolerance)


def test_a_fraction_is_the_same_in_every_process() -> None:
    key = TargetKey("ns_a", "p_1_0_0")
    code = "from worker.core.schedule import fraction; from worker.core.target import TargetKey as K"
    told = subprocess.run(
        [sys.executable, "-c", f"{code}; print(fraction(K('ns_a', 'p_1_0_0')))"], capture_output=True, text=True
    )
    assert told.stdout.strip() == str(fraction(key)), told.stderr


def test_namespace_and_plugin_do_not_run_into_each_other() -> None:
    assert fraction(TargetKey("a", "bc")) != fraction(TargetKey("ab", "c"))


def test_fractions_are_spread_evenly() -> None:
    tenths = [0] * 10
    for key in KEYS:
        tenths[int(fraction(key) * 10)] += 1
    assert min(tenths) > 340  # 400 each, were it perfect
    assert max(tenths) < 460


@given(key=keys)
def test_a_fraction_lies_in_the_unit_interval(key: TargetKey) -> None:
    assert 0.0 <= fraction(key) < 1.0


@pytest.mark.parametrize(
    ("after", "due"),
    [
        pytest.param(0.0, 15.0, id="before the first"),
        pytest.param(14.8, 15.0, id="just before"),
        pytest.param(74.8, 75.0, id="before the second"),
        pytest.param(75.2, 135.0, id="after the second"),
        pytest.param(1_000_000_000.0, 1_000_000_035.0, id="much later"),
    ],
)
def test_the_worked_numbers_of_next_due(after: float, due: float) -> None:
    assert next_due(key_at(0.25), 60.0, after) == pytest.approx(due, abs=0.06)


@given(key=keys, interval_s=intervals, after=instants)
def test_next_due_is_later_and_within_one_interval(key: TargetKey, interval_s: float, after: float) -> None:
    due = next_due(key, interval_s, after)
    assert due > after
    assert due <= after + interval_s * (1 + 1e-9) + 1e-6


@given(key=keys, interval_s=intervals, after=instants)
def test_instants_stand_at_the_phase_however_late_one_looks(key: TargetKey, interval_s: float, after: float) -> None:
    due = next_due(key, interval_s, after)
    turns = (due - fraction(key) * interval_s) / interval_s
    assert turns == pytest.approx(round(turns), abs=1e-5)


@given(key=keys, interval_s=st.sampled_from([0.1, 1.0, 7.0, 30.0, 60.0, 300.0, 3600.0]), start=st.floats(0, 2e9))
def test_a_thousand_cycles_do_not_drift(key: TargetKey, interval_s: float, start: float) -> None:
    first = due = next_due(key, interval_s, start)
    for _ in range(1000):
        due = next_due(key, interval_s, due)
    assert due == pytest.approx(first + 1000 * interval_s, abs=1e-5)


@pytest.mark.parametrize(
    ("interval_s", "targets", "rate_per_s", "spread_s"),
    [
        pytest.param(300.0, 60, 1.0, 66.0, id="60 at 1 a second: 66 s"),
        pytest.param(300.0, 3, 1.0, 30.0, id="3: half a minute"),
        pytest.param(10.0, 3, 1.0, 10.0, id="3 of a short interval: that"),
        pytest.param(60.0, 6000, 1.0, 60.0, id="more than fit: their interval"),
        pytest.param(3600.0, 5000, 500.0, 30.0, id="5,000 at 500 a second: half a minute"),
        pytest.param(3600.0, 100_000, 5000.0, 200.0, id="100,000 at 5,000 a second: 500 a second"),
        pytest.param(60.0, 100_000, 5000.0, 60.0, id="100,000 of a short interval: that"),
    ],
)
def test_the_first_round_is_soon_and_spread(
    interval_s: float, targets: int, rate_per_s: float, spread_s: float
) -> None:
    for wanted in (0.25, 0.75):
        key = key_at(wanted)
        due = first_due(key, interval_s, 1000.0, targets=targets, rate_per_s=rate_per_s)
        assert due == 1000.0 + fraction(key) * spread_s


@given(unique=st.lists(keys, unique=True, max_size=30), started_at=instants, period_s=intervals)
def test_a_batch_calls_each_target_once(unique: list[TargetKey], started_at: float, period_s: float) -> None:
    assert sorted(batch_order(unique, started_at, period_s)) == list(range(len(unique)))


def test_a_batch_rotates_between_runs_and_not_within_one() -> None:
    some = KEYS[:100]
    starts = [batch_order(some, run * 300.0 + 10, 300.0)[0] for run in range(20)]
    assert len(set(starts)) == 20
    assert batch_order(some, 3010.0, 300.0) == batch_order(some, 3299.0, 300.0)


def test_each_batch_is_the_last_one_turned_on() -> None:
    some = KEYS[:50]
    one, other = batch_order(some, 0.0, 60.0), batch_order(some, 60.0, 60.0)
    turn = one.index(other[0])
    assert other == one[turn:] + one[:turn]
    assert turn not in (0, 1, 49)


def test_over_many_runs_a_deadline_costs_each_target_alike() -> None:
    some, runs = KEYS[:40], 400
    reached = [0] * 40
    for run in range(runs):
        for index in batch_order(some, run * 60.0, 60.0)[:20]:  # the deadline comes half way
            reached[index] += 1
    assert min(reached) > runs * 0.45
    assert max(reached) < runs * 0.55


def test_neighbours_of_a_batch_are_of_different_namespaces_mostly() -> None:
    order = batch_order(KEYS, 0.0, 60.0)
    same = sum(KEYS[a].namespace == KEYS[b].namespace for a, b in pairwise(order))
    assert same < 0.05 * len(KEYS)


def test_an_empty_batch_has_an_empty_order() -> None:
    assert batch_order([], math.pi, 60.0) == []
