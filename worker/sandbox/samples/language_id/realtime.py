"""Answers {"text": …} with {"language": …, "probability": …}."""

from typing import Any

import gcld3  # type: ignore[import-untyped, unused-ignore]
from shared.plugins.inference.serve import BaseInferenceService  # type: ignore[import-not-found]

_MAX_BYTES = 1000


class InferenceService(BaseInferenceService):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self._model = gcld3.NNetLanguageIdentifier(min_num_bytes=0, max_num_bytes=_MAX_BYTES)

    async def __call__(self, inputs: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
        found = self._model.FindLanguage(text=inputs["text"])
        sure = found.probability >= parameters.get("min_probability", 0.0)
        return {"language": found.language if sure else "und", "probability": found.probability}
