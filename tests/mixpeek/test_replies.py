"""Replies out of the ordinary: large, encoded, interim, without a length, early."""

import asyncio
import gzip
import tracemalloc
import zlib

import pytest

from tests.mixpeek.faults import HEAD, after_request, no_reply, one_call
from tests.mixpeek.servers import GOOD_BODY, Peer, client_of, reply, replying, serving, target
from worker.core.exchange import Failure, Malformed, NoReply, Phase, Refusal, Reply


@pytest.mark.parametrize("body", [b"x" * 1001, b"x" * 500_000])
async def test_more_than_the_cap(body: bytes) -> None:
    exchange = await one_call(after_request(reply(body), then="hang"), max_response_bytes=1000)
    assert exchange.answer == no_reply(Failure.TOO_LARGE, Phase.RECEIVE, "the reply has more than 1000 bytes")
    assert exchange.http_status == 200


async def test_the_cap_itself_is_allowed() -> None:
    exchange = await one_call(replying(reply()), max_response_bytes=len(GOOD_BODY))
    assert isinstance(exchange.answer, Reply)


async def test_a_gzip_bomb_is_cut_short() -> None:
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(300)) + compressor.flush()
    script = after_request(reply(bomb, Content_Encoding="gzip"), then="hang")
    tracemalloc.start()
    exchange = await one_call(script, max_response_bytes=4 << 20)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert exchange.answer == no_reply(Failure.TOO_LARGE, Phase.RECEIVE, "the reply has more than 4194304 bytes")
    assert peak_bytes < 40 << 20


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        pytest.param("gzip", gzip.compress(GOOD_BODY), id="gzip"),
        pytest.param("GZIP", gzip.compress(GOOD_BODY), id="upper case"),
        pytest.param("deflate", zlib.compress(GOOD_BODY), id="deflate"),
        pytest.param("identity", GOOD_BODY, id="identity"),
    ],
)
async def test_encodings_that_we_take(encoding: str, body: bytes) -> None:
    exchange = await one_call(replying(reply(body, Content_Encoding=encoding)))
    assert isinstance(exchange.answer, Reply)
    assert exchange.response_bytes == len(GOOD_BODY)


async def test_interim_heads_are_skipped() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    exchange = await one_call(after_request(interim, interim, reply(), pause_s=0.05, then="hang"))
    assert isinstance(exchange.answer, Reply)
    assert exchange.phases.wait == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(101, Malformed(expected="a 2xx to 5xx status", found="HTTP 101"), id="101"),
        pytest.param(600, Malformed(expected="a 2xx to 5xx status", found="HTTP 600"), id="600"),
        pytest.param(999, Malformed(expected="a 2xx to 5xx status", found="HTTP 999"), id="999"),
        pytest.param(204, Malformed(expected="a JSON object", found="an empty body"), id="204"),
        pytest.param(304, Refusal(error="HTTP 304 Not Modified"), id="304"),
        pytest.param(503, Refusal(error="HTTP 503 Service Unavailable"), id="503"),
    ],
)
async def test_statuses(status: int, expected: Malformed | Refusal) -> None:
    head = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()
    async with serving(replying(head)) as server, client_of(server) as client:
        exchanges = [await client.call(target()) for _ in range(2)]
    assert [exchange.answer for exchange in exchanges] == [expected] * 2
    assert [exchange.http_status for exchange in exchanges] == [status] * 2


async def test_a_body_without_a_length_ends_with_the_connection() -> None:
    exchange = await one_call(after_request(HEAD + b"\r\n", GOOD_BODY, pause_s=0.1))
    assert isinstance(exchange.answer, Reply)
    assert exchange.phases.receive == pytest.approx(0.2, abs=0.05)


async def test_a_refusal_before_the_request_was_out() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # typed as a write transport
        await asyncio.sleep(0.1)
        await peer.send(reply(b'{"detail":"too much"}', status="413 Content Too Large"))
        await asyncio.sleep(0.5)

    async with serving(script) as server, client_of(server) as client:
        exchange = await client.call(target(inputs={"text": "x" * 30_000_000}))
    assert exchange.answer == Refusal(error="too much")
    assert exchange.phases.wait is None


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
async def test_what_follows_deflate_is_told_however_the_network_cuts_it(pause_s: float) -> None:
    answer = reply(zlib.compress(GOOD_BODY) + b"\n", Content_Encoding="deflate")

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer[:-1] if pause_s else answer)
        await asyncio.sleep(pause_s)
        await peer.send(answer[-1:] if pause_s else b"")
        await peer.until_left()

    async with serving(script) as server, client_of(server) as client:
        exchange = await client.call(target())
    assert exchange.answer == NoReply(
        failure=Failure.DISCONNECTED,
        died_in=Phase.RECEIVE,
        error="its deflate content is followed by something else",
    )


async def test_interim_replies_without_an_end_are_no_reply() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        while True:
            await peer.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 5000)

    async with serving(script) as server, client_of(server) as client:
        exchange = await client.call(target(timeout_s=2.0))
    assert exchange.answer == NoReply(
        failure=Failure.DISCONNECTED, died_in=Phase.WAIT, error="malformed HTTP: too many interim replies"
    )
