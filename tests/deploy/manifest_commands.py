"""What containers of ours run, and with which configuration: read by the command's own parser and loader."""

import base64
import json
import re
from collections.abc import Iterator
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click

from tests.deploy.manifests import Object, Objects, Pod, containers, find
from worker.cli import cli
from worker.config.load import load
from worker.core.shard import Shard
from worker.settings import ConfigError, Settings

COUNT = "PLUGIN_PROBE_SHARDS"
#: Kubernetes sets it in the pods of an Indexed Job.
COMPLETION_INDEX = "JOB_COMPLETION_INDEX"
#: The Secret that a user makes, as docs/kubernetes.md says, and its keys; by CSI the same keys come as files.
DOCUMENTED = {"plugin-probe": ("api-key",)}


class Command(NamedTuple):
    """A container of ours: which command it runs, and with which options as that reads them."""

    place: str
    pod: Pod
    container: Object
    name: str
    options: dict[str, Any]

    @property
    def shards(self) -> int | None:
        """How many share the targets; None where nobody does."""
        value = variables(self.container).get(COUNT, "")
        return int(value) if value.isdigit() and int(value) else None


class Configuration(NamedTuple):
    """What a command's configuration amounts to; its paths are those in the container."""

    settings: Settings
    root: str

    def path(self, path: Path) -> Path:
        return Path(str(path).removeprefix(self.root))


def is_ours(container: Object, suffix: str = "(-sandbox)?") -> bool:
    return re.search(rf"(^|/)plugin-probe{suffix}([:@]|$)", container["image"]) is not None


def is_worker(container: Object) -> bool:
    return is_ours(container, suffix="")


def is_loopback(host: str | None) -> bool:
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def variables(container: Object) -> dict[str, str]:
    """Those that come from elsewhere are empty."""
    return {one["name"]: one.get("value", "") for one in container.get("env", [])}


def commands(objects: Objects, *names: str) -> Iterator[Command]:
    """Those that can be read, of these names if any are given."""
    for place, pod, container in containers(objects):
        try:
            command = read(place, pod, container) if is_ours(container) else None
        except (ValueError, click.ClickException):
            continue
        if command and (not names or command.name in names):
            yield command


def read(place: str, pod: Pod, container: Object, index: int = 0) -> Command:
    """As the shard of this index reads it.

    Raises ValueError for a $(VARIABLE) that there is not, ClickException for what the command does not take.
    """
    known = {**variables(container), **({COMPLETION_INDEX: str(index)} if _indexed(pod) else {})}

    def value(found: re.Match[str]) -> str:
        if found[1] not in known:
            raise ValueError(f"$({found[1]}) in its args is no variable of its own")
        return known[found[1]] or "0"

    name, *arguments = [re.sub(r"\$\((\w+)\)", value, word) for word in container.get("args", [])] or [""]
    command = cli.get_command(click.Context(cli), name)
    if command is None:
        raise ValueError(f"plugin-probe has no command {name!r}")
    return Command(place, pod, container, name, command.make_context(name, arguments).params)


def _indexed(pod: Pod) -> bool:
    return pod.job is not None and pod.job.get("completionMode") == "Indexed"


def configuration(objects: Objects, command: Command, index: int | None = None) -> Configuration:
    """`index` is a shard's; without it, the whole is read. Raises ConfigError."""
    files = {path: files_in(objects, volume) for path, volume in mounted(command.pod, command.container).items()}
    config, environ = str(command.options["config"]), variables(command.container)
    shard = None if index is None or command.shards is None else Shard(index=index, count=command.shards)
    found = _load(json.dumps(files), config, json.dumps(environ), shard, calling=command.name != "report")
    if isinstance(found, ConfigError):
        raise found
    return found


def configured(objects: Objects, *names: str) -> Iterator[tuple[Command, Configuration]]:
    """Those whose configuration is valid."""
    for command in commands(objects, *names):
        try:
            yield command, configuration(objects, command)
        except ConfigError:
            continue


def mounted(pod: Pod, container: Object) -> dict[str, Object]:
    """Volumes by the path at which they are."""
    mounts = container.get("volumeMounts", [])
    return {mount["mountPath"]: pod.volumes[mount["name"]] for mount in mounts if mount["name"] in pod.volumes}


def files_in(objects: Objects, volume: Object) -> dict[str, str]:
    """What the kubelet would put there; of a key that is not in the manifests, some text."""
    if "csi" in volume:
        return dict.fromkeys(DOCUMENTED["plugin-probe"], "key")
    files: dict[str, str] = {}
    for source in volume.get("projected", {}).get("sources", [volume]):
        for kind in source.keys() & {"configMap", "secret"}:
            keys = data(objects, kind, source[kind].get("name") or source[kind].get("secretName"))
            items = source[kind].get("items") or [{"key": key, "path": key} for key in keys]
            files |= {item["path"]: keys[item["key"]] for item in items if item["key"] in keys}
    return files


def data(objects: Objects, kind: str, name: str) -> dict[str, str]:
    """The keys of a `configMap` or a `secret`; none where there is no such thing."""
    if kind == "configMap":
        return dict((find(objects, "ConfigMap", name) or {}).get("data", {}))
    secret = find(objects, "Secret", name)
    if secret is None:
        return dict.fromkeys(DOCUMENTED.get(name, ()), "key")
    return {key: base64.b64decode(value).decode() for key, value in secret.get("data", {}).items()}


@cache
def _load(files: str, config: str, environ: str, shard: Shard | None, *, calling: bool) -> Configuration | ConfigError:
    """In a folder that stands for the container's root. Who does not call needs no key."""
    with TemporaryDirectory() as root:
        placed = {root + path: content for path, content in json.loads(files).items()}
        for folder, content in placed.items():
            _place(Path(folder), {name: _moved(text, root, json.loads(files)) for name, text in content.items()})
        try:
            path, variables = Path(root + config), json.loads(environ)
            return Configuration(load(path, environ=variables, calling=calling, shard=shard), root)
        except ConfigError as error:
            return ConfigError([problem.replace(root, "") for problem in error.problems])


def _moved(text: str, root: str, paths: dict[str, object]) -> str:
    """Absolute paths into these folders, with the root before them."""
    return re.sub(rf"(?<![\w/])({'|'.join(map(re.escape, paths))})(?=/)", rf"{root}\1", text)


def _place(folder: Path, files: dict[str, str]) -> None:
    """As the kubelet does: each name leads through ..data, which it exchanges to renew them all at once."""
    version = folder / "..version"
    version.mkdir(parents=True)
    (folder / "..data").symlink_to(version.name)
    for name, text in files.items():
        (version / name).write_text(text, encoding="utf-8")
        (folder / name).symlink_to(f"..data/{name}")
