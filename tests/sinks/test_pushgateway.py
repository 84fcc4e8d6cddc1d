"""The Pushgateway: which groups are read back, what is asked of it for ours, and what is said when it fails."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.sinks.gateway import Gateway, group
from tests.sinks.given import T0
from tests.sinks.receiving import Receiver, hang_up, receiving
from worker.core.track import BUCKETS_S
from worker.settings import ReceiverSettings
from worker.sinks.pushgateway import Groups, Pushgateway, UnreadableError, dead
from worker.sinks.receiver import ReceiverError, RefusedError

PASSWORD = "correct horse"
OTHERS = (
    "# HELP go_goroutines Number of goroutines that currently exist.\ngo_goroutines 9\n"
    'pushgateway_http_requests_total{code="200",handler="push",method="put"} 1\n'
    'node_load1{instance="",job="plugin_probe"} what_no_number_is\n'
)


def gateway(receiver: Receiver, shard: int | None = None, **settings: Any) -> Pushgateway:
    return Pushgateway(ReceiverSettings(url=receiver.url.removesuffix("/write"), **settings), shard)


async def pull(page: str, shard: int | None = None, **settings: Any) -> Groups:
    async with receiving((200, OTHERS + page)) as receiver:
        groups = await gateway(receiver, shard, **settings).pull(patient=False)
    assert [(came.method, came.path) for came in receiver.came] == [("GET", "/metrics")]
    return groups


@pytest.mark.parametrize(
    ("shard", "page", "probes", "shards"),
    [
        pytest.param(None, group("a", "b", probes=7), {"a": 7, "b": 7}, {""}, id="the own group"),
        pytest.param(0, group("a", shard="0", probes=7), {"a": 7}, {"0"}, id="the own shard's"),
        pytest.param(None, group("a", job="plugin_probe_2") + group("a", job="node"), {}, set(), id="of other jobs"),
        pytest.param(None, group("a", instance="by hand"), {}, set(), id="with an instance"),
        pytest.param(1, group("a", shard="0") + group("b", shard="12"), {"a": 1, "b": 1}, {"0", "12"}, id="of others"),
        pytest.param(
            0,
            group("a", shard="0", at=T0) + group("a", shard="1", at=T0 + 300, probes=9),
            {"a": 9},
            {"0", "1"},
            id="another's is newer",
        ),
        pytest.param(
            0,
            group("a", shard="0", at=T0 + 300) + group("a", shard="1", at=T0, probes=9),
            {"a": 1},
            {"0", "1"},
            id="the own is newer",
        ),
        pytest.param(
            3,
            group("a", shard="0", at=T0) + group("a", at=T0 + 9, probes=2) + group("a", shard="1", at=T0 + 5, probes=3),
            {"a": 2},
            {"", "0", "1"},
            id="the newest of three",
        ),
        pytest.param(None, "", {}, set(), id="none yet"),
    ],
)
async def test_of_each_target_the_newest_group_of_our_job_tells(
    shard: int | None, page: str, probes: dict[str, int], shards: set[str]
) -> None:
    groups = await pull(page, shard)
    assert {key.plugin: track.probes for key, track in groups.memory.tracks.items()} == probes
    assert groups.shards == shards


async def test_a_target_that_was_never_called_yields_to_one_that_was() -> None:
    uncalled = 'plugin_probe_probes_total{instance="",job="plugin_probe",mixpeek_namespace="ns_a",plugin="a"} 5\n'
    groups = await pull(uncalled + group("a", shard="1", probes=2))
    assert [track.probes for track in groups.memory.tracks.values()] == [2]


async def test_the_worker_s_own_counts_are_those_of_its_own_group() -> None:
    page = group(shard="0", probes=3) + group("a", shard="1", probes=4) + group(probes=5)
    stalls = [[sample.value for sample in (await pull(page, shard)).memory.own] for shard in (0, 1, 2, None)]
    assert stalls == [[3], [4], [], [5]]


async def test_a_job_of_any_name_is_found_again() -> None:
    job = r'a "job" \ with, job="plugin_probe" = and /'
    groups = await pull(group("a", job=job) + group("b"), job=job)
    assert [key.plugin for key in groups.memory.tracks] == ["a"]


async def test_lines_longer_than_any_chunk_arrive_whole() -> None:
    long = "\u00e9" * 150_000  # two bytes each, so that a chunk ends within one
    groups = await pull(group(long, "b"))
    assert [key.plugin for key in groups.memory.tracks] == [long, "b"]


async def broken_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "999"})
    await response.prepare(request)
    await response.write(group("a").encode())
    return await hang_up(request)


async def hang(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    raise AssertionError("nobody waits as long")


async def echo(request: web.Request) -> web.StreamResponse:
    sent = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
    return web.Response(status=401, text=f"{sent}\nis not {request.headers['Authorization']}")


OF_A = 'plugin_probe_probes_total{instance="",job="plugin_probe",mixpeek_namespace="ns_a",plugin="a"}'
FALLING = "".join(
    f'plugin_probe_duration_seconds_bucket{{job="plugin_probe",mixpeek_namespace="a",plugin="b",le="{le}"}} {count}\n'
    for le, count in [("0.01", 3), *((repr(bound), 2) for bound in BUCKETS_S[1:]), ("+Inf", 2)]
)


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        pytest.param((200, f"{OF_A} many\n"), UnreadableError, "is no sample: its value is no number", id="no number"),
        pytest.param((200, f"{OF_A} NaN\n"), UnreadableError, "'plugin': 'a'} is nan", id="no count"),
        pytest.param((200, FALLING), UnreadableError, "its buckets fall", id="buckets that fall"),
        pytest.param((200, "<html>\n<p>Please sign in</p>\n"), UnreadableError, "line 1 is no sample", id="a page"),
        pytest.param((200, f"# a\n# b\n{OF_A[:-3]}"), UnreadableError, "line 3 is no sample", id="which line"),
        pytest.param((200, f"{OF_A} {'x' * 5000}\n"), UnreadableError, "its value is no number", id="long"),
        pytest.param((200, f"{OF_A} 1\n{OF_A[:-3]}"), UnreadableError, "is no sample", id="half a line"),
        pytest.param(web.Response(body=b"\xff\n"), UnreadableError, "can't decode byte 0xff", id="no text"),
        pytest.param((401, "who are you?"), RefusedError, "answered 401 Unauthorized: who are you?", id="refused"),
        pytest.param((404, "<html>\n<p>no"), RefusedError, "answered 404 Not Found: <html> <p>no", id="not found"),
        pytest.param((302, ""), RefusedError, "answered 302 Found", id="redirected"),
        pytest.param((503, "later"), RefusedError, "answered 503 Service Unavailable: later", id="out of order"),
        pytest.param(echo, RefusedError, "worker:[REDACTED] is not Basic [REDACTED]", id="what we signed with, echoed"),
        pytest.param(hang, ReceiverError, "not done within 0.2 s", id="it hangs"),
        pytest.param(hang_up, ReceiverError, "the connection ended before", id="it hangs up"),
        pytest.param(broken_off, ReceiverError, "connection", id="broken off"),
    ],
)
async def test_what_can_not_be_read_is_told_on_one_line(
    answer: Any, kind: type[ReceiverError], says: str, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text(PASSWORD)
    async with receiving(answer) as receiver:
        signed = gateway(receiver, timeout_s=0.2, username="worker", password_file=tmp_path / "password")
        with pytest.raises(ReceiverError) as failed:
            await signed.pull(patient=False)
    assert len(receiver.came) == 1 + (answer is hang_up)  # that aiohttp itself repeats
    assert type(failed.value) is kind
    assert says in str(failed.value)
    assert str(failed.value).isprintable()
    assert PASSWORD not in str(failed.value)


async def test_nobody_there_is_told() -> None:
    async with receiving() as receiver:
        pass
    with pytest.raises(ReceiverError, match=r"^cannot connect to 127\.0\.0\.1:\d+: connection refused$"):
        await gateway(receiver).pull(patient=False)


async def test_what_is_too_large_is_not_read_to_its_end() -> None:
    page = "#" * 900_000 + "\n" + group("a")
    async with receiving((200, page), (200, page * 2)) as receiver:
        small = Pushgateway(gateway(receiver).settings, None, most_bytes=2**20)
        assert len((await small.pull(patient=False)).memory.tracks) == 1
        with pytest.raises(UnreadableError, match="it is larger than 1 MiB"):
            await small.pull(patient=False)


async def test_the_patient_ask_again() -> None:
    async with receiving((503, ""), (200, group("a"))) as receiver:
        groups = await gateway(receiver).pull(patient=True)
    assert len(receiver.came) == 2
    assert len(groups.memory.tracks) == 1


async def raw(ask: Callable[[Receiver], Awaitable[None]]) -> list[tuple[str, str]]:
    """Methods and paths, these as they went over the wire."""
    asked = []

    async def note(request: web.Request) -> web.Response:
        asked.append((request.method, request.raw_path))
        return web.Response(status=202)

    async with receiving(note) as receiver:
        await ask(receiver)
    return asked


@pytest.mark.parametrize(
    ("job", "shard", "path"),
    [
        ("plugin_probe", None, "/metrics/job/plugin_probe"),
        ("plugin_probe", 0, "/metrics/job/plugin_probe/shard/0"),
        ("plugin_probe", 11, "/metrics/job/plugin_probe/shard/11"),
        ("team/probe", None, "/metrics/job@base64/dGVhbS9wcm9iZQ=="),
        ("~/\u00ff?>", 3, "/metrics/job@base64/fi_Dvz8-/shard/3"),
        ("50% \u00e9? #1", None, "/metrics/job/50%25%20%C3%A9%3F%20%231"),
    ],
)
async def test_a_group_is_named_by_job_and_shard(job: str, shard: int | None, path: str) -> None:
    async def ask(receiver: Receiver) -> None:
        await gateway(receiver, shard, job=job).push([b""], whole=True)
        receiver.url = receiver.url.replace("/write", "/behind/a/proxy/write")
        await gateway(receiver, shard, job=job).push([b""], whole=True)

    assert await raw(ask) == [("PUT", path), ("PUT", f"/behind/a/proxy{path}")]


@pytest.mark.parametrize(("whole", "method"), [(True, "PUT"), (False, "POST")])
async def test_a_group_is_replaced_where_it_is_known_as_a_whole(whole: bool, method: str) -> None:
    async with receiving(Gateway()) as receiver:
        await gateway(receiver).push(iter([b"plugin_probe_success 1\n", b"", b"up 1\n"]), whole=whole)
    (came,) = receiver.came
    assert (came.method, came.body) == (method, b"plugin_probe_success 1\nup 1\n")
    assert came.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert came.headers["User-Agent"].startswith("plugin-probe/")


async def test_what_was_not_taken_is_pushed_again() -> None:
    async with receiving(hang_up, (202, "")) as receiver:
        await gateway(receiver).push([b"up 1\n"], whole=True)
    assert [(came.method, came.body) for came in receiver.came] == [("PUT", b"up 1\n")] * 2


async def test_what_is_refused_is_told() -> None:
    async with receiving((400, 'pushed metrics are invalid: "up"\n')) as receiver:
        with pytest.raises(RefusedError, match=r'^answered 400 Bad Request: pushed metrics are invalid: "up"$'):
            await gateway(receiver).push([b"up"], whole=True)
    assert len(receiver.came) == 1


async def test_groups_are_deleted_one_by_one() -> None:
    async def ask(receiver: Receiver) -> None:
        await gateway(receiver, 0, job="a b").delete(["", "2", "13"])

    where = "/metrics/job/a%20b"
    assert await raw(ask) == [("DELETE", where), ("DELETE", f"{where}/shard/2"), ("DELETE", f"{where}/shard/13")]


async def test_the_first_group_that_can_not_be_deleted_is_told() -> None:
    async with receiving(Gateway(DELETE=[(202, ""), (403, "read only")])) as receiver:
        with pytest.raises(RefusedError, match="answered 403 Forbidden: read only"):
            await gateway(receiver).delete(["7", "8", "9"])
    assert [came.path[-1] for came in receiver.came] == ["7", "8"]


@pytest.mark.parametrize(
    ("shards", "count", "gone"),
    [
        (["", "0", "1", "2", "10"], 2, ["", "10", "2"]),
        (["", "0", "1", "2", "10"], 11, []),
        (["", "1"], 2, []),
        (["", "0", "1"], 2, [""]),
        (["", "0", "1"], None, ["0", "1"]),
        (["0"], 1, []),
        ([""], None, []),
        (["", "0", "b", "-1", "1.5"], 1, [""]),
        ([], 3, []),
    ],
)
def test_groups_that_nobody_writes_any_more(shards: list[str], count: int | None, gone: list[str]) -> None:
    assert list(dead(shards, count)) == gone


async def test_a_label_whose_name_ends_in_job_is_not_the_job() -> None:
    line = 'plugin_probe_target_info{mixpeek_namespace="a",plugin="b",cronjob="plugin_probe"} 1\n'
    assert (await pull(line)).memory.tracks == {}


async def test_a_large_push_goes_in_pieces() -> None:
    """Warnings are errors here, and aiohttp warns of a body of more than 1 MiB in one piece."""
    async with receiving((202, "")) as receiver:
        await gateway(receiver).push([b"#" * 2_000_000 + b"\n"], whole=True)
    assert len(receiver.came[0].body) == 2_000_001


@pytest.mark.parametrize("job", [".", ".."])
async def test_jobs_that_would_vanish_from_the_path_are_spelt_otherwise(job: str) -> None:
    asked = await raw(lambda receiver: gateway(receiver, job=job).push([b""], whole=True))
    assert asked[0][1].startswith("/metrics/job@base64/")


@pytest.mark.parametrize("shard", ["9" * 5000, "\u0663", "a", "-1"])
def test_groups_that_are_none_of_ours_stay(shard: str) -> None:
    assert list(dead([shard], 2)) == []
