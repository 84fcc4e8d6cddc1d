"""The sandbox's state: which plugins it serves, to whom, how fast, and with which faults."""

import asyncio
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from worker.sandbox.answers import Answer, Failure
from worker.sandbox.bucket import RateLimit, TokenBucket
from worker.sandbox.faults import Faults, Patient, Visits
from worker.sandbox.plugins import Plugin
from worker.sandbox.runtime import Runtime, State


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Served:
    """A plugin as the sandbox serves it."""

    plugin: Plugin
    patient: Patient
    runtime: Runtime | None

    @property
    def realtime(self) -> bool:
        return self.runtime is not None and self.patient.deployed

    @property
    def status(self) -> str:
        """In the words of Mixpeek's status endpoint."""
        if self.runtime is None or not self.patient.deployed:
            return "NOT_DEPLOYED"
        return self.runtime.state

    @property
    def problem(self) -> str | None:
        return self.runtime.problem if self.runtime is not None else None

    async def call(self, inputs: dict[str, Any], parameters: dict[str, Any], authorization: str) -> tuple[str, Answer]:
        """The inference_name that it answers under, and the answer."""
        visits = self.patient.visit(authorization)
        name = self.patient.answers_as(self.plugin.inference_name, visits)
        return name, await self._answer(inputs, parameters, visits)

    async def _answer(self, inputs: dict[str, Any], parameters: dict[str, Any], visits: Visits) -> Answer:
        answer = await self.patient.instead(visits)
        if answer is not None:
            return answer
        if self.runtime is None or not self.patient.deployed:
            return Failure(error=f"Plugin {self.plugin.plugin_id} has no realtime deployment (status NOT_DEPLOYED)")
        return await self.runtime.call(inputs, parameters, lambda value: self.patient.alter(value, visits))


class Sandbox:
    """One namespace of plugins behind one API key; `other_namespaces` are empty ones, to be listed."""

    def __init__(
        self,
        plugins: Iterable[Plugin],
        *,
        namespace: str = "ns_sandbox",
        api_key: str | None = None,
        rate_limit: RateLimit | None = None,
        faults: Faults | None = None,
        other_namespaces: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        faults = faults or Faults()
        random = random or Random(faults.seed)  # noqa: S311 - faults need no secrecy
        self.namespace = namespace
        self.namespaces = [namespace, *other_namespaces]
        self.api_key = api_key or f"sk_sandbox_{secrets.token_urlsafe(18)}"
        self.rate_limit = rate_limit or RateLimit()
        self.bucket = TokenBucket(self.rate_limit, clock)
        self.plugins = {
            plugin.plugin_id: Served(
                plugin=plugin,
                patient=Patient(faults.of(plugin.plugin_id), random=random, clock=clock, sleep=sleep),
                runtime=Runtime(plugin.plugin_id, plugin.build) if plugin.build else None,
            )
            for plugin in plugins
        }
        faults.require_known(self.plugins)

    def find(self, namespace: str, plugin_id: str) -> Served | None:
        return self.plugins.get(plugin_id) if namespace == self.namespace else None

    def accepts(self, authorization: str) -> bool:
        """Whether an Authorization header carries the key."""
        scheme, _, key = authorization.partition(" ")
        # A header may hold bytes that are not UTF-8, which aiohttp hands over as surrogates.
        given = key.strip().encode("utf-8", "surrogateescape")
        known = hmac.compare_digest(given, self.api_key.encode())
        return scheme.lower() == "bearer" and known

    async def warm_up(self, timeout_s: float = 60.0) -> dict[str, str]:
        """Builds every service, so that the first call is quick; returns what went wrong, by plugin id."""
        warming = {
            plugin_id: asyncio.create_task(served.runtime.warm_up())
            for plugin_id, served in self.plugins.items()
            if served.runtime is not None and served.realtime
        }
        if not warming:
            return {}
        _, late = await asyncio.wait(warming.values(), timeout=timeout_s)
        for task in late:
            task.cancel()
        problems = {plugin_id: self._problem(plugin_id, task in late) for plugin_id, task in warming.items()}
        return {plugin_id: problem for plugin_id, problem in problems.items() if problem}

    def _problem(self, plugin_id: str, late: bool) -> str | None:
        served = self.plugins[plugin_id]
        if late and served.status == State.in_progress:
            return "the service is still being built"
        return served.problem

    def close(self) -> None:
        """Stops the plugins' threads; they start again when they are needed."""
        for served in self.plugins.values():
            if served.runtime is not None:
                served.runtime.close()
