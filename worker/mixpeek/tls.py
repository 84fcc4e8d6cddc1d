"""TLS: the verified context, and a handshake that notes its time and the peer's certificate expiry."""

import ssl
from typing import Any

from worker.core.exchange import Phase
from worker.mixpeek.timeline import TIMELINE, Timeline
from worker.settings import ConfigError, TlsSettings


class TimedSslObject(ssl.SSLObject):
    """asyncio calls do_handshake() each time that bytes came; the first call begins the phase, the last ends it."""

    _timeline: Timeline | None = None

    def do_handshake(self) -> None:
        timeline = self._timeline
        if timeline is None:
            timeline = self._timeline = TIMELINE.get()
            timeline.enter(Phase.TLS)
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            # Also, and above all, when verification failed: an expired certificate must show its date.
            timeline.leave()
            timeline.cert_expiry = self._chain_expiry()
            raise
        timeline.leave()
        timeline.cert_expiry = self._chain_expiry()

    def _chain_expiry(self) -> float | None:
        """When the first certificate of the chain that the peer sent expires, Unix seconds."""
        # The public method came with Python 3.13; the object beneath has had it since 3.10, and it parses.
        chain: list[Any] = getattr(self, "_sslobj").get_unverified_chain() or []  # noqa: B009 - typeshed hides it
        dates = (certificate.get_info().get("notAfter") for certificate in chain)
        return min((float(ssl.cert_time_to_seconds(date)) for date in dates if date), default=None)


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """A verifying context. A CA file replaces the system's authorities, it does not add to them.

    Raises ConfigError naming the setting whose file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError([f"api.tls.ca_file: {settings.ca_file}: {_reason(error)}"]) from error
    context.sslobject_class = TimedSslObject
    if settings.cert_file is not None:
        try:
            # The password callback keeps OpenSSL from asking on the terminal for an encrypted key.
            context.load_cert_chain(settings.cert_file, settings.key_file, password=lambda: "")
        except (OSError, ValueError) as error:
            raise ConfigError([f"api.tls.cert_file: {settings.cert_file}: {_reason(error)}"]) from error
    return context


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no usable PEM").replace("_", " ").lower()
    return getattr(error, "strerror", None) or str(error)
