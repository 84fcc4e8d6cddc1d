"""Illnesses that a plugin can be given: one small class each, and one table of them."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, field_validator

from worker.sandbox.answers import (
    Answer,
    Failure,
    Refusal,
    refusal,
    too_many_requests,
    unauthorized,
    warming,
)
from worker.sandbox.vectors import change_numbers, change_vectors, has_vector, turned, wave

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
    """What an illness knows of the call that it spoils; it set in with the one whose `number` is 1."""

    number: int
    since_first_s: float
    authorization: str
    random: Random
    sleep: Callable[[float], Awaitable[None]]


class Illness(BaseModel):
    """Answers instead of the plugin, or alters what it returned, or neither; fields are its settings.

    The plugin's first `after` calls are healthy: the patient leaves the illness out of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    deployed: ClassVar[bool] = True

    after: int = Field(default=0, ge=0)

    async def instead(self, visit: Visit) -> Answer | None:
        """An answer in the plugin's place; None lets the call through."""
        return None

    def alter(self, value: Any, visit: Visit) -> Any:
        """Runs in the plugin's thread."""
        return value

    def answers_as(self, name: str) -> str:
        """The reply's inference_name; `name` is the usual one."""
        return name


class Raising(Illness):
    error: str = "RuntimeError: injected by the sandbox"

    async def instead(self, visit: Visit) -> Answer | None:
        return Failure(error=self.error)


class Nan(Illness):
    """The first number of every vector; every number, where there is no vector."""

    def alter(self, value: Any, visit: Visit) -> Any:
        if has_vector(value):
            return change_vectors(value, lambda vector: [math.nan, *vector[1:]])
        return change_numbers(value, math.nan)


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

    @field_validator("after")
    @classmethod
    def _from_the_start(cls, after: int) -> int:
        if after:
            raise ValueError("whether a plugin is deployed is settled before its first call, so it must be 0")
        return after


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


class RenamedKey(Illness):
    """Wherever the key stands, at its place among the others."""

    key: str = "embedding"
    to: str = "embeddings"

    def alter(self, value: Any, visit: Visit) -> Any:
        if isinstance(value, dict):
            return {self.to if key == self.key else key: self.alter(item, visit) for key, item in value.items()}
        if isinstance(value, list):
            return [self.alter(item, visit) for item in value]
        return value


class MissingKey(Illness):
    """At the top of the reply only, as with the next two."""

    key: str

    def alter(self, value: Any, visit: Visit) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: item for key, item in value.items() if key != self.key}


class ExtraKey(Illness):
    key: str = "debug"
    value: JsonValue = "x"

    def alter(self, value: Any, visit: Visit) -> Any:
        return {**value, self.key: self.value} if isinstance(value, dict) else value


class RandomKeys(Illness):
    """Every reply has a shape of its own."""

    def alter(self, value: Any, visit: Visit) -> Any:
        if not isinstance(value, dict):
            return value
        return {**value, **{f"k_{visit.random.getrandbits(48):012x}": 1 for _ in range(2)}}


class Collapse(Illness):
    """One and the same vector, sound in itself, for every input."""

    def alter(self, value: Any, visit: Visit) -> Any:
        return change_vectors(value, lambda vector: wave(len(vector)))


class Drift(Illness):
    """Vectors as long as they were, turned by `per_call` radians more with every call, to a right angle at most."""

    per_call: float = Field(default=0.05, gt=0, allow_inf_nan=False)

    def alter(self, value: Any, visit: Visit) -> Any:
        angle = min(visit.number * self.per_call, math.pi / 2)
        return change_vectors(value, lambda vector: turned(vector, angle))


class NormJump(Illness):
    factor: float = Field(default=10.0, allow_inf_nan=False)

    def alter(self, value: Any, visit: Visit) -> Any:
        return change_vectors(value, lambda vector: [number * self.factor for number in vector])


class OtherModel(Illness):
    """Answers under another inference_name: the usual one with _next behind it, unless `name` says otherwise."""

    name: str | None = None

    def answers_as(self, name: str) -> str:
        return f"{name}_next" if self.name is None else self.name


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
    "renamed_key": RenamedKey,
    "missing_key": MissingKey,
    "extra_key": ExtraKey,
    "random_keys": RandomKeys,
    "collapse": Collapse,
    "drift": Drift,
    "norm_jump": NormJump,
    "other_model": OtherModel,
}
