"""aiohttp's connector and resolver, each noting in the call's timeline what it alone can see.

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
from worker.mixpeek.channel import Channel
from worker.mixpeek.failures import was_reset
from worker.mixpeek.timeline import TIMELINE


class TimedConnector(aiohttp.TCPConnector):
    """Makes connections. None comes back to it, save to be closed: whoever asked keeps those that can be used again."""

    def __init__(self, *, resolver: AbstractResolver, tls: ssl.SSLContext | None) -> None:
        super().__init__(
            resolver=resolver,
            use_dns_cache=False,  # each new connection then resolves in its own task, where its timeline is
            ssl=tls or True,
            limit=0,  # concurrency is limited before a call begins, so that no wait for a slot is ever measured
            force_close=True,
        )
        self._factory = cast(
            functools.partial[ResponseHandler], functools.partial(Channel, loop=asyncio.get_running_loop())
        )

    async def _wrap_create_connection(self, *args: Any, **options: Any) -> tuple[asyncio.Transport, ResponseHandler]:
        TIMELINE.get().enter(Phase.CONNECT)  # to the next address, also after a handshake with the last one has failed
        return await super()._wrap_create_connection(*args, **options)

    async def _create_direct_connection(
        self, *args: Any, client_error: type[Exception] = aiohttp.ClientConnectorError, **options: Any
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        made = await super()._create_direct_connection(*args, client_error=client_error, **options)
        if client_error is aiohttp.ClientProxyConnectionError:
            TIMELINE.get().enter(Phase.CONNECT)  # making a tunnel is connecting, also where TLS leads to the proxy
        return made

    async def _create_connection(
        self, req: ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        timeline = TIMELINE.get()
        timeline.fresh = True
        timeline.enter(Phase.CONNECT)
        try:
            return await super()._create_connection(req, traces, timeout)
        except aiohttp.ClientConnectorError as error:
            if timeline.phase is Phase.CONNECT and was_reset(error):
                timeline.enter(_after_connecting(req))
            raise


def _after_connecting(req: ClientRequest) -> Phase:
    """What a peer that resets what it has accepted breaks off; whether we or its reset come first must not matter."""
    if (req.proxy or req.url).scheme == "https":
        return Phase.TLS
    return Phase.CONNECT if req.proxy and req.is_ssl() else Phase.SEND  # making a tunnel is connecting


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
