"""The worker itself is suspended or starved while its servers are well: no plugin is blamed, no latency is wrong."""

import asyncio
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.commands import (
    PATIENCE_S,
    Finished,
    Started,
    Together,
    eventually,
    run,
    started,
    target,
    together,
    write_config,
)
from tests.e2e.witness import heard, witness

pytestmark = [pytest.mark.e2e, pytest.mark.waits, pytest.mark.timeout(240)]

SUSPENDED_S = 15.0
#: How long the daemon is stopped for nine tenths of every second; a minute and more shows rarer cases.
STOPPED_S = float(os.environ.get("PROBE_STOPPED_S", "20"))
TARGETS = [target(f"p{number}_1_0_0") for number in range(100)]
FEW = [target(f"p{number}_1_0_0") for number in range(20)]
HANGS = "hangs_1_0_0"


class Exposition:
    """What a scrape or a textfile says."""

    def __init__(self, text: str) -> None:
        families = list(text_string_to_metric_families(text))
        self._samples = [sample for family in families for sample in family.samples]

    def values(self, name: str, **labels: str) -> dict[str, float]:
        """By plugin, of the series with these labels; "" is the worker's own."""
        return {
            sample.labels.get("plugin", ""): sample.value
            for sample in self._samples
            if sample.name == f"plugin_probe_{name}" and labels.items() <= sample.labels.items()
        }

    def outcomes(self) -> dict[str, str]:
        return {
            sample.labels["plugin"]: sample.labels["outcome"]
            for sample in self._samples
            if sample.name == "plugin_probe_outcome"
        }

    def slowest(self) -> float:
        """The longest latency that stands on its own."""
        names = ("plugin_probe_last_duration_seconds", "plugin_probe_phase_duration_seconds")
        return max(sample.value for sample in self._samples if sample.name in names)


async def suspended(folder: Path) -> tuple[Finished, Exposition]:
    """A batch that is stopped for 15 s with half of its calls in flight; they have 4 s, their server takes 1.5 s."""
    async with witness(1.5) as url:
        schedule, outputs = {"timeout": "4s"}, {"textfile": {"path": "probe.prom"}}
        write_config(folder, url, TARGETS, schedule=schedule, outputs=outputs)
        async with started("once", "-c", "worker.yaml", "--format", "json", cwd=folder) as process:

            async def called() -> bool:
                return len((await asyncio.to_thread(heard, url))["probes"]) >= 50

            await eventually(called)
            await asyncio.sleep(0.5)
            process.send(signal.SIGSTOP)
            await asyncio.sleep(SUSPENDED_S)
            process.send(signal.SIGCONT)
            done = await process.finish()
    return done, Exposition((folder / "probe.prom").read_text(encoding="utf-8"))


async def starved(folder: Path) -> tuple[Exposition, Exposition]:
    """A daemon that is stopped 0.9 s in every second: what it showed before and at the end of that. Its calls have 1 s,
    its server takes 0.3 s, but for one plugin that hangs.
    """
    async with witness(0.3) as url:
        write_config(
            folder,
            url,
            [*FEW, target(HANGS)],
            schedule={"timeout": "1s", "interval": "2s"},
            outputs={"listen": "127.0.0.1:0"},
        )
        async with started("run", "-c", "worker.yaml", cwd=folder) as process:
            page = await process.url()

            async def known() -> Exposition | None:
                shown = Exposition(await asyncio.to_thread(scrape, page))
                return shown if len(shown.values("success")) == len(FEW) + 1 else None

            before = await eventually(known)
            assert before is not None
            await stop_and_go(process)
            return before, Exposition(await asyncio.to_thread(scrape, page))


async def stop_and_go(process: Started) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + STOPPED_S
    while loop.time() < until:
        process.send(signal.SIGSTOP)
        await asyncio.sleep(0.9)
        process.send(signal.SIGCONT)
        await asyncio.sleep(0.1)


def scrape(url: str) -> str:
    with urllib.request.urlopen(f"{url}/metrics", timeout=PATIENCE_S) as reply:
        text: str = reply.read().decode()
        return text


async def crowded(folder: Path) -> Finished:
    """A batch with two busy processes beside it; its calls have 1 s, its server takes 0.3 s."""
    async with witness(0.3) as url, busy(), busy():
        write_config(folder, url, TARGETS, schedule={"timeout": "1s"})
        return await run("once", "-c", "worker.yaml", "--format", "json", cwd=folder)


@asynccontextmanager
async def busy() -> AsyncIterator[None]:
    """A process that does nothing else, for a minute at most."""
    text = "import time\nuntil = time.monotonic() + 60\nwhile time.monotonic() < until: pass"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", text)
    try:
        yield
    finally:
        process.kill()
        await process.wait()


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Together:
    found = {case.__name__: case for case in (suspended, starved, crowded)}
    return together(found, tmp_path_factory.mktemp("stall"))


def test_a_suspended_batch_finds_nothing_down(cases: Together) -> None:
    done, _ = cases["suspended"]
    assert done.took_s > SUSPENDED_S
    assert done.code == 0
    assert done.json["summary"]["by_outcome"] == {"success": len(TARGETS)}


def test_no_latency_holds_the_time_for_which_the_worker_was_suspended(cases: Together) -> None:
    done, metrics = cases["suspended"]
    assert max(latencies(done.json)) < 2.5
    assert metrics.slowest() < 2.5
    counted = metrics.values("duration_seconds_count")
    assert sum(counted.values()) > len(TARGETS) / 2
    assert metrics.values("duration_seconds_bucket", le="2.5") == counted


def latencies(report: dict[str, Any]) -> Iterator[float]:
    yield report["summary"]["latency_s"]["max"]
    for row in report["results"]:
        yield row["duration_s"]
        yield from (seconds for seconds in row["phases"].values() if seconds is not None)


def test_that_it_was_suspended_is_logged_and_counted(cases: Together) -> None:
    done, metrics = cases["suspended"]
    assert done.event("worker.stalled")["lost_s"] == pytest.approx(SUSPENDED_S, abs=1.0)
    assert metrics.values("stalls_total")[""] >= 1.0


def test_a_starved_daemon_blames_no_plugin(cases: Together) -> None:
    before, after = cases["starved"]
    probes = {plugin: count for plugin, count in after.values("probes_total").items() if plugin != HANGS}
    failures, outcomes = after.values("failures_total"), after.outcomes()
    assert len(probes) == len(FEW)
    assert [plugin for plugin in probes if failures[plugin]] == []
    assert {outcomes[plugin] for plugin in probes} <= {"success", "prober_stalled", "skipped"}
    made = sum(probes.values()) - sum(before.values("probes_total")[plugin] for plugin in probes)
    assert made > len(FEW)  # it did go on
    assert after.values("stalls_total")[""] > STOPPED_S / 2


def test_no_latency_holds_the_time_for_which_the_daemon_was_stopped(cases: Together) -> None:
    _, after = cases["starved"]
    within, counted = after.values("duration_seconds_bucket", le="0.5"), after.values("duration_seconds_count")
    assert {plugin: within[plugin] for plugin in counted if plugin != HANGS} == {
        plugin: count for plugin, count in counted.items() if plugin != HANGS
    }


def test_a_hanging_plugin_times_out_and_a_starved_worker_proves_nothing_new_of_it(cases: Together) -> None:
    before, after = cases["starved"]
    assert before.outcomes()[HANGS] == "timeout"
    assert after.outcomes()[HANGS] in ("timeout", "prober_stalled", "skipped")
    assert after.values("success")[HANGS] == 0.0
    assert HANGS not in after.values("last_success_timestamp_seconds")
    assert after.values("unknowns_total")[HANGS] > before.values("unknowns_total")[HANGS]


def test_busy_processes_beside_it_change_nothing(cases: Together) -> None:
    done = cases["crowded"]
    assert done.code == 0
    assert done.json["summary"]["down"] == 0
    assert done.json["summary"]["by_outcome"].keys() <= {"success", "prober_stalled"}
