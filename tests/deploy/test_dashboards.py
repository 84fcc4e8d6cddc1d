"""The dashboards as files: up to date, whole, and about metrics that there are."""

import json
import re
from collections import Counter
from itertools import chain, combinations
from typing import Any, get_args, get_type_hints

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

from deploy.grafana.__main__ import BOARDS
from tests.deploy import boards, rule_files
from worker.sinks.families import FAMILIES
from worker.sinks.instruments import Instruments
from worker.sinks.tally import NAME as RESULTS

#: What a query gives, by how it begins.
MEANT = {"histogram_quantile(": "s", "time() - ": "s", "60 * ": "cpm"}
BOTH = [(name, panel) for name in boards.NAMES for panel in boards.panels(boards.read(name))]
EACH_PANEL = pytest.mark.parametrize(("name", "panel"), BOTH, ids=[f"{name}-{panel['title']}" for name, panel in BOTH])
ASKED = [asked for name in boards.NAMES for asked in boards.queries(name)]
UIDS = {"plugin-probe-fleet", "plugin-probe-plugin", "plugin-probe-prober"}
UNITS = {word for hint in get_type_hints(units).values() for word in get_args(hint)}


@pytest.mark.parametrize("name", boards.NAMES)
def test_the_committed_json_is_what_the_code_writes(name: str) -> None:
    committed = (boards.FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert committed == BOARDS[f"{name}.json"].text(), "make dashboards"


def test_there_are_no_other_dashboards_than_the_code_s() -> None:
    assert {path.name for path in boards.FOLDER.glob("*.json")} == set(BOARDS)
    assert {boards.read(name)["uid"] for name in boards.NAMES} == UIDS


@pytest.mark.parametrize("name", boards.NAMES)
def test_grafana_s_schema_has_all_that_stands_in_a_dashboard(name: str) -> None:
    """What the SDK reads, it writes again; save, of annotations, what only Prometheus has."""
    register_default_plugins()
    board = boards.read(name)
    written = json.loads(json.dumps(model.Dashboard.from_json(board), cls=JSONEncoder))
    for note in board["annotations"]["list"]:
        for key in ("step", "titleFormat", "textFormat", "useValueForTime"):
            del note[key]
    assert written == board


@EACH_PANEL
def test_a_panel_says_what_it_is_and_asks_its_data_source(name: str, panel: dict[str, Any]) -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert panel["title"]
    assert len(panel["description"]) > 10
    assert panel["description"].endswith(".")
    assert panel["datasource"] == source
    assert panel["targets"]
    assert [query["datasource"] for query in panel["targets"]] == [source] * len(panel["targets"])
    assert len({query["refId"] for query in panel["targets"]}) == len(panel["targets"])
    assert panel["fieldConfig"]["defaults"]["noValue"]
    if panel["type"] in ("table", "stat", "bargauge"):
        assert all(query["instant"] for query in panel["targets"])


@EACH_PANEL
def test_a_panel_s_units_are_grafana_s(name: str, panel: dict[str, Any]) -> None:
    config = panel["fieldConfig"]
    properties = chain.from_iterable(override["properties"] for override in config["overrides"])
    used = [config["defaults"]["unit"], *(each["value"] for each in properties if each["id"] == "unit")]
    assert set(used) <= UNITS
    for query in panel["targets"]:
        for beginning, unit in MEANT.items():
            assert not query["expr"].startswith(beginning) or unit in used, query


@pytest.mark.parametrize("name", boards.NAMES)
def test_ids_and_titles_are_unique_and_panels_do_not_overlap(name: str) -> None:
    board = boards.read(name)
    assert max(Counter(panel["id"] for panel in board["panels"]).values()) == 1
    assert max(Counter(panel["title"] for panel in board["panels"] if panel["type"] != "row").values()) == 1
    variables = board["templating"]["list"]
    assert [variable["id"] for variable in variables] == [variable["name"] for variable in variables]
    places = [panel["gridPos"] for panel in board["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


@pytest.mark.parametrize("name", boards.NAMES)
def test_links_go_to_dashboards_that_there_are_and_set_variables_that_these_have(name: str) -> None:
    variables = {
        read["uid"]: {variable["name"] for variable in read["templating"]["list"]}
        for read in map(boards.read, boards.NAMES)
    }
    board = boards.read(name)
    assert {link["url"].split("?")[0].removeprefix("/d/") for link in board["links"]} == UIDS - {board["uid"]}
    urls = re.findall(r'"(/d/[^"]*)"', (boards.FOLDER / f"{name}.json").read_text())
    assert len(urls) >= 2
    for url in urls:
        path, _, query = url.partition("?")
        theirs = variables[path.removeprefix("/d/")]
        assert set(re.findall(r"var-(\w+)=", query)) <= theirs
        assert set(re.findall(r"\{(\w+):queryparam\}", query)) <= theirs & variables[board["uid"]]


def test_rows_of_fleet_lead_to_their_plugin() -> None:
    table = next(panel for panel in boards.panels(boards.read("fleet")) if panel["title"] == "Plugins that fail")
    (override,) = (each for each in table["fieldConfig"]["overrides"] if each["properties"][0]["id"] == "links")
    (link,) = override["properties"][0]["value"]
    assert override["matcher"] == {"id": "byName", "options": "Plugin"}
    assert "var-namespace=${__data.fields.Namespace:percentencode}" in link["url"]
    assert "var-plugin=${__data.fields.Plugin:percentencode}" in link["url"]
    renamed = table["transformations"][1]["options"]["renameByName"]
    assert (renamed["mixpeek_namespace"], renamed["plugin"]) == ("Namespace", "Plugin")


def exposed() -> set[str]:
    """All names of the worker's, in a query's words."""
    own = re.findall(r"^# TYPE (\S+)", Instruments(version="1", python="3").text(openmetrics=False).decode(), re.M)
    late = re.findall(r'\blate\("(\w+)"', (boards.FOLDER.parents[1] / "worker/sinks/instruments.py").read_text())
    names = {*own, *(f"plugin_probe_{name}" for name in late), RESULTS, *(family.name for family in FAMILIES)}
    return names | {f"{name}_{part}" for name in names for part in ("bucket", "sum", "count")}


def test_queries_are_about_metrics_that_there_are() -> None:
    known = exposed() | rule_files.recorded() | {"ALERTS", "ALERTS_FOR_STATE"}
    for asked in ASKED:
        names = set(re.findall(r"\b(?:plugin_probe[\w:]*|ALERTS\w*)", re.sub(r'"[^"]*"', '""', asked.expr)))
        assert names, asked
        assert names <= known, asked


def test_alerts_are_asked_for_by_the_names_that_the_rules_have() -> None:
    (named,) = {found for asked in ASKED for found in re.findall(r'alertname=~"([^"]*)"', asked.expr)}
    assert set(named.split("|")) == {rule["alert"] for rule in rule_files.alerts()}


def test_grafana_is_told_where_the_files_are() -> None:
    (provider,) = yaml.safe_load((boards.FOLDER / "provisioning.yaml").read_text())["providers"]
    assert (provider["type"], provider["folder"]) == ("file", "plugin-probe")
    assert provider["options"]["path"].startswith("/")
