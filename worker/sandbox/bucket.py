"""The token bucket behind the X-RateLimit headers and the 429s."""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """`requests` per `window_s` on average, and at most `burst` at once (default: a window's worth)."""

    requests: int = 600
    window_s: int = 60
    burst: int | None = None

    def __post_init__(self) -> None:
        if self.requests < 1 or self.window_s < 1 or (self.burst is not None and self.burst < 1):
            raise ValueError(f"a rate limit's requests, window and burst are at least 1, not {self}")

    @property
    def window(self) -> str:
        """The window as error bodies write it: 1m, 10s."""
        return f"{self.window_s // 60}m" if self.window_s % 60 == 0 else f"{self.window_s}s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where the caller stands after asking; `full_in_s` is when the bucket is full again."""

    granted: bool
    remaining: int
    full_in_s: float
    retry_after_s: int


class TokenBucket:
    """Refills steadily: 600 per 60 s is a token every 100 ms."""

    def __init__(self, limit: RateLimit, clock: Callable[[], float]) -> None:
        self._capacity = float(limit.burst or limit.requests)
        self._tokens_per_s = limit.requests / limit.window_s
        self._clock = clock
        self._tokens = self._capacity
        self._filled_at = clock()

    def take(self) -> Standing:
        """Takes a token when there is one."""
        self._refill()
        granted = self._tokens >= 1.0
        if granted:
            self._tokens -= 1.0
        return self._standing(granted)

    def look(self) -> Standing:
        """Takes nothing: for replies that are not billed."""
        self._refill()
        return self._standing(self._tokens >= 1.0)

    def _refill(self) -> None:
        now = self._clock()
        gained = (now - self._filled_at) * self._tokens_per_s
        self._tokens = min(self._capacity, self._tokens + gained)
        self._filled_at = now

    def _standing(self, granted: bool) -> Standing:
        # Rounding errors of the refill must not hide a token that is there, hence the nudge.
        missing = 1.0 - self._tokens - 1e-9
        return Standing(
            granted=granted,
            remaining=int(self._tokens + 1e-9),
            full_in_s=(self._capacity - self._tokens) / self._tokens_per_s,
            retry_after_s=max(1, math.ceil(missing / self._tokens_per_s)),
        )
