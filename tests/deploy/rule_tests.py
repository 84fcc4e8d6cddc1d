"""Cases for `promtool test rules`: a fleet, and which alerts fire when, all of them and no other."""

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.fleet import Worker, input_series
from tests.deploy.rule_files import PATHS
from tests.programs import run

#: What each alert's `severity` is, where a case does not say it.
SEVERITY = {
    "PluginDown": "critical",
    "PluginBadValues": "critical",
    "PluginDrift": "critical",
    "PluginShapeChanged": "warning",
    "PluginSlow": "warning",
    "UnknownTooLong": "warning",
    "NamespaceDown": "critical",
    "PlatformDown": "critical",
    "ProberRefused": "critical",
    "ProbesThrottled": "warning",
    "CertificateExpiring": "warning",
    "ProberMissing": "critical",
    "ProberRunsFailing": "warning",
    "ProberStalled": "warning",
    "ProberOverloaded": "warning",
    "ConfigReloadFailed": "warning",
    "SinkFailing": "warning",
    "SloBurnFast": "critical",
    "SloBurnSlow": "warning",
    "SloBudgetSpent": "info",
}

#: How often a target is scraped and rules are evaluated, by its interval: as often as the shortest needs, no oftener.
STEPS = {30.0: 15.0, 300.0: 60.0, 3600.0: 240.0}
FIRING = 'ALERTS{{alertstate="firing"{}}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`firing` holds, by second, all alerts that fire then (`PluginDown ns_one/embed fault=plugin`).

    `nearest` are the alerts of which this is the nearest case where they must be silent; they are not in `firing`.
    """

    name: str
    workers: Sequence[Worker]
    firing: Mapping[float, Iterable[str]]
    nearest: Sequence[str] = ()
    step: float = 30.0

    def fires(self) -> set[str]:
        """The names of alerts."""
        return {alert.split()[0] for alerts in self.firing.values() for alert in alerts}

    def group(self) -> dict[str, Any]:
        last = max(self.firing)
        return {
            "name": self.name,
            "interval": f"{int(self.step)}s",
            "input_series": input_series(self.workers, last, self.step),
            "promql_expr_test": [expectation(at, alerts) for at, alerts in self.firing.items()],
        }


def labels(alert: str) -> dict[str, str]:
    """Of `PluginDown ns_one/embed fault=plugin`."""
    name, *more = alert.split()
    found = {"alertname": name, "alertstate": "firing", "severity": SEVERITY[name]}
    for word in more:
        if "=" in word:
            label, _, value = word.partition("=")
            found[label] = value
        else:
            found["mixpeek_namespace"], _, found["plugin"] = word.partition("/")
    return found


def expectation(at: float, alerts: Iterable[str], matching: str = "") -> dict[str, Any]:
    """That at this second these fire, and of those that match no other."""
    samples = []
    for alert in alerts:
        text = ",".join(f'{label}="{value}"' for label, value in labels(alert).items())
        samples.append({"labels": f"ALERTS{{{text}}}", "value": 1})
    return {"expr": FIRING.format(matching), "eval_time": f"{int(at)}s", "exp_samples": samples}


def visible(at: float, step: float) -> float:
    """The first scrape and evaluation that can know of it."""
    return math.ceil(at / step) * step


#: What is recorded comes before what stands on it. In Prometheus groups take turns, so that it may be one turn later.
ORDER = [
    "plugin_probe.targets",
    "plugin_probe.probers",
    "plugin_probe.slo",
    "plugin_probe.slo_days",
    "plugin_probe.slo_month",
    "plugin_probe.plugins",
    "plugin_probe.fleet",
    "plugin_probe.prober",
    "plugin_probe.slo_alerts",
]


#: It uses one core for the most part, and spends a third of that on collecting garbage.
PROMTOOL = ("env", "GOGC=400", "promtool", "test", "rules")
PROCESSES = 2
#: Objectives have rules enough to double the time of what has none.
WITHOUT_SLO = [path for path in PATHS if path.stem != "slo"]


def check(
    folder: Path,
    groups: Iterable[tuple[float, dict[str, Any]]],
    rules: Sequence[Path] = WITHOUT_SLO,
    *,
    texts: bool = False,
) -> None:
    """Runs promtool over groups, each with how often it is evaluated. The rules are those that are deployed, but
    without their texts, unless these are what is tested: they are made at every evaluation.
    """
    used = [str(path if texts else _without_texts(path, folder)) for path in rules]
    files: dict[tuple[float, int], list[dict[str, Any]]] = {}
    for number, (step, group) in enumerate(groups):
        files.setdefault((step, number % PROCESSES), []).append(group)
    written: list[list[str]] = [[] for _ in range(PROCESSES)]
    for (step, process), tests in files.items():
        file = folder / f"every_{step:g}s_{process}.yaml"
        order = {"evaluation_interval": f"{int(step)}s", "group_eval_order": ORDER}
        _write(file, {"rule_files": used, **order, "tests": tests})
        written[process].append(str(file))
    with ThreadPoolExecutor(PROCESSES) as pool:
        ended = pool.map(lambda mine: run(*PROMTOOL, *mine), filter(None, written))
        failed = [said for code, said in ended if code != 0]
    assert not failed, "\n".join(failed)


def _without_texts(path: Path, folder: Path) -> Path:
    copy = folder / path.name
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    for group in document["groups"]:
        for rule in group["rules"]:
            rule.pop("annotations", None)
    _write(copy, document)
    return copy


def _write(file: Path, document: dict[str, Any]) -> None:
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    file.write_text(yaml.dump(document, Dumper=dumper, sort_keys=False), encoding="utf-8")


def check_cases(folder: Path, cases: Iterable[Case], rules: Sequence[Path] = WITHOUT_SLO) -> None:
    check(folder, [(case.step, case.group()) for case in cases], rules)
