"""Every query of every panel, annotation and variable, put to a real Prometheus over a real worker."""

import asyncio
import math
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.deploy import boards
from tests.deploy.boards import Asked, interpolate, queries
from tests.deploy.stack import SHOWN, Prometheus, everything
from tests.programs import needs

pytestmark = [pytest.mark.e2e, pytest.mark.waits, needs("prometheus", "prometheus-pushgateway")]

ASKED = [asked for name in boards.NAMES for asked in queries(name)]
#: What is chosen on each dashboard, as Grafana has it; several can be chosen where a value is a list.
CHOSEN: Mapping[str, Mapping[str, str | list[str]]] = {
    "fleet": {"namespace": ["$__all"], "labels": "", "window": "1h"},
    "plugin": {"namespace": SHOWN[0], "plugin": SHOWN[1], "window": "1h"},
    "prober": {"job": ["$__all"], "instance": ["$__all"]},
}
STEP_S, SCRAPE_S = 1, 0.5
#: What only a prober may be told apart by.
WHOSE = {"job", "instance", "shard", "pod"}

#: A vector of another size is of another length, too.
FAILED = {
    "sick_nan_1_0_0": "bad_values",
    "sick_raising_1_0_0": "plugin_error",
    "sick_wrong_size_1_0_0": "shape_mismatch",
    SHOWN[1]: "bad_values",
}
FIGURES = {"Targets": 8, "Up": 2, "Down": len(FAILED), "Unknown": 2, "Overdue": 0}
#: It all takes 10 s where nothing else runs.
WITHIN_S = 35.0

Found = dict[Asked, list[dict[str, Any]]]


async def ask(
    server: Prometheus, asked: Asked, began: float, now: float, **chosen: str | list[str]
) -> list[dict[str, Any]]:
    """Series that have a number at some time; an instant query's have their only one as `values`, too."""
    times = {"__interval": f"{STEP_S}s", "__rate_interval": f"{1000 * max(STEP_S + SCRAPE_S, 4 * SCRAPE_S):.0f}ms"}
    spans = {"__range": f"{math.ceil(now - began)}s"}
    expr = interpolate(asked.expr, {**times, **spans, **CHOSEN[asked.board], **chosen})
    if asked.instant:
        found = (await server.get("query", query=expr, time=now))["result"]
        series = [{**one, "values": [one["value"]]} for one in found]
    else:
        start = now - math.ceil(now - began)
        series = (await server.get("query_range", query=expr, start=start, end=now, step=STEP_S))["result"]
    return [one for one in series if any(math.isfinite(float(value)) for _, value in one["values"])]


async def watch(server: Prometheus) -> tuple[Found, Found]:
    """Asks everything until all of it has an answer and the shown plugin is down, or for as long as a test may wait.

    Then the fleet's queries once more, with own labels searched for.
    """
    began = time.time()
    now, found = began, Found()
    while time.time() < began + WITHIN_S:
        await asyncio.sleep(0.5)
        now = time.time()
        found = {asked: await ask(server, asked, began, now) for asked in ASKED}
        if all(found.values()) and figures(found) == FIGURES:
            break
    fleet = [asked for asked in ASKED if asked.board == "fleet"]
    return found, {asked: await ask(server, asked, began, now, labels='team="search"') for asked in fleet}


def of(found: Found, board: str, where: str) -> list[dict[str, Any]]:
    return next(series for asked, series in found.items() if (asked.board, asked.where) == (board, where))


def number(found: Found, board: str, where: str) -> float | None:
    """The only series' newest value."""
    series = of(found, board, where)
    return float(series[0]["values"][-1][1]) if len(series) == 1 else None


def figures(found: Found) -> dict[str, float | None]:
    return {name: number(found, "fleet", f"{name} A") for name in FIGURES}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Found, Found]:
    async def main() -> tuple[Found, Found]:
        async with everything(tmp_path_factory.mktemp("stack")) as server:
            return await watch(server)

    return asyncio.run(main())


@pytest.fixture(scope="module")
def found(both: tuple[Found, Found]) -> Found:
    return both[0]


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_a_query_has_data(asked: Asked, found: Found) -> None:
    assert found[asked], asked.expr


def test_a_target_is_one_whoever_probes_it(found: Found) -> None:
    """Two of them have two writers; nothing of these is left on a series, save on alerts about a prober."""
    for asked, series in found.items():
        if asked.board != "prober" and asked.kind != "variable" and asked.where != "Alerts firing A":
            assert not {label for one in series for label in one["metric"]} & WHOSE, asked


def test_a_figure_is_one_series(found: Found) -> None:
    for asked, series in found.items():
        if asked.kind == "stat" and asked.where != "Last run ago A":  # that is one for each prober
            assert len(series) == 1, asked


def test_columns_of_a_table_have_one_row_for_each_of_its_keys(found: Found) -> None:
    for asked, series in found.items():
        if asked.kind == "table" and asked.where != "Alerts firing A":
            keys = [(one["metric"]["mixpeek_namespace"], one["metric"].get("plugin")) for one in series]
            assert len(keys) == len(set(keys)), asked


def test_every_target_is_either_up_or_down_or_unknown(found: Found) -> None:
    assert figures(found) == FIGURES


def test_plugins_that_fail_are_told_with_what_and_whose_fault_it_is(found: Found) -> None:
    failed = {
        (one["metric"]["plugin"], one["metric"]["failure"], one["metric"]["fault"])
        for one in of(found, "fleet", "Plugins that fail B")
    }
    assert failed == {(plugin, outcome, "plugin") for plugin, outcome in FAILED.items()}


def test_own_labels_narrow_the_fleet_without_being_named_by_it(both: tuple[Found, Found]) -> None:
    _, searched = both
    assert figures(searched) == {"Targets": 1, "Up": 0, "Down": 1, "Unknown": 0, "Overdue": 0}
    (row,) = of(searched, "fleet", "Plugins that fail A")
    assert row["metric"]["plugin"] == SHOWN[1]


def test_what_became_of_the_plugin_can_be_seen(found: Found) -> None:
    assert number(found, "plugin", "Verdict A") == 0
    assert [one["metric"]["outcome"] for one in of(found, "plugin", "Outcome A")] == [FAILED[SHOWN[1]]]
    verdicts = {value for _, value in of(found, "plugin", "Verdicts A")[0]["values"]}
    assert verdicts >= {"0", "1"}
    sizes = [value for _, value in of(found, "plugin", "Vector dimensions A")[0]["values"]]
    assert sizes[0] == "256"
    share = number(found, "plugin", "Down, by what it failed with A")
    assert share is not None
    assert 0 < share < 1


def test_a_change_is_marked_when_it_comes_and_not_for_as_long_as_it_lasts(found: Found) -> None:
    bands = {one["metric"]["shape"]: one["values"] for one in of(found, "plugin", "Shape of replies A")}
    marks = {one["metric"]["shape"]: one["values"] for one in of(found, "plugin", "Shape changed")}
    first, *later = sorted(bands, key=lambda shape: bands[shape][0][0])
    assert len(later) == 2
    assert set(marks) - {first} == set(later)  # the first one may be older than what is looked at
    assert [marks[shape][0] for shape in later] == [bands[shape][0] for shape in later]
    assert len(marks[later[0]]) < len(bands[later[0]])  # the last one may only just have come


def test_a_prober_is_each_job_and_shard(found: Found) -> None:
    probers = {tuple(sorted(one["metric"].items())) for one in of(found, "prober", "Last run ago A")}
    batch = {(("job", "plugin_probe"), ("shard", index)) for index in "01"}
    assert probers == {(("job", "daemon"),), *batch}
    assert (number(found, "prober", "Shards seen A"), number(found, "prober", "Shards seen B")) == (3, 3)


def test_the_target_is_told_with_its_own_labels(found: Found) -> None:
    (row,) = of(found, "plugin", "Target A")
    assert row["metric"]["team"] == "search"
    assert row["value"][1] == "1"
