"""The report of a batch as JUnit XML, which CI systems show as tests: a plugin is a test, its namespace the class."""

import re
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

from worker.core.outcome import Outcome, Verdict
from worker.sinks.reports import RunInfo
from worker.sinks.rows import Row, instant, shape_lines

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(run: RunInfo, rows: Sequence[Row]) -> Iterator[bytes]:
    """down is a failure, internal_error an error, any other unknown skipped, up (slow too) passed."""
    tags = [_tag(row.outcome) for row in rows]
    counts = " ".join(
        f'{attribute}="{tags.count(tag)}"'
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
    )
    totals = f'tests="{len(rows)}" {counts} time="{run.duration_s:.3f}"'
    began = (instant(run.started_at) or "").removesuffix("Z")  # the schema wants no zone
    opening = (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<testsuites name="plugin-probe" {totals}>\n'
        f' <testsuite name="plugin-probe" timestamp="{began}" {totals}>\n'
        f'  <properties><property name="run_id" value={_quoted(run.run_id)}/></properties>\n'
    )
    yield opening.encode()
    for row, tag in zip(rows, tags, strict=True):
        yield _case(row, tag).encode()
    yield b" </testsuite>\n</testsuites>\n"


def _tag(outcome: Outcome) -> str | None:
    if outcome is Outcome.INTERNAL_ERROR:
        return "error"
    return {Verdict.DOWN: "failure", Verdict.UNKNOWN: "skipped", Verdict.UP: None}[outcome.verdict]


def _case(row: Row, tag: str | None) -> str:
    named = f"classname={_quoted(row.key.namespace)} name={_quoted(row.key.plugin)}"
    opening = f'  <testcase {named} time="{row.duration_s or 0.0:.6f}"'
    if tag is None:
        return f"{opening}/>\n"
    message = f"{row.outcome.value}: {row.error or row.found or row.outcome.fault.value}"
    # `skipped` has a message only
    kind = "" if tag == "skipped" else f" type={_quoted(row.outcome.value)}"
    body = escape(_legal(_details(row)))
    return f"{opening}>\n   <{tag}{kind} message={_quoted(message)}>{body}</{tag}>\n  </testcase>\n"


def _details(row: Row) -> str:
    """One fact a line, those that apply."""
    facts = {
        "fault": row.outcome.fault.value,
        "expected": row.expected,
        "found": row.found,
        "error": row.error,
        "http_status": row.http_status,
        "died_in": row.died_in,
        "attempts": row.attempts,
        "request_id": row.request_id,
        "shape": row.shape,
    }
    told = [f"{name}: {value}" for name, value in facts.items() if value is not None]
    return "\n".join([*told, *shape_lines(row, most=10)])


def _quoted(text: str) -> str:
    return quoteattr(_legal(text))


def _legal(text: str) -> str:
    """XML 1.0 can't carry most control characters, not even escaped."""
    return _ILLEGAL.sub("", text)
