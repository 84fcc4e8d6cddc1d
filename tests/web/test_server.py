"""The HTTP surface over a hand-made one."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, DummyCookieJar
from aiohttp.test_utils import TestClient, TestServer

from tests.fakes import exchange as make_exchange
from tests.fakes import refusal
from tests.web.surface import HandMade, probed, waiting
from worker.core.shard import Shard
from worker.core.target import TargetKey
from worker.web.server import make_app

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
SHARD = Shard(index=1, count=4)


@asynccontextmanager
async def asking(surface: HandMade, **enabled: Any) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(make_app(surface, **enabled)), auto_decompress=False) as client:
        yield client


class Probes:
    """Stands for the engine: notes what is asked, and shows a result in time or not."""

    def __init__(self, surface: HandMade, *, in_time: bool = True) -> None:
        self.surface, self.in_time = surface, in_time
        self.asked: list[tuple[TargetKey, float]] = []

    async def __call__(self, key: TargetKey, within_s: float) -> bool:
        self.asked.append((key, within_s))
        if self.in_time:
            self.surface.targets = [probed(key.plugin)]
        return self.in_time


@pytest.mark.parametrize(
    ("accept", "kind", "body"),
    [
        pytest.param("*/*", PLAIN, b"# TYPE a gauge\na 1\n", id="anything"),
        pytest.param("text/plain", PLAIN, b"# TYPE a gauge\na 1\n", id="plain"),
        pytest.param(
            "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.3",
            OPENMETRICS,
            b"# TYPE a gauge\na 1\n# EOF\n",
            id="openmetrics",
        ),
    ],
)
async def test_metrics_come_in_the_format_that_was_asked_for(accept: str, kind: str, body: bytes) -> None:
    headers = {"Accept": accept, "Accept-Encoding": "identity"}
    async with asking(HandMade()) as client, client.get("/metrics", headers=headers) as reply:
        assert reply.status == 200
        assert reply.headers["Content-Type"] == kind
        assert reply.headers["Vary"] == "Accept, Accept-Encoding"
        assert await reply.read() == body


@pytest.mark.parametrize(
    ("accepted", "squeezed"),
    [
        ("gzip", True),
        ("deflate, GZIP", True),
        ("gzip;q=0.5", True),
        ("br, gzip; q=1.0", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0", False),
        ("identity", False),
        ("", False),
    ],
)
async def test_metrics_are_squeezed_when_that_is_asked_for(accepted: str, squeezed: bool) -> None:
    surface = HandMade(pieces=[b"a 1\n" * 10_000, b"b 1\n" * 10_000])
    headers = {"Accept-Encoding": accepted}
    async with asking(surface) as client, client.get("/metrics", headers=headers) as reply:
        body = await reply.read()
        assert (reply.headers.get("Content-Encoding") == "gzip") is squeezed
    whole = gzip.decompress(body) if squeezed else body
    assert whole == b"a 1\n" * 10_000 + b"b 1\n" * 10_000


class Counted(ThreadPoolExecutor):
    """Counts what is done beside the event loop."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)
        self.done = 0

    def submit(self, *arguments: Any, **more: Any) -> Any:
        self.done += 1
        return super().submit(*arguments, **more)


@pytest.mark.parametrize(
    ("accepted", "beside"), [pytest.param("gzip", 2, id="gzip"), pytest.param("identity", 0, id="identity")]
)
async def test_large_pieces_are_squeezed_beside_the_loop_and_small_ones_at_once(accepted: str, beside: int) -> None:
    threads = Counted()
    asyncio.get_running_loop().set_default_executor(threads)
    surface = HandMade(pieces=[b"a 1\n" * 10_000, b"b 1\n", b"", b"c 1\n" * 10_000])
    async with asking(surface) as client:
        asked_before = threads.done
        async with client.get("/metrics", headers={"Accept-Encoding": accepted}) as reply:
            assert await reply.read()
    assert threads.done - asked_before == beside


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/api/v1/targets", "/nowhere"])
async def test_every_reply_has_the_security_headers_and_no_server(path: str) -> None:
    async with asking(HandMade()) as client, client.get(path) as reply:
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
        assert reply.headers["Cache-Control"] == "no-store"
        assert "Server" not in reply.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
async def test_nothing_but_get_and_head_is_taken(method: str) -> None:
    paths = ("/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/targets", "/api/v1/targets/ns_a/p", "/probe")
    surface = HandMade()
    async with asking(surface, probe=Probes(surface)) as client:
        for path in paths:
            async with client.request(method, path) as reply:
                assert (reply.status, reply.headers["Allow"]) == (405, "GET,HEAD"), path
                assert reply.headers["X-Content-Type-Options"] == "nosniff"


class Broken(HandMade):
    def ready(self) -> bool:
        raise RuntimeError("sk_live_secret")


async def test_an_error_of_ours_has_the_security_headers_and_tells_nothing() -> None:
    async with asking(Broken()) as client, client.get("/-/ready", headers={"Accept": "text/html"}) as reply:
        assert reply.status == 500
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
        assert "Server" not in reply.headers
        assert "sk_live" not in await reply.text()


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/api/v1/targets"])
async def test_head_is_answered_without_a_body(path: str) -> None:
    async with asking(HandMade([waiting()])) as client:
        assert client.port is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(f"HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(5):
            reply = await reader.read()
        writer.close()
        await writer.wait_closed()
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert body == b""


async def test_readiness_is_the_surfaces() -> None:
    surface = HandMade(is_ready=False)
    async with asking(surface) as client:
        async with client.get("/-/ready") as reply:
            assert reply.status == 503
        async with client.get("/-/healthy") as reply:
            assert reply.status == 200
        surface.is_ready = True
        async with client.get("/-/ready") as reply:
            assert reply.status == 200


async def test_targets_are_told_as_json() -> None:
    sick = probed("sick", make_exchange(refusal(error="out of memory"), status=500))
    async with asking(HandMade([sick, waiting()])) as client:
        async with client.get("/api/v1/targets") as reply:
            first, second = (await reply.json())["targets"]
        assert (first["plugin"], first["verdict"], first["result"]["error"]) == ("sick", "down", "out of memory")
        assert (second["verdict"], second["result"], second["next_due_in_s"]) == (None, None, 12.0)
        async with client.get("/api/v1/targets/ns_a/sick") as reply:
            assert await reply.json() == first
        async with client.get("/api/v1/targets/ns_a/nobody") as reply:
            assert (reply.status, await reply.json()) == (404, {"error": "no such target"})


@pytest.mark.parametrize("count", [0, 1, 100, 101, 250])
async def test_however_many_targets_are_one_document(count: int) -> None:
    surface = HandMade([waiting(f"p{number}") for number in range(count)])
    async with asking(surface) as client, client.get("/api/v1/targets") as reply:
        assert reply.content_type == "application/json"
        assert [shown["plugin"] for shown in (await reply.json())["targets"]] == [f"p{n}" for n in range(count)]


@pytest.mark.parametrize(("plugin", "path"), [("a/b ü", "a%2Fb%20%C3%BC"), ("{{7*7}}", "%7B%7B7*7%7D%7D")])
async def test_an_id_with_a_slash_or_braces_can_be_asked_for(plugin: str, path: str) -> None:
    async with asking(HandMade([probed(plugin)])) as client, client.get(f"/api/v1/targets/ns_a/{path}") as reply:
        assert reply.status == 200


async def test_reload_is_there_only_when_enabled_and_only_by_post() -> None:
    async with asking(HandMade()) as client, client.post("/-/reload") as reply:
        assert reply.status == 404

    problems: list[str] = []

    async def reload() -> list[str]:
        return problems

    async with asking(HandMade(), reload=reload) as client:
        async with client.get("/-/reload") as reply:
            assert reply.status == 405
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
        async with client.post("/-/reload") as reply:
            assert (reply.status, await reply.text()) == (200, "reloaded\n")
        problems.append("worker.yaml:1:1: limits: wrong")
        async with client.post("/-/reload") as reply:
            assert reply.status == 500
            assert "worker.yaml:1:1: limits: wrong" in await reply.text()


@pytest.mark.parametrize(
    ("site", "allowed"),
    [("", True), ("none", True), ("same-origin", True), ("same-site", False), ("cross-site", False), ("new", False)],
)
async def test_a_page_of_another_site_has_nothing_reloaded_or_probed(site: str, allowed: bool) -> None:
    surface = HandMade([waiting("up")])
    asked = list[str]()

    async def reload() -> list[str]:
        asked.append("reload")
        return []

    async def probe(key: TargetKey, _within_s: float) -> bool:
        asked.append(f"probe {key.plugin}")
        return True

    headers = {"Sec-Fetch-Site": site} if site else {}
    async with asking(surface, reload=reload, probe=probe) as client:
        async with client.post("/-/reload", headers=headers) as reply:
            assert (reply.status == 403) is not allowed
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
        async with client.get("/probe", params={"target": "ns_a/up"}, headers=headers) as reply:
            assert (reply.status == 403) is not allowed
        async with client.get("/metrics", headers=headers) as reply:
            assert reply.status == 200
    assert asked == (["reload", "probe up"] if allowed else [])


@pytest.mark.parametrize("wanted", ["ns_a/nobody", "ns_b/up", "", "/", "ns_a", "up"])
async def test_probe_refuses_what_is_not_configured(wanted: str) -> None:
    surface = HandMade([waiting("up")])
    probes = Probes(surface)
    async with asking(surface, probe=probes) as client, client.get("/probe", params={"target": wanted}) as reply:
        assert reply.status == 404
    assert probes.asked == []


async def test_who_asks_a_shard_for_anothers_target_is_told_whose_it_would_be() -> None:
    theirs, ours = (next(f"p{n}" for n in range(99) if SHARD.holder(TargetKey("ns_a", f"p{n}")) == i) for i in (2, 1))
    surface = HandMade([waiting("up")])
    async with asking(surface, probe=Probes(surface), shard=SHARD) as client:
        for plugin, told in ((theirs, "; if there is one, it is shard 2's"), (ours, "")):
            async with client.get("/probe", params={"target": f"ns_a/{plugin}"}) as reply:
                names = "no such target: ?target=NAMESPACE/PLUGIN names a configured one"
                assert (reply.status, await reply.text()) == (404, f"{names}{told}\n")
            async with client.get(f"/api/v1/targets/ns_a/{plugin}") as reply:
                assert (reply.status, await reply.json()) == (404, {"error": f"no such target{told}"})
        for vague in ("", "/", "ns_a", "a/b/c"):  # whose they would be depends on where the namespace ends
            async with client.get("/probe", params={"target": vague}) as reply:
                assert reply.status == 404


async def test_the_page_of_a_shard_says_so() -> None:
    async with asking(HandMade(), shard=SHARD) as client, client.get("/") as reply:
        assert "shard 1 of 4, counted from 0" in await reply.text()


async def test_probe_answers_with_the_result() -> None:
    surface = HandMade([waiting("up")])
    probes = Probes(surface)
    async with asking(surface, probe=probes) as client:
        async with client.get("/probe", params={"target": "ns_a/up"}) as reply:
            assert reply.headers["Content-Type"] == PLAIN
            assert "probe_success 1\n" in await reply.text()
        async with client.get("/probe", params={"target": "ns_a/up", "debug": "true"}) as reply:
            text = await reply.text()
    assert '"outcome": "success"' in text
    assert "probe_success 1\n" in text


@pytest.mark.parametrize(
    ("header", "within_s"),
    [
        (None, 10.0),
        ("5", 4.5),
        ("0.2", 0.1),
        ("-1", 0.1),
        ("soon", 10.0),
        ("inf", 10.0),
        ("nan", 10.0),
        ("1e9", 120.0),
    ],
)
async def test_probe_waits_no_longer_than_the_scraper(header: str | None, within_s: float) -> None:
    surface = HandMade([waiting("up")])
    probes = Probes(surface, in_time=False)
    headers = {} if header is None else {"X-Prometheus-Scrape-Timeout-Seconds": header}
    path = "/probe?target=ns_a/up"
    async with asking(surface, probe=probes) as client, client.get(path, headers=headers) as reply:
        assert reply.status == 503
    assert probes.asked == [(TargetKey("ns_a", "up"), within_s)]


async def test_probe_is_unavailable_when_the_target_left_meanwhile() -> None:
    surface = HandMade([waiting("up")])

    async def leaves(_key: TargetKey, _within_s: float) -> bool:
        surface.targets.clear()
        return True

    async with asking(surface, probe=leaves) as client, client.get("/probe", params={"target": "ns_a/up"}) as reply:
        assert reply.status == 503


async def test_a_scraper_that_leaves_harms_nobody() -> None:
    surface = HandMade(pieces=[b"a 1\n" * 16_000] * 200)
    server = TestServer(make_app(surface))
    await server.start_server()
    async with ClientSession(cookie_jar=DummyCookieJar()) as session:
        reply = await session.get(server.make_url("/metrics"))
        await reply.content.readany()
        reply.close()
        async with session.get(server.make_url("/-/healthy")) as healthy:
            assert healthy.status == 200
    await server.close()


async def test_a_target_whose_ids_hold_slashes_can_be_named_for_a_probe() -> None:
    asked: list[TargetKey] = []

    async def probe(key: TargetKey, _within_s: float) -> bool:
        asked.append(key)
        return True

    surface = HandMade([probed("p/1", namespace="n s/é")])
    async with asking(surface, probe=probe) as client:
        async with client.get("/probe", params={"target": "n s/é/p/1"}) as reply:
            assert reply.status == 200
        async with client.get("/probe", params={"target": "n s/é/p"}) as reply:
            assert reply.status == 404
    assert asked == [TargetKey("n s/é", "p/1")]
