"""Reloads over 20,000 targets spoil no measurement of the probes that go on meanwhile."""

import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import eventually, replace, target, write_config
from tests.e2e.test_run import Surface, daemon
from tests.servers import Mixpeek, serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

COUNT = 20_000
FAST = [f"fast{number}" for number in range(10)]
#: Of a machine that is busy otherwise every process stands still now and then. What a reload did would come every time.
TRIES = 4

Targets = list[dict[str, Any]]


def listed(suffix: str = "") -> Targets:
    fast = [target(plugin, interval="1s", timeout="900ms") for plugin in FAST]
    slow = [target(f"p{number}{suffix}", f"ns_{number % 200}", inputs={"text": "hello"}) for number in range(COUNT)]
    return fast + slow


def write(folder: Path, targets: Sequence[Mapping[str, Any]]) -> None:
    replace(folder / "t.json", json.dumps({"targets": targets}))


def configure(folder: Path, server: Mixpeek) -> None:
    write_config(
        folder,
        server.url,
        targets_files=["t.json"],
        schedule={"interval": "12h", "timeout": "5s", "grace": "2s"},
        limits={"rate": "200/s", "concurrency": 20},
        outputs={"listen": "127.0.0.1:0"},
    )
    write(folder, listed())


async def stalls(surface: Surface) -> tuple[float, float]:
    """How often the loop stood still, and how often it was late by more than 50 ms."""
    text = dict(line.rsplit(" ", 1) for line in (await surface.text("/metrics")).splitlines() if line[0] != "#")
    late = float(text["plugin_probe_loop_lag_seconds_count"])
    late -= float(text['plugin_probe_loop_lag_seconds_bucket{le="0.05"}'])
    return float(text["plugin_probe_stalls_total"]), late


async def reloaded(surface: Surface) -> None:
    assert (await surface.process.event("config.reloaded"))["targets"] == COUNT + len(FAST)
    assert await surface.sample("plugin_probe_config_last_reload_successful") == "1.0"


async def test_a_reload_over_20000_targets_holds_up_no_probe(tmp_path: Path) -> None:
    async with serving() as server:
        configure(tmp_path, server)
        async with daemon(tmp_path, "--enable-reload") as surface:
            for plugin in FAST:
                await server.called(2, plugin)
            await eventually(lambda: settled(surface))
            await nothing_has_changed(surface)
            await three_have_changed(surface, server)
            await all_are_new(surface)
            await a_mistake_is_told(surface, server)
            await a_stop_ends_a_reload_under_way(surface)


async def settled(surface: Surface) -> bool:
    """What start-up left to do is done."""
    before = await stalls(surface)
    await surface.json("/api/v1/targets/ns_a/fast0")
    return before == await stalls(surface)


async def undisturbed(surface: Surface, reload: Any) -> None:
    """Of several reloads one at least has stopped the loop for no moment."""
    seen = []
    for number in range(TRIES):
        before = await stalls(surface)
        await reload(number)
        await reloaded(surface)
        seen.append((before, await stalls(surface)))
        if seen[-1][0] == seen[-1][1]:
            return
    raise AssertionError(f"every reload stalled the loop: {seen}")


async def nothing_has_changed(surface: Surface) -> None:
    async def hang_up(_number: int) -> None:
        surface.process.send(signal.SIGHUP)

    await undisturbed(surface, hang_up)


async def three_have_changed(surface: Surface, server: Mixpeek) -> None:
    async def change(number: int) -> None:
        targets = listed()
        targets[-1] |= {"plugin": f"added{number}"}
        targets[0] |= {"inputs": {"text": f"changed {number}"}}
        write(surface.folder, targets)

    await undisturbed(surface, change)
    assert (await surface.get(f"/api/v1/targets/ns_{(COUNT - 1) % 200}/p{COUNT - 1}"))[0] == 404
    assert 'plugin_probe_probes_total{mixpeek_namespace="ns_199",plugin="added' in await surface.text("/metrics")

    async def is_asked_anew() -> bool:
        return "changed" in server.of("fast0")[-1].json["inputs"].get("text", "")

    await eventually(is_asked_anew)


async def all_are_new(surface: Surface) -> None:
    async def exchange(number: int) -> None:
        write(surface.folder, listed(f"_{number}"))

    await undisturbed(surface, exchange)
    text = await surface.text("/metrics")
    assert f"plugin_probe_targets {COUNT + len(FAST)}.0" in text
    assert 'plugin="p7"' not in text
    assert 'plugin="p7_' in text


async def a_mistake_is_told(surface: Surface, server: Mixpeek) -> None:
    write(surface.folder, [target("fast0"), {"namespace": "ns_a", "plugn": "x"}])
    told = await surface.process.event("config.rejected")
    assert any("did you mean plugin" in problem for problem in told["problems"])
    assert await surface.sample("plugin_probe_config_last_reload_successful") == "0.0"
    await server.called(len(server.of("fast1")) + 2, "fast1")


async def a_stop_ends_a_reload_under_way(surface: Surface) -> None:
    write(surface.folder, listed())
    surface.process.send(signal.SIGHUP)
    surface.process.send(signal.SIGTERM)
    done = await surface.process.finish()
    assert done.code == 0
    assert "Traceback" not in done.err
    assert done.event("run.finished")
