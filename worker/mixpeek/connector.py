"""aiohttp's connector, connection and resolver, each noting in the call's timeline what it alone can see.

No TraceConfig: an empty one costs 30 µs a request, and it lumps DNS, TCP and TLS together.
"""

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable
from typing import Any, cast

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest

from worker.core.exchange import Phase
from worker.mixpeek.timeline import TIMELINE, Timeline

# Shorter than the idle time-out of common servers (uvicorn and Node: 5 s, nginx and load balancers: 60 s and more),
# so that it is we who drop an idle connection, and not the server just as we write to it.
KEEPALIVE_S = 4.0


class TimedHandler(ResponseHandler):
    """A connection's protocol. The arrival of bytes is noted here, before the loop gets round to waking the call."""

    timeline: Timeline | None = None

    def begin(self, timeline: Timeline) -> None:
        """The connection is ready for a request, whose times go to `timeline` from now on."""
        self.timeline = timeline
        self.set_response_params(read_until_eof=True, auto_decompress=False)
        timeline.ready = True
        timeline.enter(Phase.SEND)

    def data_received(self, data: bytes) -> None:
        timeline = self.timeline
        if timeline is not None and data:  # empty: the rest of what came earlier is being decompressed
            if timeline.landed:
                # Nobody asked: a 408 or 503 with which the server ends an idle connection. It is nobody's answer.
                self.abort()
                return
            timeline.arrived_at = timeline.now()
        super().data_received(data)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Receives each parsed head, the interim ones (1xx) too."""
        timeline = self.timeline
        if timeline is not None and (data[0].code >= 200 or data[0].code == 101):
            timeline.enter(Phase.RECEIVE, timeline.arrived_at)
        super().feed_data(data, size)

    def connection_lost(self, exc: BaseException | None) -> None:
        # A body without a length ends with the connection.
        if self.timeline is not None and not self.timeline.landed:
            self.timeline.arrived_at = self.timeline.now()
        super().connection_lost(exc)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        super().set_exception(exc, exc if exc_cause is None else exc_cause)
        # aiohttp tells whoever waits for a head, but not whoever reads a body: a bad chunk would be a time-out.
        payload = self._payload
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(exc)

    def close(self) -> None:
        # Nothing is ever left to flush, and an orderly end of TLS would linger for up to 30 s.
        self.abort()


class TimedConnector(aiohttp.TCPConnector):
    """Says when a call needed a new connection."""

    def __init__(self, *, resolver: AbstractResolver, tls: ssl.SSLContext | None, force_close: bool) -> None:
        super().__init__(
            resolver=resolver,
            use_dns_cache=False,  # each new connection then resolves in its own task, where its timeline is
            ssl=tls or True,
            limit=0,  # concurrency is limited before a call begins, so that no wait for a slot is ever measured
            force_close=force_close,
            keepalive_timeout=None if force_close else KEEPALIVE_S,
        )
        self._factory = cast(
            functools.partial[ResponseHandler], functools.partial(TimedHandler, loop=asyncio.get_running_loop())
        )

    async def _create_connection(
        self, req: ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        timeline = TIMELINE.get()
        timeline.fresh = True
        timeline.enter(Phase.CONNECT)
        return await super()._create_connection(req, traces, timeout)


class TimedResolver(AbstractResolver):
    """Not called for IP literals, whose DNS phase therefore does not happen; `make` only when there is need."""

    def __init__(self, make: Callable[[], AbstractResolver]) -> None:
        self._make = make
        self._resolver: AbstractResolver | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        timeline = TIMELINE.get()
        timeline.switch(Phase.DNS)
        try:
            self._resolver = self._resolver or self._make()
            addresses = await self._resolver.resolve(host, port, family)
        except UnicodeError as error:  # a label that is empty or over 63 characters long
            raise OSError(None, "not a valid host name") from error
        timeline.enter(Phase.CONNECT)
        return addresses

    async def close(self) -> None:
        if self._resolver is not None:
            await self._resolver.close()
