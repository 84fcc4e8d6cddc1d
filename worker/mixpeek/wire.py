"""One POST over one connection, timed. No ClientSession: so no redirect, cookie, netrc, environment proxy or time-out.

It saves a fifth of the CPU, too; what is used of aiohttp is what its own session calls.
"""

import asyncio
import io

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http import StreamWriter
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from worker.core.exchange import Phase
from worker.mixpeek.connector import TimedConnector, TimedHandler
from worker.mixpeek.timeline import TIMELINE, Timeline

# Up to here a body is written in one go with its head, without a task: it fits the transport's buffer (64 KiB).
_AT_ONCE_BYTES = 32_768
# From here on in pieces, so that writing does not hold up the loop.
_PIECEMEAL_BYTES = 1 << 20
# aiohttp's time-outs round up above 5 s, so ours is asyncio's, around the whole call.
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
_NO_HEADERS = CIMultiDictProxy(CIMultiDict[str]())


class TimedRequest(ClientRequest):
    """The request to the API (a proxy's CONNECT is a plain one)."""

    timeline: Timeline
    #: The body, where it goes out with the head.
    content: bytes | None = None

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        if self.content is None:
            return await super().send(conn)
        protocol = conn.protocol
        assert protocol is not None
        writer = StreamWriter(protocol, self.loop)
        await writer.write_headers(f"POST {self.url.raw_path_qs} HTTP/1.1", self.headers)
        await writer.write_eof(self.content)
        self.timeline.enter(Phase.WAIT)
        return aiohttp.ClientResponse(
            "POST",
            self.url,
            writer=None,
            continue100=None,
            timer=self._timer,
            # Without the headers: an exception that carries them would carry the key.
            request_info=aiohttp.RequestInfo(self.url, "POST", _NO_HEADERS, self.url),
            traces=[],
            loop=self.loop,
            session=self._session,
            stream_writer=writer,
        )

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        timeline = self.timeline
        # Before Python 3.12 this is a task of its own; how long it waited for its turn is no time of the server's.
        timeline.switch(Phase.SEND)
        await super().write_bytes(writer, conn, content_length)
        if timeline.phase is Phase.SEND:  # else the answer came before the request was out
            timeline.enter(Phase.WAIT)


async def post(
    connector: TimedConnector, timeline: Timeline, url: URL, headers: dict[str, str], content: bytes, proxy: URL | None
) -> aiohttp.ClientResponse:
    """Sends a request and returns when the head of its reply is complete; the body is still to be read."""
    TIMELINE.set(timeline)
    request = _request(url, headers, content, proxy)
    request.timeline = timeline
    connection = await connector.connect(request, [], _NO_TIMEOUT)
    try:
        handler = connection.protocol
        assert isinstance(handler, TimedHandler)
        handler.begin(timeline)
        response = await request.send(connection)
        try:
            await response.start(connection)
        except BaseException:
            response.close()
            raise
    except BaseException:
        connection.close()
        raise
    return response


def _request(url: URL, headers: dict[str, str], content: bytes, proxy: URL | None) -> TimedRequest:
    loop = asyncio.get_running_loop()
    if proxy is None and len(content) <= _AT_ONCE_BYTES:
        request = TimedRequest("POST", url, headers={**headers, "Content-Length": str(len(content))}, loop=loop)
        request.content = content
        return request
    data = content if len(content) < _PIECEMEAL_BYTES else io.BytesIO(content)
    return TimedRequest("POST", url, headers=headers, data=data, loop=loop, proxy=proxy)
