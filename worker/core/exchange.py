"""One call and what came back: Exchange, its phases, and the four kinds of answer."""

from enum import StrEnum
from typing import Any, NamedTuple


class Phase(StrEnum):
    """The phases of a call, in order."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    SEND = "send"
    WAIT = "wait"
    RECEIVE = "receive"


class Phases(NamedTuple):
    """Seconds spent in each phase; None where it did not happen. No wait of ours is in any of them."""

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    send: float | None = None
    wait: float | None = None
    receive: float | None = None

    @property
    def duration_s(self) -> float | None:
        """send + wait + receive: what a caller with an open connection waits. None before anything was sent."""
        if self.send is None:
            return None
        return self.send + (self.wait or 0.0) + (self.receive or 0.0)

    @property
    def connecting_s(self) -> float:
        """dns + connect + tls: what a new connection took."""
        return (self.dns or 0.0) + (self.connect or 0.0) + (self.tls or 0.0)

    def as_dict(self) -> dict[str, float | None]:
        return {name: getattr(self, name) for name in PHASE_NAMES}


PHASE_NAMES: tuple[str, ...] = Phases._fields


class Failure(StrEnum):
    """Why a call ended without a complete answer."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    DISCONNECTED = "disconnected"
    TOO_LARGE = "too_large"


class Reply(NamedTuple):
    """A 2xx reply of the documented contract, types checked, contents not yet judged."""

    status: str
    inference_name: str
    raw_response: Any = None
    response_type: str | None = None
    response_keys: tuple[str, ...] | None = None
    error: str | None = None
    message: str | None = None


class Refusal(NamedTuple):
    """Any complete answer that is not 2xx.

    `enveloped` says that the body was Mixpeek's own error envelope; `retry_after_s` is what the reply asked for
    (header in seconds or as a date, then the body's fields), not capped, None when it can't be read.
    `retry_after_present` says that there was a Retry-After header, readable or not.
    """

    error: str
    error_type: str | None = None
    error_code: str | None = None
    enveloped: bool = False
    retry_after_s: float | None = None
    retry_after_present: bool = False


class Malformed(NamedTuple):
    """A complete 2xx answer that is not the documented reply."""

    expected: str
    found: str


class NoReply(NamedTuple):
    """No complete answer; `died_in` is the phase in which the call ended."""

    failure: Failure
    died_in: Phase
    error: str


Answer = Reply | Refusal | Malformed | NoReply


class Exchange(NamedTuple):
    """One call as it went over the wire.

    `started_at` and `ended_at` are Unix seconds; `timeout_s` is what the call was given; `lost_s` is how long our own
    event loop stood still meanwhile; `response_bytes` counts the body after decompression; `excerpt` is the beginning
    of the body, at most 2 kB, without secrets; `stale` says that a kept-alive connection died before the head of a
    reply was complete, as it does when the server closes it just as the request is written, or that the server ended
    it with a 408; `headers` are kept only where somebody will look at them (`check`).
    """

    started_at: float
    ended_at: float
    timeout_s: float
    answer: Answer
    phases: Phases = Phases()
    lost_s: float = 0.0
    http_status: int | None = None
    response_bytes: int | None = None
    request_id: str | None = None
    excerpt: str | None = None
    reused_connection: bool = False
    stale: bool = False
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def duration_s(self) -> float | None:
        return self.phases.duration_s

    @property
    def died_in(self) -> Phase | None:
        return self.answer.died_in if isinstance(self.answer, NoReply) else None
