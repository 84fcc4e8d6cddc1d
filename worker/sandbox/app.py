"""The HTTP side: Mixpeek's plugin routes over a sandbox, with its error shapes and rate limit headers."""

import json
import logging
import math
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from worker.sandbox import documents, openapi
from worker.sandbox.answers import Refusal, detail, realtime_body, refusal, too_many_requests, unauthorized
from worker.sandbox.bucket import Standing
from worker.sandbox.namespaces import ListQuery, ListRequest, list_namespaces
from worker.sandbox.sandbox import Sandbox, Served

T = TypeVar("T", bound=BaseModel)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_SANDBOX = web.AppKey("sandbox", Sandbox)
_MAX_BODY_BYTES = 32 * 1024 * 1024
_OPEN_TO_ALL = ("/openapi.json", "/v1/health")
_log = logging.getLogger("plugin_probe.sandbox")


class RealtimeRequest(BaseModel):
    """Body of realtime/test: both optional, neither nullable, other keys ignored."""

    inputs: dict[str, Any] = {}
    parameters: dict[str, Any] = {}


class RefusedError(Exception):
    """Ends a request with a refusal."""

    def __init__(self, answer: Refusal) -> None:
        super().__init__(answer.body)
        self.answer = answer


def make_app(sandbox: Sandbox) -> web.Application:
    app = web.Application(middlewares=[_envelope], client_max_size=_MAX_BODY_BYTES)
    app[_SANDBOX] = sandbox
    plugins = "/v1/namespaces/{namespace}/plugins"
    app.add_routes(
        [
            web.get("/openapi.json", _openapi),
            web.get("/v1/health", _health),
            web.post("/v1/namespaces/list", _namespaces),
            web.get(plugins, _plugins),
            web.get(plugins + "/{plugin}", _plugin),
            web.get(plugins + "/{plugin}/status", _status),
            web.post(plugins + "/{plugin}/realtime/test", _realtime_test),
        ]
    )
    return app


@asynccontextmanager
async def serve(sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serves until the block ends; yields the base URL once the plugins are warm. OSError: the port is taken."""
    # Cancellation: when a caller gives up, his call leaves the plugin's queue too.
    runner = web.AppRunner(make_app(sandbox), access_log=None, handler_cancellation=True, shutdown_timeout=0.05)
    await runner.setup()
    try:
        for plugin_id, problem in (await sandbox.warm_up()).items():
            _log.warning("plugin %s: %s", plugin_id, problem)
        await web.TCPSite(runner, host, port).start()
        bound_host, bound_port = runner.addresses[0][:2]
        yield f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}"
    finally:
        await runner.cleanup()
        sandbox.close()


@web.middleware
async def _envelope(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Authentication, rate limit, errors as Mixpeek writes them, and the headers that every reply has."""
    sandbox = request.app[_SANDBOX]
    standing = sandbox.bucket.look()
    try:
        if request.path not in _OPEN_TO_ALL:
            standing = _admit(sandbox, request)
        response = await handler(request)
    except RefusedError as refused:
        response = _response(refused.answer)
    except web.HTTPException as error:
        response = _response(detail(error.status, error.reason))
    except Exception:
        _log.exception("internal error")
        response = _response(refusal(500, "InternalServerError", "Internal error of the sandbox"))
    response.headers.update(_headers(sandbox, standing))
    response.headers["X-Request-ID"] = _request_id(request)
    return response


def _request_id(request: web.Request) -> str:
    """The caller's own, where it can be sent back."""
    given = request.headers.get("X-Request-ID", "")
    return given if given.isascii() and 0 < len(given) <= 128 else f"req_{uuid.uuid4().hex}"


def _admit(sandbox: Sandbox, request: web.Request) -> Standing:
    if not sandbox.accepts(_authorization(request)):
        raise RefusedError(unauthorized())
    standing = sandbox.bucket.take()
    if not standing.granted:
        limit = sandbox.rate_limit
        raise RefusedError(
            too_many_requests(limit=limit.requests, window=limit.window, retry_after_s=standing.retry_after_s)
        )
    return standing


def _headers(sandbox: Sandbox, standing: Standing) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(sandbox.rate_limit.requests),
        "X-RateLimit-Remaining": str(standing.remaining),
        "X-RateLimit-Reset": str(math.ceil(time.time() + standing.full_in_s)),
        "X-RateLimit-Window": str(sandbox.rate_limit.window_s),
    }


async def _openapi(request: web.Request) -> web.Response:
    return _document(openapi.description())


async def _health(request: web.Request) -> web.Response:
    return _document(documents.health())


async def _namespaces(request: web.Request) -> web.Response:
    try:
        query = ListQuery.model_validate(dict(request.query))
    except ValidationError as error:
        raise RefusedError(_invalid("query", error)) from error
    body = await _body(request, ListRequest, empty=ListRequest())
    return _document(list_namespaces(request.app[_SANDBOX].namespaces, query, body))


async def _plugins(request: web.Request) -> web.Response:
    sandbox = request.app[_SANDBOX]
    namespace = request.match_info["namespace"]
    if namespace not in sandbox.namespaces:
        raise RefusedError(refusal(404, "NotFoundError", f"Namespace not found: {namespace}"))
    served = sandbox.plugins.values() if namespace == sandbox.namespace else ()
    return _document(documents.plugin_list(namespace, list(served)))


async def _plugin(request: web.Request) -> web.Response:
    return _document(documents.plugin_detail(request.app[_SANDBOX].namespace, _found(request)))


async def _status(request: web.Request) -> web.Response:
    return _document(documents.plugin_status(request.app[_SANDBOX].namespace, _found(request)))


async def _realtime_test(request: web.Request) -> web.Response:
    served = _found(request)
    body = await _body(request, RealtimeRequest)
    name, answer = await served.call(body.inputs, body.parameters, _authorization(request))
    if isinstance(answer, Refusal):
        return _response(answer)
    return web.json_response(text=realtime_body(name, answer))


def _found(request: web.Request) -> Served:
    plugin_id = request.match_info["plugin"]
    served = request.app[_SANDBOX].find(request.match_info["namespace"], plugin_id)
    if served is None:
        raise RefusedError(detail(404, f"Plugin not found: {plugin_id}"))
    return served


async def _body(request: web.Request, model: type[T], empty: T | None = None) -> T:
    content = await request.read()
    if not content and empty is not None:
        return empty
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise RefusedError(_invalid("body", error)) from error


def _invalid(place: str, error: ValidationError) -> Refusal:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return detail(422, [{"loc": [place, *item["loc"]], "msg": item["msg"], "type": item["type"]} for item in problems])


def _authorization(request: web.Request) -> str:
    return request.headers.get("Authorization", "")


def _document(document: dict[str, Any]) -> web.Response:
    # A manifest is Python: what JSON does not know in it (a class, a path) travels as its text.
    return web.json_response(text=json.dumps(document, default=str))


def _response(answer: Refusal) -> web.Response:
    return web.Response(
        status=answer.status,
        text=answer.body,
        content_type=answer.content_type,
        headers=dict(answer.headers),
    )
