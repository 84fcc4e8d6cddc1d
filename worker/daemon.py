"""The daemon: schedules for ever, serves its HTTP surface, reloads, writes its textfile, and stops gracefully."""

import asyncio
import concurrent.futures.thread  # noqa: F401 - else asyncio imports it when no file may be left to open
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from worker.app import Launch, Worker, assemble, stop_signals
from worker.collector import collect_for_ever, collect_young
from worker.core.shard import Shard
from worker.core.target import Target, TargetKey
from worker.settings import ConfigError, OutputSettings, Settings
from worker.slices import Slices
from worker.stamp import Stamp, stamp
from worker.web.board import Board, Shown
from worker.web.listen import CannotListenError, listening
from worker.web.server import Application, make_app

#: How often the configuration's files are looked at. Looking works where notification does not: network file systems,
#: bind mounts, the links that Kubernetes swaps under a mounted ConfigMap.
WATCH_S = 2.0
TEXTFILE_S = 15.0
RENDER_S = 0.25
#: After so long it counts as ready without an answer: an outage of theirs must not keep us out of service.
READY_S = 60.0
#: A result so young answers /probe without another call.
FRESH_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What `run` was asked for beyond the configuration; `load` reads that again and raises ConfigError. Targets that
    say the same as those it is given are to be those.
    """

    load: Callable[[Mapping[TargetKey, Target]], Awaitable[Settings]]
    enable_reload: bool = False
    enable_probe: bool = False
    announce: Callable[[str], None] | None = None
    shard: Shard | None = None


class Daemon:
    """A worker that runs until it is told to stop."""

    def __init__(self, worker: Worker, board: Board, serving: Serving) -> None:
        self._worker = worker
        self._board = board
        self._serving = serving
        self._started_at = worker.clock.now()
        self._outputs = worker.settings.outputs
        self._watched = worker.settings.watched_files
        self._reloading = asyncio.Lock()

    async def run(self) -> None:
        """Until the first signal; the web server answers to the end of the grace."""
        worker, outputs = self._worker, self._worker.settings.outputs
        self._note_reload(accepted=True)
        try:
            async with listening(self._app(), outputs.listen_host, outputs.listen_port) as url:
                worker.log.event("run.started", targets=len(worker.settings.targets), url=url, **worker.share)
                if self._serving.announce:
                    self._serving.announce(url)
                await self._engine_and_side_tasks()
        except CannotListenError as error:
            where = f"{outputs.listen_host}:{outputs.listen_port}"
            raise ConfigError([f"outputs.listen: can't listen on {where}: {error}"]) from error
        self._note_heartbeat()
        await worker.outputs.write_textfile()
        worker.log.event("run.finished", outcomes=_outcomes(worker))

    async def _engine_and_side_tasks(self) -> None:
        """One side task failing takes the daemon down loudly: a worker that is half dead helps nobody."""
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, asked.set)
        try:
            async with asyncio.TaskGroup() as tasks:
                side = [
                    tasks.create_task(self._watch(asked), name="watch"),
                    tasks.create_task(self._write_textfiles(), name="textfile"),
                    tasks.create_task(self._render(), name="render"),
                    tasks.create_task(collect_for_ever(), name="collect"),
                ]
                with stop_signals(self._worker):
                    await self._worker.engine.run_forever(self._worker.settings.targets)
                for task in side:
                    task.cancel()
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # Python restores the default, which is to die of it

    # What it shows --------------------------------------------------------------------------------------------------

    def exposition(self, *, openmetrics: bool) -> Iterator[bytes]:
        self._note_heartbeat()
        return self._worker.exposition(openmetrics=openmetrics)

    def ready(self) -> bool:
        """With the first answer; at once where there is nobody to answer, as in a shard without a target."""
        if not self._worker.settings.targets or self._worker.clock.now() - self._started_at >= READY_S:
            return True
        return any(row.started_at is not None for row in self._board.rows.values())

    def shown(self) -> Iterator[Shown]:
        for key in list(self._worker.engine.targets):  # a reload may come while somebody reads
            shown = self.shown_one(key)
            if shown:
                yield shown

    def shown_one(self, key: TargetKey) -> Shown | None:
        engine = self._worker.engine
        target = engine.targets.get(key)
        if target is None:
            return None
        due_at = engine.agenda.next_due_at.get(key)
        return Shown(
            target=target,
            track=engine.tracks[key],
            next_due_in_s=None if due_at is None else due_at - self._worker.clock.now(),
            row=self._board.rows.get(key),
        )

    async def _probe(self, key: TargetKey, within_s: float) -> bool:
        worker, row = self._worker, self._board.rows.get(key)
        if row is not None and row.started_at is not None and 0 <= worker.clock.wall() - row.started_at < FRESH_S:
            return True
        try:
            async with asyncio.timeout(within_s):
                await asyncio.shield(worker.engine.probe_now(key))  # others may wait for the same probe
        except TimeoutError:
            return False
        return True

    def _app(self) -> Application:
        serving = self._serving
        return make_app(
            self,
            reload=self.reload if serving.enable_reload else None,
            probe=self._probe if serving.enable_probe else None,
            shard=self._worker.shard,
        )

    # What it does beside --------------------------------------------------------------------------------------------

    async def reload(self) -> list[str]:
        """Takes the configuration anew; the problems for which it was rejected, and then the old one goes on."""
        async with self._reloading:
            found = await self._stamps()
            try:
                settings = await self._serving.load(self._worker.engine.targets)
                found |= settings.watched_files
                await self._worker.reconfigure(settings)
            except ConfigError as error:
                self._watched = {**found, **error.files}
                self._note_reload(accepted=False)
                self._worker.log.event("config.rejected", level="error", problems=error.problems)
                return error.problems
            self._watched = settings.watched_files
            self._note_reload(accepted=True)
            restart = self._needs_restart(settings.outputs)
            self._worker.log.event(
                "config.reloaded", targets=len(settings.targets), needs_restart=restart or None, **self._worker.share
            )
            return []

    def _needs_restart(self, outputs: OutputSettings) -> list[str]:
        """The keys that were changed and do not take effect."""
        was, now = self._outputs, outputs
        listen = (was.listen_host, was.listen_port) != (now.listen_host, now.listen_port)
        changed = {"outputs.listen": listen, "outputs.histograms": was.histograms != now.histograms}
        return [key for key, differs in changed.items() if differs]

    def _note_reload(self, *, accepted: bool) -> None:
        own = self._worker.metrics.own
        own.reload_successful.set(int(accepted))
        if accepted:
            own.reload_success.set(self._worker.clock.wall())

    async def _watch(self, asked: asyncio.Event) -> None:
        """Reloads when a file of the configuration changes, and on SIGHUP."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_S):
                    await asked.wait()
            if asked.is_set() or await self._has_changed():
                asked.clear()
                await self.reload()

    async def _has_changed(self) -> bool:
        with Slices() as slices:
            for path, seen in self._watched.items():
                if stamp(path) != seen:
                    return True
                await slices.pause()
        return False

    async def _stamps(self) -> dict[Path, Stamp]:
        """The watched files as they are now."""
        found: dict[Path, Stamp] = {}
        with Slices() as slices:
            for path in self._watched:
                found[path] = stamp(path)
                await slices.pause()
        return found

    def _note_heartbeat(self) -> None:
        own, heartbeat_at = self._worker.metrics.own, self._worker.engine.heartbeat_at
        own.run_interval.set(self._worker.settings.schedule.interval_s)
        if heartbeat_at is not None:
            own.last_run.set(heartbeat_at)

    async def _write_textfiles(self) -> None:
        while True:
            await asyncio.sleep(TEXTFILE_S)
            self._note_heartbeat()
            await self._worker.outputs.write_textfile(aside=True)

    async def _render(self) -> None:
        """Renders what has changed in slices, so that a scrape finds it done and no probe waits for it."""
        while True:
            await asyncio.sleep(RENDER_S)
            collect_young()
            while not self._worker.metrics.render():  # noqa: ASYNC110 (not polling: each turn renders a slice)
                await asyncio.sleep(0)


async def run_daemon(settings: Settings, launch: Launch, serving: Serving) -> None:
    """Until SIGTERM or SIGINT. Raises ConfigError when it can't listen where it is told to."""
    board = Board()
    async with assemble(
        settings, launch, targets=settings.targets, extra={"board": board}, shard=serving.shard, exemplars=True
    ) as worker:
        board.redact = worker.connection.redact
        worker.resume(worker.outputs.recall())
        await Daemon(worker, board, serving).run()


def _outcomes(worker: Worker) -> Counter[str]:
    """How many targets stand where."""
    return Counter(track.outcome.value for track in worker.engine.tracks.values() if track.outcome)
