"""The worker's own counts and its namespaces' go on from what was remembered, also where that is joined late."""

import math
import re

import pytest

from tests.sinks.given import T0, exchange, probed, refused, target
from worker.sinks.memory import Memory
from worker.sinks.metrics import Metrics
from worker.sinks.reading import Sample, samples

OWN = "plugin_probe_"


def told(*lines: str) -> Memory:
    return Memory(own=list(samples(f"{OWN}{line}" for line in lines)))


def exposed(metrics: Metrics) -> dict[str, float]:
    text = b"".join(metrics.exposition()).decode()
    return {
        re.sub(r"^plugin_probe_|[{}\"]", "", line.rpartition(" ")[0]): float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line[0] != "#"
    }


def begun() -> Metrics:
    """A run that has counted something before its memory came."""
    metrics = Metrics(version="0", histograms="namespace")
    metrics.add(target())
    for recorded in probed(target(), exchange(), refused(500)):
        metrics.record(recorded)
    metrics.own.stalls.inc(2)
    metrics.own.throttle_seconds.labels("rate").inc(0.5)
    metrics.own.loop_lag.observe(0.02)
    return metrics


@pytest.mark.parametrize(
    ("line", "series", "value"),
    [
        ("stalls_total 40", "stalls_total", 42),
        ('throttle_seconds_total{limit="rate"} 1.25', "throttle_seconds_totallimit=rate", 1.75),
        ('skipped_total{reason="deadline"} 3', "skipped_totalreason=deadline", 3),
        ('sink_failures_total{sink="textfile"} 4', "sink_failures_totalsink=textfile", 4),
        ("stale_connection_retries_total 5", "stale_connection_retries_total", 5),
        (
            'results_total{mixpeek_namespace="ns_a",outcome="server_error"} 6',
            "results_totalmixpeek_namespace=ns_a,outcome=server_error",
            7,
        ),
        (
            'results_total{mixpeek_namespace="ns_a",outcome="timeout"} 8',
            "results_totalmixpeek_namespace=ns_a,outcome=timeout",
            8,
        ),
    ],
)
def test_counters_add_up(line: str, series: str, value: float) -> None:
    metrics = begun()
    before = exposed(metrics)
    metrics.resume(told(line))
    assert {**before, series: value} == exposed(metrics)


@pytest.mark.parametrize(
    "line",
    [
        'results_total{mixpeek_namespace="ns_gone",outcome="success"} 6',
        'results_total{mixpeek_namespace="ns_a",outcome="of_another_version"} 6',
        'results_total{mixpeek_namespace="ns_a"} 6',
        "results_total 6",
        "skipped_total 6",
        'throttle_seconds_total{limit="of_another_version"} 6',
        'duration_seconds_bucket{mixpeek_namespace="ns_gone",le="+Inf"} 6',
        'duration_seconds_sum{mixpeek_namespace="ns_gone"} 6',
        "lateness_seconds_count 6",
        "lateness_seconds_sum 6",
        "targets 6",
        "inflight 6",
        'build_info{python="2",version="9"} 1',
        "shards 6",
        "run_interval_seconds 6",
        "last_run_timestamp_seconds 6",
        "last_run_duration_seconds 6",
        "config_last_reload_successful 0",
        "config_last_reload_success_timestamp_seconds 6",
    ],
)
def test_what_is_of_others_or_said_anew_is_not_taken(line: str) -> None:
    metrics = begun()
    before = exposed(metrics)
    metrics.resume(told(line))
    assert exposed(metrics) == before


def cumulative(name: str, counts: dict[str, int], sum_s: float, labels: str = "") -> list[str]:
    buckets = [f'{name}_bucket{{{labels}le="{le}"}} {count}' for le, count in counts.items()]
    return [*buckets, f"{name}_sum{{{labels}}} {sum_s}"]


LAG = ("0.001", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "5.0", "+Inf")


def test_a_histogram_goes_on_whatever_the_order_of_its_buckets() -> None:
    metrics = begun()
    counts = {le: min(number, 4) for number, le in enumerate(LAG)}
    metrics.resume(told(*reversed(cumulative("loop_lag_seconds", counts, 0.125))))
    shown = exposed(metrics)
    found = [shown[f"loop_lag_seconds_bucketle={le}"] for le in LAG]
    assert found == [0, 1, 2, 4, 5, 5, 5, 5, 5, 5, 5]
    assert shown["loop_lag_seconds_count"] == 5
    assert shown["loop_lag_seconds_sum"] == pytest.approx(0.145)


@pytest.mark.parametrize(
    "bounds",
    [LAG[1:], (*LAG, "9.0"), ("0.002", *LAG[1:]), LAG[:-1]],
    ids=["one less", "one more", "another", "no +Inf"],
)
def test_a_histogram_of_other_buckets_is_passed_over(bounds: tuple[str, ...]) -> None:
    metrics = begun()
    before = exposed(metrics)
    metrics.resume(told(*cumulative("loop_lag_seconds", dict.fromkeys(bounds, 7), 0.125)))
    assert exposed(metrics) == before


def test_a_namespace_s_histogram_goes_on() -> None:
    remembered = begun()
    text = b"".join(remembered.exposition()).decode()
    metrics = begun()
    metrics.resume(Memory(own=[one for one in samples(text.split("\n")) if "plugin" not in one.labels]))
    was, now = exposed(remembered), exposed(metrics)
    durations = [series for series in was if series.startswith("duration_seconds_")]
    assert len(durations) == 14
    assert {series: now[series] for series in durations} == {series: 2 * was[series] for series in durations}
    assert was["duration_seconds_bucketmixpeek_namespace=ns_a,le=0.05"] == 1


@pytest.mark.parametrize("name", ["last_run_success", "tls_expiry"])
def test_what_this_run_found_goes_before_what_was_remembered(name: str) -> None:
    series = {
        "last_run_success": "last_run_success_timestamp_seconds",
        "tls_expiry": "tls_earliest_cert_expiry_timestamp_seconds",
    }[name]
    late, early = (Metrics(version="0", shard=3) for _ in range(2))
    gauge = getattr(late.own, name)
    gauge.set(T0)
    for metrics in (late, early):
        metrics.resume(Memory(own=[Sample(f"{OWN}{series}", {"shard": "3"}, T0 - 300)]))
    assert gauge.value == T0
    assert getattr(early.own, name).value == T0 - 300
    early.resume(Memory(own=[Sample(f"{OWN}{series}", {}, math.pi)]))
    assert getattr(early.own, name).value == T0 - 300
