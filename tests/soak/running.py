"""The daemon and its server as processes, and what can be seen of them from outside."""

import asyncio
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.e2e.commands import Started, environment, started
from tests.soak import daemon

ROOT = Path(__file__).parent.parent.parent
#: A slow machine is no failure, one that stands still is.
PATIENCE_S = 60.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_EVENT = re.compile(r'^\{"timestamp".*?"event":"(.*?)"')
_RESULTS = re.compile(rb'^plugin_probe_results_total\{mixpeek_namespace="(.*?)",outcome="(.*?)"\} (\S+)$', re.MULTILINE)
_FORMATS = ("text/plain", "application/openmetrics-text; version=1.0.0")
#: What plugins, limits and reloads give rise to. Warnings and asyncio's complaints are lines of the log as well, and
#: like failures of our own they are none of these.
EVENTS = {
    "config.rejected",
    "config.reloaded",
    "limits.throttled",
    "memory.missing",
    "probe.failed",
    "probe.recovered",
    "probe.unknown",
    "run.finished",
    "run.started",
    "worker.overloaded",
    "worker.stalled",
    "worker.stopping",
}
_MOST_KEPT = 20


class Log:
    """What came on stderr: events by name, the first failures, and the first lines that are none of EVENTS."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.failed: list[str] = []
        self.strange: list[str] = []

    async def follow(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.take(line.decode(errors="replace").rstrip())

    def take(self, line: str) -> None:
        found = _EVENT.match(line)
        name = found[1] if found else "no event"
        self.events[name] += 1
        if name not in EVENTS:
            _keep(self.strange, line)
        elif name == "probe.failed":
            _keep(self.failed, line)


def _keep(kept: list[str], line: str) -> None:
    if len(kept) < _MOST_KEPT:
        kept.append(line)


class Page:
    """What one scrape said."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self.results: Counter[tuple[str, str]] = Counter()  # by namespace and outcome
        for namespace, outcome, value in _RESULTS.findall(text):
            self.results[namespace.decode(), outcome.decode()] += int(float(value))

    @property
    def outcomes(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for (_, outcome), number in self.results.items():
            found[outcome] += number
        return found

    def series(self, name: str) -> dict[str, float]:
        """The values of a family without target labels, by the text of its labels; what is 0 is left out."""
        lines = re.findall(rb"^plugin_probe_%b(\{.*?\})? (\S+)" % name.encode(), self._text, re.MULTILINE)
        return {labels.decode(): float(value) for labels, value in lines if float(value)}

    def total(self, name: str) -> float:
        return sum(self.series(name).values())


class Daemon:
    """A running daemon."""

    def __init__(self, process: Started, session: aiohttp.ClientSession, log: Log, counted: Path) -> None:
        self.log = log
        self.scrapes = 0
        self.longest_scrape_s = 0.0
        self._process = process
        self._session = session
        self._counted = counted
        self._proc = Path(f"/proc/{process.process.pid}")

    @property
    def alive(self) -> bool:
        return self._process.process.returncode is None

    def send(self, number: int) -> None:
        self._process.send(number)

    async def scrape(self) -> Page:
        """In one format and then in the other."""
        began = time.monotonic()
        headers = {"Accept": _FORMATS[self.scrapes % 2], "Accept-Encoding": "gzip"}
        async with self._session.get("/metrics", headers=headers) as reply:
            text = await reply.read()
            assert (reply.status, reply.headers["Content-Encoding"]) == (200, "gzip")
        self.scrapes += 1
        self.longest_scrape_s = max(self.longest_scrape_s, time.monotonic() - began)
        return Page(text)

    def usage(self) -> dict[str, int]:
        """Seen from outside, but for what it counted itself when it was last asked to: tasks and blocks."""
        seen = {
            "resident_bytes": int((self._proc / "statm").read_text().split()[1]) * PAGE_BYTES,
            "descriptors": len(list((self._proc / "fd").iterdir())),
            "threads": len(list((self._proc / "task").iterdir())),
        }
        return {**seen, **json.loads(self._counted.read_text())} if self._counted.exists() else seen

    def cpu_s(self) -> float:
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def starved_s(self) -> float:
        """For how long its event loop could have run and others did. https://docs.kernel.org/scheduler/sched-stats.html"""
        return int((self._proc / "schedstat").read_text().split()[1]) / 1e9

    async def ended(self) -> int:
        return await asyncio.wait_for(self._process.process.wait(), PATIENCE_S)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Daemon]:
    """`plugin-probe run` over the worker.yaml there, for which every warning is an error."""
    counted, log = folder / "counts", Log()
    command = (sys.executable, "-W", "error", str(daemon.__file__))
    env = environment(SOAK_COUNTS=str(counted))
    async with started("run", "-c", "worker.yaml", cwd=folder, command=command, env=env) as process:
        url = await process.url()
        for line in process.errors:
            log.take(line.rstrip())
        assert process.process.stderr is not None
        following = asyncio.create_task(log.follow(process.process.stderr))
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        try:
            async with aiohttp.ClientSession(url, timeout=timeout, read_bufsize=2**20) as session:
                yield Daemon(process, session, log, counted)
            await asyncio.wait_for(following, PATIENCE_S)  # to the last line: it has ended
        finally:
            following.cancel()


class Server:
    """A running server."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._process = process

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    async def tell(self) -> Any:
        """Ends it; what it says of itself."""
        told, _ = await asyncio.wait_for(self._process.communicate(b""), PATIENCE_S)  # None would leave stdin open
        return json.loads(told)


@asynccontextmanager
async def server(module: str, *arguments: str) -> AsyncIterator[Server]:
    """A module that prints its port, and what it has seen when its stdin ends."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, cwd=ROOT, stdin=pipe, stdout=pipe
    )
    assert process.stdout is not None
    try:
        yield Server(process, int(await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
