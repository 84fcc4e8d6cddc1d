"""A client of the sandbox, over real sockets."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from worker.sandbox.app import serve
from worker.sandbox.sandbox import Sandbox


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A reply as it came."""

    status: int
    headers: Mapping[str, str]
    text: str
    json: Any


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Calls with the sandbox's key unless told otherwise."""

    url: str
    session: aiohttp.ClientSession

    async def ask(self, method: str, path: str, **options: Any) -> Heard:
        async with self.session.request(method, self.url + path, **options) as response:
            text = await response.text()
            body = await response.json() if response.content_type == "application/json" else None
            return Heard(status=response.status, headers=response.headers, text=text, json=body)

    async def test(
        self, plugin_id: str, inputs: Mapping[str, Any] | None = None, timeout_s: float = 5.0, **options: Any
    ) -> Heard:
        path = f"/v1/namespaces/ns_sandbox/plugins/{plugin_id}/realtime/test"
        body = {"inputs": {"text": "there"} if inputs is None else dict(inputs)}
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        return await self.ask("POST", path, **{"json": body, "timeout": timeout, **options})


@asynccontextmanager
async def calling(sandbox: Sandbox) -> AsyncIterator[Caller]:
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    async with serve(sandbox) as url, aiohttp.ClientSession(headers=headers) as session:
        yield Caller(url=url, session=session)
