"""What is due and waits for the limits: one queue a namespace, served in turn, so that none holds up another."""

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from worker.core.limit import Limit
from worker.limits import Limits
from worker.probe import Probe


@dataclass(slots=True, eq=False)
class _Queue:
    probes: deque[Probe] = field(default_factory=deque)
    held_by: Limit | None = None
    held_at: float = 0.0
    held_until: float = 0.0


class Backlog:
    """Probes in order of arrival within a namespace, namespaces in turn. Held namespaces cost nothing."""

    def __init__(self, throttled: Callable[[Limit, float], None]) -> None:
        self._throttled = throttled  # told for how many seconds a namespace was held, and by what
        self._queues: dict[str, _Queue] = {}
        self._turns: deque[str] = deque()  # namespaces that have something to call and are not known to be held
        self._held: list[tuple[float, str]] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(self, probe: Probe, *, first: bool = False) -> None:
        """`first`: ahead of its namespace's others, for one that is asked again."""
        probe.waiting = True
        namespace = probe.target.key.namespace
        queue = self._queues.get(namespace)
        if queue is None:
            queue = self._queues[namespace] = _Queue()
            self._turns.append(namespace)
        if first:
            queue.probes.appendleft(probe)
        else:
            queue.probes.append(probe)
        self._size += 1

    def pop(self, limits: Limits, now: float) -> Probe | None:
        """The next probe that its namespace's limits allow now; None when there is none."""
        self._free_due(now)
        while self._turns:
            namespace = self._turns.popleft()
            queue = self._queues[namespace]
            hold = limits.namespace_hold(namespace, now)
            if hold is not None:
                queue.held_by, queue.held_at, queue.held_until = hold.limit, now, hold.until
                if hold.until < math.inf:
                    heapq.heappush(self._held, (hold.until, namespace))
                continue
            probe = queue.probes.popleft()
            self._size -= 1
            if queue.probes:
                self._turns.append(namespace)
            else:
                del self._queues[namespace]
            return probe
        return None

    def free(self, namespace: str, now: float) -> None:
        """A call of this namespace has ended: what waited for that may be looked at again."""
        queue = self._queues.get(namespace)
        if queue is None or queue.held_by is None:
            return
        self._throttled(queue.held_by, now - queue.held_at)
        queue.held_by = None
        self._turns.append(namespace)

    def free_all(self, now: float) -> None:
        """The limits have changed."""
        for namespace in list(self._queues):
            self.free(namespace, now)

    def next_free_at(self) -> float:
        """When the first held namespace may be looked at again; infinity when only a call's end can tell."""
        while self._held and not self._is_held(*self._held[0]):
            heapq.heappop(self._held)
        return self._held[0][0] if self._held else math.inf

    def survey(self, now: float) -> Iterator[tuple[Probe, Limit | None]]:
        """Of each namespace the probe that is next, and what holds it, if anything is known to. What it was held for so
        far is told: a namespace's limit may hold it for an hour.
        """
        for queue in self._queues.values():
            held_by = queue.held_by
            if held_by is not None:
                self._throttled(held_by, now - queue.held_at)
                queue.held_at = now
            yield queue.probes[0], held_by if queue.held_until > now else None

    def sift(self, wanted: Callable[[Probe], bool]) -> None:
        """Throws out what is no longer wanted."""
        for namespace, queue in list(self._queues.items()):
            queue.probes = deque(filter(wanted, queue.probes))
            if not queue.probes:
                del self._queues[namespace]
        self._turns = deque(namespace for namespace in self._turns if namespace in self._queues)
        self._size = sum(len(queue.probes) for queue in self._queues.values())

    def drain(self) -> list[Probe]:
        """Takes everything out."""
        probes = [probe for queue in self._queues.values() for probe in queue.probes]
        self._queues.clear()
        self._turns.clear()
        self._held.clear()
        self._size = 0
        return probes

    def _free_due(self, now: float) -> None:
        while self._held and self._held[0][0] <= now:
            until, namespace = heapq.heappop(self._held)
            if self._is_held(until, namespace):
                self.free(namespace, now)

    def _is_held(self, until: float, namespace: str) -> bool:
        """An entry of the heap may be out of date: its namespace was freed, emptied or held anew meanwhile."""
        queue = self._queues.get(namespace)
        return queue is not None and queue.held_by is not None and queue.held_until == until
