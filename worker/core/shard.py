"""Shards: which of the targets are whose, when several workers share them without talking to each other."""

from dataclasses import dataclass
from hashlib import blake2b

from worker.core.target import TargetKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One of `count` workers; `index` counts from 0."""

    index: int
    count: int

    def holds(self, key: TargetKey) -> bool:
        """Whether the target is ours."""
        return self.holder(key) == self.index

    def holder(self, key: TargetKey) -> int:
        """The index of the shard whose target it is.

        Rendezvous hashing: one worker more takes over some targets of each, and no other target moves.
        """
        return max(range(self.count), key=lambda index: _weight(key, index))

    def part(self, total: int) -> int:
        """Our part of what is to be shared; all parts add up to the total."""
        return total // self.count + (self.index < total % self.count)


def _weight(key: TargetKey, index: int) -> bytes:
    return blake2b(f"{index}\0{key.namespace}\0{key.plugin}".encode(errors="surrogatepass"), digest_size=8).digest()
