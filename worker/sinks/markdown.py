"""The report of a batch as Markdown, for a pull request or a CI job's summary."""

import html
import re
from collections.abc import Iterator, Sequence

from worker.core.outcome import Verdict
from worker.core.summary import Summary
from worker.sinks.reports import RunInfo
from worker.sinks.rows import Row, instant, shape_lines
from worker.sinks.text import seconds, tame

#: Rows a table; GitHub cuts a summary off at 1 MiB and a comment at 65,536 characters.
MOST_ROWS = 100
#: Of a longer shape so many characters are shown.
MOST_SHAPE = 200

_ACTIVE = re.compile(r"([\\`*_{}\[\]()#+!|~])")


def markdown(run: RunInfo, rows: Sequence[Row], summary: Summary) -> Iterator[bytes]:
    """Totals, then what is down, then what proved nothing; nothing of a reply is left active."""
    yield _opening(run, summary).encode()
    for title, verdict in (("Down", Verdict.DOWN), ("Unknown", Verdict.UNKNOWN)):
        chosen = [row for row in rows if row.outcome.verdict is verdict]
        if chosen:
            yield _table(title, chosen).encode()


def _opening(run: RunInfo, summary: Summary) -> str:
    latency = " · ".join(f"{name} {seconds(value)}" for name, value in summary.latency().items())
    verdicts = [(verdict.value, str(summary.count(verdict))) for verdict in Verdict]
    facts = [
        ("targets", str(summary.targets)),
        *verdicts,
        ("outcomes", ", ".join(f"{word} {count}" for word, count in summary.words().items()) or "none"),
        ("latency", latency),
        ("started", instant(run.started_at) or ""),
        ("took", f"{run.duration_s:.1f} s" + ("" if run.complete else ", incomplete")),
        ("run", run.run_id),
    ]
    lines = "".join(f"| {name} | {cell(value)} |\n" for name, value in facts)
    return f"## plugin-probe\n\n| | |\n|---|---|\n{lines}"


def _table(title: str, rows: Sequence[Row]) -> str:
    head = "| namespace | plugin | outcome | fault | status | latency | expected | found | error | shape |\n"
    lines = "".join(f"| {' | '.join([*map(cell, _cells(row)), _shape(row)])} |\n" for row in rows[:MOST_ROWS])
    more = f"\n… and {len(rows) - MOST_ROWS} more\n" if len(rows) > MOST_ROWS else ""
    return f"\n### {title}\n\n{head}{'|---' * 10}|\n{lines}{more}"


def _cells(row: Row) -> tuple[str, ...]:
    outcome = row.outcome
    status = "" if row.http_status is None else str(row.http_status)
    texts = (row.expected or "", row.found or "", row.error or "")
    return (*row.key, outcome.value, outcome.fault.value, status, seconds(row.duration_s), *texts)


def _shape(row: Row) -> str:
    """The shape, then what differs from the pinned one, a line each."""
    shape = row.shape or ""
    return "<br>".join(map(cell, [shape if len(shape) <= MOST_SHAPE else shape[:MOST_SHAPE] + "…", *shape_lines(row)]))


def cell(text: str) -> str:
    """A table's cell as plain text: one line, no HTML, no markup, nobody mentioned."""
    line = tame(" ".join(text.split()))
    return _ACTIVE.sub(r"\\\1", html.escape(line, quote=False)).replace("@", "&#64;")
