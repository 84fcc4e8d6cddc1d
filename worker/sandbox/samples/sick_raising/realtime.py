"""Raises on every call, as a plugin does whose weights were cut off by a failed upload."""

from typing import Any


class RealtimeHandler:
    def predict(self, request: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("weights.bin is truncated: expected 438012 bytes, found 131072")
