"""An Indexed Job on one machine: as many processes as completions, each told its number as Kubernetes tells pods."""

import asyncio
import re
import signal
import urllib.request
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import Finished, environment, eventually, run, started, target, write_config
from tests.e2e.witness import heard, witness
from tests.programs import PATIENCE_S, needs, pushgateway
from tests.servers import CROWD_S, most_in_any_window
from worker.core.shard import Shard
from worker.core.target import TargetKey

pytestmark = [pytest.mark.e2e, needs("prometheus-pushgateway"), pytest.mark.timeout(180)]

TARGETS = 20_000
RATE = 4_000
CONCURRENCY = 64
#: Of so many completions one is killed.
KILLED_OF = 4
KILLED = 2
LONGEST_S = 60.0
KEYS = [TargetKey(f"ns_{number % 40}", f"p{number}_1_0_0") for number in range(TARGETS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What came of it: its pods by index, what the server heard, what the gateway has, and the merged report."""

    pods: list[Finished]
    heard: Any
    pushed: Counter[str]
    merged: Finished

    @property
    def probes(self) -> list[TargetKey]:
        return sorted(TargetKey(namespace, plugin) for namespace, plugin, _ in self.heard["probes"])


async def job(folder: Path, completions: int, *, push: bool = True, kill: int | None = None) -> Job:
    """`kill` is the index of a pod that is killed in the middle of its batch."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(witness(0.005))
        gateway, _ = stack.enter_context(pushgateway(folder)) if push else ("", 0)
        write_config(
            folder,
            url,
            [target(key.plugin, key.namespace) for key in KEYS],
            limits={"rate": f"{RATE}/s", "concurrency": CONCURRENCY},
            outputs={"histograms": "namespace"} | ({"pushgateway": {"url": gateway}} if push else {}),
        )
        pods = [
            await stack.enter_async_context(
                started(
                    *("once", "--config=worker.yaml", "--format=none", "--period=5m", "--fail-on=never"),
                    f"--report=json=shard-{index}.json",
                    cwd=folder,
                    env=environment(JOB_COMPLETION_INDEX=str(index), PLUGIN_PROBE_SHARDS=str(completions)),
                )
            )
            for index in range(completions)
        ]
        if kill is not None:
            await pods[kill].event("run.started")
            await eventually(lambda: asyncio.to_thread(underway, url))
            pods[kill].send(signal.SIGKILL)
        ended = [await pod.finish(LONGEST_S) for pod in pods]
        seen = await asyncio.to_thread(heard, url)
        pushed = await asyncio.to_thread(shards, gateway) if push else Counter()
    reports = [f"shard-{index}.json" for index, pod in enumerate(ended) if pod.code == 0]
    merged = await run("report", "--merge", "--config=worker.yaml", "--format=json", *reports, cwd=folder)
    return Job(pods=ended, heard=seen, pushed=pushed, merged=merged)


def underway(url: str) -> bool:
    return len(heard(url)["probes"]) >= TARGETS // 4


def shards(gateway: str) -> Counter[str]:
    """How many targets have a verdict in the gateway, by shard."""
    found: Counter[str] = Counter()
    with urllib.request.urlopen(f"{gateway}/metrics", timeout=PATIENCE_S) as lines:
        for line in lines:
            if line.startswith(b"plugin_probe_success{"):
                found[re.findall(r'shard="(\d+)"', line.decode())[0]] += 1
    return found


def owned(completions: int) -> Counter[str]:
    of = [Shard(index=index, count=completions) for index in range(completions)]
    return Counter(str(shard.index) for key in KEYS for shard in of if shard.holds(key))


@pytest.fixture(scope="module", params=[1, 2, 4], ids="{}_completions".format)
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Job]:
    completions: int = request.param
    return completions, asyncio.run(job(tmp_path_factory.mktemp("job"), completions))


def test_all_pods_together_probe_every_target_once(done: tuple[int, Job]) -> None:
    completions, found = done
    assert [pod.code for pod in found.pods] == [0] * completions, found.pods[0].err
    assert found.probes == sorted(KEYS)


def test_all_pods_together_stay_under_the_limits(done: tuple[int, Job], record_property: Any) -> None:
    completions, found = done
    most = most_in_any_window((at for *_, at in found.heard["probes"]), 1.0)
    record_property("most_in_1s", most)
    took = max(pod.took_s for pod in found.pods)
    print(f"{completions} pods: {most} calls in any 1.000 s, {found.heard['peak']} in flight, {took:.1f} s")
    assert most_in_any_window((at for *_, at in found.heard["probes"]), 1.0 - CROWD_S) <= RATE
    assert found.heard["peak"] <= CONCURRENCY


def test_each_says_what_it_may_use(done: tuple[int, Job]) -> None:
    completions, found = done
    told = [pod.event("run.started") for pod in found.pods]
    assert [event["shard"] for event in told] == [{"index": i, "count": completions} for i in range(completions)]
    assert sum(int(event["rate"].removesuffix("/s")) for event in told) == RATE
    assert sum(event["concurrency"] for event in told) == CONCURRENCY


def test_each_has_its_group_in_the_gateway(done: tuple[int, Job]) -> None:
    completions, found = done
    assert found.pushed == owned(completions)


def test_the_merged_report_is_complete_and_in_order(done: tuple[int, Job]) -> None:
    report = done[1].merged.json
    assert (done[1].merged.code, report["complete"]) == (0, True)
    assert [TargetKey(row["namespace"], row["plugin"]) for row in report["results"]] == KEYS
    assert report["summary"]["by_outcome"] == {"success": TARGETS}


@pytest.fixture(scope="module")
def bereft(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return asyncio.run(job(tmp_path_factory.mktemp("bereft"), KILLED_OF, push=False, kill=KILLED))


def test_one_that_is_killed_leaves_the_others_whole(bereft: Job) -> None:
    codes = [pod.code for pod in bereft.pods]
    assert codes == [0 if index != KILLED else -signal.SIGKILL for index in range(KILLED_OF)]
    others = [key for key in KEYS if not Shard(index=KILLED, count=KILLED_OF).holds(key)]
    assert set(others) <= set(bereft.probes)
    assert len(bereft.probes) < TARGETS


def test_the_targets_of_one_that_was_killed_are_named(bereft: Job) -> None:
    report = bereft.merged.json
    assert (bereft.merged.code, report["complete"]) == (4, False)
    unprobed = {TargetKey(row["namespace"], row["plugin"]) for row in report["results"] if row["outcome"] == "skipped"}
    assert unprobed == {key for key in KEYS if Shard(index=KILLED, count=KILLED_OF).holds(key)}
    assert f"shard {KILLED}" in bereft.merged.err
