"""The daemon over thousands of targets, well and sick in every way, reloaded and scraped without a rest: it has to stay
as it is.
"""

import asyncio
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.soak.behaviours import OUTCOMES, UNPROVEN, WELL
from tests.soak.lists import INTERVAL_S, STAY, TARGETS, Lists, healthy, sick, visitors
from tests.soak.running import Daemon, Page, running, server
from tests.soak.steady import growth, is_flat, settled

RELOAD_S, SCRAPE_S = 5.0, 1.0
#: Every so many reloads the configuration is broken, each time in another way.
BROKEN_EVERY = 4
#: What watching and reloading take at most; a target that comes is then called within its interval.
LISTED_WITHIN_S = 10.0
#: One that left is not called any more after this: where others compute beside the soak a reload takes its time.
LEFT_WITHIN_S = 20.0
#: Where the worker had to wait for a processor for more of its time than this, nothing is said of what needs time.
MOST_STARVED = 0.1
#: By how much what is measured may rise after the warm-up: a share of it, and so much besides. Objects that are lost
#: show in the blocks; those of the first list stay, and garbage until the next collection of all. Of resident memory
#: 13 MB come and go with reloads, and may stay from one to the next.
ALLOWED = {
    "blocks": (0.05, 10 * TARGETS),
    "resident_bytes": (0.05, 20 * 2**20),
    "tasks": (0.05, 16),
    "descriptors": (0.05, 16),
    "threads": (0.0, 4),  # asyncio's pool makes another when all are busy
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """What came of it. `samples` are taken once a second."""

    seconds: float
    cpu_s: float
    starved_s: float
    exit_code: int
    scrapes: int
    longest_scrape_s: float
    reloads: int
    broken: int
    events: dict[str, int]
    results: dict[str, dict[str, int]]
    calls: int
    lateness: dict[str, float]
    skipped: dict[str, float]
    stalls: float
    stale_retries: float
    samples: dict[str, list[float]]
    untimely: list[str]
    worst_gap_s: float
    strange: list[str]

    @property
    def problems(self) -> list[str]:
        """Empty when all is well."""
        checks = {
            f"exit code {self.exit_code}": self.exit_code == 0,
            f"stderr: {self.strange}": not self.strange,
        }
        found = [problem for problem, well in checks.items() if not well]
        found += self._wrong_outcomes()
        return found if self.starved else [*found, *self._grown(), *self._left_out()]

    @property
    def starved(self) -> bool:
        return self.starved_s > MOST_STARVED * self.seconds

    def _left_out(self) -> Iterator[str]:
        """What was not done in time."""
        reloaded, rejected = (self.events.get(name, 0) for name in ("config.reloaded", "config.rejected"))
        if reloaded < (self.reloads - self.broken) // 2:
            yield f"only {reloaded} of {self.reloads} reloads"
        if rejected < self.broken:
            yield f"only {rejected} of {self.broken} broken configurations told"
        if self.untimely:
            yield f"not on time: {self.untimely[:20]}"
        for namespace, outcomes in OUTCOMES.items():
            if missing := outcomes - self.results.get(namespace, {}).keys():
                yield f"{namespace} never came to {missing}"

    def _grown(self) -> Iterator[str]:
        for name, (share, slack) in ALLOWED.items():
            if not is_flat(self.samples[name], share=share, slack=slack):
                yield f"{name} rose by {growth(settled(self.samples[name])):,.0f}: {self.samples[name]}"

    def _wrong_outcomes(self) -> Iterator[str]:
        for namespace, found in self.results.items():
            if found.keys() - OUTCOMES.get(namespace, WELL) - UNPROVEN:
                yield f"{namespace} came to {found}"

    def table(self) -> str:
        rows = [f"{'':16}{'start':>14}{'warmed up':>14}{'end':>14}{'peak':>14}{'rose by':>12}"]
        for name in ALLOWED:
            samples, kept = self.samples[name], settled(self.samples[name])
            seen = (samples[0], kept[0], kept[-1], max(samples))
            rows.append(f"{name:16}" + "".join(f"{value:14,.0f}" for value in seen) + f"{growth(kept):12,.0f}")
        rest = {
            "took": f"{self.seconds:,} s, of them {self.cpu_s:,} s of the worker's CPU",
            "starved": f"{self.starved_s:,} s" + (", so nothing is said of what needs time" if self.starved else ""),
            "calls": f"{self.calls:,}",
            "lateness": {name.partition('"')[2].rstrip('"}'): int(count) for name, count in self.lateness.items()},
            "longest gap": f"{self.worst_gap_s:.2f} s between calls of a target with {INTERVAL_S:g} s",
            "scrapes": f"{self.scrapes}, the longest {self.longest_scrape_s} s",
            "reloads": f"{self.reloads}, {self.broken} of them broken",
            "skipped": self.skipped,
            "stalls": self.stalls,
            "stale retries": self.stale_retries,
            "events": self.events,
        }
        return "\n".join([*rows, *(f"{name:16}{value}" for name, value in rest.items())])


async def soak(folder: Path, seconds: float) -> Soak:
    async with server("tests.soak.server") as faulty:
        lists = Lists(folder=folder, url=faulty.url)
        lists.write(0)
        async with running(folder) as daemon:
            began = time.monotonic()
            course = Course(daemon=daemon, lists=lists, until=began + seconds)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(course.reload())
                tasks.create_task(course.watch())
            ended, cpu_s, starved_s = time.monotonic(), daemon.cpu_s(), daemon.starved_s()
            daemon.send(signal.SIGTERM)
            end = End(at=ended, cpu_s=cpu_s, starved_s=starved_s, code=await daemon.ended())
        return found(course, await faulty.tell(), began, end)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """When the daemon was told to end, what it had taken until then, and its exit code."""

    at: float
    cpu_s: float
    starved_s: float
    code: int


@dataclass(slots=True, kw_only=True)
class Course:
    """A run under way."""

    daemon: Daemon
    lists: Lists
    until: float
    broken: int = 0
    reloads: int = 0
    page: Page = field(default_factory=lambda: Page(b""))
    samples: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in ALLOWED})

    async def reload(self) -> None:
        """By its own watch and by signals, one or two at once."""
        while time.monotonic() + 2 * RELOAD_S < self.until:  # the last one has time as well
            await asyncio.sleep(RELOAD_S)
            self.reloads += 1
            if self.reloads % BROKEN_EVERY == 0:
                self.lists.spoil(self.broken)
                self.broken += 1
            else:
                self.lists.write(self.reloads)
            for _ in range(self.reloads % 3):
                self.daemon.send(signal.SIGHUP)

    async def watch(self) -> None:
        next_at = time.monotonic()
        while (now := time.monotonic()) < self.until:
            self.daemon.send(signal.SIGUSR2)
            next_at = max(next_at + SCRAPE_S, now)
            await asyncio.sleep(next_at - now)
            self.page = await self.daemon.scrape()
            for name, value in self.daemon.usage().items():
                self.samples[name].append(value)
            assert self.daemon.alive, self.daemon.log.strange


def found(course: Course, called: dict[str, list[float]], began: float, end: End) -> Soak:
    daemon, page = course.daemon, course.page
    results: dict[str, dict[str, int]] = {}
    for (namespace, outcome), number in page.results.items():
        if number:
            results.setdefault(namespace, {})[outcome] = number
    gaps = {plugin: longest_gap_s(instants, began, end.at) for plugin, instants in called.items()}
    return Soak(
        seconds=round(end.at - began, 1),
        cpu_s=round(end.cpu_s, 1),
        starved_s=round(end.starved_s, 1),
        exit_code=end.code,
        scrapes=daemon.scrapes,
        longest_scrape_s=round(daemon.longest_scrape_s, 2),
        reloads=course.reloads,
        broken=course.broken,
        events=dict(daemon.log.events),
        results=results,
        calls=sum(map(len, called.values())),
        lateness=page.series("lateness_seconds_bucket"),
        skipped=page.series("skipped_total"),
        stalls=page.total("stalls_total"),
        stale_retries=page.total("stale_connection_retries_total"),
        samples=course.samples,
        untimely=[*late(gaps), *strays(course.lists.written_at, called, end.at)],
        worst_gap_s=max(gaps.get(each["plugin"], end.at - began) for each in healthy()),
        strange=daemon.log.strange,
    )


def longest_gap_s(instants: list[float], began: float, ended: float) -> float:
    ordered = [began, *(at for at in instants if began < at < ended), ended]
    return max(after - before for before, after in pairwise(ordered))


def late(gaps: dict[str, float]) -> Iterator[str]:
    """Who missed a cycle, among those who were on the list all the time."""
    for each in [*healthy(), *sick()]:
        gap_s = gaps.get(each["plugin"])
        if gap_s is None or gap_s > 2 * each.get("interval", INTERVAL_S):
            yield f"{each['plugin']}: {gap_s} s without a call"


def strays(written_at: dict[int, float], called: dict[str, list[float]], ended: float) -> Iterator[str]:
    """Visitors that were not called while they were there, or were when they had left."""
    for generation, came_at in written_at.items():
        gone_at = min((at for later, at in written_at.items() if later >= generation + STAY), default=ended)
        for each in visitors(generation):
            instants = called.get(each["plugin"], [])
            if not instants and gone_at - came_at > LISTED_WITHIN_S + INTERVAL_S:
                yield f"{each['plugin']} was never called"
            if instants and instants[-1] > gone_at + LEFT_WITHIN_S:
                yield f"{each['plugin']} was called {instants[-1] - gone_at:.1f} s after it had left"
