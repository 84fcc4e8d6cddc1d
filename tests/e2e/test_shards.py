"""Targets and limits shared out: real daemons and batches that know nothing of each other, and one server."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.commands import (
    PATIENCE_S,
    environment,
    eventually,
    run,
    started,
    target,
    write_config,
    write_targets,
)
from tests.e2e.test_run import SOON, Surface
from tests.servers import Call, Mixpeek, serving
from worker.core.shard import Shard
from worker.core.target import TargetKey

pytestmark = pytest.mark.e2e

COUNT = 2
BEFORE = [f"p{number}" for number in range(40)]
AFTER = [*BEFORE[10:], *(f"new{number}" for number in range(20))]
#: What no command may take for its own in a pod that has it.
NONSENSE = {"PLUGIN_PROBE_SHARDS": "", "JOB_COMPLETION_INDEX": "-1", "PLUGIN_PROBE_SHARD_INDEX": "x"}


def configure(folder: Path, server: Mixpeek, plugins: Iterable[str], **sections: Any) -> None:
    """Each shard calls itself by its index, so that the server knows who calls."""
    write_config(
        folder,
        server.url,
        [target(plugin) for plugin in plugins],
        api={"user_agent": "shard ${PLUGIN_PROBE_SHARD_INDEX}"},
        **{"schedule": SOON, "outputs": {"listen": "127.0.0.1:0"}, **sections},
    )


@asynccontextmanager
async def shard(folder: Path, index: int) -> AsyncIterator[tuple[Surface, dict[str, Any]]]:
    """A daemon in a pod of a StatefulSet, and what it said when it started."""
    env = environment(PLUGIN_PROBE_SHARDS=str(COUNT), PLUGIN_PROBE_SHARD_INDEX=str(index))
    async with started("run", "-c", "worker.yaml", "--enable-probe", cwd=folder, env=env) as process:
        event = await process.event("run.started")
        async with aiohttp.ClientSession(event["url"], timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session:
            yield Surface(session, process, folder), event


def by_shard(calls: Iterable[Call]) -> dict[str, set[str]]:
    """Who called each plugin."""
    found: dict[str, set[str]] = {}
    for call in calls:
        found.setdefault(call.plugin, set()).add(call.headers["user-agent"])
    return found


def part(plugins: Iterable[str], index: int) -> set[str]:
    return {plugin for plugin in plugins if Shard(index=index, count=COUNT).holds(TargetKey("ns_a", plugin))}


def shared_out(plugins: Iterable[str]) -> dict[str, set[str]]:
    return {plugin: {f"shard {index}"} for index in range(COUNT) for plugin in part(plugins, index)}


async def test_every_target_is_probed_by_one_daemon_after_a_reload_too(tmp_path: Path) -> None:
    async with serving() as server, AsyncExitStack() as stack:
        configure(tmp_path, server, BEFORE)
        shards = [await stack.enter_async_context(shard(tmp_path, index)) for index in range(COUNT)]
        surfaces = [surface for surface, _ in shards]
        for index, (_, event) in enumerate(shards):
            says_what_it_may_use(event, index, BEFORE)

        await asyncio.gather(*(server.called(2, plugin) for plugin in BEFORE))
        assert by_shard(server.calls) == shared_out(BEFORE)
        await asyncio.gather(*(shows_its_part(*each) for each in enumerate(surfaces)))

        write_targets(tmp_path, [target(plugin) for plugin in AFTER])
        for index, surface in enumerate(surfaces):
            says_what_it_may_use(await surface.process.event("config.reloaded"), index, AFTER)
        reloaded = len(server.calls)
        await asyncio.gather(*(server.called(len(server.of(plugin)) + 2, plugin) for plugin in AFTER))
        assert by_shard(server.calls[reloaded:]) == shared_out(AFTER)

        configure(tmp_path, server, AFTER, limits={"rate": "9/s", "concurrency": 1})
        for surface in surfaces:
            (problem,) = (await surface.process.event("config.rejected"))["problems"]
            assert problem.startswith("worker.yaml:1:")
            assert "limits.concurrency: 1 can't be shared by 2 shards" in problem


def says_what_it_may_use(event: dict[str, Any], index: int, plugins: Iterable[str]) -> None:
    assert event["shard"] == {"index": index, "count": COUNT}
    assert (event["rate"], event["concurrency"]) == ("500/s", 25)
    assert event["targets"] == len(part(plugins, index))


async def shows_its_part(index: int, surface: Surface) -> None:
    ours, theirs = part(BEFORE, index), part(BEFORE, 1 - index)
    assert {shown["plugin"] for shown in (await surface.json("/api/v1/targets"))["targets"]} == ours
    assert await surface.sample(f'plugin_probe_shards{{shard="{index}"}}') == "2.0"
    assert await surface.sample(f'plugin_probe_run_interval_seconds{{shard="{index}"}}') == "0.5"
    assert await surface.sample(f'plugin_probe_last_run_timestamp_seconds{{shard="{index}"}}')
    assert await surface.sample("plugin_probe_targets") == f"{len(ours)}.0"
    assert f"shard {index} of 2, counted from 0" in await surface.text("/")
    assert (await surface.get(f"/probe?target=ns_a/{min(ours)}"))[0] == 200
    status, text = await surface.get(f"/probe?target=ns_a/{min(theirs)}")
    assert status == 404
    assert f"it is shard {1 - index}'s" in text


async def test_a_daemon_without_a_target_is_ready_and_waits_for_one(tmp_path: Path) -> None:
    (taken,) = {index for index in range(COUNT) if part(["p"], index)}
    theirs = min(part(BEFORE, 1 - taken))
    async with serving() as server:
        configure(tmp_path, server, ["p"])
        async with shard(tmp_path, 1 - taken) as (surface, event):
            assert event["targets"] == 0
            assert await surface.get("/-/ready") == (200, "ready\n")
            beat = f'plugin_probe_last_run_timestamp_seconds{{shard="{1 - taken}"}}'
            assert await surface.sample(beat)
            assert server.calls == []
            write_targets(tmp_path, [target("p"), target(theirs)])
            assert (await surface.process.event("config.reloaded"))["targets"] == 1
            await server.called(2, theirs)
            assert server.of("p") == []

            async def ready() -> bool:
                return (await surface.get("/-/ready"))[0] == 200

            await eventually(ready)


async def test_a_batch_knows_its_shard_from_its_job(tmp_path: Path) -> None:
    async with serving() as server:
        configure(tmp_path, server, BEFORE, outputs={})
        for index in range(COUNT):
            env = environment(PLUGIN_PROBE_SHARDS=str(COUNT), JOB_COMPLETION_INDEX=str(index))
            env["PLUGIN_PROBE_SHARD_INDEX"] = str(index)
            options = ("--format", "none", "--report", f"json={index}.json")
            done = await run("once", "-c", "worker.yaml", *options, cwd=tmp_path, env=env)
            assert done.code == 0, done.err
            report = json.loads((tmp_path / f"{index}.json").read_text())
            assert report["shard"] == {"index": index, "count": COUNT}
            assert {result["plugin"] for result in report["results"]} == part(BEFORE, index)
            says_what_it_may_use(done.event("run.started"), index, BEFORE)
    assert by_shard(server.calls) == shared_out(BEFORE)
    assert len(server.calls) == len(BEFORE)


@pytest.mark.parametrize(
    "arguments",
    [
        ["once", "--only", "ns_a/p?", "--format", "none"],
        ["check", "ns_a", "p1"],
        ["validate"],
        ["shapes", "show"],
        ["shapes", "pin", "p1", "p2"],
    ],
    ids=" ".join,
)
async def test_what_somebody_asks_for_in_a_pod_is_not_shared_out(tmp_path: Path, arguments: list[str]) -> None:
    async with serving() as server:
        write_config(tmp_path, server.url, [target(plugin) for plugin in BEFORE[:10]])
        done = await run(*arguments, "-c", "worker.yaml", cwd=tmp_path, env=environment(**NONSENSE))
    assert done.code == 0, done.err
    if arguments[0] == "once":
        assert {call.plugin for call in server.calls} == set(BEFORE[:10])
        assert "shard" not in done.event("run.started")


async def test_the_demo_in_a_pod_is_the_whole_demo(tmp_path: Path) -> None:
    done = await run("demo", cwd=tmp_path, env=environment(**NONSENSE))
    assert done.code == 0, done.err


async def test_validate_finds_what_shards_would_refuse(tmp_path: Path) -> None:
    write_config(tmp_path, "http://127.0.0.1:9", [target("p1")], limits={"rate": "1/s", "concurrency": 8})
    whole = await run("validate", "-c", "worker.yaml", cwd=tmp_path, env=environment())
    assert whole.code == 0, whole.err
    shared = await run("validate", "-c", "worker.yaml", "--shard-count", "4", cwd=tmp_path, env=environment())
    assert shared.code == 2
    assert "limits.rate: 1/s can't be shared by 4 shards" in shared.err
