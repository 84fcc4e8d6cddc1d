"""What becomes of the configuration under a daemon, and of a target that leaves while its call is in flight: probes of
what was taken over last go on, whatever stands in a file's place.
"""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import KEY, Cases, Together, replace, target, together, write_config, write_targets
from tests.e2e.test_run import Surface, daemon
from tests.servers import Mixpeek, answer, serving

pytestmark = pytest.mark.e2e

CASES = Cases()
case = CASES.add
RELOADED = "plugin_probe_config_last_reload_successful"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Together:
    return together(CASES, tmp_path_factory.mktemp("configuration"))


def nothing(_path: Path) -> None:
    """Removed, and nothing in its place."""


def twisted(path: Path) -> None:
    path.symlink_to(path.name)


def broken(path: Path) -> None:
    replace(path, "{api: {base_url: ")


def bomb(path: Path) -> None:
    replace(path, "? " * 100_000)


#: What comes in whose place, and what is told of it.
INTRUDERS: dict[tuple[str, Callable[[Path], object]], str] = {
    ("worker.yaml", nothing): "worker.yaml:1:1: no such file",
    ("worker.yaml", os.mkdir): "worker.yaml:1:1: cannot be read: Is a directory",
    ("worker.yaml", os.mkfifo): "worker.yaml:1:1: is a pipe; write a file in its place",
    ("worker.yaml", twisted): "worker.yaml:1:1: cannot be read: Too many levels of symbolic links",
    ("worker.yaml", broken): "worker.yaml:2:1: not YAML",
    ("targets.yaml", nothing): "targets_files[0]: targets.yaml does not exist",
    ("targets.yaml", os.mkfifo): "targets_files[0]: targets.yaml is no file",
    ("targets.yaml", bomb): "nested more than 100 deep",
    ("shapes.lock.yaml", os.mkfifo): "shapes.lock.yaml:1:1: is a pipe; write a file in its place",
}


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


async def reload(surface: Surface) -> tuple[int, str]:
    return await surface.get("/-/reload", method="POST")


def configure(folder: Path, server: Mixpeek, *plugins: str) -> None:
    sections: dict[str, Any] = {
        "schedule": {"interval": "300ms", "timeout": "10s", "grace": "10s"},
        "outputs": {"listen": "127.0.0.1:0"},
    }
    write_config(folder, server.url, [target(plugin) for plugin in plugins], **sections)


@case
async def intruders(folder: Path) -> list[tuple[tuple[int, str], str | None]]:
    """What a reload and /metrics say of each intruder, and at the end of what was there at first. Probes go on."""
    async with serving() as server:
        configure(folder, server, "p")
        good = {name: (folder / name).read_bytes() for name in ("worker.yaml", "targets.yaml")}
        async with daemon(folder, "--enable-reload") as surface:
            told = []
            for name, intrude in [*INTRUDERS, ("", nothing)]:
                for file in {file for file, _ in INTRUDERS}:
                    remove(folder / file)
                    if file in good and file != name:
                        (folder / file).write_bytes(good[file])
                if name:
                    intrude(folder / name)
                told.append((await reload(surface), await surface.sample(RELOADED)))
                await server.called(len(server.calls) + 1)
            return told


@case
async def pipe_for_a_key(folder: Path) -> int:
    """The key file is replaced by a pipe under a daemon that looks at it once a second: the exit code when stopped."""
    async with serving() as server:
        configure(folder, server, "p")
        (folder / "key").write_text(KEY)
        worker = json.loads((folder / "worker.yaml").read_text())
        worker["api"] = {"base_url": server.url, "api_key_file": "key"}
        replace(folder / "worker.yaml", json.dumps(worker))
        async with daemon(folder) as surface:
            await server.called(1)
            remove(folder / "key")
            os.mkfifo(folder / "key")
            await server.called(len(server.calls) + 6)
            surface.process.send(signal.SIGTERM)
            return (await surface.process.finish()).code


@case
async def in_flight(folder: Path) -> tuple[str, str, str, int, int]:
    """A target leaves while its call is in flight, and comes back: what is exposed before, between and after, and how
    often it was called before and after its old call was answered.
    """
    gate = asyncio.Event()
    async with serving({"slow": answer(after=gate)}) as server:
        configure(folder, server, "slow", "p")
        async with daemon(folder, "--enable-reload") as surface:
            await server.called(1, "slow")
            before = await surface.text("/metrics")
            write_targets(folder, [target("p")])
            assert (await reload(surface))[0] == 200
            gate.set()
            await server.called(len(server.of("p")) + 2, "p")
            between, calls = await surface.text("/metrics"), len(server.of("slow"))
            write_targets(folder, [target("p"), target("slow")])
            assert (await reload(surface))[0] == 200
            await surface.until_probed("slow")
            return before, between, await surface.text("/metrics"), calls, len(server.of("slow"))


@case
async def burst(folder: Path) -> tuple[list[tuple[int, str]], str, int]:
    """Reloads that come at once while calls are in flight, each with another list: what they say, what is exposed after
    the last of them, and the exit code.
    """
    async with serving(default=answer(delay_s=0.2)) as server:
        configure(folder, server, *(f"p{number}" for number in range(30)))
        async with daemon(folder, "--enable-reload") as surface:
            await server.called(10)
            asked = []
            for turn in (1, 2, 4):
                write_targets(folder, [target(f"p{number}") for number in range(turn, 30 + turn)])
                asked.append(asyncio.create_task(reload(surface)))
            surface.process.send(signal.SIGHUP)
            told = list(await asyncio.gather(*asked))
            await surface.until_probed(*(f"p{number}" for number in range(4, 34)))
            text = await surface.text("/metrics")
            surface.process.send(signal.SIGTERM)
            return told, text, (await surface.process.finish()).code


def test_the_old_configuration_goes_on_whatever_stands_in_a_files_place(seen: Together) -> None:
    *refused, restored = seen["intruders"]
    for ((status, text), sample), words in zip(refused, INTRUDERS.values(), strict=True):
        assert (status, sample) == (500, "0.0")
        assert words in text
    assert restored == ((200, "reloaded\n"), "1.0")


def test_a_key_file_that_became_a_pipe_costs_nothing(seen: Together) -> None:
    assert seen["pipe_for_a_key"] == 0


def test_a_target_that_leaves_while_its_call_is_in_flight_leaves_nothing_and_starts_anew(seen: Together) -> None:
    before, between, after, calls, calls_after = seen["in_flight"]
    label = 'plugin="slow"'
    assert label in before
    assert label not in between, "its result is dropped"
    assert f'plugin_probe_success{{mixpeek_namespace="ns_a",{label}}} 1' in after
    assert calls == 1
    assert calls_after >= 2


def test_of_reloads_in_a_burst_the_last_one_counts(seen: Together) -> None:
    told, text, code = seen["burst"]
    assert told == [(200, "reloaded\n")] * 3
    assert code == 0
    plugins = {
        line.split('plugin="')[1].partition('"')[0] for line in text.splitlines() if "_probe_target_info{" in line
    }
    assert plugins == {f"p{number}" for number in range(4, 34)}
