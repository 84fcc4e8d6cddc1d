"""Durations, sizes and rates: from text to numbers and back, with the message for whoever writes them wrong."""

import math
import re
from functools import lru_cache

from worker.settings import Rate

DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)?$"
SIZE_PATTERN = r"^[0-9]+(KiB|MiB)?$"
PERCENT_PATTERN = r"^[0-9]{1,2}(\.[0-9]+)?%$"
RATE_PATTERN = r"^[1-9][0-9]*/(s|m|h)$"

MAX_DURATION_S = 366 * 86400.0
MAX_SIZE_BYTES = 1024 * 1024 * 1024
MAX_RATE_COUNT = 1_000_000
#: Of a text so many characters are quoted.
MOST_SHOWN = 60

_SECONDS_PER_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MS_PER_UNIT = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_BYTES_PER_UNIT = {"MiB": 1024 * 1024, "KiB": 1024}

_DURATION = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)[ ]?(ms|s|m|h|d)?", re.ASCII)
_SIZE = re.compile(r"([0-9]{1,20})[ ]?(KiB|MiB)?", re.ASCII)
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,10})?)[ ]?%", re.ASCII)
_RATE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)[ ]?/[ ]?(s|m|h)", re.ASCII)


def shown(value: object) -> str:
    """A value as a message quotes it: one short line whatever it holds."""
    if isinstance(value, str):
        return f"'{_clipped(value)}'"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    if isinstance(value, (int, float)):
        # An integer of thousands of digits may not be turned into text at all.
        return _clipped(repr(value)) if abs(value) < 1e300 else "a huge number"
    return "a list" if isinstance(value, list) else "a mapping"


def _clipped(text: str, limit: int = MOST_SHOWN) -> str:
    line = text[: limit + 1].encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return line if len(line) <= limit else line[:limit] + "…"


def parse_duration(text: str) -> float:
    """Seconds, from `250ms`, `30s`, `5m`, `1h`, `30d` or a number of seconds; positive. Raises ValueError."""
    return duration_s(text)


def duration_s(value: object, *, zero: bool = False) -> float:
    """As parse_duration, also for numbers; 0 is allowed with `zero`."""
    if isinstance(value, str):
        seconds = _duration_of_text(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        # Compared before it is converted: an integer may be too large for a float.
        seconds = float(value) if abs(value) <= MAX_DURATION_S else math.inf if value > 0 else -math.inf
    else:
        raise ValueError(_no_duration(value))
    if seconds < 0 or (seconds == 0 and not zero):
        least = "zero or more" if zero else "more than zero"
        raise ValueError(f"a duration here is {least}, not {shown(value)}")
    if seconds > MAX_DURATION_S:
        raise ValueError(f"{shown(value)} is too long; a duration is at most 366d")
    return seconds


@lru_cache(maxsize=1024)
def _duration_of_text(text: str) -> float:
    match = _DURATION.fullmatch(text.strip().removeprefix("-"))
    if match is None:
        raise ValueError(_no_duration(text))
    sign = -1.0 if text.strip().startswith("-") else 1.0
    number, unit = match.groups()
    # Divided, not multiplied by 0.001, so that 100ms is exactly 0.1.
    seconds = float(number) / 1000 if unit == "ms" else float(number) * _SECONDS_PER_UNIT[unit or "s"]
    return sign * seconds


def _no_duration(value: object) -> str:
    return f"{shown(value)} is no duration; write it like 250ms, 30s, 5m, 1h or 30d, or as a number of seconds"


def duration_text(seconds: float) -> str | int | float:
    """The shortest way to write it that reads back as the same number of seconds."""
    ms = round(seconds * 1000)
    if ms / 1000 != seconds:
        return seconds
    if ms == 0:
        return "0s"
    # 90 s stays 90s and 86400 s becomes 1d: the largest unit that divides it.
    unit = next(unit for unit, size in _MS_PER_UNIT.items() if ms % size == 0)
    return f"{ms // _MS_PER_UNIT[unit]}{unit}"


def size_bytes(value: object) -> int:
    """Bytes, from a number of bytes, `512KiB` or `4MiB`; at least 1. Raises ValueError."""
    size: object = value
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        size = int(match[1]) * _BYTES_PER_UNIT.get(match[2], 1) if match else None
    if isinstance(size, bool) or not isinstance(size, int):
        raise ValueError(f"{shown(value)} is no size; write it like 512KiB or 4MiB, or as a number of bytes")
    if not 1 <= size <= MAX_SIZE_BYTES:
        raise ValueError(f"a size is from 1 byte to 1024MiB, not {shown(value)}")
    return size


def size_text(size: int) -> str | int:
    for unit, factor in _BYTES_PER_UNIT.items():
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return size


def objective(value: object) -> float:
    """A share of more than 0 and less than 1, from `99.5%` or 0.995. Raises ValueError."""
    match = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    share = round(float(match[1]) / 100, 12) if match else value  # 99.9 / 100 is not quite 0.999
    if isinstance(share, bool) or not isinstance(share, (int, float)):
        raise ValueError(f"{shown(value)} is no objective; write it like 99.5%, or as a share like 0.995")
    if not 0 < share < 1:
        raise ValueError(f"an objective is more than 0% and less than 100%, not {shown(value)}: nothing is always up")
    return float(share)


def percent_text(share: float) -> str | float:
    """As `objective` reads it back: a percentage, unless its digits do not suffice."""
    written = f"{round(share * 100, 10):.12g}%"
    match = _PERCENT.fullmatch(written)
    return written if match and round(float(match[1]) / 100, 12) == share else share


def rate(value: object) -> Rate:
    """Calls per window, from `5/s`, `30/m` or `1000/h`. Raises ValueError."""
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        hint = f"; for that many a second write {value}/s" if _is_count(value) else ""
        raise ValueError(f"{shown(value)} is no rate; write it like 5/s, 30/m or 1000/h{hint}")
    number, unit = match.groups()
    if "." in number:
        raise ValueError(f"{shown(value)} is no rate: it takes a whole number{_whole_rate_hint(float(number), unit)}")
    if not 1 <= int(number) <= MAX_RATE_COUNT:
        raise ValueError(f"a rate is from 1 to {MAX_RATE_COUNT} calls per window, not {shown(value)}")
    return Rate(count=int(number), period_s=_SECONDS_PER_UNIT[unit])


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_RATE_COUNT


def _whole_rate_hint(number: float, unit: str) -> str:
    """0.5/s is 30/m: the same rate over the next longer window in which it is whole."""
    for longer in ("s", "m", "h"):
        count = number * _SECONDS_PER_UNIT[longer] / _SECONDS_PER_UNIT[unit]
        if 1 <= count <= MAX_RATE_COUNT and count == int(count):
            return f"; write {int(count)}/{longer}"
    return "; write it over a longer window, like 30/m or 10/h"
