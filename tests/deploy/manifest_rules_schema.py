"""What the API server would refuse, or take and do nothing with: fields, kinds, enumerations, names."""

import json
import re
from collections.abc import Iterator
from functools import cache

import kubernetes_validate

from tests.deploy.manifests import Objects, containers, named, of_kind, pods, walk

#: The oldest where all that is used is stable (sidecars, backoffLimitPerIndex), and the newest that is known.
VERSIONS = ("1.33", kubernetes_validate.latest_version().rpartition(".")[0])

_OPERATOR = "monitoring.coreos.com/v1"
#: What the rules understand. Of the operator's there are no schemas; manifest_rules_operator.py looks at them.
KINDS = {
    "ConfigMap": "v1",
    "CronJob": "batch/v1",
    "Deployment": "apps/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PersistentVolumeClaim": "v1",
    "PodMonitor": _OPERATOR,
    "PrometheusRule": _OPERATOR,
    "Secret": "v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "ServiceMonitor": _OPERATOR,
    "StatefulSet": "apps/v1",
}

#: Fields whose values the schemas do not know, by the end of their path.
ENUMERATIONS: dict[tuple[str, ...], frozenset[str]] = {
    path: frozenset(values.split())
    for path, values in {
        ("accessModes",): "ReadWriteOnce ReadOnlyMany ReadWriteMany ReadWriteOncePod",
        ("action",): "Ignore FailJob FailIndex Count",
        ("completionMode",): "NonIndexed Indexed",
        ("concurrencyPolicy",): "Allow Forbid Replace",
        ("containers", "restartPolicy"): "Always OnFailure Never",
        ("dnsPolicy",): "ClusterFirst ClusterFirstWithHostNet Default None",
        ("httpGet", "scheme"): "HTTP HTTPS",
        ("imagePullPolicy",): "Always IfNotPresent Never",
        ("initContainers", "restartPolicy"): "Always",
        ("medium",): "Memory HugePages",
        ("onExitCodes", "operator"): "In NotIn",
        ("onPodConditions", "status"): "True False Unknown",
        ("podManagementPolicy",): "OrderedReady Parallel",
        ("podReplacementPolicy",): "TerminatingOrFailed Failed",
        ("policyTypes",): "Ingress Egress",
        ("ports", "protocol"): "TCP UDP SCTP",
        ("seccompProfile", "type"): "RuntimeDefault Localhost Unconfined",
        ("strategy", "type"): "Recreate RollingUpdate",
        ("template", "spec", "restartPolicy"): "Always OnFailure Never",
        ("terminationMessagePolicy",): "File FallbackToLogsOnError",
        ("updateStrategy", "type"): "RollingUpdate OnDelete",
        ("whenDeleted",): "Retain Delete",
        ("whenScaled",): "Retain Delete",
        ("whenUnsatisfiable",): "DoNotSchedule ScheduleAnyway",
    }.items()
}

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_PORT = r"(?=.*[a-z])[a-z0-9](-?[a-z0-9])*"
_MOST_PORT_CHARS = 15


def kinds(objects: Objects) -> Iterator[str]:
    for one in objects:
        if KINDS.get(one["kind"]) != one["apiVersion"]:
            yield f"{named(one)}: {one['apiVersion']} {one['kind']} is looked at by nobody here; add what checks it"


def fields(objects: Objects) -> Iterator[str]:
    for one in objects:
        if KINDS.get(one["kind"]) == one["apiVersion"] != _OPERATOR:
            for version in VERSIONS:
                wrong = _refused(json.dumps(one), version)
                if wrong:
                    yield f"{named(one)}: Kubernetes {version}: {wrong}"


@cache
def _refused(one: str, version: str) -> str:
    try:
        kubernetes_validate.validate(json.loads(one), version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    return ""


def enumerations(objects: Objects) -> Iterator[str]:
    for one in objects:
        for path, value in walk(one):
            for end, values in ENUMERATIONS.items():
                if path[-len(end) :] == end and isinstance(value, str) and value not in values:
                    yield f"{named(one)}: {path[-1]} can't be {value!r}, only {', '.join(sorted(values))}"


def names(objects: Objects) -> Iterator[str]:
    for one in objects:
        if not re.fullmatch(_LABEL, one["metadata"]["name"]):
            yield f"{named(one)}: the name must be up to 63 lower-case letters, digits and dashes"
    for place, _, container in containers(objects):
        if not re.fullmatch(_LABEL, container["name"]):
            yield f"{place}: the name must be up to 63 lower-case letters, digits and dashes"


def port_names(objects: Objects) -> Iterator[str]:
    ports = [(place, port) for place, _, container in containers(objects) for port in container.get("ports", [])]
    ports += [(named(service), port) for service in of_kind(objects, "Service") for port in service["spec"]["ports"]]
    for place, port in ports:
        name = port.get("name", "")
        if len(name) > _MOST_PORT_CHARS or not re.fullmatch(_PORT, name):
            yield f"{place}: {name!r} names no port: up to {_MOST_PORT_CHARS} letters, digits and single dashes do"


def duplicates(objects: Objects) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    for one in objects:
        key = (one["kind"], one["metadata"]["name"])
        if key in seen:
            yield f"{named(one)}: it is there twice"
        seen.add(key)


def namespaces(objects: Objects) -> Iterator[str]:
    """All in one: selectors and references reach no further."""
    expected = next((one["metadata"]["namespace"] for one in objects if "namespace" in one["metadata"]), "one")
    for one in objects:
        found = one["metadata"].get("namespace")
        if found is None:
            yield f"{named(one)}: it has no namespace, so it lands wherever kubectl stands"
        elif found != expected:
            yield f"{named(one)}: it is in namespace {found}, others in {expected}"


def conditions(objects: Objects) -> Iterator[str]:
    """Of a failed pod; the schema takes any text, and what no controller sets is never met."""
    for pod in pods(objects):
        for path, value in walk(pod.owner):
            if path[-2:] == ("onPodConditions", "type") and value != "DisruptionTarget":
                yield f"{pod.name}: no pod ever has the condition {value!r}; DisruptionTarget is what drained pods have"


RULES = (kinds, enumerations, names, port_names, duplicates, namespaces, conditions, fields)
