"""Disks that are full, or read-only: what was there stays whole, nothing half-written is left, and room is enough to
recover.
"""

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.commands import Cases, Finished, Together, run, started, target, together, write_config
from tests.servers import answer, serving

pytestmark = pytest.mark.e2e

CASES = Cases()
case = CASES.add
FULL, READ_ONLY = "No space left on device", "Read-only file system"
REPORTS = {"junit": "report.xml", "markdown": "report.md", "json": "report.json"}
OLD_PIN = "# kept by hand\nshapes:\n  ns_a:\n    p_1_0_0:\n      shape: '{embedding: number[2]}'\n"


def mount(*arguments: str | Path) -> bool:
    command = shutil.which("mount")
    return (
        command is not None and not subprocess.run([command, *arguments], capture_output=True, check=False).returncode
    )


class Disk:
    """A small file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(b"x" * 512):
                    pass
            except OSError:
                return

    def free(self) -> None:
        (self.folder / "filler").unlink()

    def freeze(self) -> None:
        assert mount("-o", "remount,ro", self.folder)

    @property
    def content(self) -> dict[str, bytes]:
        """What is in its files, hidden ones too."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir() if path.name != "filler"}


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    place = folder / "disk"
    place.mkdir()
    assert mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", place)
    try:
        yield Disk(place)
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a command said, and what was on the disk before and after it."""

    done: Finished
    before: dict[str, bytes]
    after: dict[str, bytes]

    @property
    def told(self) -> list[str]:
        """Of which file it was told that it could not be written, and why."""
        failed = (event["error"] for event in self.done.events if event["event"] == "sink.failed")
        return [error.partition("] ")[2] for error in failed]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Together:
    folder = tmp_path_factory.mktemp("disks")
    (folder / "try").mkdir()
    if not mount("-t", "tmpfs", "tmpfs", folder / "try"):
        pytest.skip("no file system can be mounted here: that takes root")
    subprocess.run(["umount", folder / "try"], check=True)
    return together(CASES, folder)


async def command(place: Disk, *words: str) -> Seen:
    before = place.content
    done = await run(*words, "-c", "worker.yaml", cwd=place.folder.parent)
    return Seen(done=done, before=before, after=place.content)


ONCE = ("once", "--format", "json")


@case
async def textfile(folder: Path) -> list[Seen]:
    """A batch while there is room, one when there is none, one when there is again."""
    async with serving() as server:
        with disk(folder) as place:
            write_config(folder, server.url, outputs={"textfile": {"path": "disk/probe.prom"}})
            first = await command(place, *ONCE)
            place.fill()
            second = await command(place, *ONCE)
            place.free()
            return [first, second, await command(place, *ONCE)]


async def reported(folder: Path, *, frozen: bool) -> Seen:
    async with serving() as server:
        with disk(folder) as place:
            write_config(folder, server.url, outputs={"textfile": {"path": "disk/probe.prom"}})
            for name in REPORTS.values():
                (place.folder / name).write_text("old")
            place.freeze() if frozen else place.fill()
            wanted = [f"--report={kind}=disk/{name}" for kind, name in REPORTS.items()]
            return await command(place, *ONCE, *wanted)


@case
async def reports_full(folder: Path) -> Seen:
    return await reported(folder, frozen=False)


@case
async def reports_frozen(folder: Path) -> Seen:
    return await reported(folder, frozen=True)


async def pinned(folder: Path, *, frozen: bool) -> Seen:
    async with serving(default=answer({"embedding": [0.6, 0.8], "more": "text"})) as server:
        with disk(folder) as place:
            (place.folder / "shapes.lock.yaml").write_text(OLD_PIN)
            write_config(folder, server.url, shapes_file="disk/shapes.lock.yaml")
            place.freeze() if frozen else place.fill()
            return await command(place, "shapes", "pin", "--samples", "1")


@case
async def pin_full(folder: Path) -> Seen:
    return await pinned(folder, frozen=False)


@case
async def pin_frozen(folder: Path) -> Seen:
    return await pinned(folder, frozen=True)


@case
async def golden_full(folder: Path) -> Seen:
    """The shapes file has room, the golden vector has none."""
    async with serving() as server:
        with disk(folder) as place:
            write_config(folder, server.url, [target(expect={"golden": {"path": "embedding", "file": "disk/g.json"}})])
            place.fill()
            return await command(place, "shapes", "pin", "--samples", "1", "--golden")


async def daemon(folder: Path, *, room_at_the_end: bool) -> Seen:
    """Its textfile is of an earlier run when the disk fills up; it probes on until it is stopped."""
    async with serving() as server:
        with disk(folder) as place:
            outputs = {"listen": "127.0.0.1:0", "textfile": {"path": "disk/probe.prom"}}
            schedule = {"interval": "200ms", "timeout": "2s", "grace": "1s"}
            write_config(folder, server.url, outputs=outputs, schedule=schedule)
            await command(place, *ONCE)
            place.fill()
            before = place.content
            async with started("run", "-c", "worker.yaml", cwd=folder) as process:
                await server.called(4)
                if room_at_the_end:
                    place.free()
                process.send(signal.SIGTERM)
                done = await process.finish()
            return Seen(done=done, before=before, after=place.content)


@case
async def daemon_full(folder: Path) -> Seen:
    return await daemon(folder, room_at_the_end=False)


@case
async def daemon_with_room_again(folder: Path) -> Seen:
    return await daemon(folder, room_at_the_end=True)


def probes(content: dict[str, bytes]) -> int:
    found = re.search(rb"^plugin_probe_probes_total\{.*\} (\d+)$", content["probe.prom"], re.MULTILINE)
    assert found
    return int(found[1])


def test_a_textfile_on_a_full_disk_exits_with_3_and_the_old_one_stays_whole(seen: Together) -> None:
    first, second, _ = seen["textfile"]
    assert (first.done.code, second.done.code) == (0, 3)
    assert second.after == second.before
    assert second.told == [f"{FULL}: 'disk/probe.prom'"]
    assert second.done.json["summary"]["up"] == 1


def test_it_is_written_when_there_is_room_again_and_goes_on_from_what_it_held(seen: Together) -> None:
    third = seen["textfile"][2]
    assert third.done.code == 0
    assert third.after.keys() == {"probe.prom"}
    assert probes(third.after) == 2


@pytest.mark.parametrize(("name", "reason"), [("reports_full", FULL), ("reports_frozen", READ_ONLY)])
def test_reports_that_cannot_be_written_exit_with_3_and_the_old_ones_stay(
    seen: Together, name: str, reason: str
) -> None:
    looked = seen[name]
    assert looked.done.code == 3
    assert looked.after == looked.before == dict.fromkeys(REPORTS.values(), b"old")
    assert looked.told == [f"{reason}: 'disk/{name}'" for name in (*REPORTS.values(), "probe.prom")]
    assert looked.done.json["summary"]["up"] == 1


@pytest.mark.parametrize(("name", "reason"), [("pin_full", FULL), ("pin_frozen", READ_ONLY)])
def test_a_pin_that_cannot_be_written_is_one_line_and_the_shapes_file_stays(
    seen: Together, name: str, reason: str
) -> None:
    looked = seen[name]
    assert looked.done.code == 3
    assert looked.after == looked.before
    assert looked.done.out == "", "nothing is pinned, so that nothing says so"
    assert re.fullmatch(rf"\S*disk/shapes\.lock\.yaml: can't be written: {reason}\n", looked.done.err)


def test_a_golden_vector_that_cannot_be_written_is_named(seen: Together) -> None:
    looked = seen["golden_full"]
    assert looked.done.code == 3
    assert looked.after == looked.before == {}
    assert re.fullmatch(rf"\S*disk/g\.json: can't be written: {FULL}\n", looked.done.err)


def test_a_daemon_probes_on_while_the_disk_is_full(seen: Together) -> None:
    looked = seen["daemon_full"]
    assert looked.done.code == 0
    assert looked.after == looked.before
    assert looked.told == [f"{FULL}: 'disk/probe.prom'"]


def test_a_daemon_writes_its_textfile_when_there_is_room_again(seen: Together) -> None:
    looked = seen["daemon_with_room_again"]
    assert (looked.done.code, looked.told) == (0, [])
    assert looked.after.keys() == {"probe.prom"}
    assert probes(looked.after) >= 4
