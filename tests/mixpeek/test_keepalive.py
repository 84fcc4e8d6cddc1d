"""Kept-alive connections: those that die under a request, and what comes on them unasked."""

import asyncio
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from tests.fakes import virtually
from tests.mixpeek.faults import DISCONNECTED, HEAD, no_reply
from tests.mixpeek.servers import GOOD_BODY, Peer, Resolver, Script, client_of, reply, replying, serving, target
from worker.core.exchange import Failure, NoReply, Phase, Reply
from worker.mixpeek.channel import Channel
from worker.mixpeek.wire import KEEPALIVE_S, Wire


def dying_on(turn: int, *parts: bytes, then: str = "close") -> Script:
    """The first connection answers until its request number `turn`, then dies; others answer always."""

    async def script(peer: Peer) -> None:
        for number in range(100):
            await peer.request()
            if peer.number == 0 and number == turn:
                await after_dying(peer)
                return
            await peer.send(reply())

    async def after_dying(peer: Peer) -> None:
        for part in parts:
            await peer.send(part)
        if then == "reset":
            await asyncio.sleep(0.02)
            peer.reset()

    return script


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(dying_on(1), id="closed"),
        pytest.param(dying_on(1, then="reset"), id="reset"),
        pytest.param(dying_on(1, HEAD + b"Content-"), id="head cut"),
        pytest.param(dying_on(1, HEAD + b"Content-", then="reset"), id="reset in the head"),
    ],
)
async def test_a_reused_connection_that_dies_is_told_as_stale_and_a_new_one_answers(script: Script) -> None:
    async with serving(script) as server, client_of(server) as client:
        await client.call(target())
        dead = await client.call(target())
        exchange = await client.call(target(), fresh=True)
    assert isinstance(dead.answer, NoReply)
    assert (dead.answer.failure, dead.stale, dead.reused_connection) == (DISCONNECTED, True, True)
    assert isinstance(exchange.answer, Reply)
    assert exchange.phases.connect is not None
    assert (exchange.stale, exchange.reused_connection) == (False, False)
    assert len(server.requests) == 3


async def test_a_death_on_a_new_connection_is_an_answer() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number == 0:
            await peer.send(reply())
            await peer.request()

    async with serving(script) as server, client_of(server) as client:
        await client.call(target())
        await client.call(target())
        exchange = await client.call(target(), fresh=True)
    assert exchange.answer == no_reply(
        DISCONNECTED, Phase.WAIT, "connection closed before the reply's head was complete"
    )
    assert not exchange.stale
    assert len(server.requests) == 3


async def test_a_reused_connection_that_dies_in_the_body_is_not_stale() -> None:
    script = dying_on(1, reply(length=1000))
    async with serving(script) as server, client_of(server) as client:
        await client.call(target())
        exchange = await client.call(target())
    assert not exchange.stale
    assert isinstance(exchange.answer, NoReply)
    assert exchange.answer.died_in is Phase.RECEIVE
    assert exchange.reused_connection is True


async def test_nonsense_on_a_reused_connection_is_not_stale() -> None:
    async with serving(dying_on(1, b"HELLO\r\n\r\n")) as server, client_of(server) as client:
        await client.call(target())
        exchange = await client.call(target())
    assert not exchange.stale
    assert exchange.answer == no_reply(DISCONNECTED, Phase.WAIT, "malformed HTTP: Bad status line")


async def test_what_a_server_says_on_an_idle_connection_is_nobodys_answer() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(reply())
        if peer.number == 0:
            await asyncio.sleep(0.05)
            await peer.send(reply(b"", status="408 Request Timeout"))
            await peer.until_left()

    async with serving(script) as server, client_of(server) as client:
        await client.call(target())
        await asyncio.sleep(0.1)
        exchange = await client.call(target())
    assert isinstance(exchange.answer, Reply)
    assert server.connections == 2


async def test_a_408_on_a_kept_connection_is_told_as_stale_and_the_connection_is_not_used_again() -> None:
    """It was on its way when the request was written."""
    ended = reply(b"", status="408 Request Timeout")
    async with serving(replying(reply(), ended, reply())) as server, client_of(server) as client:
        exchanges = [await client.call(target()) for _ in range(3)]
    assert [exchange.stale for exchange in exchanges] == [False, True, False]
    assert isinstance(exchanges[2].answer, Reply)
    assert server.connections == 2


async def test_a_408_on_a_new_connection_is_an_answer() -> None:
    async with serving(replying(reply(b"", status="408 Request Timeout"))) as server, client_of(server) as client:
        exchange = await client.call(target())
    assert (exchange.http_status, exchange.stale) == (408, False)


async def test_a_second_reply_to_one_request_is_nobodys_answer() -> None:
    other = reply(GOOD_BODY.replace(b"custom_plugin_x", b"custom_plugin_y"))
    async with serving(replying(reply() + other, reply())) as server, client_of(server) as client:
        exchanges = [await client.call(target()) for _ in range(2)]
    names = [exchange.answer.inference_name for exchange in exchanges if isinstance(exchange.answer, Reply)]
    assert names == ["custom_plugin_x_1_0_0"] * 2
    assert server.connections == 2


def answering_after(*delays_s: float) -> Script:
    """One delay for each request, on whatever connection; then never."""
    left = iter(delays_s)

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await asyncio.sleep(next(left, 60.0))
            await peer.send(reply())

    return script


@pytest.mark.parametrize(
    ("first_s", "second_s"),
    [
        pytest.param(5.0, 0.2, id="a shorter one after a longer one"),
        pytest.param(0.15, 0.3, id="a longer one, while the alarm of the first is still set"),
        pytest.param(0.2, 0.2, id="the same"),
    ],
)
async def test_each_call_on_a_connection_has_its_own_time_out(first_s: float, second_s: float) -> None:
    async with serving(answering_after(0.0)) as server, client_of(server) as client:
        first = await client.call(target(timeout_s=first_s))
        second = await client.call(target(timeout_s=second_s))
    assert isinstance(first.answer, Reply)
    assert second.reused_connection
    assert second.answer == no_reply(Failure.TIMEOUT, Phase.WAIT, f"no reply within {second_s:g} s")
    assert second.ended_at - second.started_at == pytest.approx(second_s, abs=0.05)


async def test_the_alarm_of_a_call_that_has_ended_ends_no_other() -> None:
    async with serving(answering_after(0.0, 0.3)) as server, client_of(server) as client:
        await client.call(target(timeout_s=0.2))
        slow = await client.call(target(timeout_s=2.0))
    assert isinstance(slow.answer, Reply)
    assert slow.reused_connection


class Idle:
    """A connection that waits, as the wire sees it."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.dropped_at = 0.0

    def is_connected(self) -> bool:
        return True

    def drop(self) -> None:
        self.dropped_at = asyncio.get_running_loop().time()


@given(since=st.floats(0, 1000), later=st.floats(0, KEEPALIVE_S))
@example(since=0.02, later=0.0)  # 4.02 - 0.02 < 4.0, and 0.02 + 4.0 - 4.02 == 0.0
def test_idle_connections_are_dropped_in_time_however_it_is_rounded(since: float, later: float) -> None:
    async def main() -> list[Idle]:
        wire = Wire(URL("http://127.0.0.1:9"), tls=None, proxy=None, resolver=Resolver())
        idle = [Idle(), Idle()]
        for wait_s, one in zip((since, later), idle, strict=True):
            await asyncio.sleep(wait_s)
            wire._keep(cast(Channel, one))
        await asyncio.sleep(2 * KEEPALIVE_S)
        await wire.close()
        return idle

    for one in virtually(main()):
        assert one.dropped_at == pytest.approx(one.idle_since + KEEPALIVE_S, abs=1e-6)
