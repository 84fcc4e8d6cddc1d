"""How answers go out: a few large ones at a time, and none for ever to somebody who does not read."""

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from worker.web.bounds import Bounds


class Places:
    """Lets a few large answers be made at a time."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._free = asyncio.Semaphore(bounds.at_once)

    def kept_by(self, make: Handler) -> Handler:
        """`make` with a place of its own, until its answer was taken or given up."""

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                async with asyncio.timeout(self._bounds.patience_s):
                    await self._free.acquire()
            except TimeoutError:
                told = f"{self._bounds.at_once} others are being answered\n"
                return web.Response(status=503, text=told, headers={"Retry-After": "5"})
            try:
                async with asyncio.timeout(self._bounds.answer_s):
                    response = await make(request)
                    await _write(request, response)
                    return response
            finally:
                self._free.release()

        return answer


def sent_in_time(bounds: Bounds) -> Middleware:
    """A middleware that drops whoever does not take his answer in time."""

    async def send(request: web.Request, response: web.StreamResponse) -> None:
        async with asyncio.timeout(bounds.answer_s):
            await _write(request, response)

    @web.middleware
    async def sending(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            try:
                response = await handler(request)
            except web.HTTPException as refusal:
                await send(request, refusal)
                raise
            await send(request, response)
        except (TimeoutError, ConnectionError):  # he does not read, or he left: no error of ours
            if request.transport is not None:
                request.transport.abort()
            return web.Response()  # which goes nowhere
        return response

    return sending


async def _write(request: web.Request, response: web.StreamResponse) -> None:
    """All of it; aiohttp would do so after the handler, and wait as long as it takes."""
    await response.prepare(request)
    await response.write_eof()
