"""A server that metrics are sent to: the session with it, what its refusals say, and for how long it is asked again."""

import asyncio
import base64
import math
import os
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http.client import responses
from pathlib import Path
from typing import TypeVar

import aiohttp
from aiohttp.resolver import AsyncResolver

from worker.clock import Clock, SystemClock
from worker.retry_after import retry_after_s
from worker.settings import ReceiverSettings
from worker.sinks.text import one_line
from worker.version import VERSION

#: So much of a refusal is shown.
MOST_REASON_CHARS = 200
#: A connection that takes longer is tried anew: packets to an address that has just gone are lost without a word.
CONNECT_S = 5.0
#: The first pause before asking again is at most this long, each next one twice that, none longer than the second.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0

_MOST_REASON_BYTES = 4096
_MOST_PASSWORD_BYTES = 65_536

T = TypeVar("T")


class ReceiverError(OSError):
    """Nothing was taken, or not all of it. Says why on one line, which holds no secret."""


class RefusedError(ReceiverError):
    """An answer other than 2xx. `retry_after` is that header as it came."""

    def __init__(self, status: int, reason: str, retry_after: str | None = None) -> None:
        self.status, self.retry_after = status, retry_after
        phrase = responses.get(status, "")
        super().__init__(f"answered {status} {phrase}".rstrip() + (f": {reason}" if reason else ""))

    @property
    def passes(self) -> bool:
        """Whether the same request may be taken a little later."""
        return self.status == 429 or self.status >= 500


@asynccontextmanager
async def session(settings: ReceiverSettings) -> AsyncIterator[aiohttp.ClientSession]:
    """With its password and authorities as they stand in their files now; without proxies, cookies and a time-out.

    Requests say `allow_redirects=False`: what is followed arrives as a GET without a body. Raises ReceiverError for a
    file that can't be used.
    """
    headers = {"User-Agent": f"plugin-probe/{VERSION}"}
    if settings.username is not None and settings.password_file is not None:
        pair = settings.username.encode() + b":" + _password(settings.password_file)
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    tls = _tls_context(settings.ca_file) if settings.url.startswith("https:") else True
    resolver = AsyncResolver()  # aiohttp's default may be a thread, which would hold up the exit
    try:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, resolver=resolver),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
        ) as opened:
            yield opened
    finally:
        await resolver.close()


async def check(response: aiohttp.ClientResponse) -> None:
    """Raises RefusedError unless the status is 2xx."""
    if not 200 <= response.status < 300:
        reason = await refusal(response)
        raise RefusedError(response.status, reason, response.headers.get("Retry-After"))


async def refusal(response: aiohttp.ClientResponse) -> str:
    """The beginning of the body on one line, without control characters and without what the request was signed with;
    empty when there is none.
    """
    body = b""
    with suppress(aiohttp.ClientError):  # the status is known, and what came of the reason will do
        while len(body) < _MOST_REASON_BYTES and (piece := await response.content.read(_MOST_REASON_BYTES)):
            body += piece
    text = body[:_MOST_REASON_BYTES].decode(errors="replace")
    for secret in _signed_with(response.request_info.headers.get("Authorization", "")):
        text = text.replace(secret, "[REDACTED]")
    return one_line(text, MOST_REASON_CHARS) or ""


class Patience:
    """The time that everything together may take, and how it is spent on asking again; it passes only while asking."""

    def __init__(
        self,
        timeout_s: float,
        *,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._timeout_s = self._rest_s = timeout_s
        self._clock = clock or SystemClock()
        self._sleep, self._uniform = sleep, uniform

    async def retried(self, attempt: Callable[[], Awaitable[T]], *, tries: float = math.inf) -> T:
        """What `attempt` returns, which is made anew after a network error, a 429 or a 5xx, while time and tries last.

        Pauses are exponential with full jitter, and none is shorter than a Retry-After. Raises ReceiverError.
        """
        self._until = self._clock.now() + self._rest_s
        try:
            return await self._retried(attempt, tries)
        finally:
            self._rest_s = self._left_s()

    async def _retried(self, attempt: Callable[[], Awaitable[T]], tries: float) -> T:
        last: ReceiverError | None = None
        tried = 0
        while True:
            tried += 1
            try:
                async with asyncio.timeout(max(self._left_s(), 0.0)) as limit:
                    return await attempt()
            except ReceiverError as error:
                if not isinstance(error, RefusedError) or not error.passes:
                    raise
                last = error
            except (aiohttp.ClientError, OSError) as error:
                if limit.expired():
                    raise self._out_of_time(tried, last) from None
                last = ReceiverError(_described(error))
                if isinstance(error, ssl.SSLError):  # as wrong a second later
                    raise last from None
            if tried >= tries:
                raise last from None
            pause_s = self._pause_s(tried, last)
            if pause_s >= self._left_s():
                raise self._out_of_time(tried, last) from None
            await self._sleep(pause_s)

    def _left_s(self) -> float:
        return self._until - self._clock.now()

    def _pause_s(self, tried: int, last: ReceiverError) -> float:
        pause_s = self._uniform(0.0, min(FIRST_PAUSE_S * 2 ** min(tried - 1, 16), LONGEST_PAUSE_S))
        asked = last.retry_after if isinstance(last, RefusedError) else None
        return max(pause_s, (retry_after_s(asked, self._clock.wall()) or 0.0) if asked else 0.0)

    def _out_of_time(self, tried: int, last: ReceiverError | None) -> ReceiverError:
        if last is None:
            return ReceiverError(f"not done within {self._timeout_s:g} s")
        return ReceiverError(f"{last} ({tried} {'try' if tried == 1 else 'tries'} within {self._timeout_s:g} s)")


def _password(file: Path) -> bytes:
    if file.is_fifo():  # to open it would stop the event loop until somebody writes to it
        raise ReceiverError(f"password_file: {file}: is a pipe")
    try:
        with file.open("rb") as stream:
            password = stream.read(_MOST_PASSWORD_BYTES).strip()
    except OSError as error:
        raise ReceiverError(f"password_file: {file}: {_reason(error)}") from None
    if not password:
        raise ReceiverError(f"password_file: {file}: is empty")
    return password


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ReceiverError(f"ca_file: {ca_file}: {_reason(error)}") from None


def _signed_with(authorization: str) -> list[str]:
    encoded = authorization.removeprefix("Basic ")
    password = base64.b64decode(encoded).partition(b":")[2].decode(errors="replace")
    return [secret for secret in (encoded, password) if secret]


def _described(error: Exception) -> str:
    """One line. aiohttp's own texts hold URLs, addresses of objects and byte strings."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"cannot resolve {error.host}: {_reason(error.os_error)}"
        case aiohttp.ClientConnectorCertificateError():
            refused = error.certificate_error
            return f"certificate not accepted: {getattr(refused, 'verify_message', None) or _reason(refused)}"
        case aiohttp.ClientConnectorSSLError():
            return f"TLS handshake failed: {_reason(error.os_error)}"
        case aiohttp.ClientConnectorError():
            return f"cannot connect to {error.host}:{error.port}: {_reason(error.os_error)}"
        case aiohttp.ConnectionTimeoutError():
            return f"no connection within {CONNECT_S:g} s"
        case aiohttp.ClientResponseError():
            return "what came is no HTTP"
        case OSError():
            return f"connection lost: {_reason(error)}"
    return "the connection ended before the answer was complete"


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no usable PEM").replace("_", " ").lower()
    number = getattr(error, "errno", None) or 0
    return (os.strerror(number) if number > 0 else getattr(error, "strerror", None) or type(error).__name__).lower()
