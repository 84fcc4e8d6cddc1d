"""What would fit where a limit does not: in the configuration's own words, for whoever has to change it."""

import math


def rate_text(per_second: float) -> str:
    """The least rate that can be written which allows that many calls a second."""
    unit, seconds = ("s", 1.0) if per_second >= 1 else ("m", 60.0) if per_second * 60 >= 1 else ("h", 3600.0)
    # Without the small allowance 0.1 + 0.2 would ask for one call more than 0.3 does.
    return f"{max(1, math.ceil(per_second * seconds - 1e-9))}/{unit}"


def rate_remedy(name: str, per_second: float, factor: float) -> str:
    """`name` is the key to change, `factor` how many times too small its value is."""
    return f"{name}: {rate_text(per_second)} fits, or {intervals_remedy(factor)}"


def concurrency_remedy(name: str, calls: int, factor: float) -> str:
    return f"{name}: {calls} fits, or {intervals_remedy(factor)}, or shorter timeouts"


def intervals_remedy(factor: float) -> str:
    """1.41 times is said as 1.5 times: what is said fits."""
    return f"intervals {math.ceil(factor * 10 - 1e-9) / 10:g} times as long"
