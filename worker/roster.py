"""The list of targets exchanged for another, in steps between which probes go on."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from worker.agenda import Agenda
from worker.core.overload import Demand, add_demand
from worker.core.result import SkipReason
from worker.core.target import Target, TargetKey
from worker.core.track import Track
from worker.world import Terms


class Roster(Protocol):
    """What of the engine has to do with the list."""

    terms: Terms
    stopping: SkipReason | None
    targets: dict[TargetKey, Target]
    tracks: dict[TargetKey, Track]
    agenda: Agenda

    def forget(self, key: TargetKey) -> None: ...

    def switch(self, targets: dict[TargetKey, Target], demands: dict[str, Demand]) -> None: ...

    def wake(self) -> None: ...


def replacing(roster: Roster, targets: Iterable[Target]) -> Iterator[Target | None]:
    """New targets are scheduled, those that left are forgotten, in flight or not; who is the same object as before
    costs nothing more.

    Those that leave go one by one; then the new list counts, as a whole; then what is new or changed is scheduled, and
    given out just before, so that whoever has to know of it does.
    """
    before, after, asked = roster.targets, dict[TargetKey, Target](), dict[str, Demand]()
    for target in targets:
        after[target.key] = target
        add_demand(asked, target)
        roster.tracks.setdefault(target.key, Track())
        yield None
    for key in list(before):
        if key not in after:
            del before[key]
            roster.forget(key)
        yield None
    roster.switch(after, asked)
    for key, target in after.items():
        known = before.pop(key, None)  # the old list goes one by one as well: to free it at once takes its time
        if known is not target:
            yield target
            _schedule(roster, target, known)
        yield None
    yield from roster.agenda.tidying()


def _schedule(roster: Roster, target: Target, known: Target | None) -> None:
    if roster.stopping:
        return
    if known is None and roster.tracks[target.key].last_probe_at is None:
        roster.agenda.schedule_first(target, targets=len(roster.targets), rate_per_s=roster.terms.rate_per_s)
    elif known is None or known.interval_s != target.interval_s:
        roster.agenda.schedule(target)
    else:
        return
    roster.wake()
