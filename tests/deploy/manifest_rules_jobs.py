"""What a CronJob's controller does with its Jobs, and how many pods share the targets."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from tests.deploy.manifest_commands import COUNT, Command, commands, is_worker, variables
from tests.deploy.manifests import Object, Objects, Pod, of_kind, pods
from worker.core.exits import Exit

#: An hour, a day, and more than a change of summer time.
_RUNS = 400
_FROM = datetime(2026, 3, 28, 12, tzinfo=UTC)
#: What Kubernetes reads: no seconds, no L, no #, no TZ=.
_CRON = r"[0-9*/,\-]+( [0-9*/,\-]+){2}( [0-9a-zA-Z*/,\-]+){2}"

#: A Job is named by its CronJob and 11 characters more, a StatefulSet's revision by it and as many; labels hold 63.
_MOST_CHARS = 52
#: What is left to a host's name by a Job's and a dash, and the digits of the pod's number.
_MOST_NUMBERED_CHARS = 53
_POD_INDEX = "metadata.labels['apps.kubernetes.io/pod-index']"
#: Left out, unknown, no name, a folder of names.
_NO_ZONE = (KeyError, ValueError, OSError)
_FAILURES = [code.value for code in Exit if code is not Exit.OK]


def intervals_s(cronjob: Object) -> set[float]:
    """Between its runs; none where `schedules` has something to say."""
    try:
        return _intervals_s(cronjob["spec"]["schedule"], cronjob["spec"].get("timeZone", ""))
    except (CronSimError, *_NO_ZONE):
        return set()


@cache
def _intervals_s(schedule: str, zone: str) -> set[float]:
    runs = _runs(schedule, zone)
    times = [next(runs).timestamp() for _ in range(_RUNS)]
    return {after - before for before, after in pairwise(times)}


def _runs(schedule: str, zone: str) -> CronSim:
    if not re.fullmatch(_CRON, schedule):
        raise CronSimError("five fields of digits, *, -, / and commas are")
    return CronSim(schedule, _FROM.astimezone(ZoneInfo(zone)))


def schedules(objects: Objects) -> Iterator[str]:
    for one in of_kind(objects, "CronJob"):
        name, spec = one["metadata"]["name"], one["spec"]
        try:
            _runs(spec["schedule"], spec.get("timeZone", ""))
        except CronSimError as error:
            yield f"CronJob {name}: the schedule {spec['schedule']!r} is no cron: {error}"
        except _NO_ZONE:
            yield f"CronJob {name}: the time zone {spec.get('timeZone')!r} is none; Etc/UTC is"
        if spec.get("concurrencyPolicy") != "Forbid":
            yield f"CronJob {name}: concurrencyPolicy must be Forbid: two batches at once exceed limits.rate"
        if spec.get("failedJobsHistoryLimit", 1) < 1:
            yield f"CronJob {name}: failedJobsHistoryLimit must be 1 at least, or no failure's log is kept"


def suspensions(objects: Objects) -> Iterator[str]:
    """A merge waits to be asked."""
    for command in commands(objects, "once"):
        if command.pod.owner["spec"].get("suspend"):
            yield f"{command.pod.name}: it is suspended, so nothing is ever probed"
    for command in commands(objects, "report"):
        if not command.pod.owner["spec"].get("suspend"):
            yield f"{command.pod.name}: a merge has no time of its own, so it must be suspended"


def retries(objects: Objects) -> Iterator[str]:
    """What is rejected, and what would pay for every call again."""
    for pod, job in _jobs(objects):
        indexed, per_index = job.get("completionMode") == "Indexed", "backoffLimitPerIndex" in job
        if pod.spec.get("restartPolicy") != "Never":
            yield f"{pod.name}: restartPolicy must be Never: what failed would start again in the same pod"
        if per_index and not indexed:
            yield f"{pod.name}: backoffLimitPerIndex is refused where completionMode isn't Indexed"
        if indexed and "completions" not in job:
            yield f"{pod.name}: Indexed is refused without completions"
        if indexed and not per_index:
            yield f"{pod.name}: without backoffLimitPerIndex one shard's failure ends all others"
        if indexed and "backoffLimit" in job:
            yield f"{pod.name}: backoffLimit counts all shards together: one shard's failures end all others"
        if not indexed and job.get("backoffLimit") != 0:
            yield f"{pod.name}: backoffLimit must be 0: another try pays for every call again"


def failure_policies(objects: Objects) -> Iterator[str]:
    for pod, job in _jobs(objects):
        rules = job.get("podFailurePolicy", {}).get("rules", [])
        if any(rule["action"] == "FailIndex" for rule in rules) and "backoffLimitPerIndex" not in job:
            yield f"{pod.name}: FailIndex is refused without backoffLimitPerIndex"
        known = {container["name"] for container in pod.containers}
        for rule in rules:
            name = rule.get("onExitCodes", {}).get("containerName")
            if name is not None and name not in known:
                yield f"{pod.name}: podFailurePolicy looks at container {name!r}, which there is not"
    for command in commands(objects, "once"):
        if command.pod.job is not None:
            yield from _failure_policy(command, command.pod.job)


def _failure_policy(command: Command, job: Object) -> Iterator[str]:
    """Of a batch: a pod that was drained is replaced, and what said that it failed is not asked again."""
    place, rules = command.pod.name, job.get("podFailurePolicy", {}).get("rules", [])
    action = "FailIndex" if job.get("completionMode") == "Indexed" else "FailJob"
    first = rules[0] if rules else {}
    if first.get("action") != "Ignore" or not any(
        condition["type"] == "DisruptionTarget" for condition in first.get("onPodConditions", [])
    ):
        yield f"{place}: the first rule of podFailurePolicy must Ignore DisruptionTarget: a drained worker exits with 4"
    actions = {rule["action"] for rule in rules[1:]}
    if actions != {action}:
        others = ", ".join(sorted(actions - {action})) or "nothing"
        yield f"{place}: after Ignore, podFailurePolicy must {action}, and has {others}"
    listed = [rule["onExitCodes"] for rule in rules if "onExitCodes" in rule]
    wanted = {"containerName": command.container["name"], "operator": "In", "values": _FAILURES}
    if listed != [wanted]:
        yield f"{place}: podFailurePolicy must list the exit codes {_FAILURES} of {command.container['name']} alone"


def ends(objects: Objects) -> Iterator[str]:
    for pod, job in _jobs(objects):
        if "activeDeadlineSeconds" not in job:
            yield f"{pod.name}: without activeDeadlineSeconds a pod that hangs keeps all later ones from starting"
        if "ttlSecondsAfterFinished" in job:
            yield f"{pod.name}: ttlSecondsAfterFinished removes a failed Job with its log; the history limits keep few"


def name_lengths(objects: Objects) -> Iterator[str]:
    """A CronJob whose name is too long is accepted, and none of its pods can be made."""
    for pod in pods(objects):
        name = pod.owner["metadata"]["name"]
        most = min(_MOST_CHARS, _MOST_NUMBERED_CHARS - len(str((_numbered(pod) or 1) - 1)))
        if len(name) > most:
            yield f"{pod.name}: the name has {len(name)} characters, and its pods' names leave room for {most}"


def shards(objects: Objects) -> Iterator[str]:
    """As many pods as the workers are told that there are."""
    for pod in pods(objects):
        for container in filter(is_worker, pod.containers):
            told, count = variables(container).get(COUNT), _numbered(pod)
            if count is None and told is not None:
                yield f"{pod.name}: {COUNT} is set, and nothing numbers its pods"
            elif count is not None and told != str(count):
                yield f"{pod.name}: it has {count} numbered pods, and {COUNT} is {told}"
        if pod.job is not None and pod.job.get("completions", 1) != pod.job.get("parallelism", 1):
            yield f"{pod.name}: completions and parallelism differ: shards that come later probe later"


def _numbered(pod: Pod) -> int | None:
    if pod.job is not None:
        count: int = pod.job.get("completions", 1)
        return count if pod.job.get("completionMode") == "Indexed" else None
    return pod.copies if pod.owner["kind"] == "StatefulSet" else None


def shard_indexes(objects: Objects) -> Iterator[str]:
    for command in commands(objects, "run"):
        spec = command.pod.owner["spec"]
        if command.pod.owner["kind"] != "StatefulSet":
            if command.pod.copies != 1:
                yield f"{command.pod.name}: each of its {command.pod.copies} replicas would probe everything"
            continue
        sources = {one["name"]: one.get("valueFrom", {}) for one in command.container.get("env", [])}
        source = sources.get("PLUGIN_PROBE_SHARD_INDEX", {}).get("fieldRef", {}).get("fieldPath")
        if source != _POD_INDEX:
            yield f"{command.place}: PLUGIN_PROBE_SHARD_INDEX must come from {_POD_INDEX}, not from {source}"
        if spec.get("ordinals", {}).get("start", 0) != 0:
            yield f"{command.pod.name}: ordinals must start at 0, as shards do"
        if spec.get("podManagementPolicy") != "Parallel":
            yield f"{command.pod.name}: podManagementPolicy must be Parallel: else one that can't start holds up others"


def strategies(objects: Objects) -> Iterator[str]:
    for one in of_kind(objects, "Deployment"):
        if one["spec"].get("strategy", {}).get("type") != "Recreate":
            yield f"Deployment {one['metadata']['name']}: strategy must be Recreate: never two pods at once"


def _jobs(objects: Objects) -> Iterator[tuple[Pod, Object]]:
    for pod in pods(objects):
        if pod.job is not None:
            yield pod, pod.job


RULES = (
    schedules,
    suspensions,
    retries,
    failure_policies,
    ends,
    name_lengths,
    shards,
    shard_indexes,
    strategies,
)
