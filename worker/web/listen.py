"""Listening: the web server's life."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from worker.web.bounds import Bounds
from worker.web.door import Door, attended

#: So many connections are taken in one turn of the event loop, beyond those that there may be.
_BACKLOG = 64


class CannotListenError(Exception):
    """The address is taken, or not ours."""


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int, bounds: Bounds | None = None) -> AsyncIterator[str]:
    """Serves while the block runs; yields the URL. An empty host is all interfaces."""
    app.middlewares.insert(0, attended)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    try:
        assert runner.server, "made by setup"
        door = Door(runner.server, bounds or Bounds())
        try:
            server = await asyncio.get_running_loop().create_server(door, host or None, port, backlog=_BACKLOG)
        except OSError as error:
            raise CannotListenError(error.strerror or str(error)) from error
        try:
            bound_host, bound_port = server.sockets[0].getsockname()[:2]
            yield f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}"
        finally:
            server.close()
    finally:
        await runner.cleanup()
