"""The real client over connections in memory: what a server writes is given, byte for byte."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple, Self, cast

from aiohttp.connector import Connection
from yarl import URL

from tests.fakes import FakeClock
from worker.core.exchange import Phase
from worker.mixpeek.channel import Channel
from worker.mixpeek.client import Client
from worker.mixpeek.credentials import Credentials
from worker.mixpeek.flight import Flight
from worker.mixpeek.wire import Wire
from worker.settings import ApiSettings

KEY = "sk_live_0123456789abcdef"
MOST_BYTES = 65_536


class Served(NamedTuple):
    """What a server does with a request: the pieces that it writes, and how it ends the connection then, if it does."""

    pieces: Sequence[bytes]
    ending: str = "open"  # or closed, or reset


class _Transport(asyncio.Transport):
    """Answers every request with what the server does next; the last goes on for ever."""

    def __init__(self, served: list[Served]) -> None:
        super().__init__()
        self._served = served
        self._closing = False
        self.channel: Channel | None = None

    def write(self, data: Any) -> None:
        served = self._served.pop(0) if len(self._served) > 1 else self._served[0]
        asyncio.get_running_loop().create_task(self._serve(served))

    async def _serve(self, served: Served) -> None:
        assert self.channel is not None
        for piece in served.pieces:
            await asyncio.sleep(0.01)
            if self._closing:
                return
            self.channel.data_received(piece)
        await asyncio.sleep(0.01)
        if served.ending != "open" and not self._closing:
            self._closing = True
            self.channel.connection_lost(ConnectionResetError() if served.ending == "reset" else None)

    def is_closing(self) -> bool:
        return self._closing

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            assert self.channel is not None
            asyncio.get_running_loop().call_soon(self.channel.connection_lost, None)

    close = abort

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class _Connection:
    """What a channel drops."""

    def __init__(self, transport: _Transport) -> None:
        self._transport = transport

    def close(self) -> None:
        self._transport.abort()


class _MemoryWire(Wire):
    def __init__(self, origin: URL, served: list[Served]) -> None:
        super().__init__(origin, tls=None, proxy=None, resolver=None)
        self._served = served

    async def _connect(self, flight: Flight, until: float) -> Channel:
        flight.timeline.fresh = True
        flight.timeline.enter(Phase.CONNECT)
        transport, channel = _Transport(self._served), Channel(asyncio.get_running_loop())
        transport.channel = channel
        channel.connection_made(transport)
        channel.connection = cast(Connection, _Connection(transport))
        return channel


class MemoryClient(Client):
    """Its calls are served with these, one after the other."""

    def __init__(self, served: Sequence[Served]) -> None:
        api = ApiSettings(base_url="http://plugins.test", api_key_env="KEY", max_response_bytes=MOST_BYTES)
        super().__init__(api, Credentials(api, {"KEY": KEY}, clock=FakeClock()), clock=FakeClock())
        self._served = list(served)

    async def open(self) -> Self:
        self._wire = _MemoryWire(self._origin, self._served)
        return self
