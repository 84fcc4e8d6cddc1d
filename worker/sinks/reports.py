"""The report of a batch as JSON. Written row by row, since a batch may have 200,000 of them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from worker.core.outcome import Verdict
from worker.core.shard import Shard
from worker.core.summary import Summary
from worker.sinks.rows import Row, instant
from worker.sinks.text import finite


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """One batch. Times are Unix seconds; `complete` when every target was probed."""

    run_id: str
    started_at: float
    finished_at: float
    complete: bool
    shard: Shard | None = None

    @property
    def duration_s(self) -> float:
        return self.finished_at - self.started_at


def json_chunks(run: RunInfo, rows: Iterable[Row], summary: Summary) -> Iterator[bytes]:
    """The whole report, a row a line; `rows` in the order of the targets files."""
    opening = json.dumps(_opening(run, summary), indent=1, allow_nan=False)
    yield opening.removesuffix("\n}").encode() + b',\n "results": ['
    comma = b"\n  "
    for row in rows:
        yield comma + json.dumps(row.as_dict(), allow_nan=False).encode()
        comma = b",\n  "
    yield b"\n ]\n}\n"


def _opening(run: RunInfo, summary: Summary) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "started_at": instant(run.started_at),
        "finished_at": instant(run.finished_at),
        "duration_s": finite(run.duration_s, 3),
        "complete": run.complete,
        "shard": run.shard and asdict(run.shard),
        "summary": {
            "targets": summary.targets,
            **{verdict.value: summary.count(verdict) for verdict in Verdict},
            "by_outcome": summary.words(),
            "latency_s": {name: finite(value) for name, value in summary.latency().items()},
        },
    }
