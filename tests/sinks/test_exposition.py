"""The per-target text: golden files, life of a target's series, slices, and streams under way."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sinks.given import T0, VECTOR, exchange, last, probed, reply, target, timed_out
from worker.core.exchange import Refusal
from worker.core.target import TargetKey
from worker.core.track import Recorded, Track
from worker.sinks.exposition import PIECE_BYTES, Exposition, in_pieces
from worker.sinks.families import FAMILIES

GOLDEN = Path(__file__).parent / "golden"


def fleet() -> list[Recorded]:
    """A healthy target, one that is down after having been up, and one that is warming."""
    healthy = target(labels={"team": "search"}, expect=VECTOR)
    sick = target(plugin="ner_2_0_0", interval_s=0.5)
    cold = target("ns_b", 'odd "one"\\')
    warming = exchange(Refusal(error="cold start", error_code="model_warming"), http_status=503)
    return [
        last(probed(healthy, exchange(), exchange(at=T0 + 60))),
        last(probed(sick, exchange(reply([1, 2])), timed_out(at=T0 + 60))),
        last(probed(cold, warming)),
    ]


def text(exposition: Exposition, *, openmetrics: bool = False) -> str:
    return b"".join(exposition.stream(openmetrics=openmetrics)).decode()


def exposed(recorded: list[Recorded]) -> Exposition:
    exposition = Exposition()
    for one in recorded:
        exposition.add(one.result.target)
    for one in recorded:
        exposition.record(one)
    return exposition


@pytest.mark.parametrize(
    ("name", "openmetrics"),
    [pytest.param("fleet.prom", False, id="text 0.0.4"), pytest.param("fleet.openmetrics", True, id="OpenMetrics")],
)
def test_a_small_fleet_reads_as_its_golden_file(name: str, openmetrics: bool) -> None:
    exposition = exposed(fleet())
    exposition.add(target("ns_b", "never_probed"))
    assert text(exposition, openmetrics=openmetrics) == (GOLDEN / name).read_text()


def test_a_target_never_probed_has_its_counters_and_histogram_at_zero_and_no_verdict() -> None:
    exposition = Exposition()
    exposition.add(target())
    lines = text(exposition)
    for name in ("probes", "failures", "unknowns", "calls", "response_shape_changes"):
        assert f'plugin_probe_{name}_total{{mixpeek_namespace="ns_a",plugin="embed_1_0_0"}} 0\n' in lines
    assert 'plugin_probe_duration_seconds_bucket{mixpeek_namespace="ns_a",plugin="embed_1_0_0",le="1.0"} 0\n' in lines
    for absent in ("success", "outcome", "failure_info", "last_probe", "http_status_code", "response_shape_info"):
        assert f"plugin_probe_{absent}" not in lines.replace("last_success", "")


def test_a_track_that_was_remembered_is_shown_at_once() -> None:
    exposition = Exposition()
    exposition.add(target(), Track(probes=7, success=True))
    assert 'plugin_probe_probes_total{mixpeek_namespace="ns_a",plugin="embed_1_0_0"} 7\n' in text(exposition)


def test_series_of_a_target_that_left_are_gone_from_the_next_exposition() -> None:
    recorded = fleet()
    exposition = exposed(recorded)
    assert "ner_2_0_0" in text(exposition)
    exposition.record(recorded[1])  # marked, and then it leaves
    exposition.forget(TargetKey("ns_a", "ner_2_0_0"))
    exposition.record(recorded[1])  # a result that comes too late
    assert "ner_2_0_0" not in text(exposition)
    assert len(exposition) == 2


def test_gauges_that_no_longer_apply_disappear() -> None:
    healed = probed(target(), timed_out(), exchange(at=T0 + 60))
    exposition = exposed(healed[:1])
    assert "failure_info" in text(exposition)
    assert "plugin_probe_response_bytes" not in text(exposition)
    exposition.record(healed[1])
    assert "failure_info" not in text(exposition)
    assert 'plugin_probe_outcome{mixpeek_namespace="ns_a",plugin="embed_1_0_0",outcome="success"} 1\n' in text(
        exposition
    )


def test_a_reload_changes_interval_and_labels_and_keeps_the_counts() -> None:
    exposition = exposed(fleet()[:1])
    text(exposition)
    exposition.replace(target(interval_s=5.0, labels={"team": "ads"}))
    lines = text(exposition)
    assert 'plugin_probe_interval_seconds{mixpeek_namespace="ns_a",plugin="embed_1_0_0"} 5.0\n' in lines
    assert 'plugin="embed_1_0_0",team="ads"} 1\n' in lines
    assert 'plugin_probe_probes_total{mixpeek_namespace="ns_a",plugin="embed_1_0_0"} 2\n' in lines


def test_families_never_interleave() -> None:
    names = [line.split("{")[0] for line in text(exposed(fleet())).splitlines() if not line.startswith("#")]
    families = [max((f.name for f in FAMILIES if name.startswith(f.name)), key=len) for name in names]
    changes = sum(a != b for a, b in itertools.pairwise(families))
    assert changes == len(set(families)) - 1


def test_rendering_stops_when_its_budget_is_spent() -> None:
    ticks = iter(range(100))
    exposition = Exposition(clock=lambda: float(next(ticks)))
    for number in range(5):
        exposition.add(target(plugin=f"p{number}"))
    # each target takes one tick: two fill a budget of two seconds
    assert [exposition.render(2.0) for _ in range(3)] == [False, False, True]
    assert exposition.render(2.0) is True


def test_a_stream_renders_what_is_marked_in_slices_and_lets_the_loop_go_on_between_them() -> None:
    ticks = iter(range(100))
    exposition = Exposition(clock=lambda: float(next(ticks)))
    for number in range(3):
        exposition.add(target(plugin=f"p{number}"))
    pieces = list(exposition.stream(openmetrics=False))
    assert pieces[:2] == [b"", b""]
    assert b'plugin="p2"' in pieces[2]


def test_a_stream_under_way_shows_the_moment_at_which_it_began() -> None:
    exposition = Exposition()
    several = [target(plugin=f"p{number}") for number in range(2000)]
    for one in several:
        exposition.add(one)
    whole = text(exposition)
    stream = exposition.stream(openmetrics=False)
    begun = [next(stream)]
    for one in several[:10]:
        exposition.forget(one.key)
        exposition.record(last(probed(several[20], exchange())))
        exposition.add(target("ns_new", one.key.plugin))
        exposition.render(10.0)
    assert b"".join([*begun, *stream]).decode() == whole
    assert "ns_new" in text(exposition)
    assert 'plugin="p3"}' not in text(exposition).replace('ns_new",plugin="p3"', "")


def test_blocks_in_which_there_is_nothing_do_not_hold_the_loop() -> None:
    pieces = list(in_pieces([b"a", *[b""] * 1000, b"b"]))
    assert pieces.count(b"") > 3
    assert b"".join(pieces) == b"ab"


def test_what_a_stream_of_many_targets_held_is_let_go_in_slices() -> None:
    exposition = Exposition()
    for number in range(17_000):
        exposition.add(target(plugin=str(number)))
    assert exposition.render(100.0)
    pieces = list(exposition.stream(openmetrics=False))
    assert pieces[-2:] == [b"", b""]


def test_a_target_added_again_is_exposed_once() -> None:
    exposition = Exposition()
    for _ in range(2):
        exposition.add(target(), Track(probes=7))
        assert text(exposition).count("plugin_probe_probes_total{") == 1


def test_no_piece_is_larger_than_64_kb_and_none_is_needlessly_small() -> None:
    exposition = Exposition()
    for number in range(3000):
        exposition.add(target(plugin=f"p{number}", labels={"long": "x" * 100}))
    pieces = list(filled(exposition.stream(openmetrics=True)))
    sizes = [len(piece) for piece in pieces]
    assert max(sizes) <= PIECE_BYTES
    assert sum(sizes) / len(sizes) > PIECE_BYTES / 3


def filled(pieces: Iterator[bytes]) -> Iterator[bytes]:
    return (piece for piece in pieces if piece)


def test_nothing_is_exposed_where_there_is_no_target() -> None:
    assert text(Exposition()) == ""
