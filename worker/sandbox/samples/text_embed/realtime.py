"""Answers {"text": …} with {"embedding": [256 floats]}."""

from pathlib import Path
from typing import Any

import wordllama
from shared.plugins.inference.serve import BaseInferenceService  # type: ignore[import-not-found]


class TextEmbedInferenceService(BaseInferenceService):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        # The weights lie in the package: plain load() would look for them on the network.
        weights = Path(wordllama.__file__).parent
        self._model = wordllama.WordLlama.load(cache_dir=weights, disable_download=True)

    async def run_inference(self, inputs: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
        return {"embedding": self._model.embed([inputs["text"]], norm=True)[0].tolist()}

    __call__ = run_inference


def get_inference_service(**_: Any) -> TextEmbedInferenceService:
    return TextEmbedInferenceService()
