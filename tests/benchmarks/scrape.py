"""A scrape of many targets through the real web server, and what it does to the event loop meanwhile.

A tenth of the targets had a result since the scrape before, as at one probe in five minutes and one scrape in thirty
seconds. The scraper is a process of its own. `generate_latest` has as many series, collected beforehand.
"""

import asyncio
import gc
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from tests.benchmarks.children import Child, child
from tests.benchmarks.figure import Figure, Reading, Row
from tests.benchmarks.options import Options
from tests.benchmarks.spent import cpu_now_s
from tests.sinks.given import T0, VECTOR, exchange, last, probed, target
from tests.web.surface import HandMade
from worker.collector import tuned
from worker.core.exchange import Phases
from worker.core.target import Target
from worker.core.track import Recorded
from worker.settings import Histograms
from worker.sinks.exemplars import Exemplars
from worker.sinks.metrics import Metrics
from worker.web.listen import listening
from worker.web.server import make_app

NAMESPACES = 200
#: Targets, whose histograms, blocks of the ratio (40 of the last would take seven minutes), scrapes a block.
SIZES: tuple[tuple[int, Histograms, int, int], ...] = (
    (1_000, "target", 40, 10),
    (10_000, "target", 40, 2),
    (100_000, "namespace", 4, 2),
)
CODINGS = ("identity", "gzip")
#: So often, and for so long each time, the loop is watched idle and then while it serves.
TURNS = 3
TURN_S = 1.5
TICK_S = 0.001
#: What the loop did before this was the benchmark's own doing.
SETTLE_S = 0.05


#: Asks for a scrape in this coding: how many seconds it took and how many bytes came.
Answer = Callable[[str], Awaitable[dict[str, float]]]


@dataclass(slots=True)
class Fleet(HandMade):
    """Healthy targets with one vector each, on reused connections, behind a web server's surface."""

    size: int = 0
    histograms: Histograms = "target"
    metrics: Metrics = field(init=False)
    listed: list[Target] = field(default_factory=list)

    def __post_init__(self) -> None:
        marks = Exemplars("00000000-0000-0000-0000-000000000000")
        self.metrics = Metrics(version="0", histograms=self.histograms, exemplars=marks)
        for number in range(self.size):
            one = target(f"ns_{number % NAMESPACES:06d}", f"text_embed_{number:06d}_1_0_0", expect=VECTOR)
            self.listed.append(one)
            self.metrics.add(one)
            self.metrics.record(result(one))
        while not self.metrics.render():
            pass

    def exposition(self, *, openmetrics: bool) -> Iterator[bytes]:
        return self.metrics.exposition(openmetrics=openmetrics)

    async def move_on(self) -> None:
        """A tenth of the targets has another result, rendered beside the probes as the daemon does."""
        for number, one in enumerate(random.sample(self.listed, self.size // 10)):
            self.metrics.record(result(one))
            if number % 100 == 0:
                await asyncio.sleep(0)
        while not self.metrics.render():  # noqa: ASYNC110 (not polling: each turn renders a slice)
            await asyncio.sleep(0)


_RECORDED = last(probed(target(expect=VECTOR), exchange(), exchange(at=T0 + 60)))


def result(of: Target) -> Recorded:
    """Of times that nobody rounded, as real ones are."""
    at, wait_s = T0 + random.random() * 300, random.random() / 20
    phases = Phases(send=random.random() / 1e4, wait=wait_s, receive=random.random() / 1e4)
    track = _RECORDED.track._replace(
        last_probe_at=at,
        last_conclusive_at=at + wait_s,
        last_success_at=at + wait_s,
        duration_s=phases.duration_s,
        phases=phases,
        duration_sum_s=2 * wait_s,
    )
    return _RECORDED._replace(result=_RECORDED.result._replace(target=of), track=track)


def scrape(options: Options) -> list[Row]:
    """Time, bytes and the loop's lag of scrapes of 1,000, 10,000 and 100,000 targets, identity and gzip."""
    rows: list[Row] = []
    for size, histograms, blocks, scrapes in SIZES:
        fleet = Fleet(size=size, histograms=histograms)
        theirs = _registry(fleet)
        gc.collect()
        with child("scraper") as scraper, tuned():
            rows += asyncio.run(_measure(fleet, theirs, scraper, min(blocks, options.blocks), scrapes))
        gc.unfreeze()
    return rows


async def _measure(fleet: Fleet, theirs: CollectorRegistry, scraper: Child, blocks: int, scrapes: int) -> list[Row]:
    ours_s: list[float] = []
    theirs_s: list[float] = []
    rows: list[Row] = []
    named = f"{fleet.size:,} targets" + (", histograms by namespace" if fleet.histograms == "namespace" else "")
    async with listening(make_app(fleet), "127.0.0.1", 0) as url:

        async def answer(coding: str) -> dict[str, float]:
            told: dict[str, float] = await asyncio.to_thread(scraper.ask, f"{url}/metrics", coding)
            return told

        for coding in CODINGS:
            rows += await _watched(f"scrape of {named}, {coding}", fleet, answer, coding)
        for number in range(blocks + 1):
            if number:  # the first block warms both
                before_s = cpu_now_s()
                generate_latest(theirs)
                theirs_s.append(cpu_now_s() - before_s)
            spent_s = 0.0
            for _ in range(scrapes):
                await fleet.move_on()
                before_s = cpu_now_s()
                await answer("identity")
                spent_s += cpu_now_s() - before_s
            if number:
                ours_s.append(spent_s / scrapes)
    name = f"scrape of {named}, against generate_latest over as many series ({blocks} blocks)"
    return [*rows, Figure(name=name, goal="≤ 0.05", ours=ours_s, theirs=theirs_s)]


async def _watched(name: str, fleet: Fleet, answer: Answer, coding: str) -> list[Row]:
    """The loop idle and serving, by turns."""
    idle: list[float] = []
    serving: list[float] = []
    answers: list[dict[str, float]] = []
    for _ in range(TURNS):
        async with _watching(idle):
            await asyncio.sleep(TURN_S)
        until = time.perf_counter() + TURN_S
        while time.perf_counter() < until:
            await fleet.move_on()
            await asyncio.sleep(SETTLE_S)
            async with _watching(serving):
                answers.append(await answer(coding))
    seconds = sorted(answer["seconds"] for answer in answers)
    median_s = seconds[len(seconds) // 2]
    told = f"{_tail(serving):.2g} ms beside {_tail(idle):.2g} ms idle, {len(serving):,} and {len(idle):,} samples"
    return [
        Reading(name=f"{name}: time", value=1e3 * median_s, unit="ms", spread=f"to {1e3 * seconds[-1]:,.0f} ms"),
        Reading(name=f"{name}: size", value=answers[-1]["bytes"] / 1e6, unit="MB"),
        Reading(
            name=f"{name}: loop lag p99.9 above idle",
            value=_tail(serving) - _tail(idle),
            unit="ms",
            goal="≤ 5 ms",
            spread=told,
        ),
    ]


@asynccontextmanager
async def _watching(lags_s: list[float]) -> AsyncIterator[None]:
    async def watch() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(TICK_S)
            lags_s.append(time.perf_counter() - before - TICK_S)

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()


def _tail(lags_s: list[float]) -> float:
    """Milliseconds; p99.9."""
    return 1e3 * sorted(lags_s)[int(0.999 * (len(lags_s) - 1))]


class _Collected(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _registry(fleet: Fleet) -> CollectorRegistry:
    """The series of the first target, once for every target."""
    alone = Metrics(version="0", histograms=fleet.histograms)
    alone.add(fleet.listed[0])
    alone.record(result(fleet.listed[0]))
    families = [
        family
        for family in parse(b"".join(alone.exposition()).decode())
        if any("plugin" in sample.labels for sample in family.samples)
    ]
    named = [{"mixpeek_namespace": one.key.namespace, "plugin": one.key.plugin} for one in fleet.listed]
    for family in families:
        first = list(family.samples)
        family.samples = [
            Sample(sample.name, labels if len(sample.labels) == 2 else {**sample.labels, **labels}, sample.value)
            for labels in named
            for sample in first
        ]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(families))
    return registry
