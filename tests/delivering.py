"""Outputs with a worker around them of which nothing is real but what it writes and reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fakes import EPOCH_S, MemoryEvents
from tests.sinks.given import exchange, probed, target
from tests.sinks.receiving import Receiver
from worker.core.shard import Shard
from worker.outputs import Outputs
from worker.settings import OutputSettings, ReceiverSettings, TextfileSettings
from worker.sinks.memory import Memory
from worker.sinks.metrics import Metrics


def written_before() -> bytes:
    """What a batch of two probes of one target exposed."""
    metrics = Metrics(version="0")
    metrics.add(target())
    for recorded in probed(target(), exchange(), exchange()):
        metrics.record(recorded)
    metrics.own.last_run.set(EPOCH_S)
    return b"".join(metrics.exposition())


class World:
    """Outputs, and what the worker around them would do. What is exposed tells what was noted and resumed by then;
    `exposed_with` is what was noted at each time.
    """

    def __init__(
        self,
        receiver: Receiver | None = None,
        *,
        textfile: Path | None = None,
        ways: tuple[str, ...] = (),
        shard: Shard | None = None,
        required: bool = True,
        timeout_s: float = 5.0,
    ) -> None:
        url = receiver.url.removesuffix("/write") if receiver else ""
        to = {"pushgateway": url, "remote_write": f"{url}/write"}
        sent: dict[str, Any] = {
            way: ReceiverSettings(url=to[way], required=required, timeout_s=timeout_s) for way in ways
        }
        written = TextfileSettings(path=textfile, required=required) if textfile else None
        self.events, self.failures = MemoryEvents(), list[tuple[str, str]]()
        self.noted, self.probes = False, 0
        self.exposed_with: list[bool] = []
        self.outputs = Outputs(
            OutputSettings(textfile=written, **sent),
            shard,
            exposition=self.exposition,
            failed=lambda way, error: self.failures.append((way, str(error))),
            event=self.events,
            wall=lambda: EPOCH_S,
        )

    def exposition(self) -> Iterator[bytes]:
        self.exposed_with.append(self.noted)
        yield b"failed %d\n" % self.noted
        yield b"probes %d\n" % self.probes

    def note(self) -> None:
        self.noted = self.outputs.failed

    def resume(self, memory: Memory) -> None:
        self.probes += sum(track.probes for track in memory.tracks.values())

    async def batch(self) -> "World":
        """As `once` goes about it."""
        self.resume(await self.outputs.recall_all() or Memory())
        self.probes += 1
        await self.outputs.deliver(self.note, self.resume)
        return self

    @property
    def missing(self) -> list[tuple[str, str]]:
        return [(fields["source"], level) for name, level, fields in self.events.events if name == "memory.missing"]


def asked(receiver: Receiver) -> list[str]:
    return [f"{came.method} {came.path}" for came in receiver.came]


def exposed(failed: int, probes: int) -> bytes:
    return b"failed %d\nprobes %d\n" % (failed, probes)
