"""Returns 256 numbers though the manifest declares 384."""

import math
from typing import Any

from shared.plugins.inference.serve import (  # type: ignore[import-not-found]
    BaseInferenceService,
    ServeDeploymentConfig,
)

_DIMENSIONS = 256


class WrongSizeRealtimeService(BaseInferenceService):  # type: ignore[misc]
    serve_config = ServeDeploymentConfig(enabled=True, num_replicas=1)

    async def _process_single(self, inputs: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
        seed = sum(inputs["text"].encode())
        return {"embedding": [math.sin(seed + index) for index in range(_DIMENSIONS)]}
