"""Illnesses that a plugin can be given: one small class each, and one table of them."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from worker.sandbox.answers import (
    Answer,
    Failure,
    Refusal,
    refusal,
    too_many_requests,
    unauthorized,
    warming,
)

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(value: object) -> object:
    """250ms, 30s, 5m, 1h, or a number of seconds."""
    if not isinstance(value, str):
        return value
    unit = value.lstrip("0123456789.")
    number = value.removesuffix(unit)
    if unit not in _UNITS_S or not number:
        raise ValueError(f"{value!r} is not a duration: write 250ms, 30s, 5m or a number of seconds")
    return float(number) * _UNITS_S[unit]


Seconds = Annotated[float, BeforeValidator(seconds), Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What an illness knows of the call that it spoils; `number` counts the plugin's calls from 1."""

    number: int
    since_first_s: float
    authorization: str
    random: Random
    sleep: Callable[[float], Awaitable[None]]


class Illness(BaseModel):
    """Answers instead of the plugin, or alters what it returned, or neither; fields are its settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    deployed: ClassVar[bool] = True

    async def instead(self, visit: Visit) -> Answer | None:
        """An answer in the plugin's place; None lets the call through."""
        return None

    def alter(self, value: Any, visit: Visit) -> Any:
        """Runs in the plugin's thread."""
        return value


class Raising(Illness):
    error: str = "RuntimeError: injected by the sandbox"

    async def instead(self, visit: Visit) -> Answer | None:
        return Failure(error=self.error)


class Nan(Illness):
    """The first number of every vector; every number, where there is no vector."""

    def alter(self, value: Any, visit: Visit) -> Any:
        if _has_vector(value):
            return change_vectors(value, lambda vector: [math.nan, *vector[1:]])
        return _change_numbers(value, math.nan)


class WrongSize(Illness):
    """Vectors of another size: half of what they were, unless `dimensions` says otherwise."""

    dimensions: int | None = Field(default=None, ge=0)

    def alter(self, value: Any, visit: Visit) -> Any:
        return change_vectors(value, self._resized)

    def _resized(self, vector: list[Any]) -> list[Any]:
        size = len(vector) // 2 if self.dimensions is None else self.dimensions
        return [vector[index % len(vector)] for index in range(size)]


class ZeroVector(Illness):
    def alter(self, value: Any, visit: Visit) -> Any:
        return change_vectors(value, lambda vector: [0.0] * len(vector))


class Slow(Illness):
    by: Seconds = 0.6

    async def instead(self, visit: Visit) -> Answer | None:
        await visit.sleep(self.by)
        return None


class Hanging(Illness):
    async def instead(self, visit: Visit) -> Answer | None:
        await asyncio.Event().wait()
        return None


class Cold(Illness):
    """Answers 503 model_warming until `calls` were made and `period` went by since the first, then is fine."""

    calls: int = Field(default=1, ge=0)
    period: Seconds = 0.0
    retry_after_s: int = Field(default=2, ge=1)

    async def instead(self, visit: Visit) -> Answer | None:
        warm = visit.number > self.calls and visit.since_first_s >= self.period
        return None if warm else warming(self.retry_after_s)


class NotDeployed(Illness):
    deployed: ClassVar[bool] = False


class ServerError(Illness):
    status: int = Field(default=500, ge=500, le=599)

    async def instead(self, visit: Visit) -> Answer | None:
        return refusal(self.status, "InternalServerError", "An unexpected error occurred")


class RateLimited(Illness):
    retry_after_s: int = Field(default=1, ge=1)

    async def instead(self, visit: Visit) -> Answer | None:
        return too_many_requests(limit=1, window="1m", retry_after_s=self.retry_after_s)


class UnauthorizedEcho(Illness):
    """Repeats the caller's Authorization header in its error, as careless servers do."""

    status: int = Field(default=401, ge=200, le=599)

    async def instead(self, visit: Visit) -> Answer | None:
        message = f"Rejected header Authorization: {visit.authorization}"
        if self.status == 200:
            return Failure(error=message)
        if self.status == 401:
            return unauthorized(message)
        return refusal(self.status, "InternalServerError", message)


class NotJson(Illness):
    async def instead(self, visit: Visit) -> Answer | None:
        body = "<html><body><h1>Service starting</h1></body></html>"
        return Refusal(status=200, body=body, content_type="text/html")


ILLNESSES: dict[str, type[Illness]] = {
    "raising": Raising,
    "nan": Nan,
    "wrong_size": WrongSize,
    "zero_vector": ZeroVector,
    "slow": Slow,
    "hanging": Hanging,
    "cold": Cold,
    "not_deployed": NotDeployed,
    "server_error": ServerError,
    "rate_limited": RateLimited,
    "unauthorized_echo": UnauthorizedEcho,
    "not_json": NotJson,
}


def change_vectors(value: Any, change: Callable[[list[Any]], list[Any]]) -> Any:
    """`value` with every vector in it, however deep, replaced by what `change` makes of it."""
    if _is_vector(value):
        return change(value)
    if isinstance(value, dict):
        return {key: change_vectors(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [change_vectors(item, change) for item in value]
    return value


def _has_vector(value: Any) -> bool:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return _is_vector(value) or any(_has_vector(item) for item in items)


def _change_numbers(value: Any, number: float) -> Any:
    if isinstance(value, dict):
        return {key: _change_numbers(item, number) for key, item in value.items()}
    return number if _is_number(value) else value


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_number(item) for item in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
