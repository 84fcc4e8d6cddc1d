"""The daemon's HTTP surface (SPEC §8). It shows what it is given; nothing here probes or reads a configuration."""

import asyncio
import json
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from typing import Protocol

from aiohttp import web

from worker.core.shard import Shard
from worker.core.target import TargetKey
from worker.sinks.negotiation import PLAIN, content_type, wants_openmetrics
from worker.web.answering import Places, sent_in_time
from worker.web.blackbox import blackbox_text, explain_text
from worker.web.board import Shown
from worker.web.bounds import Bounds
from worker.web.page import status_page
from worker.web.secure import refused_if_foreign, secure

#: What blackbox_exporter leaves of the scrape's time-out, for the answer to travel.
SCRAPE_MARGIN_S = 0.5
DEFAULT_PROBE_S = 10.0
#: Nobody waits longer, whatever time-out he names.
MOST_PROBE_S = 120.0
#: A scrape holds the loop for so long and one piece more.
SLICE_S = 0.00025
#: A larger piece is compressed beside the event loop: 64 kB take a millisecond.
INLINE_BYTES = 16_384
#: So many targets are shown at a time, before probes get their turn.
BATCH = 100

Application = web.Application


class Surface(Protocol):
    """What the web server shows."""

    def exposition(self, *, openmetrics: bool) -> Iterator[bytes]: ...

    def ready(self) -> bool: ...

    def shown(self) -> Iterator[Shown]: ...

    def shown_one(self, key: TargetKey) -> Shown | None: ...


#: Reloads the configuration; the problems that kept it from being accepted.
Reload = Callable[[], Awaitable[list[str]]]
#: Sees to it that a configured target has a result younger than 10 s; False when there was none in so many seconds.
ProbeNow = Callable[[TargetKey, float], Awaitable[bool]]


def make_app(
    surface: Surface,
    *,
    reload: Reload | None = None,
    probe: ProbeNow | None = None,
    shard: Shard | None = None,
    bounds: Bounds | None = None,
) -> Application:
    """`reload` and `probe` are there only when they were enabled. `shard` is whose targets these are."""
    bounds = bounds or Bounds()
    places = Places(bounds)
    app = Application(middlewares=[sent_in_time(bounds)])
    app.on_response_prepare.append(_secure)
    app.router.add_get("/metrics", places.kept_by(_Metrics(surface).answer))
    app.router.add_get("/-/healthy", _healthy)
    app.router.add_get("/-/ready", _Ready(surface).answer)
    app.router.add_get("/", places.kept_by(_Status(surface, shard).answer))
    app.router.add_get("/api/v1/targets", places.kept_by(_Targets(surface).answer))
    app.router.add_get("/api/v1/targets/{namespace:[^/]+}/{plugin:[^/]+}", _OneTarget(surface, shard).answer)
    if reload:
        app.router.add_post("/-/reload", _Reload(reload).answer)
    if probe:
        app.router.add_get("/probe", _Probe(surface, shard, probe).answer)
    return app


async def _secure(_request: web.Request, response: web.StreamResponse) -> None:
    secure(response)


async def _healthy(_request: web.Request) -> web.Response:
    return web.Response(text="healthy\n")


class _Handler:
    """Routes get the bound method: an object that is called is deprecated in aiohttp."""

    def __init__(self, surface: Surface, shard: Shard | None = None) -> None:
        self._surface, self._shard = surface, shard

    def _elsewhere(self, key: TargetKey) -> str:
        """Whose a target is that is not ours; ends a sentence. Nobody here knows whether there is one."""
        if self._shard is None or self._shard.holds(key):
            return ""
        return f"; if there is one, it is shard {self._shard.holder(key)}'s"


class _Metrics(_Handler):
    async def answer(self, request: web.Request) -> web.StreamResponse:
        openmetrics = wants_openmetrics(request.headers.get("Accept"))
        response = web.StreamResponse()
        response.headers["Content-Type"] = content_type(openmetrics=openmetrics)
        response.headers["Vary"] = "Accept, Accept-Encoding"
        squeeze = zlib.compressobj(1, wbits=31) if _wants_gzip(request) else None
        if squeeze:
            response.headers["Content-Encoding"] = "gzip"
        await response.prepare(request)
        if request.method == "HEAD":  # aiohttp would send what is written, and the next reply would begin with it
            return response
        over_at = time.perf_counter() + SLICE_S
        for piece in self._surface.exposition(openmetrics=openmetrics):
            out = piece
            if squeeze and len(piece) > INLINE_BYTES:
                out = await asyncio.to_thread(squeeze.compress, piece)
            elif squeeze:
                out = squeeze.compress(piece)
            if out:
                await response.write(out)
            if time.perf_counter() >= over_at:
                await asyncio.sleep(0)  # probes go on while a large exposition is served
                over_at = time.perf_counter() + SLICE_S
        if squeeze:
            await response.write(squeeze.flush())
        await response.write_eof()
        return response


def _wants_gzip(request: web.Request) -> bool:
    accepted = request.headers.get("Accept-Encoding", "").lower().replace(" ", "").split(",")
    return any(coding == "gzip" or (coding.startswith("gzip;q=") and coding[7:].strip("0.")) for coding in accepted)


class _Ready(_Handler):
    async def answer(self, _request: web.Request) -> web.Response:
        if self._surface.ready():
            return web.Response(text="ready\n")
        return web.Response(status=503, text="no call has been answered yet\n")


def _batches(shown: Iterator[Shown]) -> Iterator[list[Shown]]:
    while batch := list(islice(shown, BATCH)):
        yield batch


class _Status(_Handler):
    async def answer(self, _request: web.Request) -> web.Response:
        shown: list[Shown] = []
        for batch in _batches(self._surface.shown()):
            shown += batch
            await asyncio.sleep(0)  # probes go on
        return web.Response(text=status_page(shown, self._shard), content_type="text/html")


class _Targets(_Handler):
    async def answer(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        await response.write(b'{"targets": [')
        comma = ""
        for batch in _batches(self._surface.shown()):
            await response.write((comma + ", ".join(json.dumps(one.as_dict()) for one in batch)).encode())
            comma = ", "
            await asyncio.sleep(0)  # probes go on: 5,000 targets at once would hold them up for 100 ms
        await response.write_eof(b"]}")
        return response


class _OneTarget(_Handler):
    async def answer(self, request: web.Request) -> web.Response:
        key = TargetKey(request.match_info["namespace"], request.match_info["plugin"])
        shown = self._surface.shown_one(key)
        if shown is None:
            return web.json_response({"error": f"no such target{self._elsewhere(key)}"}, status=404)
        return web.json_response(shown.as_dict())


class _Reload:
    def __init__(self, reload: Reload) -> None:
        self._reload = reload

    async def answer(self, request: web.Request) -> web.Response:
        refused_if_foreign(request)
        problems = await self._reload()
        if problems:
            return web.Response(
                status=500, text="rejected, the old configuration goes on:\n" + "\n".join(problems) + "\n"
            )
        return web.Response(text="reloaded\n")


class _Probe(_Handler):
    def __init__(self, surface: Surface, shard: Shard | None, probe: ProbeNow) -> None:
        super().__init__(surface, shard)
        self._probe = probe

    def _named(self, target: str) -> TargetKey | None:
        """The configured target of that name; an id may hold a slash of its own."""
        parts = target.split("/")
        keys = (TargetKey("/".join(parts[:at]), "/".join(parts[at:])) for at in range(1, len(parts)))
        return next((key for key in keys if self._surface.shown_one(key)), None)

    async def answer(self, request: web.Request) -> web.Response:
        refused_if_foreign(request)
        wanted = request.query.get("target", "")
        key = self._named(wanted)
        if key is None:
            named = wanted.split("/")
            elsewhere = self._elsewhere(TargetKey(*named)) if len(named) == 2 else ""
            told = f"no such target: ?target=NAMESPACE/PLUGIN names a configured one{elsewhere}\n"
            return web.Response(status=404, text=told)
        in_time = await self._probe(key, _within_s(request))
        shown = self._surface.shown_one(key)
        if not in_time or shown is None or shown.row is None:
            return web.Response(status=503, text="no result in time: the limits allowed no call, or it is under way\n")
        text = blackbox_text(shown.row)
        if request.query.get("debug") == "true":
            return web.Response(text=explain_text(shown.row) + "\n" + text)
        return web.Response(body=text.encode(), headers={"Content-Type": PLAIN})


def _within_s(request: web.Request) -> float:
    """The scrape's time-out, as Prometheus tells it, less what the answer needs to travel."""
    try:
        given_s = float(request.headers.get("X-Prometheus-Scrape-Timeout-Seconds", ""))
    except ValueError:
        return DEFAULT_PROBE_S
    return min(max(given_s - SCRAPE_MARGIN_S, 0.1), MOST_PROBE_S) if given_s < float("inf") else DEFAULT_PROBE_S
