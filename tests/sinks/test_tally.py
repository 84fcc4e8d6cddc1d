"""What is counted by namespace: the histogram that serves all targets of one."""

import re
from collections import Counter

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from tests.sinks.given import T0, exchange, last, probed, target, timed_out
from worker.core.exchange import Phases
from worker.core.target import TargetKey
from worker.core.track import Recorded
from worker.sinks.families import DURATION
from worker.sinks.metrics import Metrics

NAME = DURATION.name


def by_namespace() -> Metrics:
    return Metrics(version="0.1.0", python="3.11.0", histograms="namespace")


def text(metrics: Metrics, *, openmetrics: bool = False) -> str:
    return b"".join(metrics.exposition(openmetrics=openmetrics)).decode()


def count(metrics: Metrics, namespace: str = "ns_a") -> int | None:
    found = re.search(rf'{NAME}_count\{{mixpeek_namespace="{namespace}"\}} (\d+)', text(metrics))
    return int(found[1]) if found else None


def feed(metrics: Metrics, *recorded: Recorded) -> Metrics:
    for one in recorded:
        metrics.record(one)
    return metrics


def test_all_targets_of_a_namespace_share_one_histogram() -> None:
    metrics = by_namespace()
    ours = [target(plugin="a"), target(plugin="b"), target("ns_b", "c")]
    for one in ours:
        metrics.add(one)
    quick, slow = (exchange(phases=Phases(send=0.0, wait=wait)) for wait in (0.02, 0.3))
    feed(metrics, *probed(ours[0], quick, slow), *probed(ours[1], slow, timed_out()), *probed(ours[2]))
    shown = text(metrics)
    assert shown.count(f"{NAME}_count") == 2
    assert f'{NAME}_bucket{{mixpeek_namespace="ns_a",le="0.025"}} 1\n' in shown
    assert f'{NAME}_bucket{{mixpeek_namespace="ns_a",le="0.5"}} 3\n' in shown
    assert f'{NAME}_bucket{{mixpeek_namespace="ns_a",le="+Inf"}} 4\n' in shown
    assert f'{NAME}_sum{{mixpeek_namespace="ns_a"}} 10.620000\n' in shown
    assert f'{NAME}_count{{mixpeek_namespace="ns_b"}} 0\n' in shown
    assert shown.count(f"# TYPE {NAME} histogram\n") == 1


def test_a_histogram_by_target_has_no_namespace_of_its_own() -> None:
    metrics = Metrics(version="0.1.0")
    metrics.add(target())
    feed(metrics, *probed(target(), exchange()))
    assert count(metrics) is None


def test_it_does_not_go_down_when_one_of_several_targets_leaves_and_goes_with_the_last() -> None:
    metrics = by_namespace()
    for plugin in ("a", "b"):
        metrics.add(target(plugin=plugin))
        feed(metrics, *probed(target(plugin=plugin), exchange(), exchange(at=T0 + 60)))
    metrics.forget(TargetKey("ns_a", "a"))
    feed(metrics, last(probed(target(plugin="a"), exchange())))  # a result that comes too late
    assert count(metrics) == 4
    metrics.add(target(plugin="a"))  # and comes back, with nothing remembered
    feed(metrics, *probed(target(plugin="a"), exchange()))
    assert count(metrics) == 5
    for plugin in ("a", "b"):
        metrics.forget(TargetKey("ns_a", plugin))
    assert NAME not in text(metrics)


def test_what_is_remembered_of_a_target_is_counted_once() -> None:
    metrics = by_namespace()
    remembered = last(probed(target(), exchange(), exchange(at=T0 + 60))).track
    metrics.add(target(), remembered)
    metrics.add(target(interval_s=5.0), remembered)  # a reload
    feed(metrics, *probed(target(), exchange(at=T0 + 120), track=remembered))
    assert count(metrics) == 3


@pytest.mark.parametrize("openmetrics", [False, True])
def test_families_stay_in_one_piece(openmetrics: bool) -> None:
    metrics = by_namespace()
    for number in range(100):
        metrics.add(target(f"ns_{number}"))
    heads = Counter(re.findall(r"# TYPE (\S+)", text(metrics, openmetrics=openmetrics)))
    assert heads[NAME] == 1
    assert set(heads.values()) == {1}
    assert list(read_openmetrics(text(metrics, openmetrics=True)))  # type: ignore[no-untyped-call]
