"""How far the worker is behind what is due: what held calls back, what was skipped for it, and who is told."""

import math
from collections import Counter
from collections.abc import Mapping

from worker.backlog import Backlog
from worker.core.limit import Limit
from worker.core.overload import (
    LEAST_LATE_S,
    SETTLE_S,
    Demand,
    Look,
    Overload,
    Seen,
    Spell,
    Waiting,
    fields,
    is_late,
    need,
    watch,
)
from worker.core.result import SkipReason
from worker.limits import Hold, Limits
from worker.probe import Probe
from worker.world import World

LOOK_S = 1.0
#: A longer time between two looks is a suspension: what came due meanwhile is late, and nobody's overload.
SUSPENDED_S = 30.0


class Strain:
    """Counts as the engine goes, and looks once a second; but never in a batch, where everything is due at once and the
    deadline tells.
    """

    def __init__(self, world: World, backlog: Backlog) -> None:
        self._world = world
        self._backlog = backlog
        self._look_at = math.inf
        self._looked_at = self._cpu_s = 0.0
        self._settled_at = -math.inf
        self._demands: Mapping[str, Demand] = {}
        self._spell = Spell()
        self._held: tuple[Limit, float] | None = None
        self._held_s = Counter[Limit]()
        self._skipped = self._probes = self._calls = self._late = 0
        self._lateness_s = 0.0

    def expect(self, demands: Mapping[str, Demand]) -> None:
        """What the targets that are to be probed for ever ask for, by namespace."""
        self._demands = demands
        if self._look_at == math.inf:
            self._begin_look()

    def hold(self, hold: Hold | None, now: float) -> None:
        """What holds all calls back from now on, if anything does."""
        if self._held:
            limit, since = self._held
            self._held_s[limit] += now - since  # type: ignore[assignment]  # a Counter adds up seconds as well
            self._world.throttled(limit, now - since)
        self._held = (hold.limit, now) if hold else None

    def start(self, probe: Probe, now: float) -> None:
        """A call of this probe begins; its first one tells how late it is."""
        probe.waiting = False
        self._calls += 1
        if probe.lateness_s is None:
            probe.lateness_s = late_s = now - probe.due_at
            self._probes += 1
            if late_s > self._lateness_s:
                self._lateness_s = late_s
            if late_s >= LEAST_LATE_S and is_late(late_s, probe.target.interval_s):
                self._late += 1

    def skip(self, probe: Probe, limits: Limits, now: float) -> SkipReason:
        """Why the target is skipped that comes due while this probe of it has not ended."""
        namespace = probe.target.key.namespace
        if not probe.waiting or limits.paused_since(namespace, now):
            return SkipReason.OVERRUN
        if not limits.paused_since(namespace, now - SETTLE_S):
            self._skipped += 1
        return SkipReason.OVERLOAD

    def look(self, limits: Limits, now: float) -> None:
        """Tells when the worker is behind for real. To be asked when nothing more can be started: what is held is known
        then.
        """
        if now < self._look_at:
            return
        took_s = now - self._looked_at
        if took_s >= SUSPENDED_S:
            self._settled_at = now + SETTLE_S
        look = Look(
            now=now,
            seen=Seen(
                took_s=took_s,
                cpu_s=self._world.cpu_s() - self._cpu_s,
                rate_s=self._held_s[Limit.RATE],
                concurrency_s=self._held_s[Limit.CONCURRENCY],
                skipped=self._skipped,
                probes=self._probes,
                calls=self._calls,
                late=self._late,
                lateness_s=self._lateness_s,
            ),
            settling=now < self._settled_at or limits.paused_since(None, now - SETTLE_S),
            waiting=len(self._backlog),
            longest=self._longest(limits, now),
        )
        self._begin_look()
        self._spell, overload = watch(self._spell, look)
        if overload:
            self._tell(overload, limits)

    def _begin_look(self) -> None:
        self._looked_at, self._cpu_s = self._world.clock.now(), self._world.cpu_s()
        self._look_at = self._looked_at + LOOK_S
        self._held_s.clear()
        self._skipped = self._probes = self._calls = self._late = 0
        self._lateness_s = 0.0

    def _longest(self, limits: Limits, now: float) -> Waiting | None:
        """Of the probes that are next in their namespaces; those that a pause held up lately are late by that."""
        longest, most = None, 0.0
        for probe, held_by in self._backlog.survey(now):
            waited_s, interval_s = now - probe.due_at, probe.target.interval_s
            namespace = probe.target.key.namespace
            if probe.lateness_s is not None or waited_s <= most * interval_s:
                continue
            if not limits.paused_since(namespace, now - SETTLE_S):
                longest, most = Waiting(namespace, waited_s, interval_s, held_by), waited_s / interval_s
        return longest

    def _tell(self, overload: Overload, limits: Limits) -> None:
        concerned = [overload.namespace] if overload.namespace else self._demands
        asked = [(self._demands[name], limits.call_s(name)) for name in concerned if name in self._demands]
        wanted = need(asked, overload.window.calls / max(overload.window.probes, 1))
        told = fields(overload, wanted, _configured(limits))
        self._world.event("worker.overloaded", level="warning", **told)


def _configured(limits: Limits) -> dict[Limit, tuple[str | int, float]]:
    given = limits.settings
    found: dict[Limit, tuple[str | int, float]] = {
        Limit.RATE: (str(given.rate), given.rate.per_second),
        Limit.CONCURRENCY: (given.concurrency, given.concurrency),
    }
    if given.namespace_rate:
        found[Limit.NAMESPACE_RATE] = (str(given.namespace_rate), given.namespace_rate.per_second)
    if given.namespace_concurrency:
        found[Limit.NAMESPACE_CONCURRENCY] = (given.namespace_concurrency, given.namespace_concurrency)
    return found
