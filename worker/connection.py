"""The way to the API: the client and the key in use, exchanged for others by a reload."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from worker.clock import Clock
from worker.core.exchange import Exchange
from worker.core.target import Target, TargetKey
from worker.mixpeek.client import Client
from worker.mixpeek.credentials import Credentials
from worker.settings import ApiSettings
from worker.sinks.instruments import Instruments
from worker.stamp import Stamp, stamp


class Connection:
    """Opened before its first call. `redact` knows every key of this run: what it has seen is shown by nobody."""

    def __init__(
        self, environ: Mapping[str, str], clock: Clock, lost: Callable[[], float], own: Instruments, *, evidence: bool
    ) -> None:
        self._environ, self._clock, self._lost, self._own = environ, clock, lost, own
        self._evidence = evidence
        self._api: ApiSettings | None = None
        self._certificates: list[Stamp] = []
        self._credentials: Credentials | None = None
        self._client: Client | None = None
        self._retired: list[Client] = []

    async def open(self, api: ApiSettings) -> None:
        """Calls go to this API from now on; those in flight end as they began.

        Raises ConfigError for a key or TLS files that can't be used; then nothing has changed.
        """
        certificates = [stamp(file) for file in api.tls.files]
        if api == self._api and certificates == self._certificates:  # rotated in place they keep their names
            return
        credentials = Credentials(api, self._environ, clock=self._clock)
        client = await Client(api, credentials, lost=self._lost, clock=self._clock, evidence=self._evidence).open()
        if self._credentials:
            credentials.remember(self._credentials)
        await self._retire()
        self._api, self._certificates = api, certificates
        self._credentials, self._client = credentials, client

    def forget(self, key: TargetKey) -> None:
        """A target that is listed no more."""
        if self._client:
            self._client.forget(key)

    def call(self, target: Target, fresh: bool) -> Coroutine[Any, Any, Exchange]:
        assert self._client, "opened before the first call"
        if fresh:
            self._own.stale_retries.inc()
        return self._client.call(target, fresh=fresh)

    def key_version(self, look: bool) -> int:
        """A number that is another one when the key is, never shown to anybody; `look` reads the key file now."""
        assert self._credentials, "opened before the first call"
        if look:
            self._credentials.reread()
        return hash(self._credentials.key())

    def redact(self, text: str) -> str:
        return self._credentials.redact(text) if self._credentials else text

    def note(self) -> None:
        """What the client counted goes to the metrics."""
        if self._client and self._client.earliest_cert_expiry is not None:
            self._own.tls_expiry.set(self._client.earliest_cert_expiry)

    async def close(self) -> None:
        for client in (self._client, *self._retired):
            if client:
                await client.close()

    async def _retire(self) -> None:
        """The client that was goes on until its calls have ended; those before it that have none left are closed."""
        if self._client is None:
            return
        self.note()
        self._own.tls_expiry.clear()
        self._retired.append(self._client)
        for client in [retired for retired in self._retired if not retired.inflight]:
            self._retired.remove(client)
            await client.close()
