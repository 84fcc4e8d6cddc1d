"""A server that metrics are sent to: it answers as it is told, and remembers what came."""

import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.fakes import FixedClock
from worker.sinks.receiver import Patience

Answer = web.Response | Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """`came` are the requests in order."""

    def __init__(self) -> None:
        self.url = ""
        self.came: list[Came] = []


@asynccontextmanager
async def receiving(
    *answers: tuple[int, str] | Answer, headers: dict[str, str] | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """Answers with these in turn, (status, body) or made by a function, the last one over and over; 204 if none."""
    receiver = Receiver()
    turns = itertools.chain(answers or [(204, "")], itertools.repeat(answers[-1] if answers else (204, "")))

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        receiver.came.append(Came(method=request.method, path=request.path, headers=dict(request.headers), body=body))
        answer = next(turns)
        if isinstance(answer, tuple):
            return web.Response(status=answer[0], text=answer[1], headers=headers)
        return answer if isinstance(answer, web.Response) else await answer(request)

    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", handle)
    server = TestServer(app, host="127.0.0.1", scheme="https" if tls else "http")
    await server.start_server(ssl=tls, access_log=None)
    try:
        receiver.url = str(server.make_url("/write"))
        yield receiver
    finally:
        await server.close()


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.abort()
    return web.Response()


class Pauses:
    """Time that passes only by sleeping: `slept` are the pauses in order, each the longest of its range."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.at += seconds

    def patience(self, timeout_s: float = 20.0) -> Patience:
        return Patience(timeout_s, clock=self.clock, sleep=self.sleep, uniform=lambda _, longest: longest)
