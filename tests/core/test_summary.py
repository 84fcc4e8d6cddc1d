"""Totals and percentiles."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import exchange, make_result, make_target, no_reply, refusal
from worker.core.exchange import Malformed, Phases
from worker.core.outcome import Outcome, Verdict
from worker.core.result import Result, SkipReason, skip
from worker.core.summary import Summary, percentile, summarise


def replied(seconds: float, **changes: Any) -> Result:
    return make_result(exchange(phases=Phases(send=0.0, wait=seconds, receive=0.0), **changes))


@pytest.mark.parametrize(
    ("ranked", "q", "expected"),
    [
        pytest.param([1.0, 2.0, 3.0, 4.0], 0.5, 2.0, id="the median of four"),
        pytest.param([1.0, 2.0, 3.0, 4.0], 0.95, 4.0, id="the 95th of four"),
        pytest.param([1.0, 2.0, 3.0, 4.0], 1.0, 4.0, id="the largest"),
        pytest.param([1.0, 2.0, 3.0], 0.5, 2.0, id="the median of three"),
        pytest.param([7.0], 0.99, 7.0, id="of one"),
        pytest.param([7.0], 0.0, 7.0, id="the smallest of one"),
        pytest.param([], 0.5, None, id="of none"),
    ],
)
def test_percentiles_are_nearest_rank(ranked: list[float], q: float, expected: float | None) -> None:
    assert percentile(ranked, q) == expected


@given(values=st.lists(st.floats(0, 1e3), min_size=1, max_size=50), q=st.floats(0.01, 1))
def test_a_percentile_is_one_of_the_values_and_has_its_share_below(values: list[float], q: float) -> None:
    ranked = sorted(values)
    found = percentile(ranked, q)
    assert found in values
    assert sum(value <= found for value in values) >= math.floor(q * len(values))


def test_a_summary_counts_by_verdict_and_by_outcome() -> None:
    results = [
        make_result(),
        make_result(),
        make_result(exchange(refusal(), status=500)),
        make_result(exchange(refusal(), status=429)),
        make_result(exchange(no_reply())),
        skip(make_target(), SkipReason.DEADLINE),
    ]
    summary = summarise(results)
    assert summary.targets == 6
    assert [summary.count(verdict) for verdict in Verdict] == [2, 2, 2]
    assert summary.words() == {"skipped": 1, "timeout": 1, "rate_limited": 1, "server_error": 1, "success": 2}


def test_words_stand_in_the_order_of_precedence() -> None:
    summary = Summary()
    for outcome in reversed(Outcome):
        summary.by_outcome[outcome] += 1
    assert list(summary.words()) == [outcome.value for outcome in Outcome]


def test_only_documented_replies_that_no_stall_touched_are_measured() -> None:
    malformed = Malformed(expected="JSON", found="HTML")
    results = [
        replied(0.1),
        replied(0.3),
        replied(0.2, lost_s=0.06),
        make_result(exchange(malformed)),
        make_result(exchange(refusal(), status=500)),
        make_result(exchange(no_reply())),
        make_result(exchange(phases=Phases())),
        skip(make_target(), SkipReason.OVERRUN),
    ]
    assert summarise(results).latency() == {"p50": 0.1, "p95": 0.3, "p99": 0.3, "max": 0.3}


def test_where_nothing_was_measured_there_is_no_percentile() -> None:
    assert Summary().latency() == {"p50": None, "p95": None, "p99": None, "max": None}
