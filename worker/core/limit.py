"""What can hold a call back."""

from enum import StrEnum


class Limit(StrEnum):
    """What can hold a call back; the label of plugin_probe_throttle_seconds_total."""

    RATE = "rate"
    CONCURRENCY = "concurrency"
    NAMESPACE_RATE = "namespace_rate"
    NAMESPACE_CONCURRENCY = "namespace_concurrency"
    PAUSE = "pause"
