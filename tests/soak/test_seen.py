"""What a soak makes of what it saw."""

import json

import pytest

from tests.soak.behaviours import OUTCOMES
from tests.soak.lists import STAY, visitors
from tests.soak.running import Log, Page
from tests.soak.soak import ALLOWED, Soak, late, longest_gap_s, strays

SCRAPED = b"""# TYPE plugin_probe_results_total counter
plugin_probe_results_total{mixpeek_namespace="ns_a",outcome="success"} 7
plugin_probe_results_total{mixpeek_namespace="ns_b",outcome="success"} 5.0
plugin_probe_results_total{mixpeek_namespace="ns_b",outcome="timeout"} 1.0
plugin_probe_stalls_total 2.0
plugin_probe_skipped_total{reason="overrun"} 3.0
plugin_probe_skipped_total{reason="overload"} 0.0
"""


def line(event: str) -> str:
    return json.dumps({"timestamp": "2026-01-01T00:00:00Z", "level": "error", "event": event}, separators=(",", ":"))


@pytest.mark.parametrize(
    "said",
    [
        line("worker.failed"),
        line("sink.failed"),
        line("Task exception was never retrieved\nfuture: <Task finished>"),
        "ResourceWarning: unclosed file",
        "",
    ],
)
def test_what_a_healthy_worker_does_not_say_is_strange(said: str) -> None:
    log = Log()
    log.take(said)
    assert log.strange == [said]


def test_what_plugins_do_is_not_strange() -> None:
    log = Log()
    for _ in range(30):
        log.take(line("probe.failed"))
    assert (log.strange, log.events, len(log.failed)) == ([], {"probe.failed": 30}, 20)


def test_a_scrape_is_read_as_far_as_it_matters() -> None:
    page = Page(SCRAPED)
    assert page.results["ns_b", "timeout"] == 1
    assert page.outcomes == {"success": 12, "timeout": 1}
    assert page.total("stalls_total") == 2.0
    assert page.series("skipped_total") == {'{reason="overrun"}': 3.0}


def test_the_longest_gap_counts_from_the_beginning_and_to_the_end() -> None:
    assert longest_gap_s([12.0, 13.0, 15.0], 10.0, 16.0) == 2.0
    assert longest_gap_s([11.0, 12.0], 10.0, 20.0) == 8.0
    assert longest_gap_s([], 10.0, 20.0) == 10.0


def test_who_misses_a_cycle_is_late() -> None:
    found = list(late({"well_0": 20.0, "well_1": 20.1, "silent_0": 40.1}))
    assert "well_1: 20.1 s without a call" in found
    assert "silent_0: 40.1 s without a call" in found
    assert "well_2: None s without a call" in found
    assert not any(each.startswith("well_0:") for each in found)


def test_visitors_are_called_while_they_are_there_and_not_when_they_have_left() -> None:
    written_at = {0: 100.0, STAY: 150.0}
    first, *others = [each["plugin"] for each in visitors(0)]
    called = {plugin: [110.0] for plugin in others}
    assert list(strays(written_at, called, 155.0)) == [f"{first} was never called"]
    assert list(strays(written_at, {**called, first: [151.0]}, 155.0)) == []
    assert list(strays(written_at, {**called, first: [110.0, 171.0]}, 155.0)) == [
        f"{first} was called 21.0 s after it had left"
    ]


def soaked(**fields: object) -> Soak:
    """One that went well, but for these fields."""
    given: dict[str, object] = {
        **dict.fromkeys(("cpu_s", "starved_s", "longest_scrape_s", "stalls", "stale_retries", "worst_gap_s"), 0.0),
        **dict.fromkeys(("exit_code", "scrapes", "calls"), 0),
        "seconds": 60.0,
        "reloads": 10,
        "broken": 2,
        "events": {"config.reloaded": 8, "config.rejected": 2},
        "results": {namespace: dict.fromkeys(outcomes, 1) for namespace, outcomes in OUTCOMES.items()},
        "lateness": {},
        "skipped": {},
        "samples": {name: [1.0] * 60 for name in ALLOWED},
        "untimely": [],
        "strange": [],
    }
    return Soak(**given | fields)  # type: ignore[arg-type]  # of whatever types a case gives


LEFT_OUT = [
    {"events": {"config.reloaded": 3, "config.rejected": 2}},
    {"events": {"config.reloaded": 8, "config.rejected": 1}},
    {"untimely": ["well_0: 21 s without a call"]},
    {"results": {}},
    {"samples": {name: [float(2**size) for size in range(60)] for name in ALLOWED}},  # or the warm-up had not ended
]


@pytest.mark.parametrize("fields", LEFT_OUT)
def test_what_was_left_out_or_grew_is_a_problem_only_where_there_was_a_processor(fields: dict[str, object]) -> None:
    assert soaked().problems == []
    assert soaked(**fields, starved_s=5.9).problems != []
    assert soaked(**fields, starved_s=6.1).problems == []


@pytest.mark.parametrize("fields", [{"exit_code": 1}, {"strange": ["a line"]}, {"results": {"ns_1": {"timeout": 1}}}])
def test_what_went_wrong_is_a_problem_wherever(fields: dict[str, object]) -> None:
    assert soaked(**fields, starved_s=60.0).problems != []
