"""What is known of a call while it is under way."""

from collections.abc import Callable, Mapping

import aiohttp

from worker.core.exchange import Phase
from worker.mixpeek.excerpts import one_line
from worker.mixpeek.failures import TooLargeError, UndecodableError
from worker.mixpeek.timeline import Timeline

# What the parser decodes for us; anything else it would hand over as it came.
_DECODED = frozenset({"", "identity", "gzip", "deflate", "br", "zstd"})
_NO_HEADERS: Mapping[str, str] = {}


class Flight:
    """One attempt: its timeline, and as much of the reply as has come."""

    __slots__ = ("_now", "body_bytes", "headers", "pieces", "status", "timeline")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.restart()

    def restart(self) -> None:
        """Forgets the attempt, for another one."""
        self.timeline = Timeline(self._now)
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
        """Reads the body in pieces: read() would lift aiohttp's limit on decompression."""
        self.status, self.headers = response.status, response.headers
        content = response.content
        while piece := await content.readany():
            self.pieces.append(piece)
            self.body_bytes += len(piece)
            if self.body_bytes > max_bytes:
                raise TooLargeError(f"the reply has more than {max_bytes} bytes")
        encoding = self.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in _DECODED and self.body_bytes:
            raise UndecodableError(
                f"content encoding {one_line(encoding, 60)!r} cannot be decoded, nor was it asked for"
            )
