"""Calls over connections that are kept while they can be used again. No ClientSession: so no redirect, cookie, netrc,
environment proxy or time-out; aiohttp makes the connections and parses the replies.
"""

import asyncio
import ssl

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_reqrep import ClientRequest
from aiohttp.resolver import AsyncResolver
from yarl import URL

from worker.mixpeek.channel import Channel
from worker.mixpeek.connector import TimedConnector, TimedResolver
from worker.mixpeek.flight import Flight
from worker.mixpeek.timeline import TIMELINE

# Shorter than the idle time-out of common servers (uvicorn and Node: 5 s, nginx and load balancers: 60 s and more),
# so that it is we who drop an idle connection, and not the server just as we write to it.
KEEPALIVE_S = 4.0

# aiohttp's time-outs round up above 5 s, so none is asked of it: ours ends the call, connecting included.
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


class Wire:
    """Everything that goes to one origin, perhaps through a proxy. `resolver` stands in for DNS."""

    def __init__(
        self, origin: URL, *, tls: ssl.SSLContext | None, proxy: URL | None, resolver: AbstractResolver | None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        #: All that the connector has to know: where to, and through what.
        self._asked = ClientRequest("POST", origin, loop=self._loop, proxy=proxy)
        self._resolver = TimedResolver(lambda: resolver or AsyncResolver())
        self._connector = TimedConnector(resolver=self._resolver, tls=tls)
        self._idle: list[Channel] = []
        self._sweeping: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        if self._sweeping:
            self._sweeping.cancel()
        for channel in self._idle:
            channel.drop()
        await self._connector.close()
        await self._resolver.close()
        await asyncio.sleep(0)  # aborted transports close in the loop's next turn

    async def carry(self, flight: Flight, head: bytes, rest: bytes, *, timeout_s: float, fresh: bool) -> None:
        """Sends a request and returns when the reply is complete. A proxy's own header goes in between.

        Raises TimeoutError when that takes too long in all; the flight has then `expired`.
        """
        until = self._loop.time() + timeout_s
        channel = None if fresh else self._kept()
        if channel is None:
            channel = await self._connect(flight, until)
        try:
            channel.send(flight, head + channel.proxy_authorization + rest, until)
            await flight.over
        except BaseException:
            channel.drop()
            raise
        if fresh or not channel.reusable:
            channel.drop()
        else:
            self._keep(channel)

    async def _connect(self, flight: Flight, until: float) -> Channel:
        TIMELINE.set(flight.timeline)
        asked = self._asked
        try:
            async with asyncio.timeout_at(until) as limit:
                connection = await self._connector.connect(asked, [], _NO_TIMEOUT)
        finally:
            flight.expired = limit.expired()
        channel = connection.protocol
        assert isinstance(channel, Channel)
        channel.connection = connection
        authorization = asked.headers.get("Proxy-Authorization")
        if authorization:
            channel.proxy_authorization = f"Proxy-Authorization: {authorization}\r\n".encode()
        return channel

    # Connections that wait for their next call ------------------------------------------------------------------------

    def _kept(self) -> Channel | None:
        """The one that was used last: the others may go idle, and then away."""
        while self._idle:
            channel = self._idle.pop()
            if channel.is_connected() and self._loop.time() < _expires_at(channel):
                return channel
            channel.drop()
        return None

    def _keep(self, channel: Channel) -> None:
        channel.idle_since = self._loop.time()
        self._idle.append(channel)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(KEEPALIVE_S, self._sweep)

    def _sweep(self) -> None:
        """Drops those that have been idle for too long; the oldest stand first."""
        now = self._loop.time()
        kept: list[Channel] = []
        for channel in self._idle:
            if channel.is_connected() and now < _expires_at(channel):
                kept.append(channel)
            else:
                channel.drop()
        self._idle = kept
        self._sweeping = self._loop.call_later(_expires_at(kept[0]) - now, self._sweep) if kept else None


def _expires_at(channel: Channel) -> float:
    """Compared in this one form, or by rounding it may be too early to drop a channel and too late to wait for it."""
    return channel.idle_since + KEEPALIVE_S
