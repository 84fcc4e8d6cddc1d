"""Whether a batch ends before the next one starts, and a pod before it is killed."""

from collections.abc import Iterator
from typing import NamedTuple

from tests.deploy.manifest_commands import Configuration, configured
from tests.deploy.manifest_rules_jobs import intervals_s
from tests.deploy.manifests import Object, Objects

#: From the Job's start until the worker's: the node is found, the image is pulled.
START_S = 30
#: The controller looks every ten seconds: with less, a run may be missed for good.
_LEAST_STARTING_S = 10
_GRACE_DEFAULT_S = 30


class Times(NamedTuple):
    """A batch's, all in seconds."""

    place: str
    period: float
    starting: float | None
    deadline: float | None
    #: Grace for what is in flight, and the push.
    ending: float
    active: float
    termination: float


def batches(objects: Objects) -> Iterator[Times]:
    """Those whose Jobs have an end, which manifest_rules_jobs.py wants."""
    for command, configuration in configured(objects, "once"):
        if command.pod.job is not None and "activeDeadlineSeconds" in command.pod.job:
            schedule = configuration.settings.schedule
            yield Times(
                command.pod.name,
                command.options.get("period") or schedule.interval_s,
                command.pod.owner["spec"].get("startingDeadlineSeconds"),
                command.options.get("deadline") or schedule.deadline_s,
                _ending_s(configuration),
                command.pod.job["activeDeadlineSeconds"],
                _termination_s(command.pod.spec),
            )


def _ending_s(configuration: Configuration) -> float:
    outputs = configuration.settings.outputs
    receivers = [receiver for receiver in (outputs.pushgateway, outputs.remote_write) if receiver]
    return configuration.settings.schedule.grace_s + sum(receiver.timeout_s for receiver in receivers)


def _termination_s(spec: Object) -> float:
    seconds: float = spec.get("terminationGracePeriodSeconds", _GRACE_DEFAULT_S)
    return seconds


def periods(objects: Objects) -> Iterator[str]:
    for command, configuration in configured(objects, "once"):
        told = command.options.get("period") or configuration.settings.schedule.interval_s
        found = intervals_s(command.pod.owner)
        if found - {told}:
            text = ", ".join(f"{interval:g}" for interval in sorted(found))
            yield f"{command.pod.name}: its runs are {text} s apart, and --period says {told:g} s"


def deadlines(objects: Objects) -> Iterator[str]:
    for times in batches(objects):
        if times.deadline is None:
            yield f"{times.place}: the batch has no --deadline, so the Job's would cut it off"
            continue
        if times.deadline > times.period:
            yield f"{times.place}: --deadline is {times.deadline:g} s, more than the period of {times.period:g} s"
        need = times.deadline + times.ending + START_S
        if times.active < need:
            yield (
                f"{times.place}: activeDeadlineSeconds is {times.active:g}, and the batch needs {need:g}: deadline"
                f" {times.deadline:g}, grace and push {times.ending:g}, {START_S} to start"
            )


def ends(objects: Objects) -> Iterator[str]:
    for times in batches(objects):
        if times.active + times.termination >= times.period:
            yield (
                f"{times.place}: activeDeadlineSeconds {times.active:g} and terminationGracePeriodSeconds"
                f" {times.termination:g} together must be less than the period of {times.period:g} s"
            )
        if times.starting is None or not _LEAST_STARTING_S <= times.starting < times.period:
            yield (
                f"{times.place}: startingDeadlineSeconds is {times.starting}, and must be {_LEAST_STARTING_S} at least"
                f" and less than the period of {times.period:g} s"
            )


def terminations(objects: Objects) -> Iterator[str]:
    """A worker that is told to stop waits for what is in flight, and a batch pushes."""
    for command, configuration in configured(objects, "once", "run"):
        need, found = _ending_s(configuration), _termination_s(command.pod.spec)
        if found <= need:
            yield (
                f"{command.pod.name}: terminationGracePeriodSeconds is {found:g}, and must be more than the {need:g} s"
                f" that the worker may take to end"
            )


RULES = (periods, deadlines, ends, terminations)
