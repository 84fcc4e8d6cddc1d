"""The door: what one who asks can take of us, over raw sockets."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.web.surface import HandMade, waiting
from worker.web.bounds import Bounds
from worker.web.listen import listening
from worker.web.server import make_app

PATIENCE_S = 10.0
#: More than the kernel keeps of what nobody reads.
LARGE = [b"a 1\n" * 16_000] * 200
LARGE_TARGETS = [waiting(f"p{number}", labels={"much": "x" * 100_000}) for number in range(100)]


@dataclass(slots=True)
class Peer:
    """One connection, by hand."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, text: str) -> None:
        self.writer.write(text.encode())
        await self.writer.drain()

    async def ask(self, path: str = "/-/healthy", method: str = "GET", **headers: str) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in headers.items())]
        await self.send("\r\n".join([*lines, "", ""]))

    async def head(self) -> str:
        """The head of the next answer; empty when there is none any more."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return (await self.reader.readuntil(b"\r\n\r\n")).decode()
        except (asyncio.IncompleteReadError, ConnectionError):
            return ""

    async def dropped(self) -> bool:
        """Waits until the other side ends; False when it sends anything but that."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    async def cut(self) -> bool:
        """Reads what still comes; whether it breaks off."""
        end = b""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while part := await self.reader.read(65_536):
                    end = (end + part)[-5:]
        except ConnectionError:
            return True
        return end != b"0\r\n\r\n"

    @property
    def is_open(self) -> bool:
        return not self.reader.at_eof() and self.reader.exception() is None


@dataclass(slots=True)
class Served:
    """Connects to what is served."""

    port: int
    peers: list[Peer] = field(default_factory=list)

    async def connect(self, receive_bytes: int | None = None) -> Peer:
        raw = socket.socket()
        raw.setblocking(False)
        if receive_bytes:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", self.port))
        peer = Peer(*await asyncio.open_connection(sock=raw, limit=8192))
        self.peers.append(peer)
        return peer

    async def status(self, path: str = "/-/healthy") -> int:
        """Of one more, who reads all."""
        peer = await self.connect()
        await peer.ask(path, Connection="close")
        head = await peer.head()
        while await peer.reader.read(65_536):
            pass
        return int(head.split()[1])


@asynccontextmanager
async def serving(surface: HandMade | None = None, **bounds: Any) -> AsyncIterator[Served]:
    app = make_app(surface or HandMade(), bounds=(given := Bounds(**bounds)))
    async with listening(app, "127.0.0.1", 0, given) as url:
        served = Served(int(url.rpartition(":")[2]))
        try:
            yield served
        finally:
            for peer in served.peers:
                peer.writer.transport.abort()


async def deaf(served: Served, path: str) -> Peer:
    """One who asks for much and reads nothing but the head."""
    peer = await served.connect(receive_bytes=4096)
    await peer.ask(path, Connection="close")
    assert (await peer.head()).startswith("HTTP/1.1 200")
    return peer


@pytest.mark.parametrize(
    "request_text",
    [
        pytest.param("<script>\r\n\r\n", id="no HTTP"),
        pytest.param("GET /metrics HTTP/1.1\r\nHost: x\r\n<script>\r\n\r\n", id="a line without a colon"),
        pytest.param("GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: <script>\r\n\r\n", id="a wrong length"),
        pytest.param(f"GET /<script>{'a' * 9000} HTTP/1.1\r\nHost: x\r\n\r\n", id="a long line"),
        pytest.param(f"GET /metrics HTTP/1.1\r\nHost: x\r\nX: <script>{'a' * 9000}\r\n\r\n", id="a long header"),
        pytest.param("GET / HTTP/1.1\r\nHost: x\r\n" + "<script>: 1\r\n" * 200 + "\r\n", id="many headers"),
    ],
)
async def test_what_is_no_request_gets_neither_its_words_nor_a_line_in_the_log(
    request_text: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as served:
        peer = await served.connect()
        with caplog.at_level(logging.INFO):
            await peer.send(request_text)
            head, body = await peer.head(), (await peer.reader.read()).decode()
    assert head.split()[1] == "400"
    assert "X-Content-Type-Options: nosniff" in head
    assert "Content-Security-Policy: default-src 'none'; " in head
    assert "aiohttp" not in head + body
    assert "script" not in head + body
    assert caplog.records == []


async def test_a_body_is_read_by_nobody() -> None:
    async with serving() as served:
        peer = await served.connect()
        await peer.ask("/metrics", "POST", **{"Content-Length": "1000000000"})
        assert (await peer.head()).split()[1] == "405"
        assert await peer.cut()


async def test_a_request_that_goes_on_and_on_is_dropped() -> None:
    async with serving(request_bytes=20_000) as served:
        peer = await served.connect()
        await peer.send("GET / HTTP/1.1\r\n" + "".join(f"X-{number}: {'a' * 1000}\r\n" for number in range(40)))
        assert await peer.dropped()


async def test_many_requests_on_one_connection_are_none_too_long() -> None:
    async with serving(request_bytes=100) as served:
        peer = await served.connect()
        for _ in range(20):
            await peer.ask()
            assert (await peer.head()).split()[1] == "200"
            assert await peer.reader.readexactly(8) == b"healthy\n"


@pytest.mark.parametrize("after", [0, 1])
async def test_who_never_finishes_a_request_is_dropped(after: int) -> None:
    async with serving(idle_s=0.3) as served:
        peer = await served.connect()
        for _ in range(after):
            await peer.ask()
            await peer.head()
            await peer.reader.readexactly(8)
        await peer.send("GET / HTTP/1.1\r\nX: ")
        ended = asyncio.create_task(peer.dropped())
        while not ended.done():
            peer.writer.write(b"x")
            await asyncio.sleep(0.05)
        assert await ended


async def test_for_one_more_the_longest_idle_has_to_go() -> None:
    async with serving(connections=5) as served:
        first = await served.connect()
        idle = [await served.connect() for _ in range(4)]
        await first.ask()
        await first.head()
        assert await served.status() == 200
        assert await idle[0].dropped()
        assert [peer.is_open for peer in (first, *idle[1:])] == [True] * 4


async def test_who_is_being_answered_stays() -> None:
    async with serving(HandMade(pieces=LARGE), connections=3) as served:
        busy = await deaf(served, "/metrics")
        for _ in range(4):
            await served.connect()
        assert await served.status() == 200
        assert not await busy.cut()


async def test_where_all_are_being_answered_the_oldest_goes() -> None:
    async with serving(HandMade(pieces=LARGE), connections=3) as served:
        busy = [await deaf(served, "/metrics") for _ in range(3)]
        assert await served.status() == 200
        assert [await peer.cut() for peer in busy] == [True, False, False]


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/targets", "/"])
async def test_who_does_not_read_is_dropped_and_gives_his_place_back(path: str) -> None:
    surface = HandMade(LARGE_TARGETS, pieces=LARGE)
    async with serving(surface, at_once=1, answer_s=0.3, patience_s=PATIENCE_S) as served:
        peer = await deaf(served, path)
        assert await served.status("/metrics") == 200
        assert await peer.cut()


async def test_who_asks_again_and_again_and_reads_nothing_is_dropped() -> None:
    async with serving(answer_s=0.3, request_bytes=10**9) as served:
        peer = await served.connect(receive_bytes=4096)

        async def ask_on() -> None:
            while True:
                await peer.ask("/nowhere")
                await peer.ask("/-/healthy")

        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(ConnectionError):
                await ask_on()


async def test_large_answers_are_made_a_few_at_a_time_and_others_wait() -> None:
    async with serving(HandMade(pieces=LARGE), at_once=2, patience_s=PATIENCE_S) as served:
        first, second = await deaf(served, "/metrics"), await deaf(served, "/metrics")
        third = asyncio.create_task(served.status("/"))
        assert await served.status("/-/healthy") == 200
        await asyncio.sleep(0.05)
        assert not third.done()
        first.writer.transport.abort()
        assert await third == 200
        assert second.is_open


async def test_who_waited_in_vain_is_told_when_to_come_again() -> None:
    async with serving(HandMade(pieces=LARGE), at_once=1, patience_s=0.05) as served:
        await deaf(served, "/metrics")
        for path in ("/metrics", "/", "/api/v1/targets"):
            peer = await served.connect()
            await peer.ask(path)
            head = await peer.head()
            assert head.split()[1] == "503"
            assert "Retry-After: 5" in head


async def test_who_leaves_is_no_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(HandMade(pieces=LARGE), at_once=1, patience_s=PATIENCE_S) as served:
        with caplog.at_level(logging.INFO):
            (await deaf(served, "/metrics")).writer.transport.abort()
            assert await served.status("/metrics") == 200
    assert caplog.records == []
