"""The rate limit: a token bucket, and the 429s that it makes."""

from pathlib import Path

import pytest

from tests.sandbox.callers import calling
from tests.sandbox.folders import handler, write_plugin
from worker.sandbox.bucket import RateLimit, TokenBucket
from worker.sandbox.plugins import load_plugin
from worker.sandbox.sandbox import Sandbox


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def test_too_many_calls_are_refused_until_the_bucket_fills_again(tmp_path: Path) -> None:
    plugin = load_plugin(write_plugin(tmp_path, handler("return {}")))
    clock = FakeClock()
    limit = RateLimit(requests=6, window_s=60, burst=2)
    async with calling(Sandbox([plugin], rate_limit=limit, clock=clock)) as caller:
        burst = [(await caller.test("greeter_1_0_0")).status for _ in range(2)]
        refused = await caller.test("greeter_1_0_0")
        clock.now_s += 9.0
        early = await caller.test("greeter_1_0_0")
        clock.now_s += 1.0
        late = await caller.test("greeter_1_0_0")
    assert burst == [200, 200]
    assert (refused.status, refused.headers["Retry-After"]) == (429, "10")
    assert refused.json == {
        "success": False,
        "status": 429,
        "error": {
            "message": "Rate limit exceeded",
            "type": "TooManyRequestsError",
            "details": {"limit": 6, "window": "1m", "retry_after": 10},
        },
    }
    assert (early.status, early.headers["Retry-After"]) == (429, "1")
    assert (late.status, late.headers["X-RateLimit-Remaining"]) == (200, "0")


def test_the_bucket_grants_its_burst_and_then_the_rate() -> None:
    clock = FakeClock()
    bucket = TokenBucket(RateLimit(requests=10, window_s=1, burst=5), clock)
    granted = 0
    for _ in range(1000):
        clock.now_s += 0.01
        granted += bucket.take().granted
    assert granted == 5 + 99


@pytest.mark.parametrize("wrong", [{"requests": 0}, {"window_s": 0}, {"burst": 0}])
def test_a_rate_limit_of_nothing_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RateLimit(**wrong)
