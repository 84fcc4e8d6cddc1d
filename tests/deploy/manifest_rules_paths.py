"""Whether what a container writes has a place, which is still there and found by those who read it."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.deploy.manifest_commands import COMPLETION_INDEX, Command, commands, configured, read
from tests.deploy.manifest_rules_network import fitting, ports
from tests.deploy.manifests import Object, Objects, Pod, containers


def writes(objects: Objects) -> Iterator[str]:
    for command, found in configured(objects, "once", "run", "report"):
        textfile = found.settings.outputs.textfile
        paths = [found.path(textfile.path)] if textfile and command.name != "report" else []
        for path in [*paths, *(path for _, path in command.options.get("reports", ()))]:
            if not _writable(command.pod, command.container, path):
                yield f"{command.place}: it can't write {path}: no volume that it may write is mounted there"


def _writable(pod: Pod, container: Object, path: Path) -> bool:
    mount = _mount(container, path)
    if mount is None or mount.get("readOnly"):
        return False
    volume = pod.volumes.get(mount["name"], {})
    kept = volume.keys() & {"emptyDir", "persistentVolumeClaim", "volumeClaimTemplate"}
    return bool(kept) and not volume.get("persistentVolumeClaim", {}).get("readOnly")


def _mount(container: Object, path: Path) -> Object | None:
    """The innermost."""
    mounts = [mount for mount in container.get("volumeMounts", []) if path.is_relative_to(mount["mountPath"])]
    return max(mounts, key=lambda mount: len(mount["mountPath"]), default=None)


def reports(objects: Objects) -> Iterator[str]:
    """Each shard has a file of its own, and what merges them looks where they are."""
    merged = [path for command in commands(objects, "report") for path in command.options["files"]]
    for command in commands(objects, "once"):
        others = read(command.place, command.pod, command.container, index=1).options["reports"]
        for kind, path in command.options["reports"]:
            if command.shards and (kind, path) in others:
                yield f"{command.place}: all shards write the same {path}; it needs $({COMPLETION_INDEX}) in its name"
            if merged and not any(path == where or path.parent == where for where in merged):
                yield f"{command.place}: it writes {path}, and the merge looks at {', '.join(map(str, merged))}"


def merges(objects: Objects) -> Iterator[str]:
    batches = list(commands(objects, "once"))
    for command in commands(objects, "report"):
        for path in command.options["files"]:
            ours = _claim(command, path)
            if ours is None or ours not in [_claim(one, path) for one in batches]:
                yield f"{command.place}: no batch writes into the volume at {path}"


def _claim(command: Command, path: Path) -> str | None:
    mount = _mount(command.container, path)
    volume = command.pod.volumes.get(mount["name"], {}) if mount else {}
    claim: str | None = volume.get("persistentVolumeClaim", {}).get("claimName")
    return claim


def gateways(objects: Objects) -> Iterator[str]:
    """A Pushgateway that is restarted without its file has forgotten all counters."""
    for place, pod, container in containers(objects):
        if not re.search(r"(^|/)pushgateway[:@]", container["image"]):
            continue
        options = dict(word.removeprefix("--").partition("=")[::2] for word in container.get("args", []))
        address = options.get("web.listen-address", ":9091")
        if not fitting(ports(pod), int(address.rpartition(":")[2])):
            yield f"{place}: it listens on {address}, which is none of its ports"
        path = Path(options.get("persistence.file", ""))
        if not _writable(pod, container, path) or _kept_by_pod(pod, container, path):
            yield f"{place}: it keeps its metrics in {path}, which is gone with the pod"


def _kept_by_pod(pod: Pod, container: Object, path: Path) -> bool:
    mount = _mount(container, path)
    return mount is not None and "emptyDir" in pod.volumes[mount["name"]]


RULES = (writes, reports, merges, gateways)
