"""Retry-After in every spelling, with 429 and with 503."""

import json
import time
from collections.abc import Iterator
from email.utils import formatdate

from tests.faults.fault import Fault, Play, Stage, envelope, status
from tests.mixpeek.servers import reply
from worker.core.outcome import Outcome

#: None: no such header. Dates are made when they are asked for.
SPELLINGS: dict[str, tuple[str, str | None]] = {
    "absent": ("no Retry-After", None),
    "seconds": ("`1`", "1"),
    "zero": ("`0`", "0"),
    "fraction": ("`0.5`", "0.5"),
    "date": ("a date", "+"),
    "date_past": ("a date that has passed", "-"),
    "date_rfc_850": ("RFC 850's date", "Sunday, 06-Nov-94 08:49:37 GMT"),
    "date_asctime": ("asctime's date", "Sun Nov  6 08:49:37 1994"),
    "date_impossible": ("the 32nd of a month", "Sun, 32 Nov 2026 25:61:61 GMT"),
    "date_far": ("the year 9999", "Fri, 31 Dec 9999 23:59:59 GMT"),
    "date_year_10000": ("the year 10000", "Sat, 01 Jan 10000 00:00:00 GMT"),
    "century": ("100 years", "3155760000"),
    "digits": ("400 digits", "9" * 400),
    "exponent": ("`1e400`", "1e400"),
    "negative": ("`-5`", "-5"),
    "infinity": ("`inf`", "inf"),
    "nan": ("`NaN`", "NaN"),
    "words": ("`soon`", "soon"),
    "empty": ("nothing after the colon", ""),
    "list": ("`1, 2`", "1, 2"),
    "other_digits": ("digits that are not ASCII", "١٢"),
}


def _spelt(value: str) -> str:
    return formatdate(time.time() + {"+": 3600, "-": -3600}[value], usegmt=True) if value in ("+", "-") else value


def _answering(line: str, value: str | None, body: bytes) -> Play:
    async def play(stage: Stage) -> None:
        headers = {} if value is None else {"Retry_After": _spelt(value)}
        await stage.peer.send(reply(body, status=line, length=None, **headers))

    return play


def _throttled() -> Iterator[Fault]:
    for name, (does, value) in SPELLINGS.items():
        play = _answering("429 Too Many Requests", value, envelope("RateLimitError"))
        yield _limited(f"throttled_{name}", f"429, {does}", play)
    body = json.dumps({"detail": {"error": {"message": "no", "details": {"retry_after_seconds": 1e300}}}}).encode()
    yield _limited("throttled_body", "429, 1e300 seconds in its body", status("429 Too Many Requests", body))


def _limited(name: str, does: str, play: Play) -> Fault:
    return Fault(name=name, does=does, outcome=Outcome.RATE_LIMITED, play=play, takes="waits")


def _unavailable() -> Iterator[Fault]:
    for name, (does, value) in SPELLINGS.items():
        play = _answering("503 Service Unavailable", value, envelope("ServiceUnavailableError"))
        outcome = Outcome.SERVER_ERROR if value is None else Outcome.WARMING
        yield Fault(name=f"unavailable_{name}", does=f"503 in Mixpeek's envelope, {does}", outcome=outcome, play=play)
    yield Fault(
        name="unavailable_gateway",
        does="503 of a gateway, `1`",
        outcome=Outcome.SERVER_ERROR,
        play=status("503 Service Unavailable", b"<h1>Busy</h1>", Retry_After="1"),
    )


FAULTS = (*_throttled(), *_unavailable())
