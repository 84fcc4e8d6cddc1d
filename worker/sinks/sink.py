"""What every sink is: fed each recorded result, told when a target has left."""

from typing import Protocol

from worker.core.target import TargetKey
from worker.core.track import Recorded


class Sink(Protocol):
    """Neither method waits; what is slow is put off. A sink that raises silences no other: the engine sees to that."""

    def record(self, recorded: Recorded) -> None: ...

    def forget(self, key: TargetKey) -> None:
        """The target has left the configuration."""
        ...
