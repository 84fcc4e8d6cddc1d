"""Door: who may be connected, and for how long. Nobody who asks takes descriptors or memory that probes need."""

import asyncio
from typing import Any, cast

from aiohttp import web
from aiohttp.typedefs import Handler

from worker.web.bounds import Bounds
from worker.web.secure import secure


class Door:
    """Makes connections, as many as there may be; for one more the one that was idle longest has to go."""

    def __init__(self, server: web.Server, bounds: Bounds) -> None:
        self.bounds = bounds
        self._server = server
        self._open: dict[Connection, None] = {}  # in the order of their last requests

    def __call__(self) -> "Connection":
        return Connection(self, self._server)

    def enter(self, connection: "Connection") -> None:
        if len(self._open) >= self.bounds.connections:
            # All at work: the oldest. A kubelet that is refused here would restart us.
            longest = next((one for one in self._open if not one.busy), next(iter(self._open)))
            longest.drop()
        self._open[connection] = None

    def leave(self, connection: "Connection") -> None:
        self._open.pop(connection, None)

    def served(self, connection: "Connection") -> None:
        if connection in self._open:
            del self._open[connection]
            self._open[connection] = None


class Connection(web.RequestHandler):
    """One connection: bounded in the bytes of a request, and never kept by an answer that nobody takes."""

    def __init__(self, door: Door, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=door.bounds.idle_s,  # for the first head as well
            lingering_time=1.0,  # for a body: nobody here reads one
            auto_decompress=False,
            access_log=cast(Any, None),  # none; it is not declared so
        )
        self.busy = False
        self._door = door
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # What was sent is then the kernel's, and to close waits for nobody: closing keeps a descriptor until it is.
        cast(asyncio.Transport, transport).set_write_buffer_limits(0)
        self._door.enter(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._door.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > self._door.bounds.request_bytes and not self.busy:
            self.drop()
        else:
            super().data_received(data)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP is told without its own words, and not to the log: anybody could fill that."""
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        response = web.Response(status=status, text="this is no HTTP request that we take\n")
        response.force_close()
        secure(response)
        response.headers["Server"] = ""  # aiohttp would write its versions, and here asks nobody before
        return response

    def drop(self) -> None:
        transport = self.transport
        self._door.leave(self)
        if transport is not None:
            transport.abort()

    async def serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The middleware: says when a request is under way."""
        self.busy = True
        try:
            return await handler(request)
        finally:
            self.busy, self._received = False, 0
            self._door.served(self)


@web.middleware
async def attended(request: web.Request, handler: Handler) -> web.StreamResponse:
    return await cast(Connection, request.protocol).serve(request, handler)
