"""Each alert has its page and each page its alert; what a page says to run can be run, what it asks can be asked."""

import re
from pathlib import Path

import click
import pytest
import yaml

from tests.deploy import rule_files
from tests.deploy.pages import blocks, commands, parse, read
from tests.programs import ROOT, needs, run
from worker.core.exchange import PHASE_NAMES
from worker.core.limit import Limit
from worker.core.outcome import Fault, Outcome, Verdict
from worker.core.result import SkipReason

FOLDER = ROOT / "docs" / "runbooks"
INDEX = FOLDER / "README.md"
PAGES = {path.stem: path for path in sorted(FOLDER.glob("*.md")) if path != INDEX}
BASE = "https://github.com/mixpeek/plugin-probe/blob/main/docs/runbooks"

#: Of Prometheus, of the Pushgateway and of node_exporter.
FOREIGN: dict[str, set[str]] = {"up": {"job"}, "push_time_seconds": {"job"}, "node_textfile_mtime_seconds": {"file"}}
SCRAPED = {"job", "instance", "shard"}
#: What PromQL writes like a name, and is none.
WORDS = {"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool", "offset"}
PROBER = re.compile(r"`(plugin-probe [^`]+)`")

ALERTS = sorted({alert["alert"] for alert in rule_files.alerts()})
QUERIES = [(name, query.strip()) for name, path in PAGES.items() for query in blocks(read(path), "promql")]
COMMANDS = [
    (name, command)
    for name, path in PAGES.items()
    for block in blocks(read(path), "console")
    for command in commands(block)
] + [(name, command) for name, path in PAGES.items() for command in PROBER.findall(read(path))]


def families() -> dict[str, set[str]]:
    """The families with their labels, as docs/metrics.md has them: tests hold that page to the code."""
    found: dict[str, set[str]] = {}
    for section in read(ROOT / "docs" / "metrics.md").split("\n## ")[1:]:
        own = {"mixpeek_namespace", "plugin"} if section.startswith("Of a target") else set()
        rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `plugin_probe")]
        for name, kind, labels, *_ in rows:
            ends = ("_bucket", "_sum", "_count") if kind.strip() == "histogram" else ("",)
            for end in ends:
                shown = found.setdefault(name.strip(" `") + end, set())
                shown |= own | set(re.findall(r"`(\w+)`", labels))
    return found


def names(query: str) -> set[str]:
    """The metrics that a query names: every word but functions, keywords and what is a label."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', " ", query)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right) *\([^)]*\)", " ", bare)
    return set(re.findall(r"(?<![\w:.])[a-z_][\w:]*(?! *\(|[\w:])", bare)) - WORDS


def selected(query: str) -> list[tuple[str, set[str]]]:
    """Metrics with the labels by which they are chosen."""
    found = re.findall(r"([a-z_][\w:]*)\{([^}]*)\}", query)
    return [(name, set(re.findall(r'(\w+) *(?:=~|!~|!=|=) *"', labels))) for name, labels in found]


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    assert sorted(PAGES) == ALERTS


def test_the_index_names_every_page_once() -> None:
    assert sorted(re.findall(r"\]\((\w+)\.md\)", read(INDEX))) == ALERTS


def test_the_runbook_of_an_alert_is_its_page() -> None:
    for alert in rule_files.alerts():
        assert alert["annotations"]["runbook_url"] == f"{BASE}/{alert['alert']}.md"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_short_and_headed_by_its_alert(name: str) -> None:
    lines = read(PAGES[name]).splitlines()
    assert lines[0] == f"# {name}"
    assert 20 <= len(lines) <= 50
    assert [line for line in lines if line.startswith("## ")] == ["## Look", "## Do", "## Ends"]


@pytest.mark.parametrize("path", [INDEX, *PAGES.values()], ids=lambda path: path.stem)
def test_what_a_page_points_at_is_there(path: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", read(path)):
        assert (path.parent / target).exists(), target


@needs("promtool")
def test_every_query_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"page:{number}", "expr": query} for number, (_, query) in enumerate(QUERIES)]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "pages", "rules": rules}]}))
    code, said = run("promtool", "check", "rules", "--lint=none", str(tmp_path / "queries.yaml"))
    assert code == 0, said
    assert f"{len(QUERIES)} rules found" in said


@pytest.mark.parametrize(("name", "query"), QUERIES, ids=[name for name, _ in QUERIES])
def test_a_query_names_metrics_and_labels_that_there_are(name: str, query: str) -> None:
    known = families() | FOREIGN
    assert names(query)
    assert names(query) <= {*known, *rule_files.recorded()}
    for metric, labels in selected(query):
        if metric in known:
            assert labels <= known[metric] | SCRAPED


def test_words_of_a_closed_set_are_of_that_set() -> None:
    sets: dict[str, set[str]] = {
        "outcome": {*Outcome},
        "reason": {*SkipReason},
        "limit": {*Limit},
        "fault": {*Fault},
        "phase": {*PHASE_NAMES},
        "scope": {"all", "some"},
    }
    for name, path in PAGES.items():
        for label, words in re.findall(rf'\b({"|".join(sets)})(?:=~|!=|=)"([\w|]+)"', read(path)):
            assert set(words.split("|")) <= sets[label], name


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[f"{name}: {command}" for name, command in COMMANDS])
def test_a_command_is_one_that_there_is(name: str, command: str) -> None:
    program = command.split()[0]
    if program == "plugin-probe":
        parse(command)
    else:
        assert program in {"curl", "kubectl", "openssl"}, "tests can't tell whether it is right"


def test_a_command_that_there_is_not_is_found() -> None:
    with pytest.raises(click.UsageError):
        parse("plugin-probe check --explain NAMESPACE PLUGIN")
    with pytest.raises(click.UsageError):
        parse("plugin-probe shapes differ")


def test_the_commands_in_annotations_are_ones_that_there_are() -> None:
    for alert in rule_files.alerts():
        text = re.sub(r"\{\{[^}]*\}\}", "x", alert["annotations"]["description"])
        for command in PROBER.findall(text):
            parse(command)


def rows(name: str) -> set[str]:
    """The words in code of the first column of the page's table."""
    cells = re.findall(r"^\| (`[^|]*) \|", read(PAGES[name]), re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}


def test_each_outcome_that_is_down_has_a_first_step() -> None:
    assert rows("PluginDown") == {outcome.value for outcome in Outcome if outcome.verdict is Verdict.DOWN}


def test_each_outcome_that_is_unknown_has_a_step_or_an_alert_of_its_own() -> None:
    own = {"unauthorized", "forbidden", "rate_limited", "quota_exceeded"}
    assert rows("UnknownTooLong") | own == {outcome.value for outcome in Outcome if outcome.verdict is Verdict.UNKNOWN}
    text = read(PAGES["UnknownTooLong"]).split("## Do")[1]
    assert all(f"`{word}`" in text for word in own)
