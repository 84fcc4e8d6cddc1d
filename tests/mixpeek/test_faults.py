"""Faults of the network and of HTTP, each made by a real server, and the one answer that each gets."""

import asyncio
import gzip
import zlib

import pytest

from tests.mixpeek.faults import DISCONNECTED, HEAD, after_request, hang, no_reply, one_call
from tests.mixpeek.servers import GOOD_BODY, Peer, Script, client_of, reply, serving, target
from worker.core.exchange import Failure, NoReply, Phase, Reply


async def test_a_refused_connection() -> None:
    async with serving(hang) as server:
        port = server.port
    async with client_of(port) as client:
        exchange = await client.call(target())
    assert exchange.answer == no_reply(
        Failure.CONNECT, Phase.CONNECT, f"cannot connect to 127.0.0.1:{port}: connection refused"
    )
    assert exchange.phases.send is None
    assert exchange.http_status is None


async def reset_at_once(peer: Peer) -> None:
    peer.reset()


async def garbage(peer: Peer) -> None:
    await peer.send(b"\x15\x03\x03\x00\x02\x02\x46")
    await peer.until_left()


@pytest.mark.parametrize(
    ("script", "died_in", "error"),
    [
        pytest.param(
            after_request(then="reset"),
            Phase.WAIT,
            "connection reset by peer before the reply's head was complete",
            id="reset after the request",
        ),
        pytest.param(
            after_request(), Phase.WAIT, "connection closed before the reply's head was complete", id="closed"
        ),
        pytest.param(
            after_request(HEAD + b"Content-Le"),
            Phase.WAIT,
            "connection closed before the reply's head was complete",
            id="head cut",
        ),
        pytest.param(
            after_request(HEAD + b"Content-Le", pause_s=0.05, then="reset"),
            Phase.WAIT,
            "connection reset by peer before the reply's head was complete",
            id="reset in the head",
        ),
        pytest.param(
            after_request(reply(length=1000)),
            Phase.RECEIVE,
            "broken reply body: Not enough data to satisfy content length header (received 164 of 1000 bytes)",
            id="body shorter than its length",
        ),
        pytest.param(
            after_request(reply(length=1000), pause_s=0.05, then="reset"),
            Phase.RECEIVE,
            "broken reply body: Not enough data to satisfy content length header (received 164 of 1000 bytes)",
            id="reset in the body",
        ),
        pytest.param(
            after_request(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n", pause_s=0.05),
            Phase.RECEIVE,
            "broken reply body: Not enough data to satisfy transfer length header",
            id="chunks without an end",
        ),
        pytest.param(
            after_request(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\nhello\r\n", pause_s=0.05, then="hang"),
            Phase.RECEIVE,
            "broken reply body: Invalid character in chunk size",
            id="bad chunk size",
        ),
        pytest.param(
            after_request(reply(GOOD_BODY, Content_Encoding="gzip"), then="hang"),
            Phase.RECEIVE,
            "its gzip content cannot be decoded: Error -3 while decompressing data: incorrect header check",
            id="no gzip",
        ),
        pytest.param(
            after_request(reply(gzip.compress(GOOD_BODY)[:-4], Content_Encoding="gzip"), then="hang"),
            Phase.RECEIVE,
            "its gzip content was cut short",
            id="gzip without its end",
        ),
        pytest.param(
            after_request(reply(gzip.compress(GOOD_BODY)[:-40], Content_Encoding="gzip"), then="hang"),
            Phase.RECEIVE,
            "its gzip content was cut short",
            id="half of a gzip",
        ),
        pytest.param(
            after_request(reply(zlib.compress(GOOD_BODY)[:-4], Content_Encoding="deflate"), then="hang"),
            Phase.RECEIVE,
            "its deflate content was cut short",
            id="deflate without its end",
        ),
        pytest.param(
            after_request(reply(GOOD_BODY, Content_Encoding="snappy"), then="hang"),
            Phase.RECEIVE,
            "content encoding 'snappy' cannot be decoded, nor was it asked for",
            id="unknown encoding",
        ),
        pytest.param(
            after_request(HEAD + b"X: " + b"y" * 20_000 + b"\r\n\r\n", then="hang"),
            Phase.WAIT,
            "malformed HTTP: a line or header of the head is too long",
            id="header too long",
        ),
        pytest.param(
            after_request(HEAD + b"X: y\r\n" * 200 + b"\r\n", then="hang"),
            Phase.WAIT,
            "malformed HTTP: Too many headers received",
            id="too many headers",
        ),
        pytest.param(
            after_request(HEAD + b"X\x00Y: 1\r\n\r\n", then="hang"),
            Phase.WAIT,
            "malformed HTTP: Invalid header token",
            id="bad header",
        ),
        pytest.param(
            after_request(b"HELLO\r\n\r\n", then="hang"),
            Phase.WAIT,
            "malformed HTTP: Bad status line",
            id="no HTTP",
        ),
        pytest.param(garbage, Phase.WAIT, "malformed HTTP: Bad status line", id="a TLS alert"),
        pytest.param(
            after_request(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", then="hang"),
            Phase.WAIT,
            "malformed HTTP: Duplicate Content-Length",
            id="two lengths",
        ),
    ],
)
async def test_disconnected(script: Script, died_in: Phase, error: str) -> None:
    assert (await one_call(script)).answer == no_reply(DISCONNECTED, died_in, error)


INTERIM = b"HTTP/1.1 102 Processing\r\n\r\n"
BAD_CHUNK = (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\nhello\r\n")


@pytest.mark.parametrize("pause_s", [0.0, 0.02], ids=["in one piece", "apart"])
@pytest.mark.parametrize("parts", [BAD_CHUNK, (INTERIM, INTERIM, *BAD_CHUNK)], ids=["alone", "after interim heads"])
async def test_what_is_wrong_with_a_body_is_told_however_the_network_cut_it(
    parts: tuple[bytes, ...], pause_s: float
) -> None:
    pieces = parts if pause_s else (b"".join(parts),)
    exchange = await one_call(after_request(*pieces, pause_s=pause_s, then="hang"))
    assert exchange.http_status == 200
    assert exchange.answer == no_reply(
        DISCONNECTED, Phase.RECEIVE, "broken reply body: Invalid character in chunk size"
    )


@pytest.mark.parametrize("pause_s", [0.0, 0.02], ids=["in one piece", "apart"])
async def test_what_follows_a_complete_reply_is_nobodys(pause_s: float) -> None:
    parts = (reply(), b"rest")
    pieces = parts if pause_s else (b"".join(parts),)
    exchange = await one_call(after_request(*pieces, pause_s=pause_s, then="hang"))
    assert isinstance(exchange.answer, Reply)


async def test_a_reset_right_after_accepting() -> None:
    exchange = await one_call(reset_at_once)
    assert isinstance(exchange.answer, NoReply)
    assert exchange.answer.failure is DISCONNECTED


async def test_closed_without_an_answer_is_one_request() -> None:
    """On a new connection nothing is sent twice."""
    async with serving(after_request()) as server, client_of(server) as client:
        assert not (await client.call(target())).stale
    assert len(server.requests) == 1


async def drip(peer: Peer) -> None:
    await peer.request()
    await peer.send(reply(length=1000)[: -len(GOOD_BODY)])
    while True:
        await peer.send(b"x")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("script", "died_in", "error"),
    [
        pytest.param(hang, Phase.WAIT, "no reply within 0.2 s", id="no reply"),
        pytest.param(after_request(HEAD + b"X: ", then="hang"), Phase.WAIT, "no reply within 0.2 s", id="stalled head"),
        pytest.param(
            after_request(b"HTTP/1.1 102 Processing\r\n\r\n", then="hang"),
            Phase.WAIT,
            "no reply within 0.2 s",
            id="interim head alone",
        ),
        pytest.param(
            after_request(reply(length=1000), then="hang"),
            Phase.RECEIVE,
            "the reply did not end within 0.2 s",
            id="stalled body",
        ),
        pytest.param(drip, Phase.RECEIVE, "the reply did not end within 0.2 s", id="a byte at a time"),
    ],
)
async def test_timeouts(script: Script, died_in: Phase, error: str) -> None:
    exchange = await one_call(script, timeout_s=0.2)
    assert exchange.answer == no_reply(Failure.TIMEOUT, died_in, error)
    assert exchange.duration_s == pytest.approx(0.2, abs=0.05)
    spent_s = exchange.phases.as_dict()[died_in]
    assert spent_s == pytest.approx(0.2, abs=0.05)


async def test_a_reply_that_was_under_way_leaves_its_status_and_its_beginning() -> None:
    exchange = await one_call(after_request(reply(length=1000), then="hang"), timeout_s=0.2)
    assert exchange.http_status == 200
    assert exchange.response_bytes == len(GOOD_BODY)
    assert exchange.excerpt == GOOD_BODY.decode()


async def test_a_request_that_is_not_taken() -> None:
    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # typed as a write transport
        await asyncio.sleep(1.0)

    async with serving(script) as server, client_of(server) as client:
        exchange = await client.call(target(inputs={"text": "x" * 30_000_000}, timeout_s=0.5))
    assert exchange.answer == no_reply(Failure.TIMEOUT, Phase.SEND, "the request was not taken within 0.5 s")
    assert (exchange.phases.wait, exchange.phases.receive) == (None, None)


async def test_nothing_is_left_open_after_faults() -> None:
    """Two dozen faults through one client; an unclosed socket or a lost exception would fail the test."""
    scripts: list[Script] = [hang, reset_at_once, garbage, after_request(), after_request(HEAD), drip]

    async def script(peer: Peer) -> None:
        await scripts[peer.number % len(scripts)](peer)

    async with serving(script) as server, client_of(server) as client:
        exchanges = await asyncio.gather(*(client.call(target(timeout_s=0.2)) for _ in range(24)))
    assert [type(exchange.answer) for exchange in exchanges] == [NoReply] * 24
