"""Label values, names and numbers, and what two parsers make of every text."""

import math
import re

import pytest
from hypothesis import HealthCheck, given, settings
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from tests.sinks.given import INTERNAL_ERROR, T0, VECTOR, exchange, last, probed, recorded_runs, reply, target
from worker.core.exchange import Phases
from worker.core.outcome import Outcome
from worker.core.target import Expectation, Slo, VectorExpectation
from worker.core.track import Recorded, Track
from worker.core.vector import VectorReading
from worker.sinks.families import FAMILIES, Family, reader, writer
from worker.sinks.labels import escape, info_labels, number
from worker.sinks.metrics import Metrics

Sample = tuple[str, tuple[tuple[str, str], ...], float]


def samples(families: list[Metric]) -> list[Sample]:
    return sorted((s.name, tuple(sorted(s.labels.items())), s.value) for family in families for s in family.samples)


def parsed(metrics: Metrics) -> tuple[list[Sample], list[Sample]]:
    """The samples of both forms, as prometheus_client's parsers read them."""
    plain = list(read_plain(b"".join(metrics.exposition()).decode()))
    openmetrics = list(read_openmetrics(b"".join(metrics.exposition(openmetrics=True)).decode()))  # type: ignore[no-untyped-call]
    return samples(plain), samples(openmetrics)


def fed(*recorded: Recorded) -> Metrics:
    metrics = Metrics(version="0.1.0", python="3.11.0")
    for one in recorded:
        metrics.add(one.result.target)
        metrics.record(one)
    return metrics


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("plain", "plain", id="plain"),
        pytest.param('a"b\\c\nd', r"a\"b\\c\nd", id="what both formats escape"),
        pytest.param("\x00\ud800", r"\\u0000\\ud800", id="what neither can carry is spelt out"),
        pytest.param("é→\u2028", "é→\u2028", id="the rest of Unicode stays"),
    ],
)
def test_a_label_value_is_escaped(value: str, shown: str) -> None:
    assert escape(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (5, "5"),
        (0.25, "0.25"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
        (True, "1"),
        (1e22, "1e+22"),
    ],
)
def test_a_number_is_written_as_prometheus_reads_it(value: float, shown: str) -> None:
    assert number(value) == shown


def test_label_names_from_the_configuration_become_valid_and_stay_apart() -> None:
    labels = {"team": "a", "app/tier": "b", "app.tier": "c", "plugin": "d", "1st": "e", "__name__": "f", "": "g"}
    assert info_labels(labels) == (
        ',team="a",app_tier="b",label_app_tier="c",label_plugin="d",label_1st="e",label___name__="f",label_="g"'
    )


def test_a_response_type_outside_the_closed_set_is_other() -> None:
    text = b"".join(fed(last(probed(target(), exchange(reply([1], response_type="tensor"))))).exposition()).decode()
    assert 'response_type="other",shape="' in text


def test_a_plugin_that_changes_shape_at_every_probe_makes_one_series() -> None:
    calls = [exchange(reply({f"key{n}": 1}), at=T0 + n) for n in range(20)]
    text = b"".join(fed(last(probed(target(), *calls))).exposition()).decode()
    assert text.count("plugin_probe_response_shape_info{") == 1
    assert 'shape="varying"' in text


def test_a_path_expected_of_twice_is_one_series() -> None:
    twice = Expectation(
        vectors=(VectorExpectation(path="embedding"), VectorExpectation(path="embedding", dimensions=2))
    )
    text = b"".join(fed(last(probed(target(expect=twice), exchange()))).exposition()).decode()
    assert text.count("plugin_probe_vector_norm{") == 1


def test_an_infinite_norm_and_a_path_with_quotes_are_read_back() -> None:
    metrics = Metrics(version="0.1.0")
    metrics.add(target(), Track(vectors=(VectorReading(path='a"b', dimensions=3, norm=math.inf),)))
    for read in parsed(metrics):
        norms = [sample for sample in read if sample[0] == "plugin_probe_vector_norm"]
        assert [(dict(labels)["path"], value) for _, labels, value in norms] == [('a"b', math.inf)]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_line_of_a_family_bears_its_name(family: Family) -> None:
    seen = whole_track()
    objectives = Slo(availability=0.99, latency=0.9, latency_below_s=1.0)
    (lines,) = writer([family])("the labels", target(labels={"team": "a"}, slo=objectives), seen)
    suffix = "(_bucket|_sum|_count)" if family.kind == "histogram" else ""
    for line in lines.decode().splitlines():
        assert re.match(rf"{family.name}{suffix}\{{the labels[,}}]", line)
    assert lines


def test_what_is_compared_is_all_that_lines_are_made_of() -> None:
    track = Track(shape_hash="1a2b", shapes_seen=("1a2b",), response_type="dict")
    steady = reader(FAMILIES)
    assert steady(target(), track) == steady(target(), track._replace(inference_name="of no metric"))
    assert steady(target(), track) != steady(target(), track._replace(response_type="list"))
    assert steady(target(), track) != steady(target(labels={"team": "b"}), track)


def whole_track() -> Track:
    """Nothing is absent."""
    return Track._make([1] * len(Track._fields))._replace(
        outcome=Outcome.DRIFT,
        failure=Outcome.DRIFT,
        phases=Phases(*[0.5] * 6),
        shape_hash="1a2b",
        shapes_seen=("1a2b",),
        response_type="dict",
        vectors=(VectorReading("embedding", 2, 1.0),),
        buckets=Track().buckets,
    )


def test_both_forms_say_the_same() -> None:
    metrics = fed(
        last(probed(target(expect=VECTOR, labels={"team": 'a "b"\n\\'}), exchange())),
        last(probed(target("ns\n2", "{}"), INTERNAL_ERROR)),
    )
    plain, openmetrics = parsed(metrics)
    assert plain == openmetrics
    assert ("plugin_probe_success", (("mixpeek_namespace", "ns_a"), ("plugin", "embed_1_0_0")), 1.0) in plain


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(run=recorded_runs())
def test_whatever_came_back_both_parsers_accept_it_and_agree(run: list[Recorded]) -> None:
    metrics = fed(*run)
    plain, openmetrics = parsed(metrics)
    assert repr(plain) == repr(openmetrics)  # repr, since NaN equals nothing
    names = {sample[0] for sample in plain}
    assert {"plugin_probe_probes_total", "plugin_probe_duration_seconds_bucket"} <= names
