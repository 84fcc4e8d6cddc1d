"""Scores by shared words, correctly, but takes 600 ms over it."""

import asyncio
from typing import Any

from shared.plugins.inference.serve import BaseInferenceService  # type: ignore[import-not-found]

_DELAY_S = 0.6


class InferenceService(BaseInferenceService):  # type: ignore[misc]
    async def run_inference(self, inputs: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(_DELAY_S)
        query, document = (set(inputs[key].lower().split()) for key in ("query", "document"))
        return {"score": len(query & document) / max(1, len(query))}
