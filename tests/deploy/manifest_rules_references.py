"""Whether all that is named is there, and all that is there is named: volumes, keys, claims, accounts, ports."""

import re
from collections.abc import Iterator

from tests.deploy.manifest_commands import data
from tests.deploy.manifests import Object, Objects, Pod, containers, find, named, of_kind, pods

#: What kustomize puts behind the name of a ConfigMap, made from what is in it.
_HASHED = r".*-[2456789bcdfghkmt]{10}"
#: What a variable may take from its pod; all else is refused.
_FIELDS = (
    r"metadata\.(name|namespace|uid|(labels|annotations)\['[^']+'\])"
    r"|spec\.(nodeName|serviceAccountName)|status\.(hostIPs?|podIPs?)"
)
#: Labels that controllers add.
_ADDED = {
    "apps.kubernetes.io/pod-index": "StatefulSet",
    "statefulset.kubernetes.io/pod-name": "StatefulSet",
    "batch.kubernetes.io/job-completion-index": "CronJob",
}
_SECRET = r"KEY|TOKEN|PASSWORD|SECRET"
#: The SecretProviderClass that a user makes; its driver refuses to mount it otherwise than to be read.
_VAULT = {
    "driver": "secrets-store.csi.k8s.io",
    "readOnly": True,
    "volumeAttributes": {"secretProviderClass": "plugin-probe"},
}
_HEALTHY, _READY = "/-/healthy", "/-/ready"
#: A plugin's outage makes nobody unhealthy: a restart would mend nothing.
_PATHS = {"startupProbe": _HEALTHY, "livenessProbe": _HEALTHY, "readinessProbe": _READY}
_LEAST_PATIENCE_S = 60


# Volumes ----------------------------------------------------------------------------------------------------------


def mounts(objects: Objects) -> Iterator[str]:
    for place, pod, container in containers(objects):
        paths: set[str] = set()
        for mount in container.get("volumeMounts", []):
            path = mount["mountPath"]
            if mount["name"] not in pod.volumes:
                yield f"{place}: it mounts {mount['name']}, and its pod has no such volume"
            if path in paths or not path.startswith("/"):
                yield f"{place}: {path} can't be mounted twice, nor a relative path at all"
            if mount.keys() & {"subPath", "subPathExpr"}:
                yield f"{place}: what is mounted at {path} by subPath is never renewed"
            paths.add(path)


def volumes(objects: Objects) -> Iterator[str]:
    for pod in pods(objects):
        mounted = {mount["name"] for container in pod.containers for mount in container.get("volumeMounts", [])}
        for name, volume in pod.volumes.items():
            if name not in mounted:
                yield f"{pod.name}: no container mounts its volume {name}"
            if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
                yield f"{pod.name}: without sizeLimit its volume {name} can fill the node"
            if "secret" in volume and volume["secret"].get("defaultMode", 0o644) & 0o007:
                yield f"{pod.name}: everybody may read its volume {name}; defaultMode 0440 and fsGroup are enough"
        names = [volume["name"] for volume in pod.spec.get("volumes", [])]
        if len(names) + len(pod.owner["spec"].get("volumeClaimTemplates", [])) != len(pod.volumes):
            yield f"{pod.name}: two of its volumes have the same name"


# ConfigMaps and Secrets -------------------------------------------------------------------------------------------


def _sources(pod: Pod) -> Iterator[tuple[str, str, list[str]]]:
    """Kind, name and keys of what it takes from: in volumes, and in variables."""
    for volume in pod.volumes.values():
        for source in volume.get("projected", {}).get("sources", [volume]):
            for kind in source.keys() & {"configMap", "secret"}:
                yield kind, *_name_and_items(source[kind])
    for container in pod.containers:
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {})
            for kind in source.keys() & {"configMapKeyRef", "secretKeyRef"}:
                yield kind.removesuffix("KeyRef"), source[kind]["name"], [source[kind]["key"]]
        for source in container.get("envFrom", []):
            for kind in source.keys() & {"configMapRef", "secretRef"}:
                yield kind.removesuffix("Ref"), source[kind]["name"], []


def _name_and_items(source: Object) -> tuple[str, list[str]]:
    return source.get("name") or source["secretName"], [item["key"] for item in source.get("items", [])]


def sources(objects: Objects) -> Iterator[str]:
    for pod in pods(objects):
        for kind, name, wanted in _sources(pod):
            title = "ConfigMap" if kind == "configMap" else "Secret"
            known = data(objects, kind, name)
            if not known:
                yield f"{pod.name}: there is no {title} {name}"
            for key in wanted:
                if known and key not in known:
                    yield f"{pod.name}: {title} {name} has no key {key}"


def hashes(objects: Objects) -> Iterator[str]:
    """A daemon reads again what has changed, so the name must stay; a batch that has begun must keep what it reads."""
    for pod in pods(objects):
        for kind, name, _ in _sources(pod):
            hashed = re.fullmatch(_HASHED, name) is not None
            if hashed and pod.job is None:
                yield f"{pod.name}: {name} has another name after each edit, which starts new pods instead of a reload"
            if kind == "configMap" and not hashed and pod.job is not None:
                yield f"{pod.name}: {name} has no hash in its name, so an edit reaches batches that have begun"


def secrets(objects: Objects) -> Iterator[str]:
    for one in of_kind(objects, "Secret"):
        values = data(objects, "secret", one["metadata"]["name"]).values()
        if set(values) != {"sandbox"}:
            yield f"{named(one)}: no key belongs into manifests but the sandbox's"
    for place, _, container in containers(objects):
        for one in container.get("env", []):
            if one.get("value") and re.search(_SECRET, one["name"]):
                yield f"{place}: {one['name']} stands here for everybody to read; take it from a Secret"
    for pod in pods(objects):
        for name, volume in pod.volumes.items():
            if volume.get("csi", _VAULT) != _VAULT:
                yield f"{pod.name}: volume {name}: only {_VAULT} is documented"


# Claims, accounts -------------------------------------------------------------------------------------------------


def claims(objects: Objects) -> Iterator[str]:
    users: dict[str, list[tuple[Pod, bool]]] = {}
    for pod in pods(objects):
        for name, volume in pod.volumes.items():
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                users.setdefault(claim, []).append((pod, _writes(pod, name, volume)))
    for claim, found in users.items():
        one = find(objects, "PersistentVolumeClaim", claim)
        if one is None:
            yield f"{found[0][0].name}: there is no PersistentVolumeClaim {claim}"
            continue
        if sum(pod.copies for pod, _ in found) > 1 and "ReadWriteMany" not in one["spec"]["accessModes"]:
            yield f"{named(one)}: several pods mount it, wherever they run, so it must be ReadWriteMany"
        if not any(writes for _, writes in found):
            yield f"{named(one)}: nobody writes into it"
        if "storage" not in one["spec"].get("resources", {}).get("requests", {}):
            yield f"{named(one)}: it is refused without a request for storage"


def _writes(pod: Pod, name: str, volume: Object) -> bool:
    mounted = [mount for one in pod.containers for mount in one.get("volumeMounts", []) if mount["name"] == name]
    return not volume["persistentVolumeClaim"].get("readOnly") and any(not mount.get("readOnly") for mount in mounted)


def accounts(objects: Objects) -> Iterator[str]:
    for pod in pods(objects):
        name = pod.spec.get("serviceAccountName")
        if name is not None and find(objects, "ServiceAccount", name) is None:
            yield f"{pod.name}: there is no ServiceAccount {name}"


def unused(objects: Objects) -> Iterator[str]:
    used = {("ServiceAccount", pod.spec.get("serviceAccountName", "")) for pod in pods(objects)}
    for pod in pods(objects):
        used |= {("ConfigMap" if kind == "configMap" else "Secret", name) for kind, name, _ in _sources(pod)}
        used |= {
            ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
            for volume in pod.volumes.values()
            if "persistentVolumeClaim" in volume
        }
    for one in of_kind(objects, "ConfigMap", "Secret", "PersistentVolumeClaim", "ServiceAccount"):
        if (one["kind"], one["metadata"]["name"]) not in used:
            yield f"{named(one)}: no pod uses it"


# Variables, probes ------------------------------------------------------------------------------------------------


def variables(objects: Objects) -> Iterator[str]:
    for place, pod, container in containers(objects):
        names = [one["name"] for one in container.get("env", [])]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"{place}: {name} is set twice"
        for one in container.get("env", []):
            path = one.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            if path is not None and not re.fullmatch(_FIELDS, path):
                yield f"{place}: {one['name']} can't be taken from {path}"
            label = re.fullmatch(r"metadata\.labels\['(.+)'\]", path or "")
            if label and label[1] not in pod.labels and _ADDED.get(label[1]) != pod.owner["kind"]:
                yield f"{place}: {one['name']} is taken from the label {label[1]}, which its pods don't have"


def probes(objects: Objects) -> Iterator[str]:
    for place, _, container in containers(objects):
        numbers = {port.get("name"): port["containerPort"] for port in container.get("ports", [])}
        for kind in container.keys() & _PATHS:
            target = container[kind].get("httpGet") or container[kind].get("tcpSocket")
            if target and target["port"] not in {*numbers, *numbers.values()}:
                yield f"{place}: its {kind} looks at port {target['port']}, which it doesn't have"


def health(objects: Objects) -> Iterator[str]:
    """Of servers: what has ports is asked whether it lives, and is not restarted for a moment's silence."""
    for place, _, container in containers(objects):
        if not container.get("ports"):
            continue
        for kind, wanted in _PATHS.items():
            path = container.get(kind, {}).get("httpGet", {}).get("path")
            if path != wanted and (kind != "startupProbe" or kind in container):
                yield f"{place}: its {kind} must ask for {wanted}, and asks for {path}"
        probe = container.get("livenessProbe", {})
        patience_s = probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
        if patience_s < _LEAST_PATIENCE_S:
            yield f"{place}: {patience_s} s without an answer restart it; {_LEAST_PATIENCE_S} s are the least"


RULES = (
    mounts,
    volumes,
    sources,
    hashes,
    secrets,
    claims,
    accounts,
    unused,
    variables,
    probes,
    health,
)
