"""A peer resets a connection as soon as it has accepted it. Where our loop is busy it sees the reset before it has seen
the connection; that must come to the same.
"""

import asyncio
import time

import pytest

from tests.mixpeek.servers import client_of, reset_on_close, target, threaded
from worker.core.exchange import Exchange, Failure, NoReply, Phase

#: Long enough for a thread to accept and reset.
BUSY_S = 0.05


class Busy:
    """Keeps the loop from looking at its sockets for a while in each of its turns."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_soon(self._hold)

    def _hold(self) -> None:
        time.sleep(BUSY_S)
        self._handle = self._loop.call_soon(self._hold)

    def end(self) -> None:
        self._handle.cancel()


async def called(port: int, scheme: str, proxy: str | None) -> Exchange:
    async with client_of(port, scheme=scheme, proxy=proxy) as client:
        busy = Busy()
        try:
            return await client.call(target())
        finally:
            busy.end()


@pytest.mark.parametrize(
    ("scheme", "proxied", "failure", "died_in", "while_"),
    [
        ("http", False, Failure.DISCONNECTED, Phase.SEND, "while the request was being sent"),
        ("http", True, Failure.DISCONNECTED, Phase.SEND, "while the request was being sent"),
        ("https", False, Failure.TLS, Phase.TLS, "during the TLS handshake"),
        ("https", True, Failure.CONNECT, Phase.CONNECT, "cannot connect to proxy"),
    ],
)
async def test_a_reset_that_is_seen_before_the_connection_breaks_off_what_would_have_followed(
    scheme: str, proxied: bool, failure: Failure, died_in: Phase, while_: str
) -> None:
    with threaded(reset_on_close, 1) as port:
        exchange = await called(port, scheme, f"http://127.0.0.1:{port}" if proxied else None)
    answer = exchange.answer
    assert isinstance(answer, NoReply)
    assert (answer.failure, answer.died_in) == (failure, died_in)
    assert "connection reset by peer" in answer.error
    assert while_ in answer.error
    assert exchange.phases.connect is not None
