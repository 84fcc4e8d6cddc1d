"""Retry-After: for how long a server asks to be left alone, in either form that the header has (RFC 9110)."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_tz

#: A year. More is a mistake of the server's, and a float of 300 digits is no use to anybody who adds it to a clock.
MAX_RETRY_AFTER_S = 31_536_000.0
_SECONDS = re.compile(r"\d{1,300}(?:\.\d{1,300})?", re.ASCII)


def retry_after_s(value: str, now: float) -> float | None:
    """Seconds from `now`, Unix time; None for what is neither a number, zero or more, nor a date."""
    seconds = seconds_of(value)
    return _seconds_until(value, now) if seconds is None else seconds


def seconds_of(text: str) -> float | None:
    """A number of seconds, zero or more; None for anything else."""
    return min(float(text), MAX_RETRY_AFTER_S) if _SECONDS.fullmatch(text := text.strip()) else None


def _seconds_until(value: str, now: float) -> float | None:
    """Seconds until an HTTP date in any of the three forms of RFC 9110; a date that has passed gives 0."""
    try:
        parts = parsedate_tz(value[:100])
        if parts is None:
            return None
        # asctime has no zone; HTTP says that it is UTC.
        at = datetime(*parts[:6], tzinfo=UTC).timestamp() - (parts[9] or 0)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(at - now, 0.0), MAX_RETRY_AFTER_S)
