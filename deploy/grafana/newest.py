"""What one plugin's gauges say now."""

IT = '{mixpeek_namespace="$namespace",plugin="$plugin"}'
SHAPE_INFO = ("plugin_probe_response_shape_info", "shape", "response_type")


def newest(metric: str, *labels: str, at: str = "") -> str:
    """A gauge as the writer tells it that probed last: after a rollout or a resharding, an old one may linger."""
    named = ", ".join(labels)
    writer = f"topk(1, plugin_probe_last_probe_timestamp_seconds{IT}{at})"
    return f"max by ({named}) ({metric}{IT}{at} and ignoring ({named}) {writer})"
