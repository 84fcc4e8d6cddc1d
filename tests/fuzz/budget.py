"""How many examples the fuzz tests try, together, and which."""

import os
from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

#: All tests together; `make fuzz` asks for more.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2000"))
#: The same ones in every run, unless more are asked for: a change that breaks nothing must not be held up by an old
#: fault that is found by chance just then. The long run is there to find it, and has the time to make it small.
SAME = "FUZZ_EXAMPLES" not in os.environ

#: Of each test, those that were tried.
tried: Counter[str] = Counter()


def budget(share: float, **more: Any) -> settings:
    """For a test that takes this share of all examples."""
    return settings(
        max_examples=max(round(EXAMPLES * share), 1),
        derandomize=SAME,
        database=None,
        deadline=None,
        print_blob=True,
        phases=[Phase.generate] if SAME else [Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        **more,
    )


def fuzzed(share: float, **strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`given`, with a share of all examples, which are counted."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def counted(*args: Any, **kwargs: Any) -> None:
            tried[test.__name__] += 1
            test(*args, **kwargs)

        return budget(share)(given(**strategies)(counted))

    return decorate
