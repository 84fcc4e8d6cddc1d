"""What was written is read back, and a worker that goes on from it exposes the same."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sinks.given import T0, VECTOR, exchange, last, probed, recorded_runs, refused, reply, target, timed_out
from worker.core.outcome import Outcome
from worker.core.target import Slo, Target, TargetKey
from worker.core.track import VARYING, Recorded, Track
from worker.settings import Histograms
from worker.sinks.exemplars import Exemplars
from worker.sinks.memory import Memory, recall
from worker.sinks.metrics import Metrics
from worker.sinks.reading import samples

SLO = Slo(availability=0.995, latency=0.99, latency_below_s=0.2)


def exposed(metrics: Metrics) -> str:
    return b"".join(metrics.exposition()).decode()


def remembered(metrics: Metrics) -> Memory:
    return recall(samples(exposed(metrics).split("\n")))


def fresh(*targets: Target, histograms: Histograms = "target", memory: Memory | None = None) -> Metrics:
    metrics = Metrics(version="0", python="3", histograms=histograms)
    for one in targets:
        metrics.add(one)
    if memory:
        metrics.resume(memory)
    return metrics


def fed(*recorded: Recorded, histograms: Histograms = "target") -> Metrics:
    targets = {one.result.target.key: one.result.target for one in recorded}
    metrics = fresh(*targets.values(), histograms=histograms)
    for one in recorded:
        metrics.record(one)
    return metrics


printable = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=12)


@given(run=recorded_runs(), namespace=printable, plugin=printable, histograms=st.sampled_from(["target", "namespace"]))
def test_what_was_exposed_is_exposed_again(
    run: list[Recorded], namespace: str, plugin: str, histograms: Histograms
) -> None:
    of = replace(run[0].result.target, key=TargetKey(namespace, plugin), slo=SLO)
    told = [one._replace(result=one.result._replace(target=of)) for one in run]
    before = fresh(of, histograms=histograms)
    for one in told:
        before.record(one)
    before.own.last_run_success.set(T0)
    before.own.loop_lag.observe(0.02)
    memory = remembered(before)
    assert exposed(fresh(of, histograms=histograms, memory=memory)) == exposed(before)


def test_counts_add_up_over_runs() -> None:
    ours = target(expect=VECTOR)
    first = fed(*probed(ours, exchange(), refused(500)))
    second = fresh(ours, memory=remembered(first))
    track = remembered(first).tracks[ours.key]
    for one in probed(ours, refused(500, at=T0 + 60), track=track):
        second.record(one)
    text = exposed(second)
    labels = 'mixpeek_namespace="ns_a",plugin="embed_1_0_0"'
    assert f"plugin_probe_probes_total{{{labels}}} 3\n" in text
    assert f"plugin_probe_failures_total{{{labels}}} 2\n" in text
    assert f"plugin_probe_consecutive_failures{{{labels}}} 2\n" in text
    assert f"plugin_probe_last_success_timestamp_seconds{{{labels}}} {T0 + 0.045:.3f}\n" in text
    assert f'plugin_probe_duration_seconds_bucket{{{labels},le="+Inf"}} 1\n' in text
    assert 'plugin_probe_results_total{mixpeek_namespace="ns_a",outcome="server_error"} 2\n' in text


def test_a_target_that_left_is_forgotten() -> None:
    gone, stays = target(plugin="gone"), target(plugin="stays")
    memory = remembered(fed(*probed(gone, exchange()), *probed(stays, exchange())))
    assert 'plugin="gone"' not in exposed(fresh(stays, memory=memory))


def test_a_run_that_fails_does_not_erase_the_last_success() -> None:
    before = fresh()
    before.own.last_run_success.set(T0)
    before.own.tls_expiry.set(T0 + 86400)
    after = fresh(memory=remembered(before))
    assert after.own.last_run_success.value == T0
    assert after.own.tls_expiry.value == T0 + 86400


def test_histograms_by_target_go_on_by_namespace() -> None:
    ours = [target(plugin="a"), target(plugin="b")]
    memory = remembered(fed(*probed(ours[0], exchange()), *probed(ours[1], exchange(), timed_out())))
    text = exposed(fresh(*ours, histograms="namespace", memory=memory))
    assert 'plugin_probe_duration_seconds_count{mixpeek_namespace="ns_a"} 3\n' in text


def test_what_took_too_long_is_still_late() -> None:
    memory = remembered(fed(last(probed(replace(target(), slo=SLO), exchange(), timed_out()))))
    (track,) = memory.tracks.values()
    assert (track.answered_in_s, track.success, track.failure) == (math.inf, False, Outcome.TIMEOUT)


def test_whose_shape_changes_all_the_time_makes_no_new_series_every_run() -> None:
    ours, track = target(), Track()
    for run in range(30):
        told = last(probed(ours, exchange(reply({f"key{run}": 1}), at=T0 + run), track=track))
        track = remembered(fed(told)).tracks[ours.key]
    assert track.shape_label == VARYING
    for run in range(80):
        told = last(probed(ours, exchange(reply({"steady": 1}), at=T0 + 100 + run), track=track))
        track = remembered(fed(told)).tracks[ours.key]
    assert track.shape_label not in (None, VARYING), "one that has settled gets its name back"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("plugin_probe_success{plugin=a} 1", "line 1 is no sample: its labels"),
        ("<html>", "line 1 is no sample"),
        ('plugin_probe_probes_total{mixpeek_namespace="a",plugin="b"} NaN', "'b'} is nan"),
        ('plugin_probe_probes_total{mixpeek_namespace="a",plugin="b"} +Inf', "'b'} is inf"),
        (
            'plugin_probe_probes_total{mixpeek_namespace="a",plugin="b"} many',
            "line 1 is no sample: its value is no number",
        ),
    ],
)
def test_what_is_no_memory_is_refused_with_its_place(line: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("(", r"\(")):
        recall(samples([line]))


@pytest.mark.parametrize(
    "line",
    [
        'plugin_probe_outcome{mixpeek_namespace="a",plugin="b",outcome="of_another_version"} 1',
        'plugin_probe_phase_duration_seconds{mixpeek_namespace="a",plugin="b",phase="dance"} 1',
        'plugin_probe_of_another_version{mixpeek_namespace="a",plugin="b"} 1',
        'plugin_probe_duration_seconds_bucket{mixpeek_namespace="a",plugin="b",le="0.75"} 1',
        'plugin_probe_skipped_total{reason="of_another_version"} 1',
        'plugin_probe_lateness_seconds_bucket{le="0.75"} 1',
        "node_load1 NaN",
    ],
)
def test_words_of_another_version_are_passed_over(line: str) -> None:
    ours = target("a", "b")
    memory = recall(samples([line]))
    assert memory.tracks.get(ours.key, Track()) == Track()
    assert exposed(fresh(ours, memory=memory)) == exposed(fresh(ours))


def test_labels_as_the_pushgateway_orders_them() -> None:
    line = r'plugin_probe_success{instance="",job="j",mixpeek_namespace="a",plugin="q\"\\\n"} 1'
    (key,) = recall(samples([line])).tracks
    assert key == TargetKey("a", 'q"\\\n')


@pytest.mark.parametrize(
    ("request_id", "shown"),
    [
        ("req-1", ',request_id="req-1"'),
        (None, ""),
        ("x" * 65, ""),
        ("with space", ""),
        ("secret-1", ""),
    ],
)
def test_an_exemplar_names_the_run_and_a_request_that_is_fit_to_be_named(request_id: str | None, shown: str) -> None:
    marks = Exemplars("run-1", lambda text: text.replace("secret", "[secret]"))
    metrics = Metrics(version="0", exemplars=marks)
    ours = target()
    metrics.add(ours)
    metrics.record(last(probed(ours, exchange(request_id=request_id))))
    text = b"".join(metrics.exposition(openmetrics=True)).decode()
    at = f"{T0 + 0.045:.3f}"
    assert f'le="0.05"}} 1 # {{run_id="run-1"{shown}}} 0.042000 {at}\n' in text
    assert text.count(" # {") == 1
    assert " # {" not in exposed(metrics)


@pytest.mark.parametrize(
    "line",
    [
        "plugin_probe_stalls_total NaN",
        "plugin_probe_stalls_total -1",
        'plugin_probe_lateness_seconds_bucket{le="x"} 1',
        "plugin_probe_lateness_seconds_bucket 1",
        "plugin_probe_lateness_seconds_sum NaN",
        'plugin_probe_results_total{mixpeek_namespace="ns_a",outcome="success"} NaN',
        'plugin_probe_duration_seconds_bucket{mixpeek_namespace="ns_a"} 3',
        "plugin_probe_last_run_success_timestamp_seconds NaN",
        'plugin_probe_last_probe_timestamp_seconds{mixpeek_namespace="a",plugin="b"} NaN',
    ],
)
def test_what_nothing_of_ours_can_be_is_no_memory(line: str) -> None:
    with pytest.raises(ValueError, match=r"is (nan|-1)|has no bound"):
        recall(samples([line]))


@pytest.mark.parametrize("histograms", ["target", "namespace"])
def test_buckets_of_another_version_are_passed_over(histograms: Histograms) -> None:
    ours = target()
    of = 'mixpeek_namespace="ns_a"' + (',plugin="embed_1_0_0"' if histograms == "target" else "")
    lines = [f'plugin_probe_duration_seconds_bucket{{{of},le="{le}"}} 3' for le in ("0.01", "0.75", "+Inf")]
    memory = recall(samples([*lines, f"plugin_probe_duration_seconds_sum{{{of}}} 1"]))
    assert exposed(fresh(ours, histograms=histograms, memory=memory)) == exposed(fresh(ours, histograms=histograms))
