"""When the phases of one call began and ended: written by whoever sees it happen, read once at the end."""

from collections.abc import Callable
from contextvars import ContextVar

from worker.core.exchange import Phase, Phases


class Timeline:
    """A stopwatch with one hand: at any time at most one phase runs.

    Times are seconds on the clock that `now` reads. Between two phases may lie a gap in which none runs (we were busy
    with something else); it is counted nowhere.
    """

    __slots__ = ("_since", "_spent", "arrived_at", "cert_expiry", "fresh", "landed", "now", "phase", "ready")

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        #: The phase that runs, or that ran last.
        self.phase = Phase.CONNECT
        #: Whether the call had to make a connection.
        self.fresh = False
        #: Whether there was a connection to send on.
        self.ready = False
        #: When the newest bytes of the reply came.
        self.arrived_at = 0.0
        #: Whether the call is over: what its connection receives from now on answers nothing.
        self.landed = False
        #: When the first certificate of the peer's chain expires, Unix seconds.
        self.cert_expiry: float | None = None
        self._since: float | None = None
        self._spent: dict[Phase, float] = {}

    def enter(self, phase: Phase, at: float | None = None) -> None:
        """Ends the phase that runs and begins another, now or at a time that was noted earlier."""
        at = self.now() if at is None else at
        self.leave(at)
        self.phase = phase
        self._since = at

    def switch(self, phase: Phase) -> None:
        """What runs turns out to be another phase: it begins now and the former never happened."""
        self.phase = phase
        self._since = self.now()

    def leave(self, at: float | None = None) -> None:
        """Ends the phase that runs, if one does."""
        since = self._since
        if since is None:
            return
        self._since = None
        spent = (self.now() if at is None else at) - since
        # A host with two addresses connects twice; what was noted late may lie before what began meanwhile.
        self._spent[self.phase] = self._spent.get(self.phase, 0.0) + (spent if spent > 0.0 else 0.0)

    def land(self, *, complete: bool) -> None:
        """Ends the call: with its last byte if it came, else now."""
        self.leave(self.arrived_at if complete and self.phase is Phase.RECEIVE else None)
        self.landed = True

    def phases(self) -> Phases:
        spent = self._spent
        if len(spent) == 3 and Phase.RECEIVE in spent:  # the usual case, a reused connection, without six look-ups
            return Phases(send=spent.get(Phase.SEND), wait=spent.get(Phase.WAIT), receive=spent[Phase.RECEIVE])
        return Phases(**{phase.value: seconds for phase, seconds in spent.items()})


#: The timeline of the call that runs in this context. Callbacks of its sockets inherit it.
TIMELINE: ContextVar[Timeline] = ContextVar("timeline")
