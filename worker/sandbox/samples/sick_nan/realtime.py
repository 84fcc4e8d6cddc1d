"""Normalizes a vector that has no length: every number becomes NaN."""

import math
from typing import Any

_DIMENSIONS = 64


class RealtimeHandler:
    def predict(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"embedding": _normalized([0.0] * _DIMENSIONS)}


def _normalized(vector: list[float]) -> list[float]:
    length = math.hypot(*vector)
    return [number / length if length else math.nan for number in vector]
