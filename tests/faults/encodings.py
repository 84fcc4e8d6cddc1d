"""Faults of content encodings. Asked for are gzip and deflate."""

import gzip
import zlib
from functools import cache

from tests.faults.fault import CHUNKED, Fault, Play, Stage, body, endless, sends
from tests.mixpeek.servers import GOOD_BODY, reply
from worker.core.exchange import Phase
from worker.core.outcome import Outcome

_PACKED = gzip.compress(GOOD_BODY)
_NOTHING = gzip.compress(b"")
_GZIPPED = CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
_BOMB_BYTES = 100_000_000


def _headless(text: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(text) + packer.flush()


@cache
def _bomb(encoding: str) -> bytes:
    """Made when it is first asked for."""
    zeros = bytes(_BOMB_BYTES)
    return gzip.compress(zeros) if encoding == "gzip" else zlib.compress(zeros)


def _bombing(encoding: str) -> Play:
    async def play(stage: Stage) -> None:
        await stage.peer.send(reply(_bomb(encoding), Content_Encoding=encoding))

    return play


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _well(name: str, does: str, encoding: str, packed: bytes) -> Fault:
    return Fault(name=name, does=does, outcome=Outcome.SUCCESS, play=body(packed, Content_Encoding=encoding))


def _broken(name: str, does: str, encoding: str, packed: bytes, words: str) -> Fault:
    play = body(packed, Content_Encoding=encoding)
    return Fault(name=name, does=does, outcome=Outcome.DISCONNECTED, play=play, died_in=Phase.RECEIVE, words=words)


def _large(name: str, does: str, play: Play) -> Fault:
    outcome = Outcome.RESPONSE_TOO_LARGE
    return Fault(name=name, does=does, outcome=outcome, play=play, died_in=Phase.RECEIVE, holds="cap")


FAULTS = (
    _well("gzip", "gzip", "gzip", _PACKED),
    _well(
        "gzip_in_members", "gzip, in two members", "gzip", gzip.compress(GOOD_BODY[:20]) + gzip.compress(GOOD_BODY[20:])
    ),
    _well("deflate", "deflate", "deflate", zlib.compress(GOOD_BODY)),
    _well("deflate_headless", "deflate without its header", "deflate", _headless(GOOD_BODY)),
    _well("identity", "identity, by name", "identity", GOOD_BODY),
    _broken("gzip_mismatch", "says gzip, but is not", "gzip", GOOD_BODY, "its gzip content cannot be decoded"),
    _broken("deflate_mismatch", "says deflate, but is not", "deflate", b"\x78" + GOOD_BODY, "its deflate content"),
    _broken("gzip_cut", "gzip without its end", "gzip", _PACKED[:-4], "cut short"),
    _broken("gzip_half", "half of a gzip", "gzip", _PACKED[:-40], "cut short"),
    _broken(
        "gzip_checksum", "gzip with another text's checksum", "gzip", _PACKED[:-8] + b"abcd" + _PACKED[-4:], "gzip"
    ),
    _broken("gzip_and_rest", "gzip, and rubbish after it", "gzip", _PACKED + b"rest", "cannot be decoded"),
    _broken(
        "deflate_and_rest",
        "deflate, and a line's end after it",
        "deflate",
        zlib.compress(GOOD_BODY) + b"\n",
        "followed by",
    ),
    _broken("deflate_cut", "deflate without its end", "deflate", zlib.compress(GOOD_BODY)[:-4], "cut short"),
    _broken("gzip_twice", "gzip within gzip", "gzip, gzip", gzip.compress(_PACKED), "nor was it asked for"),
    _broken("brotli", "br, which nobody asked for", "br", GOOD_BODY, "nor was it asked for"),
    _broken("zstd", "zstd, which nobody asked for", "zstd", GOOD_BODY, "nor was it asked for"),
    _broken("encoding_unknown", "an encoding that nobody knows", "snappy", GOOD_BODY, "nor was it asked for"),
    _large("gzip_bomb", "100 MB of zeros as 97 kB of gzip", _bombing("gzip")),
    _large("deflate_bomb", "100 MB of zeros as 97 kB of deflate", _bombing("deflate")),
    Fault(
        name="gzip_of_nothing",
        does="empty gzip members without an end",
        outcome=Outcome.TIMEOUT,
        play=endless(_GZIPPED, part=_chunk(_NOTHING * 3000), pause_s=0.01),
        died_in=Phase.RECEIVE,
        takes="time-out",
    ),
    Fault(
        name="gzip_drips",
        does="a gzip that never begins to say anything",
        outcome=Outcome.TIMEOUT,
        play=sends(_GZIPPED, _chunk(_PACKED[:10]), then="hang"),
        died_in=Phase.RECEIVE,
        takes="time-out",
    ),
)
