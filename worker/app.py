"""The one place that builds things: a configuration becomes a running worker, and is taken down again."""

import asyncio
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

from worker.clock import Clock, SystemClock
from worker.collector import tuned
from worker.connection import Connection
from worker.core.attempt import Policy
from worker.core.limit import Limit
from worker.core.shard import Shard
from worker.core.target import Target, TargetKey
from worker.core.track import Recorded
from worker.engine import Engine
from worker.jumps import Jumps
from worker.limits import HardCap, Limits
from worker.outputs import Outputs
from worker.roster import replacing
from worker.settings import Settings
from worker.sinks.exemplars import Exemplars
from worker.sinks.log import LogSink, configure
from worker.sinks.memory import Memory
from worker.sinks.metrics import Metrics
from worker.slices import Slices
from worker.stall import LagMeter, Stalls
from worker.version import VERSION
from worker.world import Recorder, Terms, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a command was started: what is not in the configuration."""

    environ: Mapping[str, str]
    log_level: str = "info"
    log_format: Literal["json", "console"] = "json"
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))


T = TypeVar("T")


class FanOut:
    """Every sink behind one face; one that fails silences no other. `forget` hears of targets that have left, too."""

    def __init__(
        self,
        sinks: Mapping[str, Recorder],
        failed: Callable[[str, Exception], None],
        forget: Callable[[TargetKey], None],
    ) -> None:
        self._record = [(name, sink.record) for name, sink in sinks.items()]
        self._forget = [("requests", forget), *((name, sink.forget) for name, sink in sinks.items())]
        self._failed = failed

    def record(self, recorded: Recorded) -> None:
        self._each(self._record, recorded)

    def forget(self, key: TargetKey) -> None:
        self._each(self._forget, key)

    def _each(self, steps: Sequence[tuple[str, Callable[[T], None]]], given: T) -> None:
        for name, step in steps:
            try:
                step(given)
            except Exception as error:  # a sink's bug costs that sink's record and nothing else
                self._failed(name, error)


class Worker:
    """A configuration with everything that it needs to run. `begun` is called when the first call may go."""

    def __init__(
        self,
        settings: Settings,
        launch: Launch,
        connection: Connection,
        *,
        log: LogSink,
        metrics: Metrics,
        clock: Clock,
        extra: Mapping[str, Recorder],
        begun: Callable[[], None],
        shard: Shard | None = None,
    ) -> None:
        self.settings, self.launch, self.connection = settings, launch, connection
        self.log, self.metrics, self.clock = log, metrics, clock
        self.shard = shard
        self.outputs = Outputs(
            settings.outputs,
            shard,
            exposition=self.exposition,
            failed=self._sink_failed,
            event=log.event,
            wall=clock.wall,
        )
        recorder = FanOut({"metrics": metrics, "log": log, **extra}, self._sink_failed, connection.forget)
        jumps = Jumps(clock=clock, tracks=lambda: self.engine.tracks)
        self._world = World(
            call=lambda target, fresh: jumps.minded(connection.call(target, fresh)),
            clock=clock,
            key_version=connection.key_version,
            recorder=recorder,
            event=log.event,
            throttled=self._throttled,
            begun=begun,
            cpu_s=time.thread_time,
        )
        self.engine = Engine(self._world, terms(settings))
        metrics.own.inflight.set_function(lambda: self.engine.inflight)

    @property
    def share(self) -> dict[str, Any]:
        """For the log: which shard this is, and what it may use; nothing where targets and limits are not shared."""
        limits = self.settings.limits
        if self.shard is None:
            return {}
        return {"shard": asdict(self.shard), "rate": str(limits.rate), "concurrency": limits.concurrency}

    def begin_anew(self) -> None:
        """Another engine for another batch; what the limits have counted stays counted."""
        self.engine = Engine(self._world, self.engine.terms)

    def exposition(self, *, openmetrics: bool = False) -> Iterator[bytes]:
        """All metrics as they are now."""
        self.connection.note()
        return self.metrics.exposition(openmetrics=openmetrics)

    def resume(self, memory: Memory | None) -> None:
        """Goes on from what is remembered of its targets."""
        if memory:
            self.engine.tracks |= self.metrics.resume(memory.redacted(self.connection.redact))

    async def reconfigure(self, settings: Settings) -> None:
        """Takes another configuration, but for where it listens. Calls in flight end as they began.

        Raises ConfigError for TLS files or a key that can't be used; then nothing has changed.
        """
        await self.connection.open(settings.api)
        same_terms = _terms_of(self.settings) == _terms_of(settings)
        self.settings, self.outputs.settings = settings, settings.outputs
        if not same_terms:
            self.engine.replace_terms(terms(settings))
        news = 0
        with Slices() as slices:
            for target in replacing(self.engine, settings.targets):
                if target:
                    self.metrics.add(target, self.engine.tracks[target.key])
                    news += 1
                await slices.pause()
            slices.keep(news)

    def _sink_failed(self, name: str, error: Exception) -> None:
        self.metrics.own.sink_failures.labels(name).inc()
        told = {"error": f"{type(error).__name__}: {error}"} if isinstance(error, OSError) else {"exc_info": error}
        self.log.event("sink.failed", level="error", sink=name, **told)

    def _throttled(self, limit: Limit, seconds: float) -> None:
        self.metrics.own.throttle_seconds.labels(limit.value).inc(seconds)


def _terms_of(settings: Settings) -> tuple[object, ...]:
    """What `terms` are made of."""
    return settings.limits, settings.confirm, settings.schedule.grace_s


def terms(settings: Settings) -> Terms:
    limits, confirm = settings.limits, settings.confirm
    return Terms(
        limits=Limits(limits),
        hard_cap=HardCap(limits.rate),
        policy=Policy(
            rechecks=confirm.rechecks,
            recheck_delay_s=confirm.delay_s,
            max_retry_after_s=limits.max_retry_after_s,
        ),
        grace_s=settings.schedule.grace_s,
        rate_per_s=limits.rate.per_second,
    )


@asynccontextmanager
async def assemble(
    settings: Settings,
    launch: Launch,
    *,
    targets: Sequence[Target],
    extra: Mapping[str, Recorder] | None = None,
    evidence: bool = False,
    shard: Shard | None = None,
    exemplars: bool = False,
) -> AsyncIterator[Worker]:
    """Builds a worker, with every target's series in place, and takes it down. Logging is set up on the way.

    `evidence` keeps the headers of replies, for somebody who will look at them. `shard` is this worker's part where the
    targets are shared out. `exemplars` are for those who will be asked for OpenMetrics.
    """
    clock = SystemClock()
    metrics = Metrics(
        version=VERSION,
        histograms=settings.outputs.histograms,
        shard=None if shard is None else shard.index,
        exemplars=Exemplars(launch.run_id, lambda text: connection.redact(text)) if exemplars else None,
    )
    metrics.own.shards.set(1 if shard is None else shard.count)

    def stalled(lost_s: float) -> None:
        metrics.own.stalls.inc()
        stalls.add(lost_s)

    def told(number: int, lost_s: float) -> None:
        log.event("worker.stalled", level="warning", lost_s=round(lost_s, 3), stalls=number)

    stalls = Stalls(told)
    lag = LagMeter(clock, on_lag=metrics.own.loop_lag.observe, on_stall=stalled)
    connection = Connection(launch.environ, clock, lag.lost_s, metrics.own, evidence=evidence)
    configure(level=launch.log_level, fmt=launch.log_format, run_id=launch.run_id, redact=connection.redact)
    log = LogSink(redact=connection.redact)
    await connection.open(settings.api)
    try:
        for target in targets:
            metrics.add(target)
        with tuned():
            yield Worker(
                settings,
                launch,
                connection,
                log=log,
                metrics=metrics,
                clock=clock,
                extra=extra or {},
                begun=lag.start,
                shard=shard,
            )
    finally:
        lag.stop()
        stalls.stop()
        await connection.close()


@contextmanager
def stop_signals(worker: Worker) -> Iterator[None]:
    """SIGTERM and SIGINT stop gracefully; a second one ends the process at once with 128 + n."""
    loop = asyncio.get_running_loop()
    stopping = False

    def stop(number: signal.Signals) -> None:
        nonlocal stopping
        if stopping:
            os._exit(128 + number)
        stopping = True
        worker.log.event("worker.stopping", signal=number.name, inflight=worker.engine.inflight)
        worker.engine.stop()
        worker.outputs.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
