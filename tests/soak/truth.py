"""A million healthy probes, and whatever may befall the worker meanwhile but a sick plugin: not one may be down."""

import asyncio
import json
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.commands import replace, target, write_config
from tests.soak.running import PATIENCE_S, Daemon, Log, Page, Server, running, server
from worker.core.outcome import Outcome, Verdict

TIMEOUT_S = 5.0
#: Shorter than the time-out, and so short that what piled up meanwhile is done before it as well.
MOST_SUSPENDED_S = 1.0
NAMESPACES = 20
#: Of the targets so many are others after each reload, and as many ask for something else.
EXCHANGED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What came of it. `told` is what the server says of itself, `befell` how often each thing befell the worker."""

    asked: int
    results: dict[str, int]
    stale_retries: int
    stalls: int
    skipped: dict[str, float]
    told: dict[str, int]
    befell: dict[str, int]
    events: dict[str, int]
    seconds: float
    cpu_s: float
    exit_code: int
    failed: list[str]
    strange: list[str]

    def of(self, verdict: Verdict) -> int:
        return sum(self.results.get(outcome.value, 0) for outcome in Outcome if outcome.verdict is verdict)

    @property
    def problems(self) -> list[str]:
        """Empty when all is well."""
        checks = {
            f"exit code {self.exit_code}": self.exit_code == 0,
            f"{self.of(Verdict.DOWN)} down: {self.failed}": not self.of(Verdict.DOWN) and not self.failed,
            f"internal errors: {self.results}": not self.results.get(Outcome.INTERNAL_ERROR.value),
            f"only {self.of(Verdict.UP)} up": self.of(Verdict.UP) >= self.asked,
            f"only {self.told['answered']} answers for what was up": self.told["answered"] >= self.of(Verdict.UP),
            f"no race was run: {self.told}": self.stale_retries > 0,
            f"nothing befell it: {self.befell}": len(self.befell) == len(MISHAPS) and all(self.befell.values()),
            f"stderr: {self.strange}": not self.strange,
        }
        return [problem for problem, well in checks.items() if not well]

    def table(self) -> str:
        rows = {
            "results": self.results,
            "took": f"{self.seconds:,} s, of them {self.cpu_s:,} s of the worker's CPU",
            "skipped": self.skipped,
            "stale retries": self.stale_retries,
            "stalls": self.stalls,
            "server": self.told,
            "befell it": self.befell,
            "events": self.events,
        }
        return "\n".join(f"{name:14} {value}" for name, value in rows.items())


@dataclass(slots=True, kw_only=True)
class Course:
    """A run under way."""

    folder: Path
    daemon: Daemon
    server: Server
    targets: list[dict[str, Any]]
    page: Page = field(default_factory=lambda: Page(b""))
    befell: dict[str, int] = field(default_factory=dict)

    async def scrape(self) -> None:
        self.page = await self.daemon.scrape()

    async def reload(self) -> None:
        number = self.befell.get("reload", 0)
        for place in range(EXCHANGED):
            self.targets[place]["plugin"] = f"new_{place}_{number}"
            self.targets[-1 - place]["inputs"] = {"text": f"hello {number}"}
        replace(self.folder / "targets.yaml", json.dumps({"targets": self.targets}))
        if number % 2:
            self.daemon.send(signal.SIGHUP)

    async def collect(self) -> None:
        self.daemon.send(signal.SIGUSR1)

    async def suspend_the_daemon(self) -> None:
        await suspended(self.daemon)

    async def suspend_the_server(self) -> None:
        await suspended(self.server)


async def suspended(whom: Daemon | Server) -> None:
    whom.send(signal.SIGSTOP)
    try:
        await asyncio.sleep(random.uniform(0.02, MOST_SUSPENDED_S))
    finally:
        whom.send(signal.SIGCONT)


#: What befalls the worker, and how many seconds lie between.
MISHAPS: dict[str, tuple[Callable[[Course], Awaitable[None]], float]] = {
    "scrape": (Course.scrape, 1.0),
    "reload": (Course.reload, 5.0),
    "collection": (Course.collect, 1.7),
    "suspended daemon": (Course.suspend_the_daemon, 7.0),
    "suspended server": (Course.suspend_the_server, 5.3),
}


async def befalling(course: Course, name: str) -> None:
    mishap, every_s = MISHAPS[name]
    while True:
        await asyncio.sleep(every_s)
        await mishap(course)
        course.befell[name] = course.befell.get(name, 0) + 1


async def truth(folder: Path, probes: int, per_s: int) -> Truth:
    """Until so many probes are up. As many targets as probes a second, each with an interval of 1 s."""
    random.seed(11)
    targets = [target(f"p_{number}", f"ns_{number % NAMESPACES}", inputs={"text": "hello"}) for number in range(per_s)]
    async with server("tests.soak.racing_server") as racing:
        configure(folder, racing.url, targets)
        async with running(folder) as daemon:
            began = time.monotonic()
            course = Course(folder=folder, daemon=daemon, server=racing, targets=targets)
            async with asyncio.timeout(PATIENCE_S + 10 * probes / per_s), mishaps(course):
                while sum(course.page.outcomes[up.value] for up in (Outcome.SUCCESS, Outcome.SLOW)) < probes:
                    await asyncio.sleep(0.2)
                    assert daemon.alive, daemon.log.strange
            await course.scrape()
            seconds, cpu_s = time.monotonic() - began, daemon.cpu_s()
            daemon.send(signal.SIGTERM)
            code = await daemon.ended()
        return found(course, daemon.log, probes, await racing.tell(), seconds, cpu_s, code)


@asynccontextmanager
async def mishaps(course: Course) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        befall = [tasks.create_task(befalling(course, name)) for name in MISHAPS]
        yield
        for task in befall:
            task.cancel()


def configure(folder: Path, url: str, targets: list[dict[str, Any]]) -> None:
    write_config(
        folder,
        url,
        targets,
        limits={"rate": "20000/s", "concurrency": 100},
        schedule={"interval": "1s", "timeout": TIMEOUT_S, "grace": "10s"},
        outputs={"listen": "127.0.0.1:0", "histograms": "namespace"},
    )


def found(
    course: Course, log: Log, probes: int, told: dict[str, int], seconds: float, cpu_s: float, code: int
) -> Truth:
    page = course.page
    return Truth(
        asked=probes,
        results=dict(page.outcomes),
        stale_retries=int(page.total("stale_connection_retries_total")),
        stalls=int(page.total("stalls_total")),
        skipped=page.series("skipped_total"),
        told=told,
        befell=course.befell,
        events=dict(log.events),
        seconds=round(seconds, 1),
        cpu_s=round(cpu_s, 1),
        exit_code=code,
        failed=log.failed,
        strange=log.strange,
    )
