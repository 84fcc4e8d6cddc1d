"""More is due than the limits allow, with the real command: it is told, counted, fairly shared, and nothing grows."""

import asyncio
import signal
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import PATIENCE_S, Started, Together, started, target, together, write_config
from tests.servers import Mixpeek, answer, serving

pytestmark = [pytest.mark.e2e, pytest.mark.waits]

MOST_GROWTH_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """`after_s` is how long after the start it was told."""

    told: dict[str, Any]
    after_s: float
    metrics: list[str]
    grown_bytes: int
    calls: Counter[str]
    code: int

    def sum_of(self, series: str) -> float:
        return sum(float(line.rpartition(" ")[2]) for line in self.metrics if line.startswith(series))


def memory_bytes(process: Started) -> int:
    pages = Path(f"/proc/{process.process.pid}/statm").read_text().split()[1]
    return int(pages) * 4096


def scraped(url: str) -> list[str]:
    with urllib.request.urlopen(f"{url}/metrics", timeout=PATIENCE_S) as reply:
        text: str = reply.read().decode()
    return text.splitlines()


async def overloaded(folder: Path, server: Mixpeek, targets: list[dict[str, Any]], **sections: Any) -> Seen:
    """The daemon until it says that it is overloaded."""
    write_config(folder, server.url, targets, outputs={"listen": "127.0.0.1:0"}, **sections)
    loop = asyncio.get_running_loop()
    async with started("run", "-c", "worker.yaml", cwd=folder) as process:
        url, began = await process.url(), loop.time()
        await asyncio.sleep(6.0)
        before = memory_bytes(process)
        told = await process.event("worker.overloaded")
        after_s = loop.time() - began
        grown, metrics = memory_bytes(process) - before, await asyncio.to_thread(scraped, url)
        process.send(signal.SIGTERM)
        done = await process.finish()
    calls = Counter(call.namespace for call in server.calls)
    return Seen(told=told, after_s=after_s, metrics=metrics, grown_bytes=grown, calls=calls, code=done.code)


async def by_the_rate(folder: Path) -> Seen:
    """50 a second are due; one namespace needs no more than a third of the five that there are."""
    targets = [target(f"p{number}", f"ns_{number % 2}", interval="2s") for number in range(98)]
    targets += [target(f"s{number}", "ns_small", interval="2s") for number in range(2)]
    async with serving() as server:
        return await overloaded(folder, server, targets, limits={"rate": "5/s", "concurrency": 50})


async def by_the_concurrency(folder: Path) -> Seen:
    """5 a second are due, each of 1 s."""
    targets = [target(f"p{number}", interval="4s") for number in range(20)]
    async with serving(default=answer(delay_s=1.0)) as server:
        return await overloaded(folder, server, targets, limits={"rate": "100/s", "concurrency": 2})


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Together:
    return together({"rate": by_the_rate, "concurrency": by_the_concurrency}, tmp_path_factory.mktemp("overload"))


def test_a_rate_that_is_too_low_is_told_with_the_one_that_is_needed(seen: Together) -> None:
    told = seen["rate"].told
    assert (told["level"], told["limit"], told["needed"], told["configured"]) == ("warning", "rate", "50/s", "5/s")
    assert told["remedy"] == "limits.rate: 50/s fits, or intervals 10 times as long"
    assert 60 <= told["waiting"] <= 100
    assert told["lateness_s"] > 5
    assert told["skipped"] > 100


def test_a_concurrency_that_is_too_low_is_told_with_the_one_that_is_needed(seen: Together) -> None:
    told = seen["concurrency"].told
    assert (told["limit"], told["configured"]) == ("concurrency", 2)
    assert told["needed"] in (5, 6), "5 a second, each of a little more than 1 s"
    assert told["remedy"].startswith(f"limits.concurrency: {told['needed']} fits, or intervals ")


@pytest.mark.parametrize("case", ["rate", "concurrency"])
def test_it_is_told_in_time_and_nothing_is_down_for_it(seen: Together, case: str) -> None:
    found = seen[case]
    assert 10.0 <= found.after_s <= 20.0
    assert found.code == 0
    assert found.sum_of('plugin_probe_skipped_total{reason="overload"}') >= found.told["skipped"]
    assert found.sum_of(f'plugin_probe_throttle_seconds_total{{limit="{case}"}}') > 5
    assert found.sum_of("plugin_probe_failures_total{") == 0
    late = found.sum_of("plugin_probe_lateness_seconds_count") - found.sum_of(
        'plugin_probe_lateness_seconds_bucket{le="5.0"}'
    )
    assert late > 5, "lateness counts from when it was due"


@pytest.mark.parametrize("case", ["rate", "concurrency"])
def test_its_memory_stays_flat(seen: Together, case: str, record_property: Any) -> None:
    record_property("grown_bytes", seen[case].grown_bytes)
    assert seen[case].grown_bytes <= MOST_GROWTH_BYTES


def test_a_small_namespace_gets_what_it_needs_and_the_others_share_the_rest(seen: Together) -> None:
    found = seen["rate"]
    assert found.calls["ns_small"] >= found.after_s / 2 * 2 - 6  # two every two seconds, from their first instants on
    assert found.calls["ns_0"] == pytest.approx(found.calls["ns_1"], abs=4)
