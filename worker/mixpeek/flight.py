"""What is known of a call while it is under way."""

import asyncio
from collections.abc import Callable, Mapping

from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

from worker.mixpeek.decoding import Decoder
from worker.mixpeek.failures import TooLargeError
from worker.mixpeek.timeline import Timeline

_NO_HEADERS: Mapping[str, str] = {}


class Flight:
    """One call: its timeline, and as much of the reply as has come; `over` is done when all of it has.

    `stale`: its kept-alive connection was dead. `expired`: its time-out struck.
    """

    __slots__ = (
        "_decoder",
        "_max_bytes",
        "body_bytes",
        "expired",
        "headers",
        "over",
        "payload",
        "pieces",
        "stale",
        "status",
        "timeline",
    )

    def __init__(self, now: Callable[[], float], max_bytes: int) -> None:
        self.timeline = Timeline(now)
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stale = False
        self.expired = False
        self.status: int | None = None
        self.headers = _NO_HEADERS
        #: Where the parser puts the body, None before the head is complete.
        self.payload: StreamReader | None = None
        self.pieces: list[bytes] = []
        self.body_bytes = 0
        self._max_bytes = max_bytes
        self._decoder: Decoder | None = None

    @property
    def reused(self) -> bool:
        """Whether the request went out on a connection that had served another one."""
        return self.timeline.sent_at is not None and not self.timeline.fresh

    def died_unheard(self) -> bool:
        """Whether a kept-alive connection ended before the head of the reply was complete."""
        return self.reused and self.timeline.heard_at is None

    def expire(self) -> None:
        if not self.over.done():
            self.expired = True
            self.over.set_exception(TimeoutError())

    def hear(self, head: RawResponseMessage, payload: StreamReader) -> None:
        """The head of the reply is complete."""
        self.timeline.heard_at = self.timeline.arrived_at
        self.status, self.headers, self.payload = head.code, head.headers, payload
        encoding = self.headers.get("Content-Encoding")
        self._decoder = Decoder(encoding) if encoding else None

    def take_body(self) -> bool:
        """Takes in what has come of the body, decoded, and no further than the cap; True when that is all of it."""
        payload = self.payload
        if payload is None:
            return False
        if raw := payload.read_nowait(-1):
            piece = self._decoder.feed(raw, self._max_bytes - self.body_bytes + 1) if self._decoder else raw
            self.pieces.append(piece)
            self.body_bytes += len(piece)
            if self.body_bytes > self._max_bytes:
                raise TooLargeError(f"the reply has more than {self._max_bytes} bytes")
        if not payload.is_eof():
            return False
        if self._decoder:
            self._decoder.finish()
        return True
