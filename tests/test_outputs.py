"""Outputs: in which order a batch's metrics are written, and what a failure changes."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cramjam
import pytest
from aiohttp import web

from tests.delivering import World, asked, exposed, written_before
from tests.sinks.gateway import Gateway, group
from tests.sinks.receiving import hang_up, receiving
from worker.core.shard import Shard


async def test_the_file_comes_first_then_the_gateway_then_the_rest(tmp_path: Path) -> None:
    file, found = tmp_path / "probe.prom", []

    async def look(request: web.Request) -> web.Response:
        found.append((request.method, request.path, file.read_bytes()))
        return web.Response(status=202)

    async with receiving(look) as receiver:
        world = World(receiver, textfile=file, ways=("remote_write", "pushgateway"))
        await world.outputs.deliver(world.note, world.resume)
    ours = exposed(0, 0)
    assert found == [("PUT", "/metrics/job/plugin_probe", ours), ("POST", "/write", ours)]
    assert (world.outputs.failed, world.failures) == (False, [])


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    ("failing", "way", "exposed_with"),
    [
        pytest.param(None, None, [0, 0, 0], id="nothing"),
        pytest.param("folder", "textfile", [1, 1], id="the textfile"),
        pytest.param("PUT", "pushgateway", [0, 0, 1, 1], id="the gateway, and the textfile again"),
        pytest.param("POST", "remote_write", [0, 0, 0, 1, 1], id="remote write, and both others again"),
    ],
)
async def test_what_was_written_before_a_failure_is_written_again(
    failing: str | None, way: str | None, exposed_with: list[int], required: bool, tmp_path: Path
) -> None:
    file = tmp_path / ("no/such/folder" if failing == "folder" else "probe.prom")
    async with receiving(Gateway(**{failing or "": [(400, "no")]})) as receiver:
        world = World(receiver, textfile=file, ways=("pushgateway", "remote_write"), required=required)
        await world.outputs.deliver(world.note, world.resume)
    assert [failed for failed, _ in world.failures] == [way][: failing is not None]
    assert world.outputs.failed is (required and failing is not None)
    assert world.exposed_with == [failed and required for failed in exposed_with]
    last = {came.method: came.body for came in receiver.came}
    assert last["PUT"] == exposed(world.exposed_with[-1 if failing == "POST" else 1], 0)
    if failing != "folder":
        assert file.read_bytes() == exposed(failing is not None and required, 0)


async def test_a_failure_of_the_report_is_noted_in_what_is_written(tmp_path: Path) -> None:
    world = World(textfile=tmp_path / "probe.prom")
    world.outputs.failed = True
    await world.outputs.deliver(world.note, world.resume)
    assert (tmp_path / "probe.prom").read_bytes() == exposed(1, 0)


async def test_what_is_not_required_excuses_nothing(tmp_path: Path) -> None:
    world = World(textfile=tmp_path / "no/such/folder", required=False)
    world.outputs.failed = True
    await world.outputs.deliver(world.note, world.resume)
    assert world.outputs.failed


async def test_a_textfile_that_failed_beside_probes_is_written_when_it_can_be(tmp_path: Path) -> None:
    path = tmp_path / "later" / "probe.prom"
    world = World(textfile=path)
    assert not await world.outputs.write_textfile(aside=True)
    path.parent.mkdir()
    assert await world.outputs.write_textfile(aside=True)
    assert path.read_bytes() == exposed(0, 0)
    assert len(world.failures) == 1


async def test_that_no_thread_can_be_started_is_a_failure_of_the_textfile_and_no_crash(tmp_path: Path) -> None:
    world, threads = World(textfile=tmp_path / "probe.prom"), ThreadPoolExecutor()
    threads.shutdown()
    asyncio.get_running_loop().set_default_executor(threads)
    assert not await world.outputs.write_textfile(aside=True)
    assert [way for way, _ in world.failures] == ["textfile"]


async def test_remote_write_sends_job_and_shard_as_of_now() -> None:
    async with receiving() as receiver:
        world = World(receiver, ways=("remote_write",), shard=Shard(index=3, count=5))
        await world.outputs.deliver(world.note, world.resume)
    sent = bytes(cramjam.snappy.decompress_raw(receiver.came[0].body))
    assert sent.count(b"\x05shard\x12\x013") == sent.count(b"\x03job\x12\x0cplugin_probe") == 2


async def test_a_gateway_without_a_group_of_ours_is_no_failure() -> None:
    async with receiving(Gateway(GET=[(200, group("a", job="another"))])) as receiver:
        world = await World(receiver, ways=("pushgateway",)).batch()
    assert world.missing == [("pushgateway", "info")]
    assert asked(receiver) == ["GET /metrics", "PUT /metrics/job/plugin_probe"]
    assert receiver.came[-1].body == exposed(0, 1)


async def test_memory_that_comes_late_is_joined() -> None:
    turns = [(503, "starting"), (200, group("a", "b", probes=20))]
    async with receiving(Gateway(GET=turns)) as receiver:
        world = await World(receiver, ways=("pushgateway",)).batch()
    assert world.missing == [("pushgateway", "warning")]
    assert asked(receiver) == ["GET /metrics", "GET /metrics", "PUT /metrics/job/plugin_probe"]
    assert receiver.came[-1].body == exposed(0, 41)
    assert world.failures == []


@pytest.mark.parametrize(
    "answer",
    [(401, "who are you?"), (404, "no such page"), (200, 'plugin_probe_success{job="plugin_probe",plug')],
    ids=["refused", "not there", "unreadable"],
)
async def test_what_nobody_may_read_is_not_replaced_as_a_whole(answer: tuple[int, str]) -> None:
    async with receiving(Gateway(GET=[answer])) as receiver:
        world = await World(receiver, ways=("pushgateway",)).batch()
    assert world.missing == [("pushgateway", "warning")] * 2
    assert asked(receiver) == ["GET /metrics", "GET /metrics", "POST /metrics/job/plugin_probe"]
    assert receiver.came[-1].body == exposed(0, 1)
    assert (world.outputs.failed, world.failures) == (False, [])


async def test_what_only_the_textfile_remembers_replaces_the_group(tmp_path: Path) -> None:
    (tmp_path / "probe.prom").write_bytes(written_before())
    async with receiving(Gateway(GET=[(401, "who are you?")])) as receiver:
        world = await World(receiver, textfile=tmp_path / "probe.prom", ways=("pushgateway",)).batch()
    assert world.missing == [("pushgateway", "warning")]
    assert asked(receiver) == ["GET /metrics", "PUT /metrics/job/plugin_probe"]
    assert receiver.came[-1].body == exposed(0, 3)


@pytest.mark.parametrize("answer", [hang_up, (503, "no disk")], ids=["hanging up", "out of order"])
async def test_a_gateway_that_is_out_of_reach_is_one_failure(answer: Any) -> None:
    async with receiving(answer) as receiver:
        world = await World(receiver, ways=("pushgateway",), timeout_s=0.2).batch()
    assert {came.method for came in receiver.came} == {"GET"}, "nothing is pushed to it besides"
    assert world.missing == [("pushgateway", "warning")]
    assert [way for way, _ in world.failures] == ["pushgateway"]
    assert world.outputs.failed


# Shards ------------------------------------------------------------------------------------------------------------

ALL = "".join(group("a", shard=shard) for shard in ("", "0", "1", "2", "3"))
JOB = "/metrics/job/plugin_probe"


async def test_a_shard_remembers_its_own_targets_alone_whoever_had_them() -> None:
    plugins = [f"p_{number}" for number in range(12)]
    page = group(*plugins[:6], shard="0") + group(*plugins[6:], shard="7")
    kept = []
    for index in range(3):
        shard = Shard(index=index, count=3)
        async with receiving((200, page)) as receiver:
            memory = await World(receiver, ways=("pushgateway",), shard=shard).outputs.recall_all()
        assert memory
        assert all(map(shard.holds, memory.tracks))
        kept += [key.plugin for key in memory.tracks]
    assert sorted(kept) == sorted(plugins)


@pytest.mark.parametrize(
    ("shard", "deleted"),
    [
        (Shard(index=0, count=2), ["", "/shard/2", "/shard/3"]),
        (Shard(index=1, count=2), []),
        (Shard(index=0, count=4), [""]),
        (None, ["/shard/0", "/shard/1", "/shard/2", "/shard/3"]),
    ],
)
async def test_the_first_shard_deletes_the_groups_of_shards_that_are_no_more(
    shard: Shard | None, deleted: list[str]
) -> None:
    own = f"{JOB}/shard/{shard.index}" if shard else JOB
    async with receiving(Gateway(GET=[(200, ALL)])) as receiver:
        world = await World(receiver, ways=("pushgateway",), shard=shard).batch()
    assert asked(receiver) == ["GET /metrics", f"PUT {own}", *(f"DELETE {JOB}{path}" for path in deleted)]
    assert world.failures == []


async def test_groups_are_deleted_once_however_often_ours_is_pushed() -> None:
    async with receiving(Gateway(GET=[(200, ALL)], POST=[(400, "no")])) as receiver:
        await World(receiver, ways=("pushgateway", "remote_write"), shard=Shard(index=0, count=3)).batch()
    methods = [came.method for came in receiver.came]
    assert methods == ["GET", "PUT", "DELETE", "DELETE", "POST", "PUT"]


async def test_what_could_not_be_deleted_is_told_and_deleted_next_time() -> None:
    async with receiving(Gateway(GET=[(200, ALL)], DELETE=[(403, "read only"), (202, "")])) as receiver:
        world = World(receiver, ways=("pushgateway",), shard=Shard(index=0, count=3))
        await world.batch()
        assert world.failures == [("pushgateway", "answered 403 Forbidden: read only")]
        assert not world.outputs.failed, "our own group is right"
        await world.outputs.deliver(world.note, world.resume)
    deleted = [came.path.removeprefix(JOB) for came in receiver.came if came.method == "DELETE"]
    assert deleted == ["", "", "/shard/3"]


async def test_what_we_posted_is_not_joined_to_ourselves() -> None:
    """The third time the gateway shows what the POST brought."""
    turns = [(401, "no"), (401, "no"), (200, group("a", probes=1))]
    async with receiving(Gateway(GET=turns, POST=[(202, ""), (400, "no")])) as receiver:
        world = await World(receiver, ways=("pushgateway", "remote_write")).batch()
    assert world.probes == 1


async def test_what_was_joined_late_is_in_the_textfile_too(tmp_path: Path) -> None:
    file = tmp_path / "probe.prom"
    async with receiving(Gateway(GET=[(503, ""), (200, group("a", probes=40))])) as receiver:
        await World(receiver, textfile=file, ways=("pushgateway",)).batch()
    assert receiver.came[-1].body == exposed(0, 41)
    assert file.read_bytes() == exposed(0, 41)
