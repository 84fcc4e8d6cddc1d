"""What a Pushgateway shows, and one that answers by a script."""

from collections.abc import Iterable

from aiohttp import web

from tests.sinks.given import T0


def group(
    *plugins: str, job: str = "plugin_probe", shard: str = "", at: float = T0, probes: int = 1, **labels: str
) -> str:
    """A group of a batch that probed these plugins: what names the group stands on every sample, in its place by the
    alphabet, and a group that has no `instance` gets an empty one.
    """
    named = {"instance": "", "job": job} | ({"shard": shard} if shard else {}) | labels
    lines = [f"push_time_seconds{_labels(named)} {at:.17g}", f"plugin_probe_stalls_total{_labels(named)} {probes}"]
    for plugin in plugins:
        of = _labels({**named, "mixpeek_namespace": "ns_a", "plugin": plugin})
        lines.append(f"plugin_probe_last_probe_timestamp_seconds{of} {at:.17g}")
        lines.append(f"plugin_probe_probes_total{of} {probes}")
    return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    escaped = {name: value.replace("\\", r"\\").replace('"', r"\"") for name, value in labels.items()}
    return "{" + ",".join(f'{name}="{escaped[name]}"' for name in sorted(escaped)) + "}"


class Gateway:
    """Answers each method in turn with what stands in `answers`, the last one over and over; 202 if none."""

    def __init__(self, **answers: Iterable[tuple[int, str]]) -> None:
        self._answers = {method: list(turns) for method, turns in answers.items()}

    async def __call__(self, request: web.Request) -> web.Response:
        turns = self._answers.get(request.method, [(202, "")])
        status, text = turns.pop(0) if len(turns) > 1 else turns[0]
        return web.Response(status=status, text=text)
