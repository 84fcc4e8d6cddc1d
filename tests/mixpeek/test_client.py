"""The client when all goes well, and what it sends and keeps."""

import asyncio
import errno
import json
from pathlib import Path

import pytest

from tests.mixpeek.servers import (
    GOOD_BODY,
    GOOD_REPLY,
    KEY,
    Peer,
    Resolver,
    call_for,
    client_of,
    reply,
    replying,
    serving,
    target,
)
from worker.core.exchange import Malformed, NoReply, Phase, Refusal
from worker.mixpeek.failures import LocalError, no_reply
from worker.settings import ConfigError, TlsSettings


async def test_a_good_reply() -> None:
    exchange = await call_for(reply(X_Request_Id="req_1"))
    assert exchange.answer == GOOD_REPLY
    assert exchange.http_status == 200
    assert exchange.response_bytes == len(GOOD_BODY)
    assert exchange.excerpt == GOOD_BODY.decode()
    assert exchange.request_id == "req_1"
    assert exchange.headers == ()
    assert exchange.timeout_s == 5.0
    assert exchange.died_in is None
    assert exchange.ended_at > exchange.started_at


async def test_the_request() -> None:
    async with serving(replying(reply())) as server, client_of(server, user_agent="plugin-probe/1") as client:
        await client.call(target(inputs={"text": "héllo"}))
    body = '{"inputs":{"text":"héllo"},"parameters":{}}'.encode()
    assert server.requests == [
        b"POST /v1/namespaces/ns_1/plugins/p_1_0_0/realtime/test HTTP/1.1\r\n"
        + f"Host: 127.0.0.1:{server.port}\r\n".encode()
        + b"User-Agent: plugin-probe/1\r\n"
        b"Accept: application/json\r\n"
        b"Accept-Encoding: gzip, deflate\r\n"
        b"Content-Type: application/json\r\n"
        + f"Authorization: Bearer {KEY}\r\n".encode()
        + f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    ]


@pytest.mark.parametrize(
    ("namespace", "plugin", "path"),
    [
        pytest.param("a/b", "c%2Fd", "/v1/namespaces/a%2Fb/plugins/c%252Fd/realtime/test", id="slash and percent"),
        pytest.param("ns 1", "p?q#r", "/v1/namespaces/ns%201/plugins/p%3Fq%23r/realtime/test", id="delimiters"),
        pytest.param("é", "{plugin}", "/v1/namespaces/%C3%A9/plugins/%7Bplugin%7D/realtime/test", id="other"),
    ],
)
async def test_ids_are_percent_encoded(namespace: str, plugin: str, path: str) -> None:
    async with serving(replying(reply())) as server, client_of(server) as client:
        await client.call(target(namespace, plugin))
    assert server.requests[0].split(b" ")[1].decode() == path


@pytest.mark.parametrize("size", [32_768, 100_000, 3_000_000])
async def test_large_inputs_arrive_whole(size: int) -> None:
    """The three ways of writing: with the head, by a task, and in pieces."""
    async with serving(replying(reply())) as server, client_of(server) as client:
        exchange = await client.call(target(inputs={"text": "x" * size}))
    assert exchange.answer == GOOD_REPLY
    assert exchange.phases.send is not None
    assert json.loads(server.requests[0].split(b"\r\n\r\n")[1]) == {"inputs": {"text": "x" * size}, "parameters": {}}


async def test_phases_of_a_new_and_of_a_reused_connection() -> None:
    async with serving(replying(reply())) as server, client_of(server) as client:
        first = await client.call(target())
        second = await client.call(target())
    assert [name for name, spent_s in first.phases.as_dict().items() if spent_s is None] == ["dns", "tls"]
    assert [name for name, spent_s in second.phases.as_dict().items() if spent_s is None] == ["dns", "connect", "tls"]
    assert (first.reused_connection, second.reused_connection, server.connections) == (False, True, 1)


async def test_a_slow_server_shows_in_the_phase_in_which_it_was_slow() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(0.08)
        head, body = reply()[: -len(GOOD_BODY)], GOOD_BODY
        await peer.send(head)
        await asyncio.sleep(0.15)
        await peer.send(body[:10])
        await asyncio.sleep(0.05)
        await peer.send(body[10:])

    resolver = Resolver(delay_s=0.12)
    async with serving(script) as server, client_of(server, host="api.example", resolver=resolver) as client:
        exchange = await client.call(target())
    phases = exchange.phases
    assert phases.dns == pytest.approx(0.12, abs=0.03)
    assert phases.connect == pytest.approx(0.0, abs=0.03)
    assert phases.tls is None
    assert phases.send == pytest.approx(0.0, abs=0.03)
    assert phases.wait == pytest.approx(0.08, abs=0.03)
    assert phases.receive == pytest.approx(0.20, abs=0.04)
    assert exchange.duration_s == pytest.approx(0.28, abs=0.05)
    assert resolver.asked == ["api.example"]


async def test_a_server_that_does_not_read_shows_in_send() -> None:
    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # typed as a write transport
        await asyncio.sleep(0.15)
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]  # as above
        await peer.request()
        await peer.send(reply())

    async with serving(script) as server, client_of(server) as client:
        exchange = await client.call(target(inputs={"text": "x" * 30_000_000}))
    assert exchange.answer == GOOD_REPLY
    assert exchange.phases.send is not None
    assert exchange.phases.send > 0.1


async def test_fresh_connections() -> None:
    async with serving(replying(reply())) as server, client_of(server, fresh_connections=True) as client:
        exchanges = [await client.call(target()) for _ in range(3)]
    assert server.connections == 3
    assert [exchange.reused_connection for exchange in exchanges] == [False] * 3
    assert all(b"\r\nConnection: close\r\n" in request for request in server.requests)


async def test_many_calls_at_once_need_no_slot() -> None:
    all_there = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if len(peer.server.requests) == 150:
            all_there.set()
        await all_there.wait()
        await peer.send(reply())

    async with serving(script) as server, client_of(server) as client:
        exchanges = await asyncio.gather(*(client.call(target()) for _ in range(150)))
    assert [exchange.answer for exchange in exchanges] == [GOOD_REPLY] * 150


async def test_no_cookies_are_kept() -> None:
    answer = reply(Set_Cookie="session=1; Path=/")
    async with serving(replying(answer)) as server, client_of(server) as client:
        await client.call(target())
        await client.call(target())
    assert len(server.requests) == 2
    assert b"cookie" not in server.requests[1].lower()


async def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    assert (await call_for(reply())).answer == GOOD_REPLY


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
async def test_redirects_are_never_followed(status: str) -> None:
    async with (
        serving(replying(reply(b"", status=status, Location="/elsewhere"))) as server,
        client_of(server) as client,
    ):
        exchange = await client.call(target())
    assert exchange.http_status == int(status[:3])
    assert len(server.requests) == 1


async def test_lost_time_is_counted_across_the_call() -> None:
    lost_s = iter([1.0, 3.5])
    assert (await call_for(reply(), lost=lambda: next(lost_s))).lost_s == 2.5


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("x" * 200, "x" * 127 + "…", id="long"),
        pytest.param("a\tb", "a b", id="tab"),
        pytest.param("   ", None, id="blank"),
        pytest.param("\x9b31mé", "31m\u00e9", id="terminal control"),
    ],
)
async def test_a_request_id_is_short_and_printable(value: str, expected: str | None) -> None:
    assert (await call_for(reply(x_request_id=value))).request_id == expected


async def test_an_excerpt_is_two_kilobytes() -> None:
    exchange = await call_for(reply(b"\xff" * 10_000, status="500 E"))
    assert exchange.excerpt == "\ufffd" * 682
    assert exchange.response_bytes == 10_000


async def test_headers_are_kept_as_evidence_only() -> None:
    exchange = await call_for(reply(X_RateLimit_Limit="10"), evidence=True)
    assert exchange.headers == (("Content-Length", str(len(GOOD_BODY))), ("X-RateLimit-Limit", "10"))


async def test_malformed_and_refused_replies_are_answers() -> None:
    assert (await call_for(reply(b"[]"))).answer == Malformed(expected="a JSON object", found="an array")
    refused = await call_for(reply(b'{"detail":"no"}', status="429 Too Many Requests", Retry_After="7"))
    assert refused.answer == Refusal(error="no", retry_after_s=7.0, retry_after_present=True)


async def test_cancellation_passes() -> None:
    arrived = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        arrived.set()
        await peer.until_left()

    async with serving(script) as server, client_of(server) as client:
        call = asyncio.create_task(client.call(target()))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


@pytest.mark.parametrize(
    "number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL], ids=errno.errorcode.get
)
def test_what_this_machine_lacks_is_no_answer(number: int) -> None:
    with pytest.raises(LocalError) as caught:
        no_reply(OSError(number, "as the system says"), Phase.CONNECT)
    assert caught.value.errno == number


def test_a_bug_is_no_answer() -> None:
    assert no_reply(KeyError("x"), Phase.WAIT) is None


async def test_without_descriptors_a_call_raises() -> None:
    """As when too many connections are open: nothing is known of the plugin then."""
    resolver = Resolver(error=OSError(errno.EMFILE, "Too many open files"))
    async with client_of(1, host="api.example", resolver=resolver) as client:
        with pytest.raises(LocalError):
            await client.call(target())


@pytest.mark.parametrize(
    ("tls", "setting"),
    [
        pytest.param(TlsSettings(ca_file=Path("/nonexistent")), "api.tls.ca_file: /nonexistent: ", id="CA"),
        pytest.param(TlsSettings(cert_file=Path("/nonexistent")), "api.tls.cert_file: /nonexistent: ", id="cert"),
    ],
)
async def test_tls_files_that_cannot_be_used_are_configuration_errors(tls: TlsSettings, setting: str) -> None:
    with pytest.raises(ConfigError) as caught:
        async with client_of(1, scheme="https", tls=tls):
            pass
    assert caught.value.problems == [f"{setting}No such file or directory"]


async def test_the_time_out_is_the_targets() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.until_left()

    async with serving(script) as server, client_of(server) as client:
        exchange = await client.call(target(timeout_s=0.1))
    assert exchange.timeout_s == 0.1
    assert isinstance(exchange.answer, NoReply)
    assert exchange.ended_at - exchange.started_at == pytest.approx(0.1, abs=0.05)
