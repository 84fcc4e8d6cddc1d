"""Outputs: where a worker's metrics go besides /metrics, and what is read back from there before it begins."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from worker.core.shard import Shard
from worker.running import cancelled
from worker.settings import OutputSettings
from worker.sinks import textfile
from worker.sinks.memory import Memory, everyone, recall
from worker.sinks.reading import samples
from worker.sinks.text import one_line
from worker.world import Event

if TYPE_CHECKING:
    from worker.sinks.pushgateway import Pushgateway

Way = Literal["textfile", "pushgateway", "remote_write"]
#: First and last of what is written whenever a worker writes at all: between them nothing is missing.
_WHOLE = {"plugin_probe_build_info", "plugin_probe_sink_failures_total", "plugin_probe_last_run_timestamp_seconds"}
#: So much of a reason is told.
MOST_REASON_CHARS = 500


class Outputs:
    """`failed` once a required one was not written; the callable of that name is told of every failure. `exposition`
    gives all metrics as they are now; `shard` is None where the targets are not shared out.
    """

    def __init__(
        self,
        settings: OutputSettings,
        shard: Shard | None,
        *,
        exposition: Callable[[], Iterator[bytes]],
        failed: Callable[[str, Exception], None],
        event: Event,
        wall: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.failed = False
        self._exposition, self._sink_failed, self._event, self._wall = exposition, failed, event, wall
        self._shard, self._index = shard, None if shard is None else shard.index
        self._whole = True  # what a group in the gateway held is known, so that nothing is lost when it is replaced
        self._unreachable: OSError | None = None
        self._groups: frozenset[str] = frozenset()
        self._reading: asyncio.Task[Memory] | None = None

    def check(self) -> None:
        """Raises ConfigError where something that is wanted is not installed."""
        if self.settings.remote_write:
            from worker.sinks.remote_write import check_installed

            check_installed()

    # What was ------------------------------------------------------------------------------------------------------

    def recall(self) -> Memory | None:
        """What the textfile remembers."""
        wanted = self.settings.textfile
        return self._recall_textfile(wanted.path) if wanted else None

    async def recall_all(self) -> Memory | None:
        """What the textfile remembers or, where there is none, our job's groups in the Pushgateway."""
        memory, gateway, pulled = self.recall(), self._gateway(), None
        if gateway is None:
            return memory
        self._reading = asyncio.create_task(self._pull(gateway, patient=False))
        try:
            pulled = await self._reading
        except OSError as error:
            self._missing("pushgateway", str(error))
        except asyncio.CancelledError:
            if cancelled():
                raise
            self._missing("pushgateway", "stopped before it had answered")
        self._whole = pulled is not None or memory is not None
        return memory or pulled

    def stop(self) -> None:
        """The gateway is not waited for any more before the first call: there will be none."""
        if self._reading:
            self._reading.cancel()

    def _recall_textfile(self, path: Path) -> Memory | None:
        try:
            if not path.exists():
                self._missing("textfile", "there is none yet", level="info")
                return None
            if not path.is_file():  # a pipe, or /dev/stdout
                return None
            with path.open(encoding="utf-8", newline="\n") as lines:
                memory = recall(samples(lines))
        except (OSError, ValueError) as error:
            self._missing("textfile", f"{path}: {error}")
            return None
        if not {sample.name for sample in memory.own} >= _WHOLE:
            self._missing("textfile", f"{path}: ends early, or is not ours")
            return None
        return memory

    def _gateway(self) -> "Pushgateway | None":
        if self.settings.pushgateway is None:
            return None
        from worker.sinks.pushgateway import Pushgateway

        ours = self._shard.holds if self._shard else everyone
        return Pushgateway(self.settings.pushgateway, self._index, concerns=ours)

    async def _pull(self, gateway: "Pushgateway", *, patient: bool) -> Memory:
        """Raises ReceiverError."""
        groups = await gateway.pull(patient=patient)
        self._groups = groups.shards
        if not groups.shards:
            self._missing("pushgateway", f"it has no group of job {gateway.settings.job} yet", level="info")
        return groups.memory

    def _missing(self, source: str, reason: str, level: str = "warning") -> None:
        self._event("memory.missing", level=level, source=source, error=one_line(reason, MOST_REASON_CHARS))

    # What is -------------------------------------------------------------------------------------------------------

    async def deliver(self, note: Callable[[], None], resume: Callable[[Memory], None]) -> None:
        """A batch's metrics to wherever they are wanted. `note` is called before each and has to tell in them whether
        anything has failed; those that were written before something failed are written again. `resume` takes what
        could not be remembered before. The gateway's time-out is for all that is asked of it here.
        """
        gateway = self._gateway()
        await self._join(gateway, resume)
        ways: dict[Way, Callable[[], Awaitable[bool]]] = {
            "textfile": self.write_textfile,
            "pushgateway": partial(self._push, gateway),
            "remote_write": self._send,
        }
        written: list[Way] = []
        for way in [way for way in ways if getattr(self.settings, way)]:
            note()
            if await ways[way]():
                written.append(way)
                continue
            note()
            for earlier in written:
                await ways[earlier]()

    async def write_textfile(self, *, aside: bool = False) -> bool:
        """Writes the textfile, if there is one; `aside` while probes go on: however slow the disk, none waits for it.

        A failure is logged, counted and, where it is required, remembered.
        """
        wanted = self.settings.textfile
        if wanted is None:
            return True
        write = self._write_aside if aside else self._write
        return await self._done("textfile", wanted.required, write(wanted.path))

    async def _write(self, path: Path) -> None:
        textfile.write(path, self._exposition())

    async def _write_aside(self, path: Path) -> None:
        pieces = []
        for piece in self._exposition():
            pieces.append(piece)
            await asyncio.sleep(0)
        try:
            await asyncio.to_thread(textfile.write, path, pieces)
        except RuntimeError as error:  # no thread can be started
            raise OSError(str(error)) from None

    async def _join(self, gateway: "Pushgateway | None", resume: Callable[[Memory], None]) -> None:
        """Asks the gateway once more for what it could not tell before, now with patience."""
        if gateway is None or self._whole:
            return
        from worker.sinks.pushgateway import UnreadableError
        from worker.sinks.receiver import RefusedError

        try:
            resume(await self._pull(gateway, patient=True))
            self._whole = True
        except (UnreadableError, RefusedError) as error:
            self._missing("pushgateway", str(error))
        except OSError as error:
            self._unreachable = error

    async def _push(self, gateway: "Pushgateway | None") -> bool:
        from worker.sinks.pushgateway import dead

        assert gateway, "asked for"
        pushed = await self._done("pushgateway", gateway.settings.required, self._exchange(gateway))
        gone = [] if self._index or not pushed else [*dead(self._groups, self._shard.count if self._shard else None)]
        if gone and await self._done("pushgateway", False, gateway.delete(gone)):  # our own group is right
            self._groups = frozenset()
        return pushed

    async def _exchange(self, gateway: "Pushgateway") -> None:
        """Our group becomes what we have; where nobody could read what it held, what we do not have stays in it."""
        if self._unreachable:
            raise self._unreachable
        await gateway.push(self._exposition(), whole=self._whole)

    async def _send(self) -> bool:
        from worker.sinks.remote_write import send

        settings = self.settings.remote_write
        assert settings, "asked for"
        labels = {"job": settings.job} | ({} if self._index is None else {"shard": str(self._index)})
        sent = send(settings, self._exposition(), at=self._wall(), labels=labels)
        return await self._done("remote_write", settings.required, sent)

    async def _done(self, way: Way, required: bool, work: Awaitable[None]) -> bool:
        try:
            await work
        except OSError as error:
            self._sink_failed(way, error)
            self.failed = self.failed or required
            return False
        return True
