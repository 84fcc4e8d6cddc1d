"""What a pod may do: the restricted Pod Security Standard, and what we ask for besides."""

import re
from collections.abc import Iterator
from typing import Any

from tests.deploy.manifest_commands import is_ours, is_worker
from tests.deploy.manifests import Object, Objects, Pod, containers, of_kind, pods
from worker.version import VERSION

_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
_SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_CONFINED = {"RuntimeDefault", "Localhost"}
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"

_DIGEST = r"@sha256:[0-9a-f]{64}"
_SUFFIXES = {"": 1.0, "m": 1e-3, "k": 1e3, "Ki": 2.0**10, "M": 1e6, "Mi": 2.0**20, "G": 1e9, "Gi": 2.0**30}
#: What the worker's pods must have alike, however they are started.
_ALIKE = ("securityContext", "serviceAccountName", "automountServiceAccountToken", "enableServiceLinks")
_ALIKE_CONTAINERS = ("image", "securityContext", "terminationMessagePolicy")
_ALIKE_VOLUMES = ("config", "api-key")


# The standard -----------------------------------------------------------------------------------------------------


def hosts(objects: Objects) -> Iterator[str]:
    for pod in pods(objects):
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(key):
                yield f"{pod.name}: {key} is forbidden"
    for place, _, container in containers(objects):
        if any(port.get("hostPort") for port in container.get("ports", [])):
            yield f"{place}: hostPort is forbidden"
        handlers = [container.get(kind, {}) for kind in ("startupProbe", "readinessProbe", "livenessProbe")]
        handlers += container.get("lifecycle", {}).values()
        if any(handler.get(kind, {}).get("host") for handler in handlers for kind in ("httpGet", "tcpSocket")):
            yield f"{place}: the host of a probe or hook is forbidden"


def volume_types(objects: Objects) -> Iterator[str]:
    for pod in pods(objects):
        for volume in pod.spec.get("volumes", []):
            for kind in volume.keys() - {"name"} - _VOLUMES:
                yield f"{pod.name}: volume {volume['name']}: {kind} is forbidden"


def privileges(objects: Objects) -> Iterator[str]:
    for place, _, container in containers(objects):
        context = container.get("securityContext", {})
        capabilities = context.get("capabilities", {})
        if context.get("privileged"):
            yield f"{place}: privileged is forbidden"
        if context.get("allowPrivilegeEscalation") is not False:
            yield f"{place}: allowPrivilegeEscalation must be false"
        if "ALL" not in capabilities.get("drop", []):
            yield f"{place}: capabilities must drop ALL"
        if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            yield f"{place}: capabilities may add nothing but NET_BIND_SERVICE"
        if context.get("procMount", "Default") != "Default":
            yield f"{place}: procMount must be Default"


def users(objects: Objects) -> Iterator[str]:
    for place, pod, container in containers(objects):
        if _context(pod, container, "runAsNonRoot") is not True:
            yield f"{place}: runAsNonRoot must be true"
        if not _context(pod, container, "runAsUser"):
            yield f"{place}: runAsUser must be a number that isn't 0"
    for pod in pods(objects):
        shared = pod.spec.get("securityContext", {})
        if shared.get("runAsUser") == 0 or shared.get("runAsNonRoot") is False:
            yield f"{pod.name}: root is forbidden, even where each container says otherwise"


def confinement(objects: Objects) -> Iterator[str]:
    for pod in pods(objects):
        annotations = pod.template.get("metadata", {}).get("annotations", {})
        for key, value in annotations.items():
            if key.startswith(_APPARMOR) and not re.fullmatch(r"runtime/default|localhost/.*", value):
                yield f"{pod.name}: AppArmor must not be {value}"
        for sysctl in pod.spec.get("securityContext", {}).get("sysctls", []):
            if sysctl["name"] not in _SYSCTLS:
                yield f"{pod.name}: sysctl {sysctl['name']} is forbidden"
        yield from _confinement(pod.name, pod.spec.get("securityContext", {}))
    for place, pod, container in containers(objects):
        if (_context(pod, container, "seccompProfile") or {}).get("type") not in _CONFINED:
            yield f"{place}: seccompProfile must be RuntimeDefault or Localhost"
        yield from _confinement(place, container.get("securityContext", {}))


def _confinement(place: str, context: Object) -> Iterator[str]:
    selinux = context.get("seLinuxOptions", {})
    if selinux.get("type", "") not in _SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"{place}: seLinuxOptions {selinux} are forbidden"
    if context.get("appArmorProfile", {}).get("type", "RuntimeDefault") not in _CONFINED:
        yield f"{place}: AppArmor must not be {context['appArmorProfile']['type']}"
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield f"{place}: hostProcess is forbidden"


def _context(pod: Pod, container: Object, key: str) -> Any:
    """A container's own goes first."""
    return container.get("securityContext", {}).get(key, pod.spec.get("securityContext", {}).get(key))


# Ours -------------------------------------------------------------------------------------------------------------


def closed(objects: Objects) -> Iterator[str]:
    for place, _, container in containers(objects):
        if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            yield f"{place}: readOnlyRootFilesystem must be true"
    for pod in pods(objects):
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.name}: automountServiceAccountToken must be false"
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.name}: enableServiceLinks must be false, or Services set variables like ours"
        secret = any("secret" in volume or "csi" in volume for volume in pod.volumes.values())
        kept = any(volume.keys() & {"persistentVolumeClaim", "volumeClaimTemplate"} for volume in pod.volumes.values())
        if (secret or kept) and not pod.spec.get("securityContext", {}).get("fsGroup"):
            yield f"{pod.name}: without fsGroup it may neither read its key nor write its volumes"
    for account in of_kind(objects, "ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount {account['metadata']['name']}: automountServiceAccountToken must be false"


def resources(objects: Objects) -> Iterator[str]:
    for place, _, container in containers(objects):
        given = container.get("resources", {})
        requests, limits = given.get("requests", {}), given.get("limits", {})
        for kind in ("cpu", "memory"):
            if kind not in requests:
                yield f"{place}: it must request {kind}"
        if "memory" not in limits:
            yield f"{place}: it needs a limit of memory"
        elif "memory" in requests and quantity(limits["memory"]) < quantity(requests["memory"]):
            yield f"{place}: its limit of memory is less than it requests"
        if is_worker(container) and "cpu" in limits:
            yield f"{place}: with a limit of cpu the worker would measure its own pauses"


def quantity(text: str | int) -> float:
    """128Mi, 100m or 2."""
    number, suffix = re.findall(r"^([\d.]+)(\w*)$", str(text))[0]
    return float(number) * _SUFFIXES[suffix]


def images(objects: Objects) -> Iterator[str]:
    for place, _, container in containers(objects):
        image = container["image"]
        tag = re.sub(_DIGEST, "", image).rpartition("/")[2].partition(":")[2]
        if tag in ("", "latest"):
            yield f"{place}: the image {image} must have a tag, and not latest"
        elif is_ours(container) and tag != VERSION:
            yield f"{place}: the image {image} must be that of this version, {VERSION}"
        elif not is_ours(container) and not re.search(rf"{_DIGEST}$", image):
            yield f"{place}: the image {image} must have a digest: tags of others can move"
        if container.get("imagePullPolicy") == "Always":
            yield f"{place}: with imagePullPolicy Always nothing starts while the registry is down"


def last_words(objects: Objects) -> Iterator[str]:
    for place, _, container in containers(objects):
        if is_worker(container) and container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            yield f"{place}: terminationMessagePolicy must be FallbackToLogsOnError: what is wrong is in its log"


def alike(objects: Objects) -> Iterator[str]:
    """The worker's pods are written more than once."""
    first: tuple[str, dict[str, Any]] | None = None
    for place, pod, container in containers(objects):
        if not is_worker(container):
            continue
        found = _compared(pod, container)
        first = first or (place, found)
        for key in first[1].keys() & found.keys():
            if first[1][key] != found[key]:
                yield f"{place}: {key} isn't that of {first[0]}"


def _compared(pod: Pod, container: Object) -> dict[str, Any]:
    """Of volumes, those that it has."""
    compared = {key: pod.spec.get(key) for key in _ALIKE}
    compared |= {f"the container's {key}": container.get(key) for key in _ALIKE_CONTAINERS}
    compared["env"] = [one for one in container.get("env", []) if not one["name"].startswith("PLUGIN_PROBE_SHARD")]
    for mount in container.get("volumeMounts", []):
        if mount["name"] in _ALIKE_VOLUMES:
            compared[f"the mount of {mount['name']}"] = mount
            volume = pod.volumes.get(mount["name"])
            compared[f"the volume {mount['name']}"] = re.sub(r"-\w{10}(?='\})", "", str(volume))
    return compared


RULES = (
    hosts,
    volume_types,
    privileges,
    users,
    confinement,
    closed,
    resources,
    images,
    last_words,
    alike,
)
