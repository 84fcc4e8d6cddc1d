"""Listening: the web server's life."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


class CannotListenError(Exception):
    """The address is taken, or not ours."""


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serves while the block runs; yields the URL. An empty host is all interfaces."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host or None, port).start()
        except OSError as error:
            raise CannotListenError(error.strerror or str(error)) from error
        bound_host, bound_port = runner.addresses[0][:2]
        yield f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}"
    finally:
        await runner.cleanup()
