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


def _illnesses(value: object) -> object:
    """One illness or a list; the problems of all are told."""
    entries = value if isinstance(value, list | tuple) else () if value is None else (value,)
    found, problems = [], []
    for entry in entries:
        try:
            found.append(_illness(entry))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("; ".join(problems))
    return tuple(found)


def _illness(value: object) -> Illness:
    """A name, or {name: {setting: value}}."""
    if isinstance(value, Illness):
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
    """What is wrong with one plugin: a fixed delay, a share of calls answered 500, illnesses in their order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency: Seconds = 0.0
    error_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    illness: Annotated[tuple[Illness, ...], BeforeValidator(_illnesses)] = ()


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


Visits = tuple[tuple[Illness, Visit], ...]
"""One call's: the illnesses that have set in, in their order, each with what it knows of the call."""


class Patient:
    """One plugin's faults and what they have to remember: how many calls came, and when each illness set in."""

    def __init__(
        self,
        fault: Fault,
        *,
        random: Random,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._fault = fault
        self._random = random
        self._clock = clock
        self._sleep = sleep
        self._calls = 0
        self._set_in_at: dict[int, float] = {}

    @property
    def deployed(self) -> bool:
        return all(illness.deployed for illness in self._fault.illness)

    def visit(self, authorization: str) -> Visits:
        """Counts a call."""
        self._calls += 1
        now = self._clock()
        sick = [illness for illness in self._fault.illness if illness.after < self._calls]
        return tuple((illness, self._visit(illness.after, now, authorization)) for illness in sick)

    def _visit(self, after: int, now: float, authorization: str) -> Visit:
        return Visit(
            number=self._calls - after,
            since_first_s=now - self._set_in_at.setdefault(after, now),
            authorization=authorization,
            # Its own: what is drawn in a plugin's thread must not depend on which plugin is quicker.
            random=Random(self._random.getrandbits(64)),  # noqa: S311 - faults need no secrecy
            sleep=self._sleep,
        )

    async def instead(self, visits: Visits) -> Answer | None:
        """The fault's answer in the plugin's place, from the first that has one; None lets the call through."""
        if self._fault.latency:
            await self._sleep(self._fault.latency)
        if self._random.random() < self._fault.error_rate:
            return refusal(500, "InternalServerError", "Injected by error_rate")
        for illness, visit in visits:
            answer = await illness.instead(visit)
            if answer is not None:
                return answer
        return None

    def alter(self, value: Any, visits: Visits) -> Any:
        for illness, visit in visits:
            value = illness.alter(value, visit)
        return value

    def answers_as(self, name: str, visits: Visits) -> str:
        for illness, _ in visits:
            name = illness.answers_as(name)
        return name
