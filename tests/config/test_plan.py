"""Where a plan cannot fit, and what would."""

from dataclasses import replace
from typing import Any

import pytest

from worker.config.plan import plan_warnings
from worker.core.target import Distinct, Expectation, Target, TargetKey, VectorExpectation
from worker.settings import (
    ApiSettings,
    LimitSettings,
    OutputSettings,
    Rate,
    ReceiverSettings,
    ScheduleSettings,
    Settings,
)

PER_SECOND = Rate(count=1, period_s=1.0)


def targets(count: int, *, namespace: str = "ns_a", interval_s: float = 300.0, timeout_s: float = 1.0) -> list[Target]:
    return [
        Target(key=TargetKey(namespace, f"p{number}"), interval_s=interval_s, timeout_s=timeout_s)
        for number in range(count)
    ]


def warnings(
    planned: list[Target],
    *,
    deadline_s: float | None = None,
    period_s: float | None = None,
    outputs: OutputSettings | None = None,
    **limits: Any,
) -> list[str]:
    settings = Settings(
        api=ApiSettings(base_url="https://mixpeek.example.com"),
        template=planned[0],
        limits=LimitSettings(**limits),
        schedule=ScheduleSettings(deadline_s=deadline_s),
        outputs=outputs or OutputSettings(),
        targets=tuple(planned),
    )
    return plan_warnings(settings, interval_s=period_s)


def test_what_fits_exactly_is_no_warning() -> None:
    assert warnings(targets(300), rate=PER_SECOND) == []
    assert warnings(targets(20, timeout_s=30.0), concurrency=2) == []


def test_too_many_calls_for_the_rate() -> None:
    assert warnings(targets(450)) == [
        "450 targets ask for 2/s, but limits.rate is 1/s; limits.rate: 2/s fits, or intervals 1.5 times as long"
    ]


def test_different_intervals_add_up() -> None:
    planned = targets(6, interval_s=60.0) + targets(4, namespace="ns_b", interval_s=20.0)
    assert warnings(planned, rate=Rate(count=10, period_s=60.0)) == [
        "10 targets ask for 18/m, but limits.rate is 10/m; limits.rate: 18/m fits, or intervals 1.8 times as long"
    ]


def test_distinct_inputs_are_calls_as_well() -> None:
    asked = Distinct(inputs=({"text": "a"}, {"text": "b"}), every_s=120.0)
    expect = Expectation(vectors=(VectorExpectation(path="embedding", distinct=asked),))
    planned = [replace(target, expect=expect) for target in targets(60, interval_s=60.0)]
    # once in 60 s its own, two in 120 s besides: 2/s; in a batch of 60 s three each
    assert warnings(planned, rate=Rate(count=2, period_s=1.0), concurrency=9) == []
    assert warnings(planned, rate=PER_SECOND, concurrency=9)[0].startswith("60 targets ask for 2/s")
    batch = warnings(planned, rate=PER_SECOND, concurrency=9, period_s=60.0, deadline_s=60.0)
    assert batch[0].startswith("60 targets ask for 3/s")
    assert batch[1].startswith("a batch of 60 targets takes at least 179s at limits.rate 1/s")


def test_one_target_asks() -> None:
    assert warnings(targets(1, interval_s=1.0), rate=Rate(count=30, period_s=60.0))[0].startswith(
        "1 target asks for 1/s"
    )


def test_too_few_calls_at_a_time_if_all_time_out() -> None:
    assert warnings(targets(100, timeout_s=30.0)) == [
        "if every call ran into its timeout, 100 targets would keep 10 calls busy, but limits.concurrency is 2;"
        " limits.concurrency: 10 fits, or intervals 5 times as long, or shorter timeouts"
    ]


def test_a_batch_is_measured_against_its_period() -> None:
    assert warnings(targets(120), period_s=60.0)[0] == (
        "120 targets ask for 2/s, but limits.rate is 1/s; limits.rate: 2/s fits, or intervals 2 times as long"
    )


def test_a_batch_is_measured_against_its_deadline() -> None:
    assert warnings(targets(100, timeout_s=10.0), deadline_s=60.0, concurrency=4) == [
        "a batch of 100 targets takes at least 99s at limits.rate 1/s, but its deadline is 1m;"
        " limits.rate: 2/s fits, or a deadline of 100s",
        "if every call ran into its timeout, a batch would take 250s at limits.concurrency 4, but its deadline is 1m;"
        " limits.concurrency: 17 fits, or shorter timeouts",
    ]


def test_a_deadline_beyond_the_period_is_told() -> None:
    assert warnings(targets(1), deadline_s=600.0, period_s=300.0) == [
        "the deadline 10m is longer than the period 5m: batches would overlap; a deadline of at most 5m fits"
    ]


REMOTE_WRITE = OutputSettings(remote_write=ReceiverSettings(url="http://prometheus:9090/api/v1/write"))


def test_batches_that_prometheus_forgets_between_two_are_told() -> None:
    assert warnings(targets(1), period_s=900.0, outputs=REMOTE_WRITE) == [
        "outputs.remote_write: between two batches in 15m Prometheus forgets the first, since it looks back for 5m;"
        " start it with --query.lookback-delta=30m, or use outputs.pushgateway"
    ]


@pytest.mark.parametrize(
    ("period_s", "outputs"),
    [
        pytest.param(300.0, REMOTE_WRITE, id="often enough"),
        pytest.param(None, REMOTE_WRITE, id="a daemon"),
        pytest.param(900.0, OutputSettings(), id="not sent"),
        pytest.param(
            900.0, replace(REMOTE_WRITE, pushgateway=REMOTE_WRITE.remote_write, remote_write=None), id="pushed"
        ),
    ],
)
def test_what_prometheus_remembers_is_no_warning(period_s: float | None, outputs: OutputSettings) -> None:
    assert warnings(targets(1), period_s=period_s, outputs=outputs) == []


def test_the_worst_namespaces_are_named() -> None:
    planned = [t for number in range(5) for t in targets(10 - number, namespace=f"ns_{number}", interval_s=60.0)]
    told = warnings(planned, namespace_rate=Rate(count=5, period_s=60.0))
    assert told == [
        "namespace ns_0: 10 targets ask for 10/m, but limits.per_namespace.rate is 5/m;"
        " limits.per_namespace.rate: 10/m fits, or intervals 2 times as long",
        "namespace ns_1: 9 targets ask for 9/m, but limits.per_namespace.rate is 5/m;"
        " limits.per_namespace.rate: 9/m fits, or intervals 1.8 times as long",
        "namespace ns_2: 8 targets ask for 8/m, but limits.per_namespace.rate is 5/m;"
        " limits.per_namespace.rate: 8/m fits, or intervals 1.6 times as long",
        "and 2 more namespaces do not fit limits.per_namespace",
    ]


def test_a_timeout_beyond_the_interval_is_told() -> None:
    assert warnings(targets(2, interval_s=10.0, timeout_s=30.0), concurrency=10) == [
        "ns_a/p0 (and 1 more): the timeout 30s is longer than the interval 10s, so a slow reply makes the next probe"
        " be skipped; a timeout of at most the interval fits"
    ]


@pytest.mark.parametrize("rate", [Rate(count=7, period_s=60.0), Rate(count=100, period_s=3600.0), PER_SECOND])
@pytest.mark.parametrize("count", [1, 13, 1000])
def test_following_a_warning_silences_it(rate: Rate, count: int) -> None:
    planned = targets(count, interval_s=7.0)
    told = warnings(planned, rate=rate, concurrency=10_000)
    if told:
        proposed, unit = told[0].split("limits.rate: ")[1].split(" ")[0].split("/")
        fitting = Rate(count=int(proposed), period_s={"s": 1.0, "m": 60.0, "h": 3600.0}[unit])
        assert warnings(planned, rate=fitting, concurrency=10_000) == []
