"""Says where the plan cannot fit: more calls than the limits allow in the time there is, and what would fit."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from worker.config.units import duration_text
from worker.core.distinct import calls_per_s, questions
from worker.core.fit import concurrency_remedy, rate_remedy, rate_text
from worker.core.target import Target
from worker.settings import Rate, Settings

_NAMESPACES_TOLD = 3
#: How old a sample Prometheus still takes for the present, unless it is told otherwise.
_LOOKBACK_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Load:
    """What some targets ask of one pair of limits, distinct inputs included. `calls` are those of a batch; `busy` is
    calls at a time if every call ran into its timeout.
    """

    targets: int
    calls: int
    calls_per_s: float
    busy: float
    timeouts_s: float


def plan_warnings(settings: Settings, *, interval_s: float | None = None, deadline_s: float | None = None) -> list[str]:
    """One line for each way in which the targets do not fit into the limits.

    With `interval_s` every target is probed once in that time (a batch's period), else each at its own interval.
    `deadline_s` is a batch's, by default the schedule's.
    """
    deadline_s = settings.schedule.deadline_s if deadline_s is None else deadline_s
    limits = settings.limits
    warnings = list(_misfits(_load(settings.targets, interval_s), "limits", limits.rate, limits.concurrency))
    warnings += _namespace_warnings(settings, interval_s)
    if deadline_s is not None:
        warnings += _deadline_warnings(_load(settings.targets, interval_s), settings, deadline_s)
        if interval_s is not None and deadline_s > interval_s:
            warnings.append(
                f"the deadline {_text(deadline_s)} is longer than the period {_text(interval_s)}: batches would"
                f" overlap; a deadline of at most {_text(interval_s)} fits"
            )
    if interval_s is not None and settings.outputs.remote_write and interval_s > _LOOKBACK_S:
        warnings.append(
            f"outputs.remote_write: between two batches in {_text(interval_s)} Prometheus forgets the first, since it"
            f" looks back for {_text(_LOOKBACK_S)}; start it with --query.lookback-delta={_text(2 * interval_s)}, or"
            f" use outputs.pushgateway"
        )
    return warnings + list(_timeout_warnings(settings.targets, interval_s))


def _load(targets: Iterable[Target], interval_s: float | None) -> _Load:
    count, calls, total_per_s, busy, timeouts_s = 0, 0, 0.0, 0.0, 0.0
    for target in targets:
        besides = len(questions(target.expect))
        per_s = calls_per_s(target) if interval_s is None else (1 + besides) / interval_s
        count += 1
        total_per_s += per_s
        busy += target.timeout_s * per_s
        calls += 1 + besides
        timeouts_s += target.timeout_s * (1 + besides)
    return _Load(targets=count, calls=calls, calls_per_s=total_per_s, busy=busy, timeouts_s=timeouts_s)


def _misfits(load: _Load, name: str, rate: Rate | None, concurrency: int | None) -> Iterator[str]:
    # 5 targets every 30 s are 0.167 calls a second: 10/m fits. Their timeouts of 30 s keep 5 calls busy at worst.
    if rate is not None and _exceeds(load.calls_per_s, rate.per_second):
        needed, longer = rate_text(load.calls_per_s), load.calls_per_s / rate.per_second
        yield (
            f"{_targets(load.targets)} {_verb(load, 'ask')} for {needed}, but {name}.rate is {rate};"
            f" {rate_remedy(f'{name}.rate', load.calls_per_s, longer)}"
        )
    if concurrency is not None and _exceeds(load.busy, concurrency):
        calls, longer = math.ceil(load.busy - 1e-9), load.busy / concurrency
        yield (
            f"if every call ran into its timeout, {_targets(load.targets)} would keep {calls} calls busy,"
            f" but {name}.concurrency is {concurrency};"
            f" {concurrency_remedy(f'{name}.concurrency', calls, longer)}"
        )


def _namespace_warnings(settings: Settings, interval_s: float | None) -> list[str]:
    rate, concurrency = settings.limits.namespace_rate, settings.limits.namespace_concurrency
    if rate is None and concurrency is None:
        return []
    namespaces: dict[str, list[Target]] = {}
    for target in settings.targets:
        namespaces.setdefault(target.key.namespace, []).append(target)
    loads = {name: _load(targets, interval_s) for name, targets in namespaces.items()}
    worst = sorted(loads, key=lambda name: loads[name].calls_per_s, reverse=True)
    told = {name: list(_misfits(loads[name], "limits.per_namespace", rate, concurrency)) for name in worst}
    over = [name for name in worst if told[name]]
    warnings = [f"namespace {name}: {line}" for name in over[:_NAMESPACES_TOLD] for line in told[name]]
    if len(over) > _NAMESPACES_TOLD:
        warnings.append(f"and {len(over) - _NAMESPACES_TOLD} more namespaces do not fit limits.per_namespace")
    return warnings


def _deadline_warnings(load: _Load, settings: Settings, deadline_s: float) -> Iterator[str]:
    # A window's first calls go at once, so 61 targets at 60/m take one minute, not 61 seconds.
    rate, concurrency = settings.limits.rate, settings.limits.concurrency
    takes_s = max(0, math.ceil(load.calls / rate.count) - 1) * rate.period_s
    if _exceeds(takes_s, deadline_s):
        yield (
            f"a batch of {_targets(load.targets)} takes at least {_text(takes_s)} at limits.rate {rate}, but its"
            f" deadline is {_text(deadline_s)}; limits.rate: {rate_text(load.calls / deadline_s)} fits,"
            f" or a deadline of {_text(takes_s + rate.period_s)}"
        )
    worst_s = load.timeouts_s / concurrency
    if _exceeds(worst_s, deadline_s):
        yield (
            f"if every call ran into its timeout, a batch would take {_text(worst_s)} at limits.concurrency"
            f" {concurrency}, but its deadline is {_text(deadline_s)};"
            f" limits.concurrency: {math.ceil(load.timeouts_s / deadline_s - 1e-9)} fits, or shorter timeouts"
        )


def _timeout_warnings(targets: Iterable[Target], interval_s: float | None) -> Iterator[str]:
    late = [target for target in targets if target.timeout_s > (interval_s or target.interval_s)]
    if late:
        first = late[0]
        others = f" (and {len(late) - 1} more)" if len(late) > 1 else ""
        yield (
            f"{first.key}{others}: the timeout {_text(first.timeout_s)} is longer than the interval"
            f" {_text(interval_s or first.interval_s)}, so a slow reply makes the next probe be skipped;"
            f" a timeout of at most the interval fits"
        )


def _exceeds(needed: float, allowed: float) -> bool:
    # Sums of 1/interval are not exact: 300 targets every 300 s must fit 1/s.
    return needed > allowed * (1 + 1e-9)


def _targets(count: int) -> str:
    return "1 target" if count == 1 else f"{count} targets"


def _verb(load: _Load, plural: str) -> str:
    return plural + "s" if load.targets == 1 else plural


def _text(seconds: float) -> str:
    """As the files write it, rounded up to what matters."""
    rounded = math.ceil(seconds - 1e-9) if seconds >= 1 else seconds
    written = duration_text(float(rounded))
    return written if isinstance(written, str) else f"{written}s"
