"""A small deterministic embedder; its illness comes from the sandbox's faults."""

import math
from typing import Any

_DIMENSIONS = 64


class RealtimeHandler:
    def predict(self, request: dict[str, Any]) -> dict[str, Any]:
        seed = sum(request["text"].encode())
        return {"embedding": [math.sin(seed + index) for index in range(_DIMENSIONS)]}
