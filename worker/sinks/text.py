"""Text that a reply can choose, made fit for one line of a log, a terminal or a report."""

import math
import re
from collections.abc import Callable

#: Takes the secrets out of a text.
Redact = Callable[[str], str]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_WHITE = re.compile(r"\s+")


def unchanged(text: str) -> str:
    """The Redact of those who have no secrets."""
    return text


def one_line(text: str | None, most: int, redact: Redact = unchanged) -> str | None:
    """At most `most` characters on one line, without control characters; None stays None.

    Redacted before it is cut, so that no half of a secret stays; only the beginning of a long text is looked at.
    """
    if text is None:
        return None
    text = redact(text)
    line = tame(_WHITE.sub(" ", text[: 4 * most]).strip())
    return line if len(line) <= most and len(text) <= 4 * most else line[: most - 1] + "…"


def tame(text: str, *, keep_lines: bool = False) -> str:
    """Control characters and lone surrogates spelt out: an escape sequence can't reach a terminal."""
    if text.isprintable():
        return text
    return (_CONTROL_BUT_LINES if keep_lines else _CONTROL).sub(_spell, text)


def _spell(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def finite(value: float | None, digits: int = 6) -> float | None:
    """Rounded to microseconds, and None for what JSON can't say."""
    return None if value is None or not math.isfinite(value) else round(value, digits)


def seconds(value: float | None) -> str:
    """0.0123 is 12.3 ms, 1.5 is 1.50 s."""
    if value is None:
        return "–"
    return f"{value:.2f} s" if value >= 0.9995 else f"{value * 1000:.3g} ms"
