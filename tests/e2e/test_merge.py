"""`report --merge`: real shards' reports become one, and what nobody probed is named."""

import asyncio
import json
import os
import signal
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import Cases, Finished, Together, environment, run, started, target, together, write_config
from tests.servers import Mixpeek, answer, refuse, serving
from worker.core.shard import Shard
from worker.core.target import TargetKey

pytestmark = pytest.mark.e2e

COUNT = 3
KILLED = 1
KEYS = [TargetKey(f"ns_{number % 3}", f"p_{number}") for number in range(24)]
LOST = [key for key in KEYS if Shard(index=KILLED, count=COUNT).holds(key)]
SICK = next(key for key in KEYS if Shard(index=0, count=COUNT).holds(key))
#: What it takes to read reports: no key, for nothing is called.
NO_KEY = {name: value for name, value in environment().items() if name in ("PATH", "HOME")}

CASES = Cases()
case = CASES.add


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Together:
    return together(CASES, tmp_path_factory.mktemp("merge"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    merged: Finished
    folder: Path

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")


def once(folder: Path, index: int) -> list[str]:
    write = f"--report=json=shard-{index}.json"
    share = [f"--shard-index={index}", f"--shard-count={COUNT}"]
    return ["once", "--config=worker.yaml", "--format=none", "--fail-on=never", write, *share]


async def probe(folder: Path, server: Mixpeek) -> None:
    """A configuration, and the report of every shard."""
    write_config(folder, server.url, [target(key.plugin, key.namespace, labels={"team": "search"}) for key in KEYS])
    done = await asyncio.gather(*(run(*once(folder, index), cwd=folder) for index in range(COUNT)))
    assert [one.code for one in done] == [0] * COUNT, done[0].err


async def merge(folder: Path, *arguments: str) -> Seen:
    merged = await run("report", "--merge", "-c", "worker.yaml", *arguments, cwd=folder, env=NO_KEY)
    return Seen(merged=merged, folder=folder)


def files(*indexes: int) -> list[str]:
    return [f"shard-{index}.json" for index in indexes]


# The whole -----------------------------------------------------------------------------------------------------------


@case
async def whole(folder: Path) -> Seen:
    async with serving() as server:
        await probe(folder, server)
        await run("once", "-c", "worker.yaml", "--format=none", "--report=json=alone.json", cwd=folder)
    reports = [f"--report={kind}" for kind in ("json=all.json", "junit=all.xml", "markdown=all.md")]
    return await merge(folder, *reports, *files(2, 0, 1))


def apart_from_times(report: Any) -> Any:
    """Everything that two batches of the same fleet have in common."""
    varying = {"run_id", "started_at", "finished_at", "duration_s", "latency_s", "phases"}
    if isinstance(report, list):
        return [apart_from_times(one) for one in report]
    if isinstance(report, dict):
        return {name: apart_from_times(one) for name, one in report.items() if name not in varying}
    return report


def test_merged_shards_tell_what_one_worker_tells(seen: Together) -> None:
    result = seen["whole"]
    report = json.loads(result.text("all.json"))
    assert (report["complete"], report["shard"]) == (True, None)
    assert apart_from_times(report) == apart_from_times(json.loads(result.text("alone.json")))
    assert [TargetKey(row["namespace"], row["plugin"]) for row in report["results"]] == KEYS


def test_its_run_id_is_those_of_all_shards(seen: Together) -> None:
    result = seen["whole"]
    ids = [json.loads(result.text(name))["run_id"] for name in files(0, 1, 2)]
    assert json.loads(result.text("all.json"))["run_id"] == ", ".join(ids)


def test_a_complete_report_exits_with_0_and_needs_no_key(seen: Together) -> None:
    merged = seen["whole"].merged
    assert (merged.code, merged.err) == (0, "")
    lines = merged.out.splitlines()
    assert [tuple(line.split()[:3]) for line in lines[1:-1]] == [(*key, "up") for key in KEYS]
    assert lines[-1].startswith("24 targets: 24 up, 0 down, 0 unknown in ")


def test_the_other_kinds_of_report_tell_the_whole_too(seen: Together) -> None:
    result = seen["whole"]
    suite = ElementTree.fromstring(result.text("all.xml"))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("24", "0", "0")
    assert "| targets | 24 |" in result.text("all.md")


# A shard that is missing ---------------------------------------------------------------------------------------------


@case
async def killed(folder: Path) -> Seen:
    """One shard's plugins give no answer, and its worker is killed while it waits."""
    never = asyncio.Event()
    scripts = {key.plugin: answer(after=never) for key in LOST} | {SICK.plugin: refuse(500)}
    async with serving(scripts) as server:
        write_config(folder, server.url, [target(key.plugin, key.namespace) for key in KEYS])
        async with started(*once(folder, KILLED), cwd=folder) as process:
            await server.called(1, LOST[0].plugin)
            process.send(signal.SIGKILL)
            assert (await process.finish()).code == -signal.SIGKILL
        for index in {0, 1, 2} - {KILLED}:
            assert (await run(*once(folder, index), cwd=folder)).code == 0
    assert sorted(os.listdir(folder)) == ["shard-0.json", "shard-2.json", "targets.yaml", "worker.yaml"]
    return await merge(folder, "--format=json", "--fail-on=never", "--report=junit=all.xml", *files(0, 2))


@case
async def killed_and_down(folder: Path) -> Seen:
    async with serving({SICK.plugin: refuse(500)}) as server:
        await probe(folder, server)
    return await merge(folder, "--format=none", *files(0, 2))


def test_one_that_is_killed_leaves_the_others_whole_and_its_targets_named(seen: Together) -> None:
    merged = seen["killed"].merged
    rows = {TargetKey(row["namespace"], row["plugin"]): row for row in merged.json["results"]}
    assert (merged.code, merged.json["complete"]) == (4, False)
    assert list(rows) == KEYS
    assert [key for key in KEYS if rows[key]["outcome"] == "skipped"] == LOST
    assert {rows[key]["error"] for key in LOST} == {"no report of shard 1 of 3 was given"}
    assert all(rows[key]["outcome"] in ("success", "server_error") for key in KEYS if key not in LOST)
    assert merged.err.splitlines() == [
        f"no report of shard 1 of 3: {len(LOST)} targets not probed",
        f"not probed: {len(LOST)} of 24 targets: {', '.join(map(str, LOST))}",
    ]


def test_what_nobody_probed_is_skipped_in_junit(seen: Together) -> None:
    suite = ElementTree.fromstring(seen["killed"].text("all.xml"))
    told = {case.get("name"): case[0].get("message") for case in suite.iter("testcase") if len(case)}
    assert [told[key.plugin] for key in LOST] == ["skipped: no report of shard 1 of 3 was given"] * len(LOST)


def test_something_that_is_down_goes_before_what_is_missing(seen: Together) -> None:
    merged = seen["killed_and_down"].merged
    assert (merged.code, merged.out) == (1, "")
    assert "no report of shard 1 of 3" in merged.err


# What can not be merged or written -----------------------------------------------------------------------------------


@case
async def bad(folder: Path) -> Seen:
    async with serving() as server:
        await probe(folder, server)
    whole = (folder / "shard-0.json").read_text()
    (folder / "cut.json").write_text(whole[: len(whole) // 2])
    (folder / "other.json").write_text('{"a": 1}')
    return await merge(folder, "missing.json", "cut.json", "other.json", *files(0, 1, 1), "--report=json=all.json")


@case
async def unwritable(folder: Path) -> Seen:
    async with serving() as server:
        await probe(folder, server)
    return await merge(folder, "--format=json", "--report=json=missing/all.json", *files(0, 1, 2))


@case
async def of_yesterday(folder: Path) -> Seen:
    async with serving() as server:
        await probe(folder, server)
    old = json.loads((folder / "shard-2.json").read_text())
    old |= {"started_at": "2026-01-01T00:00:00.000Z", "finished_at": "2026-01-01T00:00:01.000Z"}
    (folder / "reports").mkdir()
    (folder / "reports" / "shard-2.json").write_text(json.dumps(old))
    for name in files(0, 1):
        (folder / name).rename(folder / "reports" / name)
    return await merge(folder, "--format=none", "--period=1h", "reports")


def test_bad_files_are_all_told_at_once_and_nothing_is_written(seen: Together) -> None:
    result = seen["bad"]
    assert (result.merged.code, result.merged.out) == (2, "")
    starts = ["missing.json: no such file", "cut.json:", "other.json: no report of a batch: run_id, ", "shard-1.json: "]
    lines = result.merged.err.splitlines()
    assert len(lines) == len(starts)
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=True))
    assert not (result.folder / "all.json").exists()


def test_a_report_that_can_not_be_written_exits_with_3_and_the_rest_is_told(seen: Together) -> None:
    merged = seen["unwritable"].merged
    assert merged.code == 3
    assert merged.json["complete"]
    assert merged.err == "missing/all.json: can't write the json report: No such file or directory\n"


def test_of_a_folder_the_report_that_a_killed_shard_left_behind_is_no_report_of_this_batch(seen: Together) -> None:
    merged = seen["of_yesterday"].merged
    assert merged.code == 4
    first, second, *_ = merged.err.splitlines()
    began = "it began at 2026-01-01T00:00:00.000Z"
    assert first.startswith(f"left aside: reports/shard-2.json is of an earlier batch: {began}")
    assert second.startswith("no report of shard 2 of 3: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["report"], "say what to report: --merge FILE..."),
        (["report", "shard-0.json"], "say what to report: --merge FILE..."),
        (["report", "--merge"], "--merge needs the files"),
        (["report", "--merge", "-c", "worker.yaml", "."], ".: no *.json in this folder"),
        (["report", "--merge", "--fail-on", "dwn", "x.json"], "did you mean down?"),
        (["report", "--merge", "-c", "nowhere.yaml", "x.json"], "nowhere.yaml:1:1: no such file"),
    ],
    ids=" ".join,
)
async def test_bad_usage_exits_with_2(arguments: list[str], says: str, tmp_path: Path) -> None:
    write_config(tmp_path, "https://mixpeek.example.com")
    done = await run(*arguments, cwd=tmp_path, env=NO_KEY)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
