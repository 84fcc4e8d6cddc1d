"""Checks that there is an API key, without keeping or showing it."""

import re
from collections.abc import Mapping
from pathlib import Path

DEFAULT_ENV = "MIXPEEK_API_KEY"


def check_key_in_env(name: str, environ: Mapping[str, str]) -> None:
    """Raises ValueError where the variable holds no usable key."""
    # Someone may have written the key where its variable's name belongs; what looks like a name is shown.
    shown = f"environment variable {name}" if re.fullmatch(r"[A-Z][A-Z0-9_]*", name) else "the variable named here"
    if name not in environ:
        raise ValueError(f"{shown} is not set; it must hold the API key")
    _check_key(environ[name], shown)


def check_key_in_file(path: Path, name: str) -> None:
    """Raises ValueError where the file holds no usable key."""
    try:
        data = path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from None
    if data is None:
        raise ValueError(f"{name} is not there, or no file")
    _check_key(data.decode("utf-8", errors="replace"), name)


def _check_key(text: str, holder: str) -> None:
    key = text.strip()
    if not key:
        raise ValueError(f"{holder} is empty; it must hold the API key")
    if not key.isascii():
        raise ValueError(f"{holder} holds characters that are not ASCII, so it is no API key")
    if not key.isprintable() or " " in key:
        raise ValueError(f"{holder} holds white space or control characters inside; it must hold the API key alone")
