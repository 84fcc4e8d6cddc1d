"""When the phases of one call began and ended: written by whoever sees it happen, read once at the end."""

from collections.abc import Callable
from contextvars import ContextVar

from worker.core.exchange import Phase, Phases


class Timeline:
    """First a stopwatch with one hand, for what making a connection takes; then four marks, from the request's first
    byte to the reply's last. The marks are what every call has, so they cost no more than an assignment each.

    Times are seconds on the clock that `now` reads. Between two connecting phases may lie a gap in which none runs (we
    were busy with something else); it is counted nowhere.
    """

    __slots__ = (
        "_phase",
        "_since",
        "_spent",
        "arrived_at",
        "cert_expiry",
        "ended_at",
        "fresh",
        "heard_at",
        "now",
        "sent_at",
        "written_at",
    )

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        #: Whether the call had to make a connection.
        self.fresh = False
        #: When the first certificate of the peer's chain expires, Unix seconds.
        self.cert_expiry: float | None = None
        #: When there was a connection, and the request began to go out.
        self.sent_at: float | None = None
        #: When all of it was with the system.
        self.written_at: float | None = None
        #: When the bytes came that completed the reply's head.
        self.heard_at: float | None = None
        #: When the newest bytes of the reply came.
        self.arrived_at = 0.0
        self.ended_at = 0.0
        self._phase = Phase.CONNECT
        self._since: float | None = None
        self._spent: dict[Phase, float] | None = None

    @property
    def phase(self) -> Phase:
        """The phase that runs, or that ran last."""
        if self.heard_at is not None:
            return Phase.RECEIVE
        if self.written_at is not None:
            return Phase.WAIT
        return self._phase if self.sent_at is None else Phase.SEND

    # While there is no connection ------------------------------------------------------------------------------------

    def enter(self, phase: Phase, at: float | None = None) -> None:
        """Ends the phase that runs and begins another, now or at a time that was noted earlier."""
        at = self.now() if at is None else at
        self.leave(at)
        self._phase = phase
        self._since = at

    def switch(self, phase: Phase) -> None:
        """What runs turns out to be another phase: it begins now and the former never happened."""
        self._phase = phase
        self._since = self.now()

    def leave(self, at: float | None = None) -> None:
        """Ends the phase that runs, if one does."""
        since = self._since
        if since is None:
            return
        self._since = None
        spent = self._spent = self._spent or {}
        # A host with two addresses connects twice.
        spent[self._phase] = spent.get(self._phase, 0.0) + _span(since, self.now() if at is None else at)

    # On a connection -------------------------------------------------------------------------------------------------

    def send(self) -> None:
        """There is a connection; the request goes out now."""
        self.sent_at = at = self.now()
        self.leave(at)

    def land(self, *, complete: bool) -> None:
        """Ends the call: with its last byte if it came, else now."""
        self.ended_at = self.arrived_at if complete and self.heard_at is not None else self.now()
        self.leave(self.ended_at)

    def phases(self) -> Phases:
        """Of a call that has landed."""
        spent = self._spent
        sent, written, heard, ended = self.sent_at, self.written_at, self.heard_at, self.ended_at
        answered = ended if heard is None else heard
        dns, connect, tls = [spent.get(phase) for phase in _CONNECTING] if spent else _REUSED
        return Phases(
            dns,
            connect,
            tls,
            None if sent is None else _span(sent, answered if written is None else written),
            None if written is None else _span(written, answered),
            None if heard is None else _span(heard, ended),
        )


_CONNECTING = (Phase.DNS, Phase.CONNECT, Phase.TLS)
_REUSED = (None, None, None)


def _span(since: float, until: float) -> float:
    """What was noted late may lie before what began meanwhile."""
    return until - since if until > since else 0.0


#: The timeline of the call that runs in this context. Callbacks of its sockets inherit it.
TIMELINE: ContextVar[Timeline] = ContextVar("timeline")
