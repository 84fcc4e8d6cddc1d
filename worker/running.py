"""The probes under way, waiting or in flight: never two of one target at a time."""

import asyncio
from collections import Counter

from worker.core.target import TargetKey
from worker.probe import Probe


class Running:
    """Which probe of each target counts, how many there are of each namespace, and who waits for one to end."""

    def __init__(self) -> None:
        self._probes: dict[TargetKey, Probe] = {}
        self._waiting: dict[TargetKey, asyncio.Future[None]] = {}
        self.namespaces: Counter[str] = Counter()

    def __contains__(self, key: TargetKey) -> bool:
        return key in self._probes

    def __len__(self) -> int:
        return len(self._probes)

    def __getitem__(self, key: TargetKey) -> Probe:
        return self._probes[key]

    def add(self, probe: Probe) -> None:
        self._probes[probe.target.key] = probe
        self.namespaces[probe.target.key.namespace] += 1

    def is_current(self, probe: Probe) -> bool:
        """False when its target has left, or has come back since."""
        return self._probes.get(probe.target.key) is probe

    def end(self, key: TargetKey) -> None:
        """The target's probe, if there is one, is done with."""
        if self._probes.pop(key, None) is not None:
            self.namespaces[key.namespace] -= 1
            if not self.namespaces[key.namespace]:
                del self.namespaces[key.namespace]
        waiting = self._waiting.pop(key, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def wait_for(self, key: TargetKey) -> asyncio.Future[None]:
        """Done when the target's probe ends."""
        return self._waiting.setdefault(key, asyncio.get_running_loop().create_future())


def cancelled() -> bool:
    """Whether somebody cancelled this task; a CancelledError may also leak out of the client."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
