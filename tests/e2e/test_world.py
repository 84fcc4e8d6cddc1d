"""What the process finds around it: few descriptors, streams of another age, another time zone."""

import asyncio
import json
import resource
import signal
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import (
    COMMAND,
    Cases,
    Finished,
    Together,
    environment,
    eventually,
    run,
    target,
    together,
    write_config,
)
from tests.e2e.test_run import Surface, daemon
from tests.servers import answer, serving

pytestmark = pytest.mark.e2e

CASES = Cases()
case = CASES.add


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Together:
    return together(CASES, tmp_path_factory.mktemp("world"))


# Descriptors ---------------------------------------------------------------------------------------------------------


def few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))


@case
async def batch_of_few_descriptors(folder: Path) -> Counter[str]:
    """The outcomes; the host has two addresses, at one of which nobody listens."""
    async with serving(default=answer(delay_s=0.05)) as server:
        targets = [target(f"p{number}") for number in range(200)]
        write_config(folder, server.url.replace("127.0.0.1", "localhost"), targets, api={"connections": "fresh"})
        done = await run("once", "-c", "worker.yaml", "--format", "json", cwd=folder, preexec_fn=few_descriptors)
        assert done.code == 3
        return Counter(row["outcome"] for row in done.json["results"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Squeezed:
    """A daemon that ran out of descriptors for a while: what it exposed meanwhile and afterwards, and how it ended."""

    reload: tuple[int, str]
    meanwhile: str
    afterwards: str
    done: Finished


@case
async def squeezed_daemon(folder: Path) -> Squeezed:
    async with serving() as server:
        schedule = {"interval": "300ms", "timeout": "2s", "grace": "2s"}
        targets = [target(f"p{number}") for number in range(8)]
        sections: dict[str, Any] = {"schedule": schedule, "outputs": {"listen": "127.0.0.1:0"}}
        write_config(folder, server.url, targets, api={"connections": "fresh"}, **sections)
        async with daemon(folder, "--enable-reload") as surface:
            await server.called(16)
            number = surface.process.process.pid
            before = resource.prlimit(number, resource.RLIMIT_NOFILE)
            assert await surface.text("/-/healthy"), "the connection that is asked on from now on"
            resource.prlimit(number, resource.RLIMIT_NOFILE, (3, before[1]))
            await eventually(lambda: exposes(surface, 'outcome="internal_error"'))
            nobody = await asyncio.open_connection(*surface.session._base_url.authority.split(":"))  # type: ignore[union-attr]
            await asyncio.sleep(1)
            reload, meanwhile = await surface.get("/-/reload", method="POST"), await surface.text("/metrics")
            resource.prlimit(number, resource.RLIMIT_NOFILE, before)
            nobody[1].close()
            await server.called(len(server.calls) + 16)
            assert (await surface.get("/-/reload", method="POST"))[0] == 200
            afterwards = await surface.text("/metrics")
            surface.process.send(signal.SIGTERM)
            done = await surface.process.finish()
            return Squeezed(reload=reload, meanwhile=meanwhile, afterwards=afterwards, done=done)


async def exposes(surface: Surface, words: str) -> bool:
    return words in await surface.text("/metrics")


def outcomes(text: str) -> set[str]:
    return {line.split('outcome="')[1].partition('"')[0] for line in text.splitlines() if "results_total{" in line}


def test_a_batch_without_descriptors_finds_nobody_down_whatever_the_other_address_says(seen: Together) -> None:
    found = seen["batch_of_few_descriptors"]
    assert found.keys() == {"success", "internal_error"}
    assert found.total() == 200


def test_a_daemon_without_descriptors_finds_nobody_down_and_goes_on(seen: Together) -> None:
    looked: Squeezed = seen["squeezed_daemon"]
    assert outcomes(looked.meanwhile) == outcomes(looked.afterwards) == {"success", "internal_error"}
    assert 'plugin_probe_success{mixpeek_namespace="ns_a",plugin="p0"} 1' in looked.meanwhile
    assert looked.reload[0] == 500
    assert "no process can be started for it (Too many open files)" in looked.reload[1]
    assert "plugin_probe_config_last_reload_successful 0.0" in looked.meanwhile
    assert "plugin_probe_config_last_reload_successful 1.0" in looked.afterwards
    assert looked.done.code == 0


def test_it_tells_once_a_second_that_it_can_accept_nobody(seen: Together) -> None:
    looked: Squeezed = seen["squeezed_daemon"]
    told = [event for event in looked.done.events if event["event"].startswith("socket.accept() out of system")]
    assert 1 <= len(told) <= looked.done.took_s + 1


# Streams -------------------------------------------------------------------------------------------------------------

PLUGIN, NAMESPACE = "p_漢字_1_0_0", "ns_ü"
LATIN = {"PYTHONIOENCODING": "latin-1"}
#: What the POSIX locale is where nothing makes UTF-8 of it.
POSIX = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
REPORTS = ("--report", "junit=report.xml", "--report", "markdown=report.md", "--report", "json=report.json")
SPOKEN: dict[str, tuple[Mapping[str, str], tuple[str, ...], int]] = {
    "table": (LATIN, ("once",), 1),
    "reports": (LATIN, ("once", "--format", "json", *REPORTS), 1),
    "check": (LATIN, ("check", NAMESPACE, PLUGIN), 1),
    "resolved": (LATIN, ("validate", "--resolved"), 0),
    "pin": (LATIN, ("shapes", "pin", "--samples", "1"), 1),
    "show": (LATIN, ("shapes", "show"), 0),
    "posix_table": (POSIX, ("once",), 1),
    "posix_reports": (POSIX, ("once", "--format", "json", *REPORTS), 1),
}


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith(("report", "probe"))}


def spoken(name: str) -> None:
    async def case(folder: Path) -> tuple[Finished, bytes, dict[str, bytes]]:
        sick = answer({"größe": "∞"}, error="Fehler: größer als ∞ 漢字 \x1b[31m")
        expect = {"keys": ["schlüssel"]}
        env, words, _ = SPOKEN[name]
        async with serving(default=sick) as server:
            wanted = target(PLUGIN, NAMESPACE, expect=expect, labels={"team": "größe"})
            write_config(folder, server.url, [wanted], outputs={"textfile": {"path": "probe.prom"}})
            with (folder / "out").open("wb") as out:
                said = [*words, "-c", "worker.yaml", "--log-format", "json"]
                done = await run(*said, cwd=folder, env=environment(**env), stdout=out)
        return done, (folder / "out").read_bytes(), written(folder)

    CASES[name] = case


for one in SPOKEN:
    spoken(one)


#: What a shell is told to run, and the exit code that it must see.
UNHEARD = {
    "full_log": ("$PROBE once -c worker.yaml 2>/dev/full", 0),
    "full_problems": ("$PROBE once -c targets.yaml 2>/dev/full", 2),
    "full_usage": ("$PROBE once --nonsense 2>/dev/full", 2),
    "gone_problems": ("$PROBE once -c targets.yaml 2>&1 | true; exit ${PIPESTATUS[0]}", 2),
    "gone_usage": ("$PROBE once --nonsense 2>&1 | true; exit ${PIPESTATUS[0]}", 2),
}


def unheard(name: str) -> None:
    async def case(folder: Path) -> Finished:
        async with serving() as server:
            write_config(folder, server.url)
            script, _ = UNHEARD[name]
            return await run(script, cwd=folder, command=["bash", "-c"], env=environment(PROBE=COMMAND))

    CASES[name] = case


for one in UNHEARD:
    unheard(one)


@pytest.mark.parametrize("name", SPOKEN)
def test_a_stream_of_another_encoding_costs_characters_and_nothing_else(seen: Together, name: str) -> None:
    done, out, _ = seen[name]
    _, words, code = SPOKEN[name]
    assert done.code == code
    assert "Traceback" not in done.err
    assert "crashed" not in done.err
    assert b"\x1b" not in out
    if words[0] == "once":
        assert done.event("probe.failed")["plugin"] == PLUGIN
    else:
        assert b"_1_0_0" in out


@pytest.mark.parametrize("name", ["reports", "posix_reports"])
def test_files_are_utf_8_whatever_the_streams_are(seen: Together, name: str) -> None:
    _, out, files = seen[name]
    assert json.loads(out)["results"][0]["plugin"] == PLUGIN
    assert files.keys() == {"report.xml", "report.md", "report.json", "probe.prom"}
    assert json.loads(files.pop("report.json"))["results"][0]["labels"] == {"team": "größe"}
    for text in files.values():
        assert "漢字" in text.decode()


@pytest.mark.parametrize("name", UNHEARD)
def test_a_stderr_that_takes_nothing_changes_no_exit_code(seen: Together, name: str) -> None:
    assert seen[name].code == UNHEARD[name][1]


def test_results_are_shown_although_the_log_can_be_written_nowhere(seen: Together) -> None:
    assert "1 target: 1 up" in seen["full_log"].out


# Time zones ----------------------------------------------------------------------------------------------------------


@case
async def other_time_zone(folder: Path) -> tuple[float, Finished, str, float]:
    """Summer time begins and ends in it; when the batch began and ended by the wall clock, and what it wrote."""
    async with serving() as server:
        write_config(folder, server.url, outputs={"textfile": {"path": "probe.prom"}})
        env = environment(TZ="EST5EDT,M3.2.0,M11.1.0")
        began = time.time()
        done = await run("once", "-c", "worker.yaml", "--format", "json", cwd=folder, env=env)
        return began, done, (folder / "probe.prom").read_text(), time.time()


def test_instants_are_utc_in_every_time_zone(seen: Together) -> None:
    began, done, text, ended = seen["other_time_zone"]
    report = done.json
    words = [report["started_at"], report["finished_at"], report["results"][0]["started_at"]]
    words += [event["timestamp"] for event in done.events]
    assert all(word.endswith("Z") for word in words)
    instants = [datetime.fromisoformat(word).astimezone(UTC).timestamp() for word in words]
    instants += [
        float(line.split(" ")[1]) for line in text.splitlines() if line.startswith("plugin_probe_last_run_time")
    ]
    assert len(instants) > len(words)
    assert all(began - 0.001 <= at <= ended for at in instants)
