"""docs/alerting.md is true: its commands install everything on this machine, with the real servers, as they stand."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from tests.deploy import rule_files
from tests.deploy.pages import blocks, commands, files, read, rows
from tests.programs import ROOT, free_port, get, needs, serving, wait
from worker.config.load import load
from worker.config.model import TargetKeys
from worker.sinks.metrics import Metrics

PAGE = read(ROOT / "docs" / "alerting.md")
CONSOLE = blocks(PAGE, "console")
#: Needs a cluster: only looked at.
KUBECTL = [block for block in CONSOLE if block.startswith("kubectl")]

real = needs("prometheus", "promtool", "prometheus-alertmanager", "amtool", "prometheus-pushgateway", "curl")


@dataclass(slots=True)
class Machine:
    """A folder that stands for the machine's root and for ours; 127.0.0.1 has other ports on it."""

    root: Path
    ports: dict[str, str] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    def here(self, text: str) -> str:
        text = re.sub(r"(?<![\w.])/(etc|var/lib)/", rf"{self.root}/\1/", text)
        return re.sub(r"127\.0\.0\.1:(\d+)", lambda found: self.address(found[1]), text)

    def address(self, port: str) -> str:
        while port not in self.ports:  # one that is free is free for each who asks
            found = str(free_port())
            if found not in self.ports.values():
                self.ports[port] = found
        return f"127.0.0.1:{self.ports[port]}"

    def run(self, block: str) -> None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "MIXPEEK_API_KEY": "sk_your_key"}
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.here(block)],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, f"{block}\n{ended.stdout}"
        self.said[block] = ended.stdout

    def serve(self, command: str, servers: ExitStack) -> None:
        words = shlex.split(self.here(command.removesuffix("&")))
        address = next(word.partition("=")[2] for word in words if word.startswith("--web.listen-address="))
        servers.enter_context(serving(*words, ready=f"http://{address}/-/ready", folder=self.root))

    def saying(self, words: str) -> str:
        """What was said by the block in which these stand."""
        return next(said for block, said in self.said.items() if words in block)

    def url(self, port: str) -> str:
        return f"http://{self.address(port)}"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Everything installed as the page says, block by block; two shards push before Prometheus looks."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    shutil.copytree(ROOT / "deploy", machine.root / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (machine.root / "deploy").rglob("*.yml"):
        path.write_text(machine.here(read(path)).replace("scrape_interval: 30s", "scrape_interval: 1s"))
    for name, text in files(PAGE).items():
        (machine.root / name).write_text(machine.here(text))
    with ExitStack() as servers:
        for block in CONSOLE:
            if block in KUBECTL:
                continue
            started = [command for command in commands(block) if command.endswith("&")]
            if not started:
                machine.run(block)
                continue
            machine.run("\n".join(command for command in commands(block) if command not in started))
            for command in started:
                machine.serve(command, servers)
                if command.startswith("prometheus-pushgateway"):
                    push(machine.url("9091"))
        yield machine


def push(gateway: str) -> None:
    body = b"".join(Metrics(version="0").exposition())
    for shard in range(2):
        url = f"{gateway}/metrics/job/plugin_probe/shard/{shard}"
        with urllib.request.urlopen(urllib.request.Request(url, body, method="PUT")) as reply:
            assert reply.status == 200


def series(prometheus: str, query: str) -> list[dict[str, str]]:
    asked = urllib.parse.urlencode({"query": query})
    found = get(f"{prometheus}/api/v1/query?{asked}")["data"]["result"]
    return sorted((one["metric"] for one in found), key=json.dumps)


@real
def test_prometheus_runs_the_rules_that_were_copied(machine: Machine) -> None:
    groups = get(f"{machine.url('9090')}/api/v1/rules")["data"]["groups"]
    assert {Path(group["file"]).name for group in groups} == {path.name for path in rule_files.PATHS}
    assert [rule["lastError"] for group in groups for rule in group["rules"] if "lastError" in rule] == []


@real
def test_what_was_pushed_keeps_its_job_and_its_shard(machine: Machine) -> None:
    prometheus, metric = machine.url("9090"), "plugin_probe_targets"
    wait(lambda: len(series(prometheus, metric)) == 2, "both shards")
    assert series(prometheus, metric) == [
        {"__name__": metric, "job": "plugin_probe", "shard": str(shard)} for shard in range(2)
    ]


@real
def test_prometheus_tells_the_alertmanager_that_was_installed(machine: Machine) -> None:
    url = f"{machine.url('9090')}/api/v1/alertmanagers"
    wait(lambda: bool(get(url)["data"]["activeAlertmanagers"]), "an Alertmanager")
    assert [found["url"] for found in get(url)["data"]["activeAlertmanagers"]] == [
        f"{machine.url('9093')}/api/v2/alerts"
    ]


@real
def test_the_alert_of_the_try_is_in_alertmanager_and_has_a_receiver(machine: Machine) -> None:
    said = machine.saying("routes test")
    assert "team-search-page" in said
    assert "PluginDown" in said.split("team-search-page")[1]


@real
def test_the_dashboards_are_where_the_provider_looks(machine: Machine) -> None:
    (provider,) = yaml.safe_load(read(machine.root / "etc/grafana/provisioning/dashboards/plugin-probe.yaml"))[
        "providers"
    ]
    folder = Path(machine.here(provider["options"]["path"]))
    assert {path.name for path in folder.iterdir()} == {path.name for path in (ROOT / "deploy/grafana").glob("*.json")}


def test_what_is_applied_to_a_cluster_is_there_and_is_all_of_it() -> None:
    applied = [command for block in KUBECTL for command in commands(block)]
    assert all(command.startswith("kubectl apply --filename ") for command in applied)
    components = ROOT / "deploy" / "kubernetes" / "components"
    made = {
        path for name in ("podmonitor", "servicemonitor", "prometheusrule") for path in (components / name).iterdir()
    }
    files = {ROOT / command.split()[-1] for command in applied}
    assert files == {path for path in made if path.name != "kustomization.yaml"}


def test_the_examples_are_accepted_and_say_what_the_text_says(tmp_path: Path) -> None:
    for name, text in files(PAGE).items():
        (tmp_path / name).write_text(text)
    settings = load(tmp_path / "worker.yaml", environ={"MIXPEEK_API_KEY": "sk_your_key"})
    (target,) = settings.targets
    availability = target.slo.availability
    assert availability is not None
    assert (availability, target.slo.latency, target.slo.latency_below_s) == (0.995, 0.99, 0.8)
    assert f"99.5 % of 30 days leave {(1 - availability) * 30 * 24:.1f} hours" in PAGE
    assert settings.outputs.pushgateway is not None


def test_the_table_of_alerts_is_that_of_the_rules() -> None:
    told = {
        (name, severity) for name, severities, *_ in rows(PAGE, "## The alerts") for severity in severities.split(", ")
    }
    assert told == {(alert["alert"], alert["labels"]["severity"]) for alert in rule_files.alerts()}


def test_the_table_of_burn_rates_is_that_of_the_rules() -> None:
    hours = {"5m": 1 / 12, "30m": 0.5, "1h": 1, "2h": 2, "6h": 6, "1d": 24, "3d": 72}
    told = set()
    for rate, windows, spent, alert in rows(PAGE, "## Objectives"):
        for window in re.findall(r"\d+ [mhd]", windows):
            told.add((alert, window.replace(" ", ""), float(rate)))
        long = hours[windows.split(" and ")[0].replace(" ", "")]
        assert spent == f"{round(float(rate) * long / 720 * 100)} %"
    found: set[tuple[str, str, float]] = set()
    for rule in rule_files.alerts():
        compared = re.findall(r"slo_bad:ratio_(\w+)[^>]*> ([\d.]+)\n", rule["expr"])
        found |= {(rule["alert"], window, float(rate)) for window, rate in compared}
    assert told == found


def test_what_the_page_points_at_is_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target


def test_no_target_has_labels_that_the_rules_drop() -> None:
    (rule,) = [rule for rule in rule_files.rules() if rule.get("record") == "plugin_probe:target_info"]
    found = re.search(r"without \(([^)]*)\)", rule["expr"])
    assert found
    dropped = found[1].split(", ")
    assert len(dropped) > 5
    for name in dropped:
        with pytest.raises(ValidationError, match="is taken"):
            TargetKeys.model_validate({"labels": {name: "x"}})
    assert all(f"`{name}`" in PAGE for name in {*dropped} - {"namespace"})
