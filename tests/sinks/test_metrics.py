"""The whole of /metrics: the worker's own metrics, results by namespace, and the judges of the text."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from tests import promtool
from tests.programs import needs
from tests.sinks.given import INTERNAL_ERROR, VECTOR, exchange, last, probed, target
from tests.sinks.test_exposition import fleet
from worker.core.result import SkipReason
from worker.core.target import TargetKey
from worker.sinks.metrics import Metrics
from worker.sinks.negotiation import content_type, wants_openmetrics


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics(version="0.1.0", python="3.11.0")
    for recorded in fleet():
        made.add(recorded.result.target)
        made.record(recorded)
    return made


def text(metrics: Metrics, *, openmetrics: bool = False) -> str:
    return b"".join(metrics.exposition(openmetrics=openmetrics)).decode()


def set_everything(metrics: Metrics) -> None:
    own = metrics.own
    for gauge in (own.tls_expiry, own.run_interval, own.last_run, own.last_run_success, own.last_run_duration):
        gauge.set(1_790_000_000.5)
    own.reload_successful.set(1)
    own.reload_success.set(1_790_000_000)
    own.inflight.set(3)
    own.loop_lag.observe(0.003)
    own.stalls.inc()
    own.stale_retries.inc()
    own.sink_failures.labels("pushgateway").inc()
    own.throttle_seconds.labels("rate").inc(1.5)


def test_series_of_known_labels_exist_from_the_first_exposition() -> None:
    lines = text(Metrics(version="0.1.0", python="3.11.0"))
    for series in (
        'plugin_probe_build_info{python="3.11.0",version="0.1.0"} 1.0',
        "plugin_probe_targets 0.0",
        "plugin_probe_inflight 0.0",
        'plugin_probe_throttle_seconds_total{limit="namespace_concurrency"} 0.0',
        'plugin_probe_skipped_total{reason="overrun"} 0.0',
        'plugin_probe_skipped_total{reason="overload"} 0.0',
        'plugin_probe_sink_failures_total{sink="textfile"} 0.0',
        "plugin_probe_stalls_total 0.0",
        "plugin_probe_stale_connection_retries_total 0.0",
        "plugin_probe_lateness_seconds_count 0.0",
        "plugin_probe_loop_lag_seconds_count 0.0",
    ):
        assert f"{series}\n" in lines


def test_gauges_that_nothing_has_set_are_absent_rather_than_zero(metrics: Metrics) -> None:
    lines = text(metrics)
    for name in ("last_run", "run_interval", "config_last_reload", "tls_earliest"):
        assert f"plugin_probe_{name}" not in lines
    metrics.own.last_run_success.set(1.5)
    metrics.own.last_run_success.set(2.5)
    assert "plugin_probe_last_run_success_timestamp_seconds 2.5\n" in text(metrics)


def test_results_skips_and_lateness_are_counted_from_what_is_recorded(metrics: Metrics) -> None:
    metrics.record(last(probed(target(), SkipReason.OVERRUN)))
    metrics.record(last(probed(target(), INTERNAL_ERROR)))
    lines = text(metrics)
    for series in (
        'plugin_probe_results_total{mixpeek_namespace="ns_a",outcome="success"} 1',
        'plugin_probe_results_total{mixpeek_namespace="ns_a",outcome="skipped"} 1',
        'plugin_probe_results_total{mixpeek_namespace="ns_a",outcome="internal_error"} 1',
        'plugin_probe_results_total{mixpeek_namespace="ns_b",outcome="success"} 0',
        'plugin_probe_skipped_total{reason="overrun"} 1.0',
        "plugin_probe_lateness_seconds_count 3.0",
        "plugin_probe_targets 3.0",
    ):
        assert f"{series}\n" in lines


def test_a_namespace_goes_when_its_last_target_goes(metrics: Metrics) -> None:
    metrics.forget(TargetKey("ns_a", "ner_2_0_0"))
    metrics.forget(TargetKey("ns_a", "ner_2_0_0"))
    assert 'results_total{mixpeek_namespace="ns_a"' in text(metrics)
    metrics.forget(TargetKey("ns_a", "embed_1_0_0"))
    metrics.record(last(probed(target(), exchange())))
    assert "ns_a" not in text(metrics)
    assert "plugin_probe_targets 1.0\n" in text(metrics)


def test_a_target_added_twice_keeps_its_counts(metrics: Metrics) -> None:
    metrics.add(target(interval_s=7.0))
    assert 'plugin_probe_interval_seconds{mixpeek_namespace="ns_a",plugin="embed_1_0_0"} 7.0\n' in text(metrics)
    assert 'plugin_probe_probes_total{mixpeek_namespace="ns_a",plugin="embed_1_0_0"} 2\n' in text(metrics)
    assert "plugin_probe_targets 3.0\n" in text(metrics)


def test_openmetrics_ends_once_and_has_no_created_series(metrics: Metrics) -> None:
    set_everything(metrics)
    for openmetrics in (False, True):
        lines = text(metrics, openmetrics=openmetrics)
        assert "_created" not in lines
        assert lines.count("# EOF") == openmetrics
    families = list(read_openmetrics(text(metrics, openmetrics=True)))  # type: ignore[no-untyped-call]
    assert len(families) == len({family.name for family in families})
    kinds = {family.name: family.type for family in families}
    assert kinds["plugin_probe_target_info"] == kinds["plugin_probe_build_info"] == "gauge"
    assert kinds["plugin_probe_probes"] == kinds["plugin_probe_results"] == "counter"


def test_rendering_ahead_leaves_nothing_for_the_scrape(metrics: Metrics) -> None:
    assert metrics.render(10.0)
    assert b"" not in list(metrics.exposition())


@pytest.mark.e2e
@needs("promtool")
def test_promtool_accepts_the_text(metrics: Metrics) -> None:
    set_everything(metrics)
    metrics.add(target("ns \x01\t\r\x7f\x00", 'quo"te\\', labels={"le": "1", "app/x": "é\n\ud800"}, expect=VECTOR))
    assert promtool.check_metrics(b"".join(metrics.exposition())) == (0, b"")


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        pytest.param(None, False, id="no header"),
        pytest.param("*/*", False, id="curl"),
        pytest.param("text/html,application/xhtml+xml,*/*;q=0.8", False, id="a browser"),
        pytest.param(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            True,
            id="Prometheus 2",
        ),
        pytest.param(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
            "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
            "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            True,
            id="Prometheus 3",
        ),
        pytest.param("text/plain, application/openmetrics-text;q=0.5", False, id="plain text preferred"),
        pytest.param("application/openmetrics-text, */*", True, id="named beside anything"),
        pytest.param("application/openmetrics-text;q=0", False, id="refused"),
        pytest.param("application/openmetrics-text;version=2.0.0", False, id="a version that we don't speak"),
        pytest.param("application/openmetrics-text;q=nan", False, id="a weight that is no weight"),
        pytest.param("application/openmetrics-text;q=lots", False, id="a weight that is no number"),
        pytest.param(";;=,,q", False, id="nonsense"),
    ],
)
def test_the_accept_header_decides_the_form(accept: str | None, openmetrics: bool) -> None:
    assert wants_openmetrics(accept) is openmetrics


def test_each_form_has_its_content_type() -> None:
    assert content_type(openmetrics=False) == "text/plain; version=0.0.4; charset=utf-8"
    assert content_type(openmetrics=True) == "application/openmetrics-text; version=1.0.0; charset=utf-8"
