"""The loop: what is due, under the limits, is called, judged, asked again where that is due, tracked and recorded.

One dispatcher decides, persistent workers call. Nothing here knows HTTP, a file or a metric: the world is passed in.
"""

import asyncio
from collections.abc import Iterable, Sequence, Set

from worker.agenda import Agenda
from worker.backlog import Backlog
from worker.clock import Alarm
from worker.core.attempt import Again, next_attempt, throttle_wait_s
from worker.core.exchange import Exchange
from worker.core.judge import Judgement
from worker.core.outcome import Outcome
from worker.core.overload import Demand
from worker.core.result import Result, SkipReason, fail, skip
from worker.core.schedule import batch_order
from worker.core.target import Target, TargetKey
from worker.core.track import Recorded, Track, advance
from worker.limits import Permit
from worker.probe import Probe
from worker.roster import replacing
from worker.running import Running, cancelled
from worker.strain import Strain
from worker.world import Terms, World

#: The dispatcher looks round at least this often, so that its heartbeat shows that it lives.
HEARTBEAT_S = 1.0


class Engine:
    """One batch or for ever. `tracks` is what is remembered of each target, `stopping` why nothing new starts."""

    def __init__(self, world: World, terms: Terms) -> None:
        self._world = world
        self.terms = terms
        self._clock = world.clock
        self.tracks: dict[TargetKey, Track] = {}
        self.targets: dict[TargetKey, Target] = {}
        self._namespaces: Set[str] = set()
        self.agenda = Agenda(world.clock)
        self.heartbeat_at: float | None = None
        self.stopping: SkipReason | None = None
        self._running = Running()
        self._backlog = Backlog(world.throttled)
        self._strain = Strain(world, self._backlog)
        self._alarm = Alarm(world.clock)
        self._workers: list[asyncio.Task[None]] = []
        self._idle: list[asyncio.Future[tuple[Probe, Permit]]] = []  # of workers, each waiting for its next call
        self._picked: Probe | None = None  # waits for the hard cap
        self._endless = False
        self._deadline: float | None = None
        self._done = asyncio.Event()

    @property
    def inflight(self) -> int:
        return self.terms.limits.inflight

    # What runs ------------------------------------------------------------------------------------------------------

    async def run_batch(self, targets: Sequence[Target], *, period_s: float, deadline_s: float | None) -> None:
        """Probes every target once. At the deadline nothing new starts; what is in flight gets the grace."""
        now = self._clock.now()
        self.targets = {target.key: target for target in targets}
        self.tracks = {key: self.tracks.get(key, Track()) for key in self.targets}
        for index in batch_order([target.key for target in targets], self._clock.wall(), period_s):
            self._admit(Probe(target=targets[index], due_at=now))
        self._share_limits()
        if deadline_s is not None:
            self._deadline = now + deadline_s
            asyncio.get_running_loop().call_later(deadline_s, self.stop, SkipReason.DEADLINE)
        await self._run()

    async def run_forever(self, targets: Sequence[Target]) -> None:
        """Probes every target at its interval until `stop`."""
        self._endless = True
        self.replace_targets(targets)
        await self._run()

    def stop(self, reason: SkipReason = SkipReason.SHUTDOWN) -> None:
        """Nothing new starts from now on; what is in flight gets the grace, then it is cut off."""
        if self.stopping:
            return
        self.stopping = reason
        for probe in [*filter(None, [self._picked]), *self._backlog.drain(), *self.agenda.clear()]:
            self._abandon(probe, reason)
        asyncio.get_running_loop().call_later(self.terms.grace_s, self._cut_off)
        self._check_done()

    def probe_now(self, key: TargetKey) -> asyncio.Future[None]:
        """Probes a target out of turn, within the limits, or joins its probe that is under way; done when that is."""
        if key not in self._running and not self.stopping:
            self._admit(Probe(target=self.targets[key], due_at=self._clock.now()))
            self._alarm.ring()
        return self._running.wait_for(key)

    def replace_targets(self, targets: Iterable[Target]) -> None:
        """The list after a reload, all at once; `replacing` does it in steps."""
        list(replacing(self, targets))

    def switch(self, targets: dict[TargetKey, Target], demands: dict[str, Demand]) -> None:
        """This is the list from now on, and what its namespaces ask for."""
        self.targets, self._namespaces = targets, demands.keys()
        self._share_limits()
        self._strain.expect(demands)
        self._backlog.sift(self._running.is_current)
        self._check_done()

    def wake(self) -> None:
        """Something was scheduled: the dispatcher is to look when it is due."""
        self._alarm.ring()

    def replace_terms(self, terms: Terms) -> None:
        """The limits after a reload; what the old ones counted stays counted."""
        terms.limits.adopt(self.terms.limits, self._clock.now())
        self.terms = terms
        self._share_limits()
        self._backlog.free_all(self._clock.now())
        self._alarm.ring()

    async def _run(self) -> None:
        self._check_done()
        self._world.begun()
        async with asyncio.TaskGroup() as tasks:
            dispatcher = tasks.create_task(self._dispatch(tasks), name="dispatcher")
            await self._done.wait()
            for task in (dispatcher, *self._workers):
                task.cancel()

    # What goes out --------------------------------------------------------------------------------------------------

    async def _dispatch(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            now = self._clock.now()
            self.heartbeat_at = self._clock.wall()
            self._promote(now)
            probe = self._picked = self._pick(now)
            if probe is None:
                self._strain.look(self.terms.limits, now)
                await self._alarm.wait(self._next_look(now))
            elif self._running.is_current(probe):
                await self.terms.hard_cap()
                self._picked = None
                self._start(probe, tasks)

    def _promote(self, now: float) -> None:
        """Moves what has come due to the backlog; a target still running from the last cycle is skipped."""
        for probe in filter(self._running.is_current, self.agenda.take_again(now)):
            self._backlog.push(probe, first=True)
        for key, due_at in self.agenda.take_due(now):
            target = self.targets[key]
            if key in self._running:
                self._record(skip(target, self._strain.skip(self._running[key], self.terms.limits, now)))
            else:
                self._admit(Probe(target=target, due_at=due_at))
            # the first probe comes early: its first cycle is not to follow on its heels
            settle_s = 0.0 if self.tracks[key].probes else target.interval_s / 2
            self.agenda.schedule(target, max(due_at, now) + settle_s)

    def _admit(self, probe: Probe) -> None:
        self._running.add(probe)
        if self.stopping:
            self._abandon(probe, self.stopping)
        else:
            self._backlog.push(probe)

    def _pick(self, now: float) -> Probe | None:
        hold = self.terms.limits.hold(now) if self._backlog else None
        self._strain.hold(hold, now)
        return None if hold else self._backlog.pop(self.terms.limits, now)

    def _next_look(self, now: float) -> float:
        hold = self.terms.limits.hold(now) if self._backlog else None
        freed_at = hold.until if hold else self._backlog.next_free_at()
        return min(self.agenda.next_at(), freed_at, now + HEARTBEAT_S)

    def _start(self, probe: Probe, tasks: asyncio.TaskGroup) -> None:
        if not self._running.is_current(probe):
            return
        now = self._clock.now()
        target = self.targets[probe.target.key]
        if not probe.besides:  # what is asked besides belongs to what was asked before
            probe.target = target
        self._strain.start(probe, now)
        permit = self.terms.limits.take(target.key.namespace, now)
        if self._idle:
            self._idle.pop().set_result((probe, permit))
        else:
            self._workers.append(tasks.create_task(self._work(probe, permit), name=f"worker {len(self._workers)}"))

    async def _work(self, probe: Probe, permit: Permit) -> None:
        while True:
            late_s = self._clock.now() - permit.at
            try:
                late_s += await self._perform(probe)
            finally:
                now = self._clock.now()
                self.terms.limits.release(permit, now, late_s)
                self._backlog.free(permit.namespace, now)
                self._alarm.ring()
            self._idle.append(turn := asyncio.get_running_loop().create_future())
            del probe, permit  # what it read may be a hundred megabytes
            probe, permit = await turn

    # What comes back ------------------------------------------------------------------------------------------------

    async def _perform(self, probe: Probe) -> float:
        """One call; the seconds until it had a connection. The probe ends or is asked again; cancellation passes."""
        version = self._world.key_version(False)
        probe.calls += 1
        try:
            exchange = await self._world.call(probe.asked, probe.stale)
            self._settle(probe, exchange, version)
            return exchange.phases.connecting_s
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and cancelled():
                if self.stopping:
                    heard = probe.result() if probe.besides else None
                    self._finish(probe, heard or skip(probe.target, self.stopping, attempts=probe.calls))
                raise
            # a bug of ours is an outcome, and the batch goes on
            self._world.event("worker.failed", level="error", exc_info=error, target=str(probe.target.key))
            self._finish(probe, fail(probe.target, error, attempts=probe.calls, lateness_s=probe.lateness_s))
            return 0.0

    def _settle(self, probe: Probe, exchange: Exchange, version: int) -> None:
        track = self.tracks.get(probe.target.key) or Track()
        judgement = probe.hear(exchange, track)
        if judgement.outcome is Outcome.RATE_LIMITED:  # of a target that has left, too: its namespace was meant
            self._pause(probe, judgement)
        if not self._running.is_current(probe):
            return
        again = None if judgement.outcome.up else self._again(probe, judgement, exchange, version)
        if again:
            probe.tries = again.tries
            self.agenda.ask_again(probe, again.at)
        elif probe.goes_on(judgement, exchange, track) and not self.stopping:
            self.agenda.ask_again(probe, self._clock.now())
        else:
            self._abandon(probe, self.stopping or SkipReason.DEADLINE)

    def _again(self, probe: Probe, judgement: Judgement, exchange: Exchange, version: int) -> Again | None:
        now = self._clock.now()
        decision = next_attempt(
            judgement,
            probe.tries,
            now=now,
            deadline=now if self.stopping else self._deadline,
            policy=self.terms.policy,
            stale=exchange.stale,
            key_changed=judgement.outcome is Outcome.UNAUTHORIZED and self._world.key_version(True) != version,
        )
        return decision if isinstance(decision, Again) else None

    def _pause(self, probe: Probe, judgement: Judgement) -> None:
        key, now = probe.target.key, self._clock.now()
        wait_s = throttle_wait_s(judgement.retry_after_s, probe.tries.throttled, self.terms.policy.max_retry_after_s)
        paused = "everything" if self.terms.limits.pause(key.namespace, now, now + wait_s) else "namespace"
        self._world.event("limits.throttled", level="warning", **key._asdict(), paused=paused, wait_s=round(wait_s, 3))

    def _abandon(self, probe: Probe, reason: SkipReason) -> None:
        """It will not be called (again): what it last came to counts, if it was heard at all."""
        self._finish(probe, probe.result() or skip(probe.target, reason, attempts=probe.calls))

    def _finish(self, probe: Probe, result: Result) -> None:
        if not self._running.is_current(probe):
            return
        self._record(result)  # before it is done with: should this raise, the probe can still end as a bug of ours
        self._running.end(probe.target.key)
        if self.terms.limits.shared and not self._endless and len(self._running.namespaces) == 1:
            self._share_limits()
            self._backlog.free_all(self._clock.now())
        self._check_done()

    def _record(self, result: Result) -> None:
        key = result.target.key
        track, changes = advance(self.tracks[key], result)
        self.tracks[key] = track
        self._world.recorder.record(Recorded(result=result, track=track, changes=changes))

    def forget(self, key: TargetKey) -> None:
        self.tracks.pop(key, None)
        self._running.end(key)
        self.agenda.forget(key)
        self._world.recorder.forget(key)

    def _share_limits(self) -> None:
        """Whether calls are to be kept free for other namespaces: those of the list, of a batch those not yet done."""
        namespaces = self._namespaces if self._endless else self._running.namespaces
        self.terms.limits.shared = len(namespaces) > 1

    def _check_done(self) -> None:
        if not self._running and (self.stopping or not self._endless):
            self._done.set()

    def _cut_off(self) -> None:
        """The grace is over."""
        for worker in self._workers:
            worker.cancel()
