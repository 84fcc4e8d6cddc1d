"""What docs/metrics.md says of the families, and of how many series a target can make, is true."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.sinks.given import VECTOR, exchange, last, probed, target
from tests.sinks.test_families import whole_track
from tests.sinks.test_metrics import set_everything
from worker.core.exchange import Phases
from worker.core.outcome import Outcome
from worker.core.target import Slo
from worker.core.vector import VectorReading
from worker.settings import Histograms
from worker.sinks.families import FAMILIES
from worker.sinks.instruments import LateGauge
from worker.sinks.metrics import Metrics

PAGE = (Path(__file__).parent.parent / "docs" / "metrics.md").read_text(encoding="utf-8")


def rows(section: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def words(cell: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", cell))


def worst(vectors: int, histograms: Histograms = "target") -> list[Any]:
    """All families of a target of which nothing is absent, as they are read back, and those of a worker."""
    metrics = Metrics(version="0", histograms=histograms)
    set_everything(metrics)
    readings = tuple(VectorReading(f"v{number}", 2, 1.0) for number in range(vectors))
    slo = Slo(availability=0.99, latency=0.9, latency_below_s=1.0)
    metrics.add(target(labels={"team": "a"}, slo=slo), whole_track()._replace(vectors=readings))
    return list(parse(b"".join(metrics.exposition()).decode()))


def series(families: list[Any]) -> int:
    return sum("plugin" in sample.labels for family in families for sample in family.samples)


@pytest.mark.parametrize("histograms", ["target", "namespace"])
@pytest.mark.parametrize("vectors", [0, 1, 5])
def test_a_target_makes_as_many_series_as_the_page_says_and_no_more(histograms: Histograms, vectors: int) -> None:
    found = re.search({"target": r"\*\*(\d+) series, and (\d+)", "namespace": r"\*\*(\d+) and (\d+)"}[histograms], PAGE)
    assert found
    assert series(worst(vectors, histograms)) == int(found[1]) + int(found[2]) * vectors


def test_a_healthy_target_makes_as_many_as_the_page_says() -> None:
    reused = exchange(phases=Phases(send=0.0001, wait=0.04, receive=0.0001))
    metrics = Metrics(version="0")
    one = last(probed(target(expect=VECTOR), reused))
    metrics.add(one.result.target, one.track)
    made = series(list(parse(b"".join(metrics.exposition()).decode())))
    assert f"with one vector makes {made} on a reused connection" in PAGE


def test_the_table_of_a_target_is_that_of_the_code() -> None:
    listed = rows("Of a target")
    assert [(cells[0].strip("`"), cells[1]) for cells in listed] == [(one.name, one.kind) for one in FAMILIES]
    read = {family.name: family for family in worst(1)}
    for name, kind, labels, most, absent in listed:
        family = read[name.strip("`").removesuffix("_total")]
        found = {label for sample in family.samples for label in sample.labels} - {"mixpeek_namespace", "plugin"}
        assert words(labels) == ({"labels"} if found == {"team"} else found), name
        assert len(family.samples) == int(most.split()[0]), name
        assert kind == family.type
        assert absent


def test_what_the_page_calls_always_there_is_there_from_the_first_exposition() -> None:
    metrics = Metrics(version="0")
    metrics.add(target())
    shown = {family.name for family in parse(b"".join(metrics.exposition()).decode())}
    never_absent = [cells[0].strip("`") for cells in rows("Of a target") if "never" in cells[-1]]
    assert {name.removesuffix("_total") for name in never_absent} == shown & {
        family.name.removesuffix("_total") for family in FAMILIES
    }


def test_the_tables_of_a_namespace_and_of_the_worker_are_those_of_the_code() -> None:
    metrics = Metrics(version="0", histograms="namespace", shard=0)
    for gauge in vars(metrics.own).values():
        if isinstance(gauge, LateGauge):
            gauge.set(1.0)
    metrics.add(target())
    found: dict[str, tuple[str, set[str]]] = {}
    own = defaultdict(set)
    for family in parse(b"".join(metrics.exposition()).decode()):
        labels = {label for sample in family.samples for label in sample.labels}
        name = family.name + ("_total" if family.type == "counter" else "")
        found[name] = (family.type, labels)
        own["plugin" in labels].add(name)
    listed = rows("Of a namespace") + rows("Of the worker")
    assert {cells[0].strip("`"): (cells[1], words(cells[2])) for cells in listed} == {
        name: found[name] for name in own[False]
    }
    assert int(rows("Of a namespace")[0][3]) == len(Outcome)
