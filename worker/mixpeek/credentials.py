"""The API key: where it comes from, when it is read again, and how it is kept out of everything we show."""

import base64
import html
import json
import logging
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from worker.clock import Clock, SystemClock
from worker.settings import ApiSettings, ConfigError
from worker.stamp import Stamp, stamp

REDACTED = "[REDACTED]"

# How often a key file is looked at. A mounted Kubernetes secret takes a minute to change, and a 401 asks at once.
CHECK_INTERVAL_S = 1.0
# No key is as long; a wrong path to something big should not be read whole.
MAX_FILE_BYTES = 65_536
# What may stand in a header without ending it or being quoted.
_KEY = re.compile(r"[\x21-\x7e]+")
_BEARER = r"(?:(?i:bearer)(?:\s|\+|%20)+)?"

# What every reply is full of. To look for another byte of a key first takes a tenth of looking for the key.
_COMMON = b'0123456789.,-+{}[]": abcdefgiklmnoprstuwy_'

# A shorter key is likely to be part of other words.
_MIN_KEY_CHARS = 8
# A shorter beginning of a secret at the end of a text gives nothing away.
_MIN_OVERLAP_CHARS = 4

_log = logging.getLogger("plugin_probe.credentials")


class Credentials:
    """The key to send, and every spelling of every key seen in this run, to redact.

    Raises ConfigError when there is no usable key to begin with. Later a file that vanished or became invalid keeps
    the old key: a half-written rotation must not turn every probe into a 401. `tell` gets what is to be warned of.
    """

    def __init__(
        self,
        api: ApiSettings,
        environ: Mapping[str, str],
        *,
        clock: Clock | None = None,
        tell: Callable[[str], None] = _log.warning,
    ) -> None:
        self._clock = clock or SystemClock()
        self._tell = tell
        self._file = api.api_key_file
        self._stamp: Stamp = None
        self._checked_at = self._clock.now()
        self._secrets: list[str] = []
        self._spellings: tuple[str, ...] = ()
        self._byte_spellings: tuple[tuple[int, bytes], ...] = ()
        for secret in _proxy_secrets(api.proxy):
            self._remember_secret(secret)
        self._key = self._first_key(api, environ)
        self._remember_secret(self._key)

    def __repr__(self) -> str:
        return f"Credentials(file={str(self._file) if self._file else None!r})"

    def key(self) -> str:
        """The key as of now. Looks at the file's metadata at most once a second."""
        if self._file is not None:
            now = self._clock.now()
            if now - self._checked_at >= CHECK_INTERVAL_S:
                self._checked_at = now
                if stamp(self._file) != self._stamp:
                    self.reread()
        return self._key

    def remember(self, before: "Credentials") -> None:
        """Redacts from now on what these did as well."""
        for secret in before._secrets:
            self._remember_secret(secret)

    def reread(self) -> bool:
        """Reads the key file now, whatever its metadata say; True when the key changed."""
        if self._file is None:
            return False
        # The stamp is taken first: a write in between is then seen at the next check.
        before = stamp(self._file)
        key = _read(self._file)
        if key is None:
            return False
        if before != self._stamp:  # a 401 reads it again, and would tell the same each time
            self._warn_of(self._file)
        self._stamp = before
        changed = key != self._key
        self._key = key
        self._remember_secret(key)
        return changed

    def redact(self, text: str) -> str:
        """`text` with every secret of this run replaced, in any spelling, with or without "Bearer"."""
        for spelling in self._spellings:
            if spelling in text:
                return self._pattern.sub(REDACTED, text)
        return text

    def redact_bytes(self, body: bytes) -> bytes:
        """As `redact`, for bytes that are not parsed yet."""
        for mark, spelling in self._byte_spellings:
            if mark in body and spelling in body:
                return self._byte_pattern.sub(REDACTED.encode(), body)
        return body

    def redact_value(self, value: Any) -> Any:
        """A JSON value with the secrets redacted in its strings and names, however they were escaped on the wire."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, list):
            return [self.redact_value(item) for item in value]
        if isinstance(value, dict):
            return {self.redact(name): self.redact_value(item) for name, item in value.items()}
        return value

    def redact_cut(self, text: str) -> str:
        """As `redact`, for text that may have been cut in the middle of a secret: a beginning at its end goes too."""
        text = self.redact(text)
        longest = max((_overlap(text, spelling) for spelling in self._spellings), default=0)
        return text[: len(text) - longest] + REDACTED if longest >= _MIN_OVERLAP_CHARS else text

    def _first_key(self, api: ApiSettings, environ: Mapping[str, str]) -> str:
        if self._file is not None:
            self._stamp = stamp(self._file)
            key = _read(self._file)
            self._warn_of(self._file)
            source = f"api.api_key_file: {self._file}"
        else:
            name = api.api_key_env or ""
            key = _usable(environ.get(name, ""))
            source = f"api.api_key_env: {name}"
        if key is None:
            raise ConfigError([f"{source}: no API key there (one word of printable ASCII)"])
        return key

    def _warn_of(self, file: Path) -> None:
        told = exposure(file)
        if told:
            self._tell(told)

    def _remember_secret(self, secret: str) -> None:
        if secret in self._secrets:
            return
        self._secrets.append(secret)
        known = {*self._spellings, *_spellings(secret)}
        # Longest first, so that a spelling which contains another is replaced whole.
        self._spellings = tuple(sorted(known, key=lambda spelling: (-len(spelling), spelling)))
        encoded = [spelling.encode() for spelling in self._spellings]
        self._byte_spellings = tuple((_rarest(spelling), spelling) for spelling in encoded)
        pattern = f"{_BEARER}(?:{'|'.join(map(_matching, self._spellings))})"
        self._pattern = re.compile(pattern)
        self._byte_pattern = re.compile(pattern.encode())


def exposure(file: Path | None) -> str | None:
    """Who else can read the key file and how to mend that; None where only its owner and group can."""
    try:
        mode = stat.S_IMODE(file.stat().st_mode) if file else 0
    except OSError:  # gone, which others tell
        return None
    if not mode & stat.S_IROTH:
        return None
    return (
        f"api.api_key_file: {file}: everybody on this machine can read it (mode {mode:04o});"
        f" chmod 600 it, or set defaultMode: 0440 where Kubernetes mounts it"
    )


def _rarest(spelling: bytes) -> int:
    return next((byte for byte in spelling if byte not in _COMMON), spelling[0])


def _matching(spelling: str) -> str:
    """A short key is redacted as a word of its own only: `test` must not eat half of what a reply says."""
    literal = re.escape(spelling)
    return literal if len(spelling) >= _MIN_KEY_CHARS else rf"(?<![\w.-]){literal}(?![\w.-])"


def _overlap(text: str, spelling: str) -> int:
    """How many of the first characters of `spelling` stand at the end of `text`."""
    for length in range(min(len(text), len(spelling) - 1), 0, -1):
        if text.endswith(spelling[:length]):
            return length
    return 0


def _spellings(secret: str) -> set[str]:
    """The ways in which servers, proxies and serializers write a text."""
    quoted = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    escaped = json.dumps(secret)[1:-1]
    return {
        secret,
        escaped,
        escaped.replace("/", "\\/"),
        html.escape(secret),
        html.escape(secret, quote=False),
        secret.replace("'", "''"),  # as YAML quotes it
        repr(secret)[1:-1],
        *quoted,
        *(re.sub("%..", lambda found: found.group().lower(), text) for text in quoted),
    }


def _read(file: Path) -> str | None:
    try:
        if file.is_fifo():  # to open it would stop the event loop until somebody writes to it
            return None
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError:
        return None
    return None if len(content) > MAX_FILE_BYTES else _usable(content.decode(errors="replace"))


def _usable(text: str) -> str | None:
    key = text.strip()
    return key if _KEY.fullmatch(key) else None


def _proxy_secrets(proxy: str | None) -> list[str]:
    """The password, or the user where he alone is the secret, as written and as meant, and what is sent of both."""
    try:
        parts = urlsplit(proxy or "")
    except ValueError:
        return []
    written = parts.password or parts.username
    if not written:
        return []
    sent = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return [written, unquote(written), base64.b64encode(sent.encode("latin-1", errors="replace")).decode()]
