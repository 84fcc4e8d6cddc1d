"""The key: sent as it is now, and shown nowhere."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.mixpeek.servers import (
    GOOD,
    GOOD_BODY,
    GOOD_REPLY,
    KEY,
    Peer,
    call_for,
    client_of,
    reply,
    replying,
    serving,
    target,
)
from worker.core.exchange import Refusal, Reply
from worker.mixpeek.client import Client
from worker.mixpeek.credentials import Credentials
from worker.settings import ApiSettings

ESCAPED = "".join(f"\\u00{ord(character):02x}" for character in KEY)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(json.dumps({**GOOD, "raw_response": {KEY: [f"Bearer {KEY}"]}}).encode()), id="raw_response"),
        pytest.param(reply(json.dumps({**GOOD, "response_keys": [KEY]}).encode()), id="response_keys"),
        pytest.param(reply(json.dumps({**GOOD, "inference_name": KEY}).encode()), id="inference_name"),
        pytest.param(reply(json.dumps({**GOOD, "status": KEY, "message": KEY}).encode()), id="status"),
        pytest.param(reply(GOOD_BODY.replace(b"embedding", ESCAPED.encode())), id="escaped in raw_response"),
        pytest.param(reply(GOOD_BODY.replace(b"success", ESCAPED.encode())), id="escaped in status"),
        pytest.param(reply(GOOD_BODY.replace(b"dict", ESCAPED.encode())), id="escaped in response_type"),
        pytest.param(reply(b'{"status": 1, "%s": 1}' % KEY.encode()), id="malformed"),
        pytest.param(reply(b'{"status":["%s"' % ESCAPED.encode()), id="no JSON"),
        pytest.param(reply(b"x" * 2040 + KEY.encode()), id="at the end of the excerpt"),
        pytest.param(reply(b'{"detail":"%s"}' % ESCAPED.encode(), status="500 E"), id="escaped in an error"),
        pytest.param(reply(b'{"error":{"type":"%s"}}' % KEY.encode(), status="500 E"), id="error type"),
        pytest.param(reply(b"<p>sk_live_<b></b>0123456789abcdef", status="502 E"), id="between tags"),
        pytest.param(reply(b"", status="302 F", Location=f"http://{KEY}.example/"), id="Location"),
        pytest.param(reply(X_Request_Id=f"Bearer {KEY}"), id="request id"),
        pytest.param(reply(X_sk_live_0123456789abcdef=KEY), id="headers"),
        pytest.param(reply(length=100_000) + KEY[:-1].encode(), id="cut body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + KEY.encode() * 1000 + b"\r\n\r\n", id="long header"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + KEY.encode() + b"\r\n\r\n", id="bad header"),
        pytest.param(KEY.encode() + b"\r\n\r\n", id="bad status line"),
        pytest.param(reply(Content_Encoding=KEY), id="content encoding"),
    ],
)
async def test_the_key_is_in_no_field_even_when_it_is_echoed(answer: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)

    async with serving(script) as server, client_of(server, evidence=True) as client:
        exchange = await client.call(target())
    assert KEY in server.requests[0].decode()
    assert KEY[:-1] not in repr(exchange)


async def test_what_was_redacted_keeps_its_shape() -> None:
    answer = reply(GOOD_BODY.replace(b"embedding", ESCAPED.encode()))
    redacted = GOOD_REPLY._replace(raw_response={"[REDACTED]": [0.1, 0.2]}, response_keys=("[REDACTED]",))
    assert (await call_for(answer)).answer == redacted


async def test_the_key_of_a_changed_file_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk_first")
    async with serving(replying(reply())) as server:
        api = ApiSettings(base_url=f"http://127.0.0.1:{server.port}", api_key_file=file)
        credentials = Credentials(api, {})
        async with Client(api, credentials) as client:
            await client.call(target())
            file.write_text("sk_second")
            assert credentials.reread() is True
            await client.call(target())
    sent = [line for request in server.requests for line in request.split(b"\r\n") if b"Bearer" in line]
    assert sent == [b"Authorization: Bearer sk_first", b"Authorization: Bearer sk_second"]


async def test_a_call_in_flight_ends_as_it_began_while_the_key_changes(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk_first")
    arrived, changed = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        if b"sk_first" in await peer.request():
            arrived.set()
            await changed.wait()
        await peer.send(reply())

    async with serving(script) as server:
        api = ApiSettings(base_url=f"http://127.0.0.1:{server.port}", api_key_file=file)
        credentials = Credentials(api, {})
        async with Client(api, credentials) as client:
            first = asyncio.create_task(client.call(target()))
            await arrived.wait()
            file.write_text("sk_second")
            assert credentials.reread() is True  # as after another's 401
            second = await client.call(target(plugin="other_1_0_0"))
            changed.set()
            assert isinstance((await first).answer, Reply)
    assert isinstance(second.answer, Reply)
    assert len(server.requests) == 2


async def test_a_redirect_is_an_answer() -> None:
    exchange = await call_for(reply(b"", status="307 Temporary Redirect", Location=f"http://h.example/{KEY}?k={KEY}"))
    assert exchange.answer == Refusal(error="HTTP 307 Temporary Redirect, to http://h.example/[REDACTED]")
    assert exchange.http_status == 307


async def test_a_secret_of_digits_is_no_reason_to_misread_a_reply() -> None:
    body = b'{"status":"success","inference_name":"x","raw_response":{"n":[0.1234567890]}}'
    exchange = await call_for(reply(body), key="1234567890")
    assert isinstance(exchange.answer, Reply)
    assert exchange.answer.raw_response == {"n": [0.123456789]}
    assert b"1234567890" not in (exchange.excerpt or "").encode()
