"""What a word without quotes means in YAML 1.2: null, true, false, a number, else text.

YAML 1.1 makes `no`, `on`, `1:30` and dates something else than they seem, and an input for a model must stay as it is.
"""

import math
import re
from functools import lru_cache
from typing import Any

_WORDS: dict[str, Any] = {
    "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_BEGINNINGS = frozenset("~nNtTfF+-.0123456789")
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)|-?Infinity|NaN")


class NotJsonError(ValueError):
    """A number that JSON cannot hold."""


def plain_value(text: str) -> Any:
    """The value of an unquoted scalar. Raises NotJsonError for NaN and infinity."""
    if not text:
        return None
    if text[0] not in _BEGINNINGS and text != "Infinity":
        return text
    # Numbers and words repeat from target to target; long texts would only fill the cache.
    return _resolved_word(text) if len(text) <= 24 else _resolve(text)


def _resolve(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _DECIMAL.fullmatch(text):
        return _whole_number(text)
    if _OTHER_BASE.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return _finite(float(text))
    if _NOT_FINITE.fullmatch(text):
        return _finite(math.nan)
    return text


_resolved_word = lru_cache(maxsize=4096)(_resolve)


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python refuses to read integers of more than 4300 digits.
        raise NotJsonError("a number of more than 4300 digits; quote it if it is text") from None


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise NotJsonError("NaN and infinity are no JSON values; quote it if it is text")
    return number
