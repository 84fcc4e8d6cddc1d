"""The loop: what is due, under the limits, is called, judged, asked again where that is due, tracked and recorded.

One dispatcher decides, persistent workers call. Nothing here knows HTTP, a file or a metric: the world is passed in.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from worker.agenda import Agenda
from worker.backlog import Backlog, Probe
from worker.clock import Alarm
from worker.core.attempt import Again, next_attempt, throttle_wait_s
from worker.core.exchange import Exchange
from worker.core.judge import Judgement, Reference, judge
from worker.core.outcome import Outcome
from worker.core.result import Result, SkipReason, skip
from worker.core.schedule import batch_order
from worker.core.target import Target, TargetKey
from worker.core.track import Recorded, Track, advance
from worker.limits import Limit, Permit
from worker.world import Terms, World

#: The dispatcher looks round at least this often, so that its heartbeat shows that it lives.
HEARTBEAT_S = 1.0


class Engine:
    """One batch (`run_batch`) or for ever (`run_forever`). `tracks` is what is remembered of each target."""

    def __init__(self, world: World, terms: Terms) -> None:
        self._world = world
        self._terms = terms
        self._clock = world.clock
        self.tracks: dict[TargetKey, Track] = {}
        self.targets: dict[TargetKey, Target] = {}
        self.agenda = Agenda(world.clock)
        self.heartbeat_at: float | None = None
        self._running: dict[TargetKey, Probe] = {}
        self._backlog = Backlog(world.throttled)
        self._alarm = Alarm(world.clock)
        self._inbox: asyncio.Queue[tuple[Probe, Permit]] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._idle = 0
        self._held: tuple[Limit, float] | None = None
        self._endless = False
        self._deadline: float | None = None
        self._stopping: SkipReason | None = None
        self._done = asyncio.Event()

    @property
    def inflight(self) -> int:
        return self._terms.limits.inflight

    # What runs ------------------------------------------------------------------------------------------------------

    async def run_batch(self, targets: Sequence[Target], *, period_s: float, deadline_s: float | None) -> None:
        """Probes every target once. At the deadline nothing new starts; what is in flight gets the grace."""
        now = self._clock.now()
        self.targets = {target.key: target for target in targets}
        self.tracks = {key: self.tracks.get(key, Track()) for key in self.targets}
        for index in batch_order([target.key for target in targets], self._clock.wall(), period_s):
            self._admit(Probe(target=targets[index], due_at=now))
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
        if self._stopping:
            return
        self._stopping = reason
        for probe in [*self._backlog.drain(), *self.agenda.clear()]:
            self._finish(probe, self._result(probe) if probe.last else skip(probe.target, reason))
        asyncio.get_running_loop().call_later(self._terms.grace_s, self._cut_off)
        self._check_done()

    def replace_targets(self, targets: Sequence[Target]) -> None:
        """The list after a reload: new targets are scheduled, those that left are forgotten, in flight or not."""
        before, self.targets = self.targets, {target.key: target for target in targets}
        for key in before.keys() - self.targets.keys():
            self._forget(key)
        now = self._clock.now()
        for key, target in self.targets.items():
            if key not in before and self.tracks.setdefault(key, Track()).last_probe_at is None:
                self.agenda.schedule_first(target, targets=len(targets), rate_per_s=self._terms.rate_per_s)
            elif key not in before or before[key].interval_s != target.interval_s:
                self.agenda.schedule(target, now)
        self._alarm.ring()

    def replace_terms(self, terms: Terms, **world: Any) -> None:
        """The limits and the client after a reload; what the old limits counted stays counted, calls in flight end as
        they began.
        """
        terms.limits.adopt(self._terms.limits)
        self._terms = terms
        self._world = replace(self._world, **world)
        self._backlog.free_all(self._clock.now())
        self._alarm.ring()

    async def _run(self) -> None:
        self._check_done()
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
            probe = self._pick(now)
            if probe is None:
                await self._alarm.wait(self._next_look(now))
                continue
            await self._world.hard_cap()
            self._start(probe, tasks)

    def _promote(self, now: float) -> None:
        """Moves what has come due to the backlog; a target still running from the last cycle is skipped."""
        for probe in self.agenda.take_again(now):
            self._backlog.push(probe, first=True)
        for key, due_at in self.agenda.take_due(now):
            target = self.targets[key]
            if key in self._running:
                self._record(skip(target, SkipReason.OVERRUN))
            else:
                self._admit(Probe(target=target, due_at=due_at))
            # the first probe comes early: its first cycle is not to follow on its heels
            settle_s = 0.0 if self.tracks[key].probes else target.interval_s / 2
            self.agenda.schedule(target, max(due_at, now) + settle_s)

    def _admit(self, probe: Probe) -> None:
        self._running[probe.target.key] = probe
        self._backlog.push(probe)

    def _pick(self, now: float) -> Probe | None:
        hold = self._terms.limits.hold(now) if self._backlog else None
        if self._held:
            self._world.throttled(self._held[0], now - self._held[1])
        self._held = (hold.limit, now) if hold else None
        return None if hold else self._backlog.pop(self._terms.limits, now)

    def _next_look(self, now: float) -> float:
        hold = self._terms.limits.hold(now) if self._backlog else None
        freed_at = hold.until if hold else self._backlog.next_free_at()
        return min(self.agenda.next_at(), freed_at, now + HEARTBEAT_S)

    def _start(self, probe: Probe, tasks: asyncio.TaskGroup) -> None:
        target = self.targets.get(probe.target.key)
        if target is None or self._running.get(target.key) is not probe:
            return  # it left while it waited
        if self._stopping:
            self._finish(probe, skip(target, self._stopping))
            return
        now = self._clock.now()
        probe.target = target
        if probe.lateness_s is None:
            probe.lateness_s = now - probe.due_at
        permit = self._terms.limits.take(target.key.namespace, now)
        if self._idle:
            self._idle -= 1
        else:
            self._workers.append(tasks.create_task(self._work(), name=f"worker {len(self._workers)}"))
        self._inbox.put_nowait((probe, permit))

    async def _work(self) -> None:
        while True:
            probe, permit = await self._inbox.get()
            try:
                await self._perform(probe)
            finally:
                now = self._clock.now()
                self._terms.limits.release(permit, now)
                self._backlog.free(permit.namespace, now)
                self._alarm.ring()
            self._idle += 1

    # What comes back ------------------------------------------------------------------------------------------------

    async def _perform(self, probe: Probe) -> None:
        """One call. Whatever happens, the probe ends or is asked again; cancellation passes."""
        version = self._world.key_version(False)
        probe.tries = replace(probe.tries, calls=probe.tries.calls + 1)
        try:
            exchange = await self._world.call(probe.target)
            self._settle(probe, exchange, version)
        except asyncio.CancelledError:
            if self._stopping:
                self._finish(probe, skip(probe.target, self._stopping, attempts=probe.tries.calls))
            raise
        except Exception as error:  # a bug of ours is an outcome, and the batch goes on
            self._world.event("worker.failed", level="error", exc_info=error, target=str(probe.target.key))
            told = f"{type(error).__name__}: {error}"
            judgement = Judgement(outcome=Outcome.INTERNAL_ERROR, rule="internal", error=told)
            self._finish(probe, self._result(probe, judgement))

    def _settle(self, probe: Probe, exchange: Exchange, version: int) -> None:
        target, now = probe.target, self._clock.now()
        track = self.tracks.get(target.key)
        if track is None:
            return  # it left meanwhile
        judgement = judge(target.expect, exchange, Reference(warming_since=track.warming_since))
        probe.last = (judgement, exchange)
        if judgement.outcome is Outcome.RATE_LIMITED:
            self._pause(probe, judgement, now)
        decision = next_attempt(
            judgement,
            probe.tries,
            now=now,
            deadline=now if self._stopping else self._deadline,
            policy=self._terms.policy,
            key_changed=judgement.outcome is Outcome.UNAUTHORIZED and self._world.key_version(True) != version,
        )
        if isinstance(decision, Again):
            probe.tries = decision.tries
            self.agenda.ask_again(probe, decision.at)
        else:
            self._finish(probe, self._result(probe))

    def _pause(self, probe: Probe, judgement: Judgement, now: float) -> None:
        namespace = probe.target.key.namespace
        most_s = self._terms.policy.max_retry_after_s
        wait_s = throttle_wait_s(judgement.retry_after_s, probe.tries.throttled, most_s)
        everything = self._terms.limits.pause(namespace, now, now + wait_s)
        scope = "everything" if everything else "namespace"
        self._world.event(
            "limits.throttled",
            level="warning",
            namespace=namespace,
            plugin=probe.target.key.plugin,
            paused=scope,
            wait_s=round(wait_s, 3),
        )

    def _result(self, probe: Probe, judgement: Judgement | None = None) -> Result:
        """The last call's, or of a judgement that no exchange led to."""
        last, exchange = probe.last or (None, None)
        judged = judgement or last
        assert judged is not None
        return Result(
            target=probe.target,
            judgement=judged,
            exchange=None if judgement else exchange,
            attempts=probe.tries.calls,
            lateness_s=probe.lateness_s,
        )

    def _finish(self, probe: Probe, result: Result) -> None:
        if self._running.get(probe.target.key) is not probe:
            return  # its target has left, or has come back since
        del self._running[probe.target.key]
        self._record(result)
        self._check_done()

    def _record(self, result: Result) -> None:
        key = result.target.key
        track, changes = advance(self.tracks[key], result)
        self.tracks[key] = track
        self._world.recorder.record(Recorded(result=result, track=track, changes=changes))

    def _forget(self, key: TargetKey) -> None:
        self.tracks.pop(key, None)
        self._running.pop(key, None)
        self.agenda.forget(key)
        self._world.recorder.forget(key)

    def _check_done(self) -> None:
        if not self._running and (self._stopping or not self._endless):
            self._done.set()

    def _cut_off(self) -> None:
        """The grace is over."""
        for worker in self._workers:
            worker.cancel()
