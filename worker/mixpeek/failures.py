"""What went wrong when no complete answer came: one table from exceptions to failures, and a line for each."""

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from worker.core.exchange import Failure, NoReply, Phase
from worker.mixpeek.excerpts import one_line


class LocalError(OSError):
    """This machine ran out of something that a call needs; it proves nothing about the plugin."""


class TooLargeError(Exception):
    """The body is longer, once decoded, than we read."""


class MalformedHeadError(Exception):
    """What came is no head of an HTTP reply; the cause is the parser's."""


class TooManyInterimsError(MalformedHeadError):
    """Interim replies without an end: they are no head, so no cap on a head ends them."""

    message = "too many interim replies"


class UndecodableError(Exception):
    """The body came in a content encoding that we cannot decode, nor asked for."""


_LOCAL_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
_RESET_ERRNOS = frozenset({errno.ECONNRESET, errno.EPIPE})

# Most specific first; the first that fits decides. None: whatever failure the phase stands for. The order matters,
# since DNS, proxy and TLS errors all are ClientConnectorErrors, and those are ClientOSErrors.
_TABLE: tuple[tuple[type[Exception], Failure | None], ...] = (
    (TooLargeError, Failure.TOO_LARGE),
    (UndecodableError, Failure.DISCONNECTED),
    (MalformedHeadError, Failure.DISCONNECTED),
    (aiohttp.ClientConnectorDNSError, Failure.DNS),
    (aiohttp.ClientProxyConnectionError, None),  # refused: connect; in the handshake with an https proxy: tls
    (aiohttp.ClientHttpProxyError, Failure.CONNECT),
    (aiohttp.ClientConnectorCertificateError, Failure.TLS),
    (aiohttp.ClientConnectorSSLError, Failure.TLS),
    (aiohttp.ClientConnectorError, None),  # refused: connect; reset in the handshake: tls
    (aiohttp.ClientPayloadError, Failure.DISCONNECTED),
    (aiohttp.ClientResponseError, None),  # a malformed head, of a proxy's answer to CONNECT too
    (aiohttp.ClientConnectionError, None),
    (HttpProcessingError, Failure.DISCONNECTED),
    (OSError, None),
)
# Of several addresses that failed each in its own way only the text of the error tells, number by number.
_LISTED = re.compile(r"\[Errno (\d+)\]")
# Where aiohttp's messages begin to quote what came.
_QUOTED = re.compile(r"\bb?['\"]")
_BY_PHASE = {Phase.DNS: Failure.DNS, Phase.CONNECT: Failure.CONNECT, Phase.TLS: Failure.TLS}
_PHASE_OF = {failure: phase for phase, failure in _BY_PHASE.items()}
_WHERE = {
    Phase.DNS: "while the host name was being resolved",
    Phase.CONNECT: "while connecting",
    Phase.TLS: "during the TLS handshake",
    Phase.SEND: "while the request was being sent",
    Phase.WAIT: "before the reply's head was complete",
    Phase.RECEIVE: "before the reply's body was complete",
}
_UNDONE = {
    Phase.DNS: "the host name was not resolved",
    Phase.CONNECT: "no connection",
    Phase.TLS: "the TLS handshake did not end",
    Phase.SEND: "the request was not taken",
    Phase.WAIT: "no reply",
    Phase.RECEIVE: "the reply did not end",
}


def timed_out(phase: Phase, timeout_s: float) -> NoReply:
    """The call's own time-out, in whatever phase it struck."""
    return NoReply(failure=Failure.TIMEOUT, died_in=phase, error=f"{_UNDONE[phase]} within {timeout_s:g} s")


def no_reply(error: Exception, phase: Phase) -> NoReply | None:
    """What `error` means when it ended a call in `phase`; None when it is none of the network's or the server's.

    Raises LocalError when it is this machine that failed.
    """
    failure = next((failure or _by_phase(error, phase) for kind, failure in _TABLE if isinstance(error, kind)), None)
    if failure is None:
        return None
    raise_if_local(error, failure)
    return NoReply(
        failure=failure, died_in=_PHASE_OF.get(failure, phase), error=one_line(_described(error, failure, phase))
    )


def is_death(error: Exception) -> bool:
    """Whether the connection itself ended, rather than something unreadable having come through it."""
    return isinstance(error, (aiohttp.ClientConnectionError, OSError)) and not isinstance(
        error, aiohttp.ClientConnectorError
    )


def was_reset(error: Exception) -> bool:
    """Whether a connection was made before it failed: what never was one is refused, never reset."""
    return not _RESET_ERRNOS.isdisjoint(_all_errnos(error))


def forget_frames(error: BaseException) -> None:
    """Ends a circle that only the garbage collector would: an error knows the frames that it passed, and those know the
    error, aiohttp's above all.
    """
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and one.__traceback__ is not None:
            one.__traceback__ = None
            left += [one.__cause__, one.__context__, getattr(one, "os_error", None)]


def raise_if_local(error: Exception, failure: Failure) -> None:
    """Raises LocalError when a descriptor, a port or memory was lacking here."""
    for number in _all_errnos(error):
        if number in _LOCAL_ERRNOS:
            raise LocalError(number, os.strerror(number)) from None
    if failure is Failure.DNS:
        # The resolver says "no server could be reached" when it got no socket: find out.
        try:
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
        except OSError as lacking:
            raise LocalError(lacking.errno, lacking.strerror) from None


def _all_errnos(error: Exception) -> Iterator[int]:
    """Those of the error and of what it was made of, outermost first."""
    for cause in _causes(error):
        yield from _errnos(cause)


def _errnos(error: BaseException) -> list[int]:
    """Its number; those of several addresses where each has another one."""
    if not isinstance(error, OSError):
        return []
    if error.errno is not None:
        return [error.errno]
    listed = map(int, _LISTED.findall(str(error)))
    return [number for number in listed if number != errno.EADDRNOTAVAIL]  # of ::1 where there is no IPv6


def _by_phase(error: Exception, phase: Phase) -> Failure:
    # With TLS 1.3 a server refuses our certificate, or the lack of one, after the handshake was over for us.
    if phase in (Phase.SEND, Phase.WAIT) and "ALERT" in (_ssl_reason(error) or ""):
        return Failure.TLS
    return _BY_PHASE.get(phase, Failure.DISCONNECTED)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was made of, outermost first."""
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return
        yield seen
        if isinstance(seen, aiohttp.ClientConnectorError):
            yield seen.os_error
        seen = seen.__cause__


def _ssl_reason(error: Exception) -> str | None:
    # aiohttp's own SSL errors are ssl.SSLErrors that lack the attributes of one.
    reasons = (getattr(cause, "reason", None) for cause in _causes(error) if isinstance(cause, ssl.SSLError))
    return next((reason for reason in reasons if reason), None)


def _described(error: Exception, failure: Failure, phase: Phase) -> str:
    """One line for a person. Made here, since aiohttp's own texts hold URLs, headers and byte strings."""
    match error:
        case TooLargeError() | UndecodableError():
            return str(error)
        case aiohttp.ClientConnectorDNSError():
            return f"cannot resolve {error.host}: {error.os_error.strerror or 'unknown reason'}"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy refused the tunnel: {error.status} {error.message}"
        case aiohttp.ClientConnectorCertificateError():
            certificate_error = error.certificate_error
            reason = getattr(certificate_error, "verify_message", None) or str(certificate_error)
            return f"certificate not accepted: {reason}"
        case aiohttp.ClientPayloadError() | HttpProcessingError():
            return f"broken reply body: {_first_words(error)}"
        case MalformedHeadError() | aiohttp.ClientResponseError():
            return f"malformed HTTP: {_first_words(error)}"
    if reason := _ssl_reason(error):
        words = reason.replace("_", " ").lower()
        return f"TLS handshake failed: {words}" if failure is Failure.TLS else f"TLS broke {_WHERE[phase]}: {words}"
    if isinstance(error, aiohttp.ClientConnectorError) and phase is Phase.CONNECT:
        proxy = "proxy " if isinstance(error, aiohttp.ClientProxyConnectionError) else ""
        return f"cannot connect to {proxy}{error.host}:{error.port}: {_os_reason(error)}"
    return f"{_os_reason(error)} {_WHERE[phase]}"


def _first_words(error: Exception) -> str:
    """The innermost HTTP error in its own words, without the bytes that it quotes after them."""
    http_errors = [cause for cause in _causes(error) if isinstance(cause, HttpProcessingError)]
    if any(isinstance(cause, LineTooLong) for cause in http_errors):
        return "a line or header of the head is too long"
    message = http_errors[-1].message if http_errors else str(getattr(error, "message", "") or "")
    words = _QUOTED.split(one_line(message.partition("\n")[0], 200), maxsplit=1)[0]
    return words.rstrip(" :.,") or "the connection ended early"


def _os_reason(error: Exception) -> str:
    number = next(filter(None, _all_errnos(error)), None)
    return os.strerror(number).lower() if number and number > 0 else "connection closed"
