"""The simulated fleet shows what a worker shows, and the rules look at nothing else."""

import re

from tests.deploy.fleet import Plugin, Worker, input_series
from tests.deploy.rule_files import recorded, rules
from tests.programs import ROOT

#: Families and labels by docs/metrics.md, which is compared with the worker's exposition by a test of its own.
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
SHOWN = {
    name: set(re.findall(r"`(\w+)`", row)) for name, row in re.findall(r"^\| `(plugin_probe_\w+)` \|(.*)", PAGE, re.M)
}
#: A target's, the group's or the scrape's; a target's own labels.
EVERYWHERE = {"mixpeek_namespace", "plugin", "job", "instance", "pod", "shard", "team"}


def test_what_is_simulated_is_what_a_worker_shows() -> None:
    objectives = {"availability": 0.9, "latency": 0.9}
    scripts = ("timeout", "ok+reshaped ok+fits", "warming", "gone")
    plugins = [Plugin(name=script, script=script, objectives=objectives, labels={"team": "a"}) for script in scripts]
    workers = [Worker(interval=30, plugins=plugins, batch=batch, shard="0") for batch in (False, True)]
    for series in input_series(workers, 120, 30):
        name, _, labels = series["series"].partition("{")
        assert name in SHOWN
        assert set(re.findall(r"(\w+)=", labels)) <= SHOWN[name] | EVERYWHERE, series["series"]


def test_rules_name_only_what_there_is() -> None:
    expressions = " ".join(rule["expr"] for rule in rules())
    assert set(re.findall(r"\bplugin_probe_\w+", expressions)) <= SHOWN.keys()
    assert set(re.findall(r"\bplugin_probe:[\w:]+", expressions)) <= recorded()


def test_a_gap_is_stale_at_once_as_after_a_scrape_that_failed() -> None:
    """Without the marker Prometheus would go on with the last value for five minutes."""
    worker = Worker(interval=30, unseen=[(60, 120)])
    beat = [series for series in input_series([worker], 180, 30) if "last_run_timestamp" in series["series"]]
    assert [series["values"] for series in beat] == ["-1 29 stale _ 119 149 179"]
