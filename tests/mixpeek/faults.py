"""Scripts of servers that fail, and one call to such a server."""

import asyncio
from typing import Any

from tests.mixpeek.servers import Peer, Script, client_of, serving, target
from worker.core.exchange import Exchange, Failure, NoReply, Phase

HEAD = b"HTTP/1.1 200 OK\r\n"


async def hang(peer: Peer) -> None:
    await peer.request()
    await peer.until_left()


def after_request(*parts: bytes, pause_s: float = 0.0, then: str = "close") -> Script:
    """Takes a request, sends the parts, and then closes, resets or hangs."""

    async def script(peer: Peer) -> None:
        await peer.request()
        for part in parts:
            await peer.send(part)
            await asyncio.sleep(pause_s)
        if then == "reset":
            peer.reset()
        elif then == "hang":
            await peer.until_left()

    return script


DISCONNECTED = Failure.DISCONNECTED


def no_reply(failure: Failure, died_in: Phase, error: str) -> NoReply:
    return NoReply(failure=failure, died_in=died_in, error=error)


async def one_call(script: Script, *, timeout_s: float = 2.0, **options: Any) -> Exchange:
    async with serving(script) as server, client_of(server, **options) as client:
        exchange = await client.call(target(timeout_s=timeout_s))
    assert len(server.requests) <= 1
    return exchange
