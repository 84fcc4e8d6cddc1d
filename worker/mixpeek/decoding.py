"""Content encodings, decoded piece by piece. aiohttp's own decoder takes a gzip body that was cut short for a whole."""

import zlib

from worker.mixpeek.excerpts import one_line
from worker.mixpeek.failures import UndecodableError

_GZIP = zlib.MAX_WBITS | 16
_ZLIB_METHOD = 8


class Decoder:
    """For one body. Raises UndecodableError as soon as it can't be what its header says."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        self._stream: zlib._Decompress | None = None

    def feed(self, data: bytes, room: int) -> bytes:
        """At most `room` bytes of what these bytes hold; what is over is dropped, since then the body is too large."""
        if self._encoding in ("", "identity"):
            return data[:room]
        try:
            return self._inflate(data, room)
        except zlib.error as error:
            raise UndecodableError(f"its {self._encoding} content cannot be decoded: {error}") from error

    def finish(self) -> None:
        """The body has ended."""
        if self._stream is not None and not self._stream.eof:
            raise UndecodableError(f"its {self._encoding} content was cut short")

    def _inflate(self, data: bytes, room: int) -> bytes:
        whole = b""
        while data and len(whole) < room:
            if self._stream is not None and self._stream.eof and self._encoding == "deflate":
                raise UndecodableError("its deflate content is followed by something else")
            if self._stream is None or self._stream.eof:  # gzip may be several members in a row
                self._stream = zlib.decompressobj(self._window(data))
            whole += self._stream.decompress(data, room - len(whole))
            data = self._stream.unused_data
        return whole

    def _window(self, data: bytes) -> int:
        if self._encoding in ("gzip", "x-gzip"):
            return _GZIP
        if self._encoding == "deflate":  # with a zlib header, as RFC 9110 wants it, or without, as some send it
            return zlib.MAX_WBITS if data[0] & 0x0F == _ZLIB_METHOD else -zlib.MAX_WBITS
        name = one_line(self._encoding, 60)
        raise UndecodableError(f"content encoding {name!r} cannot be decoded, nor was it asked for")
