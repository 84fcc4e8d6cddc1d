"""The Prometheus Operator's kinds, of which there are no schemas here: what they select, and which rules they bring."""

from collections.abc import Iterator

import yaml

from tests.deploy.manifest_rules_network import ports
from tests.deploy.manifests import Objects, named, of_kind, pods, selects
from tests.deploy.rule_files import PATHS


def pod_monitors(objects: Objects) -> Iterator[str]:
    for monitor in of_kind(objects, "PodMonitor"):
        chosen = [pod for pod in pods(objects) if selects(monitor["spec"]["selector"], pod.labels)]
        known = {port.name for pod in chosen for port in ports(pod)}
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            if endpoint["port"] not in known:
                yield f"{named(monitor)}: none of the pods that it selects has a port {endpoint['port']}"


def service_monitors(objects: Objects) -> Iterator[str]:
    for monitor in of_kind(objects, "ServiceMonitor"):
        services = of_kind(objects, "Service")
        chosen = [one for one in services if selects(monitor["spec"]["selector"], one["metadata"].get("labels", {}))]
        known = {port.get("name") for one in chosen for port in one["spec"]["ports"]}
        for endpoint in monitor["spec"]["endpoints"]:
            if endpoint["port"] not in known:
                yield f"{named(monitor)}: none of the Services that it selects has a port {endpoint['port']}"


def prometheus_rules(objects: Objects) -> Iterator[str]:
    """Where there are some, all of them."""
    found = {one["metadata"]["name"]: one["spec"] for one in of_kind(objects, "PrometheusRule")}
    if not found:
        return
    for path in PATHS:
        name = f"plugin-probe-{path.stem}"
        if found.pop(name, None) != yaml.safe_load(path.read_text(encoding="utf-8")):
            yield f"PrometheusRule {name}: its groups aren't those of {path.name}"
    for name in found:
        yield f"PrometheusRule {name}: there is no such file of rules"


RULES = (pod_monitors, service_monitors, prometheus_rules)
