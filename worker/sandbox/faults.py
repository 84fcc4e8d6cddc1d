"""Faults on demand: which plugin gets what, from YAML or a dict, and how a call meets them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from random import Random
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from worker.sandbox.answers import Answer, refusal
from worker.sandbox.illnesses import ILLNESSES, Illness, Seconds, Visit


class FaultsError(ValueError):
    """A faults file that cannot be used; one line a problem."""


def _illness(value: object) -> object:
    """A name, or {name: {setting: value}}."""
    if value is None or isinstance(value, Illness):
        return value
    name, settings = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (value, {})
    if not isinstance(name, str) or name not in ILLNESSES:
        raise ValueError(f"unknown illness {name!r}{_nearest(name, ILLNESSES)}; known: {', '.join(ILLNESSES)}")
    try:
        return ILLNESSES[name].model_validate(settings or {})
    except ValidationError as error:
        raise ValueError("; ".join(_problems(error, name))) from error


def _nearest(name: object, known: Iterable[str]) -> str:
    close = get_close_matches(str(name), list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _problems(error: ValidationError, *prefix: str) -> list[str]:
    return [
        f"{'.'.join([*prefix, *map(str, problem['loc'])]) or 'faults'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_context=False)
    ]


class Fault(BaseModel):
    """What is wrong with one plugin: a fixed delay, a share of calls answered 500, an illness."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency: Seconds = 0.0
    error_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    illness: Annotated[Illness | None, BeforeValidator(_illness)] = None


class Faults(BaseModel):
    """`plugins` by plugin id; what an entry leaves out comes from `defaults`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int | None = None
    defaults: Fault = Fault()
    plugins: dict[str, Fault] = {}

    def of(self, plugin_id: str) -> Fault:
        own = self.plugins.get(plugin_id)
        if own is None:
            return self.defaults
        return self.defaults.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})

    def require_known(self, plugin_ids: Iterable[str]) -> None:
        """FaultsError for entries of plugins that are not there: a fault must not be silently unused."""
        known = list(plugin_ids)
        unknown = [plugin_id for plugin_id in self.plugins if plugin_id not in known]
        if unknown:
            lines = (f"plugins.{name}: no such plugin{_nearest(name, known)}" for name in unknown)
            raise FaultsError("\n".join(lines))


def make_faults(value: Mapping[str, Any]) -> Faults:
    try:
        return Faults.model_validate(value)
    except ValidationError as error:
        raise FaultsError("\n".join(_problems(error))) from error


def read_faults(path: Path) -> Faults:
    """A YAML file; FaultsError has a line a problem, each with the file's name."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
        return make_faults({} if value is None else value)
    except OSError as error:
        raise FaultsError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FaultsError(f"{path}: not YAML: {error}") from error
    except FaultsError as error:
        raise FaultsError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from error


class Patient:
    """One plugin's faults and what they have to remember: how many calls came, and when the first."""

    def __init__(
        self,
        fault: Fault,
        *,
        random: Random,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._fault = fault
        self._illness = fault.illness or Illness()
        self._random = random
        self._clock = clock
        self._sleep = sleep
        self._calls = 0
        self._first_at: float | None = None

    @property
    def deployed(self) -> bool:
        return self._illness.deployed

    def visit(self, authorization: str) -> Visit:
        """Counts a call."""
        now = self._clock()
        self._first_at = now if self._first_at is None else self._first_at
        self._calls += 1
        return Visit(
            number=self._calls,
            since_first_s=now - self._first_at,
            authorization=authorization,
            random=self._random,
            sleep=self._sleep,
        )

    async def instead(self, visit: Visit) -> Answer | None:
        """The fault's answer in the plugin's place; None lets the call through."""
        if self._fault.latency:
            await self._sleep(self._fault.latency)
        if self._random.random() < self._fault.error_rate:
            return refusal(500, "InternalServerError", "Injected by error_rate")
        return await self._illness.instead(visit)

    def alter(self, value: Any, visit: Visit) -> Any:
        return self._illness.alter(value, visit)
