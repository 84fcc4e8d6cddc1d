"""What is known of a call while it is under way."""

from collections.abc import Callable, Mapping

import aiohttp

from worker.core.exchange import Phase
from worker.mixpeek.decoding import Decoder
from worker.mixpeek.failures import TooLargeError
from worker.mixpeek.timeline import Timeline

_NO_HEADERS: Mapping[str, str] = {}


class Flight:
    """One call: its timeline, and as much of the reply as has come. `stale`: its kept-alive connection was dead."""

    __slots__ = ("body_bytes", "headers", "pieces", "stale", "status", "timeline")

    def __init__(self, now: Callable[[], float]) -> None:
        self.timeline = Timeline(now)
        self.stale = False
        self.status: int | None = None
        self.headers = _NO_HEADERS
        self.pieces: list[bytes] = []
        self.body_bytes = 0

    @property
    def reused(self) -> bool:
        """Whether the request went out on a connection that had served another one."""
        return self.timeline.ready and not self.timeline.fresh

    def died_unheard(self) -> bool:
        """Whether a kept-alive connection ended before the head of the reply was complete."""
        return self.reused and self.timeline.phase is not Phase.RECEIVE

    async def receive(self, response: aiohttp.ClientResponse, max_bytes: int) -> None:
        """Reads the body in pieces, decoded, and no further than the cap."""
        self.status, self.headers = response.status, response.headers
        decoder = Decoder(self.headers.get("Content-Encoding", ""))
        while raw := await response.content.readany():
            piece = decoder.feed(raw, max_bytes - self.body_bytes + 1)
            self.pieces.append(piece)
            self.body_bytes += len(piece)
            if self.body_bytes > max_bytes:
                raise TooLargeError(f"the reply has more than {max_bytes} bytes")
        decoder.finish()
