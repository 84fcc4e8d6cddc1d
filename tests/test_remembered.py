"""What is read back before a batch: the textfile or, where it tells nothing, the gateway."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.delivering import World, asked, written_before
from tests.sinks.gateway import Gateway, group
from tests.sinks.given import target
from tests.sinks.receiving import receiving

HTML = "<html>\n<p>Please sign in</p>\n"


def test_the_textfile_is_read_back(tmp_path: Path) -> None:
    world = World(textfile=tmp_path / "probe.prom")
    (tmp_path / "probe.prom").write_bytes(written_before())
    memory = world.outputs.recall()
    assert memory is not None
    assert memory.tracks[target().key].probes == 2
    assert world.missing == []


def absent(path: Path) -> Path:
    return path


def below_a_file(path: Path) -> Path:
    path.write_text("")
    return path / "below.prom"


def unreadable(_: Path) -> Path:
    return Path("/proc/self/mem")  # nothing is at its beginning, whoever reads it


def holding(content: bytes) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize(
    ("place", "level", "says"),
    [
        pytest.param(absent, "info", "there is none yet", id="none"),
        pytest.param(below_a_file, "info", "there is none yet", id="no folder"),
        pytest.param(unreadable, "warning", "Input/output error", id="unreadable"),
        pytest.param(holding(HTML.encode()), "warning", "line 1 is no sample", id="no metrics"),
        pytest.param(holding(written_before() + b"\xff"), "warning", "can't decode byte 0xff", id="no text"),
        pytest.param(
            holding(written_before().replace(b"probes_total{", b"probes_total{!")),
            "warning",
            "its labels",
            id="damaged",
        ),
        pytest.param(
            holding(b'plugin_probe_calls_total{mixpeek_namespace="a",plugin="b"} NaN\n'),
            "warning",
            "'plugin': 'b'} is nan",
            id="what no probe counts",
        ),
        pytest.param(
            holding(written_before().partition(b"# HELP plugin_probe_build_info")[0]), "warning", "ends early", id="cut"
        ),
        pytest.param(holding(b"node_load1 0.5\n"), "warning", "is not ours", id="another's"),
        pytest.param(holding(b""), "warning", "ends early", id="empty"),
    ],
)
async def test_without_memory_it_starts_at_nothing_and_says_so(
    place: Callable[[Path], Path], level: str, says: str, tmp_path: Path
) -> None:
    world = World(textfile=place(tmp_path / "probe.prom"))
    assert await world.outputs.recall_all() is None
    ((name, told, fields),) = world.events.events
    assert (name, told, fields["source"]) == ("memory.missing", level, "textfile")
    assert says in fields["error"]
    assert fields["error"].isprintable()


async def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    world = World(textfile=tmp_path / "pipe")
    assert await world.outputs.recall_all() is None
    assert world.missing == []


async def test_without_outputs_there_is_nothing_to_remember_and_nothing_to_do() -> None:
    world = World()
    assert await world.outputs.recall_all() is None
    assert await world.outputs.write_textfile()
    await world.outputs.deliver(world.note, world.resume)
    assert (world.events.events, world.failures) == ([], [])


@pytest.mark.parametrize(
    ("content", "probes", "missing"),
    [
        pytest.param(written_before(), 2, [], id="the textfile goes first"),
        pytest.param(None, 40, [("textfile", "info")], id="the gateway where there is none"),
        pytest.param(HTML.encode(), 40, [("textfile", "warning")], id="the gateway where it is damaged"),
    ],
)
async def test_the_textfile_goes_before_the_gateway(
    content: bytes | None, probes: int, missing: list[tuple[str, str]], tmp_path: Path
) -> None:
    file = tmp_path / "probe.prom"
    if content is not None:
        file.write_bytes(content)
    async with receiving(Gateway(GET=[(200, group("embed_1_0_0", probes=40))])) as receiver:
        world = World(receiver, textfile=file, ways=("pushgateway",))
        memory = await world.outputs.recall_all()
    assert memory is not None
    assert memory.tracks[target().key].probes == probes
    assert world.missing == missing
    assert asked(receiver) == ["GET /metrics"]


async def test_a_path_that_can_not_be_looked_at_is_told(tmp_path: Path) -> None:
    world = World(textfile=tmp_path / ("x" * 300))
    assert await world.outputs.recall_all() is None
    assert world.missing == [("textfile", "warning")]


def test_a_file_that_ends_early_is_told(tmp_path: Path) -> None:
    whole, file = written_before(), tmp_path / "probe.prom"
    file.write_bytes(whole[: whole.index(b"\n", whole.index(b"\nplugin_probe_build_info{") + 1) + 1])
    world = World(textfile=file)
    assert world.outputs.recall() is None
    assert world.missing == [("textfile", "warning")]
