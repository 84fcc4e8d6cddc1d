"""Faults of the reply's head, and of connections that are kept between calls."""

import asyncio

from tests.faults.fault import (
    CHUNKED,
    GOOD_REPLY,
    HEAD,
    Fault,
    Play,
    Stage,
    endless,
    sends,
)
from tests.mixpeek.servers import GOOD_BODY, reply
from worker.core.exchange import Phase
from worker.core.outcome import Outcome

_LENGTH = b"Content-Length: %d\r\n" % len(GOOD_BODY)
_INTERIM = b"HTTP/1.1 102 Processing\r\n\r\n"
_FULL_FRAME = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"  # HTTP/2: GOAWAY


async def _race(stage: Stage) -> None:
    """A kept-alive connection dies just as the request is written; a new one answers."""
    if stage.turn == 0:
        await stage.peer.send(GOOD_REPLY)
    else:
        stage.peer.writer.close()
        await stage.peer.writer.wait_closed()


async def _race_in_head(stage: Stage) -> None:
    await stage.peer.send(GOOD_REPLY if stage.turn == 0 else HEAD + b"Content-Le")
    if stage.turn:
        stage.peer.writer.close()
        await stage.peer.writer.wait_closed()


async def _unasked(stage: Stage) -> None:
    await stage.peer.send(GOOD_REPLY)
    await asyncio.sleep(0.05)
    await stage.peer.send(reply(b"", status="408 Request Timeout"))
    await stage.peer.until_left()


def _hanging(name: str, does: str, play: Play) -> Fault:
    return Fault(name=name, does=does, outcome=Outcome.TIMEOUT, play=play, died_in=Phase.WAIT, takes="time-out")


def _broken(name: str, does: str, *parts: bytes, then: str = "hang", words: str = "malformed HTTP") -> Fault:
    """Told by what came: the server need not hang up."""
    play = sends(*parts, then="close" if then == "close" else "reset" if then == "reset" else "hang", pause_s=0.02)
    return Fault(name=name, does=does, outcome=Outcome.DISCONNECTED, play=play, died_in=Phase.WAIT, words=words)


def _well(name: str, does: str, play: Play) -> Fault:
    return Fault(name=name, does=does, outcome=Outcome.SUCCESS, play=play)


FAULTS = (
    _broken("closed", "closes without a word", then="close", words="connection closed before"),
    _broken("reset", "resets without a word", then="reset", words="connection reset by peer"),
    _hanging("silent", "says nothing", sends(then="hang")),
    _hanging("head_stalls", "half a head, then nothing", sends(HEAD + b"X: ", then="hang")),
    _hanging("head_drips", "a byte of the head at a time", endless(part=b"H", pause_s=30.0)),
    _hanging("headers_drip", "a header at a time, without an end", endless(HEAD, part=b"X: y\r\n", pause_s=0.05)),
    _hanging("interims_drip", "102 Processing over and over", endless(part=_INTERIM, pause_s=0.05)),
    _broken(
        "interims_flood",
        "102 Processing as fast as it goes",
        *[_INTERIM * 500] * 20,
        then="close",
        words="too many interim",
    ),
    _hanging("interim_alone", "102 Processing, then nothing", sends(_INTERIM, then="hang")),
    _broken("headers_flood", "headers as fast as they go", HEAD, *[b"X: y\r\n" * 10_000] * 20, then="close"),
    _broken("head_cut", "closes within the head", HEAD + b"Content-Le", then="close", words="connection closed before"),
    _broken("head_reset", "resets within the head", HEAD + b"Content-Le", then="reset", words="connection reset"),
    _broken("header_huge", "a header of 20 kB", HEAD + b"X: " + b"y" * 20_000 + b"\r\n\r\n", words="too long"),
    _broken("header_name_huge", "the name of a header of 1 MB", HEAD + b"y" * 1_000_000, words="too long"),
    _broken("headers_thousands", "5,000 headers", HEAD + b"X: y\r\n" * 5000 + b"\r\n", words="Too many headers"),
    _broken("header_nul", "NUL within a header's name", HEAD + b"X\x00Y: 1\r\n\r\n"),
    _broken("header_without_name", "a header without a name", HEAD + b": 1\r\n\r\n"),
    _broken("header_without_colon", "a header without a colon", HEAD + b"nonsense\r\n\r\n"),
    _broken("no_http", "HELLO", b"HELLO\r\n\r\n", words="Bad status line"),
    _broken("body_alone", "the body without a head (HTTP/0.9)", GOOD_BODY, words="Bad status line"),
    _broken("tls_alert", "a TLS alert", b"\x15\x03\x03\x00\x02\x02\x46", words="Bad status line"),
    _broken("http2_goaway", "HTTP/2's GOAWAY", _FULL_FRAME, words="malformed HTTP"),
    _broken("other_protocol", "SSH's greeting", b"SSH-2.0-OpenSSH_9.6\r\n"),
    _broken("status_of_two_digits", "status 20", b"HTTP/1.1 20 OK\r\n\r\n"),
    _broken("status_of_four_digits", "status 2000", b"HTTP/1.1 2000 OK\r\n\r\n"),
    _broken("status_of_letters", "status OK", b"HTTP/1.1 OK\r\n\r\n"),
    _broken("lengths_differ", "two lengths", HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
    _broken("length_negative", "Content-Length: -1", HEAD + b"Content-Length: -1\r\n\r\n"),
    _broken("length_no_number", "Content-Length: many", HEAD + b"Content-Length: many\r\n\r\n"),
    _broken("length_overflows", "a length of 40 digits", HEAD + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n"),
    _broken("length_and_chunks", "both a length and chunks", CHUNKED[:-2] + _LENGTH + b"\r\n" + GOOD_BODY),
    _well("no_reason", "a status line without a reason", sends(GOOD_REPLY.replace(b"200 OK", b"200 "))),
    _well("http_1_0", "HTTP/1.0", sends(GOOD_REPLY.replace(b"HTTP/1.1", b"HTTP/1.0"), then="close")),
    _well("no_headers", "no header at all", sends(HEAD + b"\r\n" + GOOD_BODY, then="close")),
    _well(
        "cookies", "a hundred cookies", sends(reply().replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b" * 100 + b"\r\n\r\n"))
    ),
    _well("connection_close", "Connection: close", sends(reply(Connection="close"), then="close")),
    _well(
        "interims",
        "100, 102 and 103 before the reply",
        sends(
            b"HTTP/1.1 100 Continue\r\n\r\n", _INTERIM, b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", GOOD_REPLY
        ),
    ),
    _well("in_pieces", "a byte at a time, but in time", sends(*(bytes([byte]) for byte in GOOD_REPLY))),
    _well("race", "closes a connection that it had kept, under the request", _race),
    _well("race_in_head", "the same, after half a head", _race_in_head),
    _well("unasked", "408 on an idle connection", _unasked),
    _well("second_reply", "a second reply in one piece with the first", sends(GOOD_REPLY + reply(b"{}"))),
)
