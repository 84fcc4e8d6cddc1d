"""The examples of how Prometheus comes to the metrics: read by promtool, and checked for what is easy to lose."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.rule_files import PATHS
from tests.programs import ROOT, needs, run
from worker.settings import ReceiverSettings

CONFIG = ROOT / "deploy" / "prometheus" / "prometheus.yml"
COMPONENTS = ROOT / "deploy" / "kubernetes" / "components"
PODS, SERVICES = COMPONENTS / "podmonitor" / "podmonitor.yaml", COMPONENTS / "servicemonitor" / "servicemonitor.yaml"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@needs("promtool")
def test_promtool_takes_the_configuration_and_finds_every_rule_file_by_it() -> None:
    code, said = run("promtool", "check", "config", str(CONFIG))
    assert code == 0, said
    assert PATHS
    assert sorted(re.findall(r"Checking (\S+)\n +SUCCESS: \d+ rules found", said)) == [str(path) for path in PATHS]


@pytest.mark.parametrize(
    ("path", "kind", "endpoints"),
    [(PODS, "PodMonitor", "podMetricsEndpoints"), (SERVICES, "ServiceMonitor", "endpoints")],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_monitor_is_one_plain_manifest_for_the_operator(path: Path, kind: str, endpoints: str) -> None:
    monitor = read(path)
    assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", kind)
    assert set(monitor) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(monitor["metadata"]) == {"name", "labels"}, "the namespace is the overlay's to say"
    assert set(monitor["spec"]) == {"selector", endpoints}
    assert monitor["spec"]["selector"]["matchLabels"]
    (endpoint,) = monitor["spec"][endpoints]
    assert set(endpoint) <= {"port", "path", "interval", "scrapeTimeout", "honorLabels"}
    assert re.fullmatch(r"[a-z]([a-z0-9-]{0,13}[a-z0-9])?", endpoint["port"]), "a port is named, not numbered"
    assert endpoint["path"] == "/metrics"
    assert int(endpoint["scrapeTimeout"][:-1]) < int(endpoint["interval"][:-1])


def test_labels_are_honoured_of_the_pushgateway_alone() -> None:
    """Its own job and shard are what was pushed; a daemon's are what Prometheus says."""
    jobs = {job["job_name"]: job for job in read(CONFIG)["scrape_configs"]}
    assert {name: job.get("honor_labels", False) for name, job in jobs.items()} == {
        "plugin_probe_daemon": False,
        "pushgateway": True,
    }
    (pods,) = read(PODS)["spec"]["podMetricsEndpoints"]
    (services,) = read(SERVICES)["spec"]["endpoints"]
    assert (pods.get("honorLabels", False), services["honorLabels"]) == (False, True)


def test_no_daemon_has_the_job_of_what_is_pushed() -> None:
    """Of one job and shard the newest run counts, so that of two probers the one that is missing hid."""
    pushed = ReceiverSettings(url="http://127.0.0.1:9091").job
    assert pushed not in {job["job_name"] for job in read(CONFIG)["scrape_configs"]}


def test_the_daemon_is_scraped_where_it_listens_by_default() -> None:
    (target,) = read(CONFIG)["scrape_configs"][0]["static_configs"]
    assert target["targets"] == [read(ROOT / "config" / "worker.yaml")["outputs"]["listen"]]
