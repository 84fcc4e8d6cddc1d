"""Whether the worker can run as it is told to: its arguments and its configuration."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import click

from tests.deploy.manifest_commands import (
    Command,
    Configuration,
    commands,
    configuration,
    configured,
    files_in,
    is_loopback,
    is_ours,
    mounted,
    read,
)
from tests.deploy.manifests import Objects, containers
from worker.config.plan import plan_warnings
from worker.settings import ConfigError, LimitSettings

#: Which workloads each command is for: a batch in a Deployment would start again and again.
WORKLOADS = {
    "once": {"CronJob"},
    "report": {"CronJob"},
    "run": {"Deployment", "StatefulSet"},
    "sandbox": {"Deployment"},
}
_READ_ALWAYS = {"worker.yaml", "shapes.lock.yaml"}
_ALL_INTERFACES = ("", "0.0.0.0", "::")


def arguments(objects: Objects) -> Iterator[str]:
    for place, pod, container in containers(objects):
        if not is_ours(container):
            continue
        if "command" in container:
            yield f"{place}: command takes the place of the image's own; args are enough"
        try:
            command = read(place, pod, container)
        except ValueError as error:
            yield f"{place}: {error}"
        except click.ClickException as error:
            yield f"{place}: {error.format_message()}"
        else:
            if pod.owner["kind"] not in WORKLOADS.get(command.name, ()):
                yield f"{place}: {command.name!r} is no command for a {pod.owner['kind']}"
            if command.name == "once" and command.options["fail_on"].outcomes:
                yield f"{place}: a sick plugin is an alert, not a failed Job: --fail-on must be never"


def configurations(objects: Objects) -> Iterator[str]:
    """Of the whole and of each shard: what validate would say, and once or run after it."""
    for command in commands(objects, "once", "run", "report"):
        indexes = [None, *range(command.shards or 0)]
        said: dict[str, None] = {}
        for index in indexes:
            try:
                said |= dict.fromkeys(_warnings(command, configuration(objects, command, index)))
            except ConfigError as error:
                said |= dict.fromkeys(error.problems)
        yield from (f"{command.place}: {text}" for text in said)


def _warnings(command: Command, found: Configuration) -> list[str]:
    if command.name != "once":
        return plan_warnings(found.settings)
    period_s = command.options.get("period") or found.settings.schedule.interval_s
    return plan_warnings(found.settings, interval_s=period_s, deadline_s=command.options.get("deadline"))


def shares(objects: Objects) -> Iterator[str]:
    """Each shard's the same: with the rest of a division one shard would wait while another has room."""
    for command, found in configured(objects, "once", "run"):
        for key, whole in _limits(found.settings.limits).items():
            if command.shards and whole % command.shards:
                yield f"{command.place}: {key} is {whole}, which {command.shards} shards can't have equal parts of"


def _limits(limits: LimitSettings) -> dict[str, int]:
    given = {
        "limits.rate": limits.rate.count,
        "limits.concurrency": limits.concurrency,
        "limits.per_namespace.rate": limits.namespace_rate and limits.namespace_rate.count,
        "limits.per_namespace.concurrency": limits.namespace_concurrency,
    }
    return {key: whole for key, whole in given.items() if whole}


def targets_files(objects: Objects) -> Iterator[str]:
    """Every key of the ConfigMaps beside worker.yaml is read: a glob that misses one would be silent."""
    for command, found in configured(objects):
        folder = command.options["config"].parent
        volume = mounted(command.pod, command.container).get(str(folder), {})
        watched = {found.path(path) for path in found.settings.watched_files}
        for name in files_in(objects, volume):
            if name not in _READ_ALWAYS and folder / name not in watched:
                yield f"{command.place}: {folder / name} is there, and targets_files name no such file"


def keys(objects: Objects) -> Iterator[str]:
    """Its file is there, or `configurations` has said so."""
    for command, found in configured(objects, "once", "run"):
        if found.settings.api.api_key_file is None:
            yield f"{command.place}: the API key should be a file, which is read again when it changes"
            continue
        file = found.path(found.settings.api.api_key_file)
        volume = mounted(command.pod, command.container).get(str(file.parent), {})
        if not volume.keys() & {"secret", "csi"}:
            yield f"{command.place}: the API key {file} is in no Secret"


def listens(objects: Objects) -> Iterator[str]:
    for command, found in configured(objects, "run"):
        outputs = found.settings.outputs
        ports = [one["containerPort"] for one in command.container.get("ports", []) if one.get("name") == "metrics"]
        if ports != [outputs.listen_port]:
            yield f"{command.place}: it listens on {outputs.listen_port}, and its port metrics is {ports}"
        if outputs.listen_host not in _ALL_INTERFACES:
            yield f"{command.place}: it listens on {outputs.listen_host} alone, where nobody comes from outside"


def receivers(objects: Objects) -> Iterator[str]:
    """What a batch has measured goes with its pod, unless it was sent."""
    for command, found in configured(objects, "once"):
        if found.settings.outputs.pushgateway is None and found.settings.outputs.remote_write is None:
            yield f"{command.place}: nobody gets its metrics: outputs name no pushgateway and no remote_write"


def sandboxes(objects: Objects) -> Iterator[str]:
    """A loopback address is that of a sandbox in the same pod."""
    for command, found in configured(objects, "once", "run"):
        url = urlsplit(found.settings.api.base_url)
        if not is_loopback(url.hostname):
            continue
        beside = [one for one in commands(objects, "sandbox") if one.pod.owner is command.pod.owner]
        if [one.options["port"] for one in beside] != [url.port]:
            yield f"{command.place}: api.base_url is {url.geturl()}, and no sandbox in its pod has that port"
        for one in beside:
            probe = " ".join(one.container.get("startupProbe", {}).get("exec", {}).get("command", []))
            if not re.search(rf"\b{one.options['port']}\b", probe):
                yield f"{one.place}: the startupProbe doesn't look at port {one.options['port']}"


RULES = (
    arguments,
    configurations,
    shares,
    targets_files,
    keys,
    listens,
    receivers,
    sandboxes,
)
