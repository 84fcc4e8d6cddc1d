"""One call to one plugin: sent, timed and turned into an Exchange, whatever the network and the server do."""

from collections.abc import Callable, Mapping
from typing import Self

from aiohttp.abc import AbstractResolver
from yarl import URL

from worker.clock import Clock, SystemClock
from worker.core.exchange import Answer, Exchange, Failure, Malformed, NoReply, Phase, Reply
from worker.core.target import Target, TargetKey
from worker.mixpeek.channel import REQUEST_TIMEOUT
from worker.mixpeek.contract import encode_request, read_answer
from worker.mixpeek.credentials import REDACTED, Credentials
from worker.mixpeek.excerpts import excerpt, one_line
from worker.mixpeek.failures import forget_frames, is_death, no_reply, timed_out
from worker.mixpeek.flight import Flight
from worker.mixpeek.redaction import redacted
from worker.mixpeek.tls import tls_context
from worker.mixpeek.url import target_url
from worker.mixpeek.wire import Wire
from worker.settings import ApiSettings

MAX_REQUEST_ID_CHARS = 128


class Client:
    """Calls plugins; an async context manager.

    `lost` tells for how many seconds in all our event loop stood still so far. `evidence` keeps reply headers.
    `resolver` stands in for DNS. Entering raises ConfigError for TLS files that cannot be used.
    """

    def __init__(
        self,
        api: ApiSettings,
        credentials: Credentials,
        *,
        lost: Callable[[], float] = lambda: 0.0,
        clock: Clock | None = None,
        evidence: bool = False,
        resolver: AbstractResolver | None = None,
    ) -> None:
        #: When the first certificate of the chain that was seen last expires, Unix seconds; also of a refused one.
        self.earliest_cert_expiry: float | None = None
        #: Calls under way.
        self.inflight = 0
        self._api = api
        self._credentials = credentials
        self._lost = lost
        self._clock = clock or SystemClock()
        self._evidence = evidence
        self._given_resolver = resolver
        self._proxy = URL(api.proxy) if api.proxy else None
        self._origin = URL(api.base_url)
        self._requests: dict[TargetKey, tuple[Target, bytes, bytes]] = {}
        self._authorized_with = ""

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> Self:
        """Raises ConfigError for TLS files that cannot be used."""
        schemes = {self._origin.scheme, self._proxy.scheme if self._proxy else ""}
        tls = tls_context(self._api.tls) if "https" in schemes else None
        self._wire = Wire(self._origin, tls=tls, proxy=self._proxy, resolver=self._given_resolver)
        return self

    async def close(self) -> None:
        await self._wire.close()

    async def call(self, target: Target, *, fresh: bool = False) -> Exchange:
        """One call, `fresh` on a new connection. Whatever the network and the server do is in the answer.

        Raises LocalError when this machine lacks what a call needs; cancellation passes.
        """
        timeout_s = target.timeout_s
        fresh = fresh or self._api.fresh_connections
        line, rest = self._request(target)
        head = line + self._headers(fresh)
        lost_s = self._lost()  # read first and last, so that no stall falls within a latency and outside of this
        flight = Flight(self._clock.now, self._api.max_response_bytes)
        started_at, began = self._clock.wall(), self._clock.now()
        failed: NoReply | None = None
        self.inflight += 1
        try:
            await self._wire.carry(flight, head, rest, timeout_s=timeout_s, fresh=fresh)
            # Said before our request was there: about the connection, not about the plugin.
            flight.stale = flight.reused and flight.status == REQUEST_TIMEOUT
        except Exception as error:
            if flight.expired:
                failed = timed_out(flight.timeline.phase, timeout_s)
            else:
                failed = no_reply(error, flight.timeline.phase)
                flight.stale = flight.died_unheard() and is_death(error)
            if failed is None:
                raise
            forget_frames(error)
        finally:
            self.inflight -= 1
        flight.timeline.land(complete=failed is None)
        ended_at = started_at + self._clock.now() - began  # not wall(): that clock may have been set meanwhile
        lost_s = self._lost() - lost_s
        if flight.timeline.cert_expiry is not None:
            self.earliest_cert_expiry = flight.timeline.cert_expiry
        return self._exchange(flight, failed, started_at, ended_at, timeout_s, lost_s)

    def _exchange(
        self,
        flight: Flight,
        failed: NoReply | None,
        started_at: float,
        ended_at: float,
        timeout_s: float,
        lost_s: float,
    ) -> Exchange:
        body = b"".join(flight.pieces)
        shown = self._credentials.redact_bytes(body)
        answer = failed or self._read(flight, shown, ended_at)
        escaped = b"\\" in shown
        if isinstance(answer, Malformed) and shown is not body:
            # A secret of digits alone may be a number of the reply's, which is no JSON without it.
            whole = self._read(flight, body, ended_at)
            if isinstance(whole, Reply):
                answer, escaped = whole, True
        clean = redacted(answer, self._credentials, escaped=escaped)
        # a key that was spelt with escapes stands in the body as it came
        disguised = escaped and clean != answer
        return Exchange(
            started_at=started_at,
            ended_at=ended_at,
            timeout_s=timeout_s,
            answer=clean,
            phases=flight.timeline.phases(),
            lost_s=lost_s,
            http_status=flight.status,
            response_bytes=None if flight.status is None else flight.body_bytes,
            request_id=self._request_id(flight.headers),
            excerpt=REDACTED if disguised else self._excerpt(shown, cut=failed is not None),
            reused_connection=flight.reused,
            stale=flight.stale,
            headers=self._shown_headers(flight.headers) if self._evidence else (),
        )

    def _read(self, flight: Flight, body: bytes, now: float) -> Answer:
        assert flight.status is not None, "a flight that did not fail has a head"
        if flight.status == 407 and self._proxy is not None:
            # Over plain http the proxy's own answer comes in the place of the server's.
            refusal = "the proxy refused: 407 Proxy Authentication Required"
            return NoReply(failure=Failure.CONNECT, died_in=Phase.CONNECT, error=refusal)
        return read_answer(flight.status, flight.headers, body, now=now)

    def _excerpt(self, body: bytes, *, cut: bool) -> str | None:
        if not body:
            return None
        beginning = excerpt(body)  # without secrets, as the body is; but for the half of one at a torn end
        return self._credentials.redact_cut(beginning) if cut else beginning

    def _request_id(self, headers: Mapping[str, str]) -> str | None:
        value = headers.get("X-Request-ID")  # whatever its case: these are aiohttp's
        return None if value is None else self._credentials.redact(one_line(value, MAX_REQUEST_ID_CHARS)) or None

    def _shown_headers(self, headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        redact = self._credentials.redact
        return tuple((redact(one_line(name)), redact(one_line(value))) for name, value in headers.items())

    def _headers(self, fresh: bool) -> bytes:
        """Those that all calls have, but for the length."""
        key = self._credentials.key()
        if key != self._authorized_with:
            self._authorized_with = key
            self._kept_headers = (
                f"Host: {self._origin.host_port_subcomponent}\r\n"
                f"User-Agent: {self._api.user_agent}\r\n"
                "Accept: application/json\r\n"
                "Accept-Encoding: gzip, deflate\r\n"
                "Content-Type: application/json\r\n"
                f"Authorization: Bearer {key}\r\n"
            ).encode()
            self._fresh_headers = self._kept_headers + b"Connection: close\r\n"
        return self._fresh_headers if fresh else self._kept_headers

    def forget(self, key: TargetKey) -> None:
        """The target is listed no more: what is kept for its next call goes."""
        self._requests.pop(key, None)

    def _request(self, target: Target) -> tuple[bytes, bytes]:
        """The first line, and what follows the headers: the same at every probe, so made once."""
        made = self._requests.get(target.key)
        if made is None or made[0] is not target:
            body = encode_request(target.inputs, target.parameters)
            line = f"POST {self._asked(target.key)} HTTP/1.1\r\n".encode()
            made = self._requests[target.key] = (target, line, b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        return made[1:]

    def _asked(self, key: TargetKey) -> str:
        """A proxy that is no tunnel is asked for a whole URL."""
        url = target_url(self._api, key)
        path = url[url.index("/", len(self._origin.scheme) + 3) :]
        whole = self._proxy is not None and self._origin.scheme == "http"
        return f"{self._origin.origin()}{path}" if whole else path
