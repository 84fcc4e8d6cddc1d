"""The one place that builds things: a configuration becomes a running worker, and is taken down again."""

import asyncio
import gc
import os
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from worker.clock import Clock, SystemClock
from worker.core.attempt import Policy
from worker.core.target import Target, TargetKey
from worker.core.track import Recorded
from worker.engine import Engine
from worker.limits import HardCap, Limit, Limits
from worker.mixpeek.client import Client
from worker.mixpeek.credentials import Credentials
from worker.settings import ApiSettings, Settings
from worker.sinks import textfile
from worker.sinks.log import LogSink, configure
from worker.sinks.metrics import Metrics
from worker.sinks.sink import Sink
from worker.stall import LagMeter
from worker.version import VERSION
from worker.world import Terms, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a command was started: what is not in the configuration."""

    environ: Mapping[str, str]
    log_level: str = "info"
    log_format: Literal["json", "console"] = "json"
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))


#: A client and what it authorizes itself with; and how to make them of an `api` section.
Connection = tuple[Client, Credentials]
Connect = Callable[[ApiSettings], Awaitable[Connection]]


class FanOut:
    """Every sink behind one face; one that fails silences no other."""

    def __init__(self, sinks: Mapping[str, Sink], failed: Callable[[str, Exception], None]) -> None:
        self._sinks = dict(sinks)
        self._failed = failed

    def record(self, recorded: Recorded) -> None:
        self._each(lambda sink: sink.record(recorded))

    def forget(self, key: TargetKey) -> None:
        self._each(lambda sink: sink.forget(key))

    def _each(self, do: Callable[[Sink], None]) -> None:
        for name, sink in self._sinks.items():
            try:
                do(sink)
            except Exception as error:  # a sink's bug costs that sink's record and nothing else
                self._failed(name, error)


class Secrets:
    """Every key of this run, a reload's included: what `redact` knows is shown by nobody."""

    def __init__(self) -> None:
        self._all: list[Credentials] = []

    def add(self, credentials: Credentials) -> Credentials:
        self._all.append(credentials)
        return credentials

    def redact(self, text: str) -> str:
        for credentials in self._all:
            text = credentials.redact(text)
        return text


class Worker:
    """A configuration with everything that it needs to run. `connect` makes a client and the secrets that it shows."""

    def __init__(
        self,
        settings: Settings,
        launch: Launch,
        connection: Connection,
        connect: Connect,
        *,
        secrets: Secrets,
        log: LogSink,
        metrics: Metrics,
        clock: Clock,
        extra: Mapping[str, Sink],
    ) -> None:
        self.settings, self.launch, self.secrets = settings, launch, secrets
        self.log, self.metrics, self.clock = log, metrics, clock
        self.output_failed = False
        self._client, credentials = connection
        self._connect = connect
        self._stale_told = 0
        recorder = FanOut({"metrics": metrics, "log": log, **extra}, self._sink_failed)
        world = World(
            call=self._client.call,
            clock=clock,
            hard_cap=HardCap(settings.limits.rate),
            key_version=key_version(credentials),
            recorder=recorder,
            event=log.event,
            throttled=self._throttled,
        )
        self.engine = Engine(world, terms(settings))
        metrics.own.inflight.set_function(lambda: self.engine.inflight)

    def exposition(self, *, openmetrics: bool = False) -> Iterator[bytes]:
        """All metrics as they are now."""
        own, client = self.metrics.own, self._client
        own.stale_retries.inc(client.stale_connection_retries - self._stale_told)
        self._stale_told = client.stale_connection_retries
        if client.earliest_cert_expiry is not None:
            own.tls_expiry.set(client.earliest_cert_expiry)
        return self.metrics.exposition(openmetrics=openmetrics)

    def write_textfile(self) -> None:
        """Writes the textfile, if there is one. A failure is logged, counted and, where it is required, remembered."""
        wanted = self.settings.outputs.textfile
        if wanted is None:
            return
        try:
            textfile.write(wanted.path, self.exposition())
        except OSError as error:
            self._sink_failed("textfile", error)
            self.output_failed = self.output_failed or wanted.required

    async def reconfigure(self, settings: Settings) -> None:
        """Takes another configuration, but for where it listens. Calls in flight end as they began.

        Raises ConfigError for TLS files or a key that can't be used; then nothing has changed.
        """
        replaced: dict[str, Any] = {}
        if settings.api != self.settings.api:
            client, credentials = await self._connect(settings.api)
            self._client, self._stale_told = client, 0
            replaced = {"call": client.call, "key_version": key_version(credentials)}
        self.settings = settings
        for target in settings.targets:
            self.metrics.add(target)
        self.engine.replace_terms(terms(settings), hard_cap=HardCap(settings.limits.rate), **replaced)
        self.engine.replace_targets(settings.targets)

    def _sink_failed(self, name: str, error: Exception) -> None:
        self.metrics.own.sink_failures.labels(name).inc()
        told = {"error": f"{type(error).__name__}: {error}"} if isinstance(error, OSError) else {"exc_info": error}
        self.log.event("sink.failed", level="error", sink=name, **told)

    def _throttled(self, limit: Limit, seconds: float) -> None:
        self.metrics.own.throttle_seconds.labels(limit.value).inc(seconds)


def terms(settings: Settings) -> Terms:
    limits, confirm = settings.limits, settings.confirm
    return Terms(
        limits=Limits(limits),
        policy=Policy(
            rechecks=confirm.rechecks,
            recheck_delay_s=confirm.delay_s,
            max_retry_after_s=limits.max_retry_after_s,
        ),
        grace_s=settings.schedule.grace_s,
        rate_per_s=limits.rate.per_second,
    )


def key_version(credentials: Credentials) -> Callable[[bool], int]:
    """A number that is another one when the key is; never shown to anybody."""

    def current(look: bool) -> int:
        if look:
            credentials.reread()
        return hash(credentials.key())

    return current


@asynccontextmanager
async def assemble(
    settings: Settings,
    launch: Launch,
    *,
    targets: Sequence[Target],
    extra: Mapping[str, Sink] | None = None,
    evidence: bool = False,
) -> AsyncIterator[Worker]:
    """Builds a worker, with every target's series in place, and takes it down. Logging is set up on the way.

    `evidence` keeps the headers of replies, for somebody who will look at them.
    """
    clock, secrets = SystemClock(), Secrets()
    configure(level=launch.log_level, fmt=launch.log_format, run_id=launch.run_id, redact=secrets.redact)
    log = LogSink(redact=secrets.redact)
    metrics = Metrics(version=VERSION)

    def stalled(lost_s: float) -> None:
        metrics.own.stalls.inc()
        log.event("worker.stalled", level="warning", lost_s=round(lost_s, 3))

    lag = LagMeter(clock, on_lag=metrics.own.loop_lag.observe, on_stall=stalled)
    async with AsyncExitStack() as stack:

        async def connect(api: ApiSettings) -> Connection:
            credentials = secrets.add(Credentials(api, launch.environ, clock=clock))
            client = Client(api, credentials, lost=lag.lost_s, clock=clock, evidence=evidence)
            return await stack.enter_async_context(client), credentials

        connection = await connect(settings.api)
        for target in targets:
            metrics.add(target)
        worker = Worker(
            settings,
            launch,
            connection,
            connect,
            secrets=secrets,
            log=log,
            metrics=metrics,
            clock=clock,
            extra=extra or {},
        )
        gc.freeze()  # what is there now stays: collections need not look at it again
        gc.enable()
        lag.start()
        stack.callback(lag.stop)
        yield worker


@contextmanager
def stop_signals(worker: Worker) -> Iterator[list[signal.Signals]]:
    """SIGTERM and SIGINT stop gracefully; a second one ends the process at once with 128 + n.

    Gives the list of the signals that came.
    """
    loop = asyncio.get_running_loop()
    came: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if came:
            os._exit(128 + number)
        came.append(number)
        worker.log.event("worker.stopping", signal=number.name, inflight=worker.engine.inflight)
        worker.engine.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        yield came
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
