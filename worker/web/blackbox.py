"""A result under blackbox_exporter's names, for /probe."""

import json
from collections.abc import Iterator

from worker.core.exchange import Phases
from worker.core.outcome import Verdict
from worker.sinks.rows import Row


def blackbox_text(row: Row) -> str:
    """Text format 0.0.4. probe_success is absent when the verdict is unknown: it proved nothing."""
    verdict = row.outcome.verdict
    lines: list[str] = []
    if verdict is not Verdict.UNKNOWN:
        lines += _gauge("probe_success", "Whether the plugin is up.", int(verdict is Verdict.UP))
    total_s = sum(seconds for seconds in row.phases.as_dict().values() if seconds is not None)
    lines += _gauge("probe_duration_seconds", "All phases of the call.", total_s)
    lines += _head("probe_http_duration_seconds", "Seconds in each phase.")
    lines += [f'probe_http_duration_seconds{{phase="{name}"}} {seconds!r}' for name, seconds in _phases(row.phases)]
    lines += _gauge("probe_http_status_code", "The reply's status, 0 without one.", row.http_status or 0)
    return "\n".join(lines) + "\n"


def explain_text(row: Row) -> str:
    """The whole report row, for people."""
    return json.dumps(row.as_dict(), indent=2) + "\n"


def _phases(phases: Phases) -> Iterator[tuple[str, float]]:
    processing = None if phases.send is None else phases.send + (phases.wait or 0.0)
    named = {
        "resolve": phases.dns,
        "connect": phases.connect,
        "tls": phases.tls,
        "processing": processing,
        "transfer": phases.receive,
    }
    return ((name, seconds or 0.0) for name, seconds in named.items())


def _head(name: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} gauge"]


def _gauge(name: str, text: str, value: float) -> list[str]:
    return [*_head(name, text), f"{name} {value!r}"]
