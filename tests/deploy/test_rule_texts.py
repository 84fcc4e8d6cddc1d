"""What an alert says, and that every alert has its text, its severity and its cases."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import test_fleet_rules, test_plugin_rules, test_prober_rules, test_slo_rules
from tests.deploy.fleet import Own, Plugin, Worker, input_series
from tests.deploy.rule_files import PATHS, alerts
from tests.deploy.rule_tests import SEVERITY, STEPS, check
from tests.programs import needs, run

RUNBOOK = "https://github.com/mixpeek/plugin-probe/blob/main/docs/runbooks/{}.md"
STEP_S = 30.0
JOB = {"job": "plugin_probe"}
PLUGIN = "/d/plugin-probe-plugin?var-namespace=ns_one&var-plugin=text+embed"
FLEET, PROBER = "/d/plugin-probe-fleet", "/d/plugin-probe-prober"


#: What each case is to say; a reader's view of all alerts.
WORDS: dict[str, dict[str, str]] = yaml.safe_load((Path(__file__).parent / "alert_texts.yaml").read_text())


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An alert that fires for these workers after so many seconds."""

    workers: Sequence[Worker]
    at: float = 120
    labels: Mapping[str, str] = field(default_factory=dict)
    dashboard: str = PROBER

    def group(self, name: str) -> dict[str, Any]:
        alert = re.split(r"\W", name)[0]
        annotations = {"runbook_url": RUNBOOK.format(alert), "dashboard_url": self.dashboard, **WORDS[name]}
        expected = {
            "eval_time": f"{int(self.at)}s",
            "alertname": alert,
            "exp_alerts": [
                {"exp_labels": {"severity": SEVERITY[alert], **self.labels}, "exp_annotations": annotations}
            ],
        }
        series = input_series(self.workers, self.at, STEP_S)
        return {"name": name, "interval": f"{int(STEP_S)}s", "input_series": series, "alert_rule_test": [expected]}


def one(script: str, *, at: float = 120, slo: str = "", fault: str = "") -> Case:
    """One plugin, whose name a URL must escape."""
    plugin = Plugin(
        name="text embed",
        namespace="ns_one",
        script=script,
        labels={"team": "search"},
        objectives={"availability": 0.995},
    )
    cosine = 'plugin_probe_golden_cosine{mixpeek_namespace="ns_one",plugin="text embed"}'
    worker = Worker(interval=30, plugins=[plugin], own={cosine: lambda now: 0.5})
    more = {name: value for name, value in (("slo", slo), ("fault", fault)) if value}
    whose = {"mixpeek_namespace": "ns_one", "plugin": "text embed", "team": "search"}
    return Case(workers=[worker], at=at, labels=whose | more, dashboard=PLUGIN)


def many(dashboard: str = FLEET, *, labels: Mapping[str, str] | None = None, **scripts: str) -> Case:
    """Namespaces, each with a plugin a script."""
    plugins = [
        Plugin(name=f"p{i}", namespace=namespace, script=script)
        for namespace, every in scripts.items()
        for i, script in enumerate(every.split(", "))
    ]
    return Case(workers=[Worker(interval=30, plugins=plugins)], labels=labels or {}, dashboard=dashboard)


def prober(name: str, value: Own, at: float = 120, **labels: str) -> Case:
    """A daemon that shows that series so."""
    return Case(workers=[Worker(interval=30, own={name: value})], at=at, labels=JOB | labels)


def expiring(days: float, severity: str) -> Case:
    name = "plugin_probe_tls_earliest_cert_expiry_timestamp_seconds"
    return prober(name, lambda now: 120 + days * 86400, severity=severity)


def counting(series: str, **labels: str) -> Case:
    return Case(workers=[Worker(interval=30, own={series: lambda now: now // 30})], labels=JOB | labels)


LONELY = Worker(interval=120, batch=True, shard="0", shards=2)
STOPPED = [
    Worker(interval=30, batch=True, shard="1", shards=2, stop=60),
    Worker(interval=30, batch=True, shard="0", shards=2),
]
FAILING = Worker(interval=30, batch=True, shard="1", failing=range(1, 99))
STALLED = 'plugin_probe_results_total{mixpeek_namespace="ns_one",outcome="prober_stalled"}'
RELOADED = "plugin_probe_config_last_reload_successful"
CASES: dict[str, Case] = {
    "PluginDown of the plugin": one("timeout", fault="plugin"),
    "PluginDown of the platform": one("contract_violation", fault="platform"),
    "PluginDown of the network": one("connect_failure", fault="network"),
    "PluginDown of the configuration": one("not_found", fault="configuration"),
    "PluginDown that is just over": one("timeout*2 ok", fault="plugin"),
    "PluginBadValues": one("bad_values", fault="plugin"),
    "PluginDrift": one("drift", fault="plugin"),
    "PluginShapeChanged": one("ok ok+reshaped ok"),
    "PluginSlow": one("slow"),
    "UnknownTooLong": one("warming", at=180),
    "UnknownTooLong for a bug of ours": one("internal_error", at=180),
    "SloBurnFast": one("timeout", slo="availability"),
    "SloBurnSlow": one("timeout", slo="availability"),
    "SloBudgetSpent": one("timeout", slo="availability"),
    "NamespaceDown": many(
        f"{FLEET}?var-namespace=ns_one",
        labels={"mixpeek_namespace": "ns_one"},
        ns_one="timeout, timeout, bad_values, ok",
    ),
    "PlatformDown": many(ns_one="timeout, timeout, server_error", ns_two="timeout, connect_failure, ok"),
    "ProberRefused": many(
        PROBER, labels={"scope": "some"}, ns_one="unauthorized, unauthorized", ns_two="forbidden, ok"
    ),
    "ProbesThrottled": many(PROBER, ns_one="rate_limited, rate_limited", ns_two="quota_exceeded, ok"),
    "CertificateExpiring": expiring(10.5, "warning"),
    "CertificateExpiring tomorrow": expiring(1, "critical"),
    "CertificateExpiring, expired": expiring(-1, "critical"),
    "ProberMissing": Case(workers=[Worker(interval=30, stop=120)], at=300, labels=JOB),
    "ProberMissing, one shard": Case(workers=STOPPED, at=420, labels={**JOB, "shard": "1"}),
    "ProberMissing, a shard that never was": Case(workers=[LONELY], at=300, labels=JOB),
    "ProberMissing, all": Case(workers=[], at=300),
    "ProberRunsFailing": Case(workers=[FAILING], at=180, labels={**JOB, "shard": "1"}),
    "ProberStalled": counting(STALLED),
    "ProberOverloaded": counting('plugin_probe_skipped_total{reason="overload"}'),
    "ConfigReloadFailed": prober(RELOADED, lambda now: 0, at=330),
    "SinkFailing": counting('plugin_probe_sink_failures_total{sink="remote_write"}', sink="remote_write"),
}


@needs("promtool")
def test_every_alert_says_what_is_wrong_and_who_acts(tmp_path: Path) -> None:
    check(tmp_path, [(STEP_S, case.group(name)) for name, case in CASES.items()], PATHS, texts=True)


def test_every_text_is_tested() -> None:
    assert {re.split(r"\W", name)[0] for name in CASES} == {rule["alert"] for rule in alerts()}
    assert WORDS.keys() == CASES.keys()


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_every_alert_has_a_severity_a_page_and_a_dashboard(rule: dict[str, Any]) -> None:
    name = rule["alert"]
    severities = {SEVERITY[name], "critical"} if name == "CertificateExpiring" else {SEVERITY[name]}
    assert rule["labels"]["severity"] in severities
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url", "dashboard_url"}
    assert rule["annotations"]["runbook_url"] == RUNBOOK.format(name)


def fires_and_silent() -> Iterator[tuple[set[str], set[str]]]:
    """Of every case: the alerts that fire in it, and those of which it is the nearest case where they must not."""
    for row in test_plugin_rules.ROWS:
        yield {alert.split()[0] for alert in row.fires}, set(row.nearest)
    for _, span in test_plugin_rules.NAMESPACES.values():
        yield ({"NamespaceDown"}, set()) if span else (set(), {"NamespaceDown"})
    for burning in test_slo_rules.ROWS:
        yield {alert for firing in burning.firing.values() for alert in firing}, set(burning.nearest)
    for interval in STEPS:
        for batch in (False, True):
            for case in test_fleet_rules.cases(interval, batch):
                yield case.fires(), set(case.nearest)
    for case in test_prober_rules.cases():
        yield case.fires(), set(case.nearest)


def test_every_alert_has_a_case_where_it_fires_and_one_where_it_must_not() -> None:
    """An alert without a test is a page that nobody has seen."""
    cases = [*fires_and_silent()]
    named = {rule["alert"] for rule in alerts()}
    assert set().union(*(fires for fires, _ in cases)) == named == SEVERITY.keys()
    assert set().union(*(silent for _, silent in cases)) == named
    assert not any(fires & silent for fires, silent in cases)


@needs("promtool")
def test_the_rules_are_free_of_promtools_complaints() -> None:
    code, said = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *map(str, PATHS))
    assert code == 0, said
