"""A JSON report read back from its file. What another version wrote is read as far as it goes: fields that are unknown
here are passed over, those that it did not know are null."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetPydanticSchema,
    NonNegativeInt,
    PlainValidator,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, core_schema

from worker.core.difference import Difference, Severity
from worker.core.exchange import Phase, Phases
from worker.core.judge import Judgement
from worker.core.outcome import OUTCOMES, Outcome
from worker.core.shard import Shard
from worker.core.target import TargetKey
from worker.core.vector import VectorReading
from worker.sinks.reports import RunInfo
from worker.sinks.rows import Row, moment
from worker.sinks.text import one_line, tame, unchanged

#: Of what is wrong in one file so much is told.
MOST_PROBLEMS = 3
_MOST_TEXT = 200
#: Limits are whole calls a shard, so there can't be more; each is looked at for each target.
_MOST_SHARDS = 10_000
_LEAVE_OUT = "leave it out, and its targets are told as not probed"
_WRITTEN_BY = "give what `plugin-probe once --report json=PATH` of this version wrote"
_BROKEN = re.compile(r"(?P<what>.*) at line (?P<line>\d+) column (?P<column>\d+)", re.DOTALL)


class ReportError(Exception):
    """A file that gives no report; the message is one line that names it and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One batch as its report tells it; `name` is its file's, as it was given."""

    name: str
    run: RunInfo
    rows: Sequence[Row]


def report_files(path: Path) -> list[Path]:
    """The file itself, or those *.json that are in a folder. Raises ReportError where there is none in it."""
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.json"))
    if not found:
        raise ReportError(f"{tame(str(path))}: no *.json in this folder; {_WRITTEN_BY}")
    return found


def read_report(path: Path) -> Report:
    """Raises ReportError."""
    name = tame(str(path))
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ReportError(f"{name}: no such file; {_LEAVE_OUT}") from None
    except OSError as error:
        raise ReportError(f"{name}: can't be read: {error.strerror}; {_LEAVE_OUT}") from None
    except ValueError:  # a path with a NUL in it
        raise ReportError(f"{name}: is no path; {_WRITTEN_BY}") from None
    return parse_report(name, data)


def parse_report(name: str, data: bytes) -> Report:
    """Raises ReportError."""
    if not data.strip():
        raise ReportError(f"{name}: is empty, as of a worker that was killed; {_LEAVE_OUT}")
    try:
        document = _Document.model_validate_json(data)
    except ValidationError as error:
        raise ReportError(name + _refused(error.errors(include_url=False, include_input=False))) from None
    return Report(name=name, run=document.run(), rows=document.results)


# What is wrong --------------------------------------------------------------------------------------------------------


def _refused(found: Sequence[ErrorDetails]) -> str:
    if found[0]["type"] == "json_invalid":
        return _no_json(found[0]["ctx"]["error"])
    told = [text for text in _problems(found) if text]
    more = [f"and {len(told) - MOST_PROBLEMS} more"] if len(told) > MOST_PROBLEMS else []
    return f": no report of a batch: {'; '.join([*told[:MOST_PROBLEMS], *more])}; {_WRITTEN_BY}"


def _no_json(told: str) -> str:
    match = _BROKEN.fullmatch(told)
    what, place = (match["what"], f":{match['line']}:{match['column']}") if match else (told, "")
    if what.startswith("EOF"):
        return f"{place}: is cut short, as of a worker that was killed; {_LEAVE_OUT}"
    return f"{place}: not JSON: {one_line(what, _MOST_TEXT)}; {_WRITTEN_BY}"


def _problems(found: Sequence[ErrorDetails]) -> Iterator[str]:
    """What is missing at the top comes first, as one."""
    missing = [str(one["loc"][0]) for one in found if one["type"] == "missing" and len(one["loc"]) == 1]
    if missing:
        yield f"{', '.join(missing)} missing"
    for one in found:
        if one["type"] == "missing" and len(one["loc"]) == 1:
            continue
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in one["loc"]).lstrip(".")
        yield one_line(f"{place}: {_message(one)}" if place else _message(one), _MOST_TEXT) or ""


def _message(one: ErrorDetails) -> str:
    if one["type"] == "missing":
        return "is missing"
    return str(one["ctx"]["error"]) if one["type"] == "value_error" else one["msg"].replace("Input should", "must")


# What stands in it ----------------------------------------------------------------------------------------------------


def _outcome(word: object) -> Outcome:
    outcome = OUTCOMES.get(word) if isinstance(word, str) else None
    if outcome is None:
        raise ValueError(f"unknown outcome {str(word)[:40]!r}")
    return outcome


def _moment(text: object) -> float:
    return moment(text if isinstance(text, str) else str(text))


_Outcome = Annotated[Outcome, PlainValidator(_outcome)]
_Moment = Annotated[float, PlainValidator(_moment)]
_Number = Annotated[float, Field(allow_inf_nan=False)]


class _Told(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Phases(_Told):
    dns: _Number | None = None
    connect: _Number | None = None
    tls: _Number | None = None
    send: _Number | None = None
    wait: _Number | None = None
    receive: _Number | None = None

    def phases(self) -> Phases:
        return Phases(self.dns, self.connect, self.tls, self.send, self.wait, self.receive)


class _Difference(_Told):
    path: str
    expected: str | None = None
    found: str | None = None
    severity: Severity

    def difference(self) -> Difference:
        return Difference(path=self.path, expected=self.expected, found=self.found, severity=self.severity)


class _Vector(_Told):
    path: str
    dimensions: int
    norm: _Number | None = None

    def reading(self) -> VectorReading:
        return VectorReading(self.path, self.dimensions, float("nan") if self.norm is None else self.norm)


class _Result(_Told):
    """`Row.as_dict`, the other way round; what follows from the outcome is not read."""

    namespace: str
    plugin: str
    labels: dict[str, str] = {}
    outcome: _Outcome
    http_status: int | None = None
    duration_s: _Number | None = None
    phases: _Phases = _Phases()
    died_in: Phase | None = None
    lost_s: _Number | None = None
    attempts: int = 0
    started_at: _Moment | None = None
    inference_name: str | None = None
    response_type: str | None = None
    response_keys: list[str] | None = None
    response_bytes: int | None = None
    shape: str | None = None
    shape_hash: str | None = None
    shape_diff: list[_Difference] | None = None
    vectors: list[_Vector] | None = None
    golden_cosine: _Number | None = None
    expected: str | None = None
    found: str | None = None
    error: str | None = None
    request_id: str | None = None

    def row(self) -> Row:
        judgement = Judgement(
            outcome=self.outcome,
            expected=self.expected,
            found=self.found,
            error=self.error,
            inference_name=self.inference_name,
            response_type=self.response_type,
            response_keys=None if self.response_keys is None else tuple(self.response_keys),
            shape=self.shape,
            shape_hash=self.shape_hash,
            shape_diff=None if self.shape_diff is None else tuple(one.difference() for one in self.shape_diff),
            vectors=tuple(one.reading() for one in self.vectors or ()),
            golden_cosine=self.golden_cosine,
        )
        return Row(
            TargetKey(self.namespace, self.plugin),
            self.labels,
            judgement,
            unchanged,  # what is written is redacted
            self.attempts,
            self.started_at,
            self.phases.phases(),
            self.duration_s,
            self.http_status,
            self.died_in,
            self.lost_s,
            self.response_bytes,
            self.request_id,
        )


def _as_row(_source: Any, handler: Any) -> core_schema.CoreSchema:
    """Each row as it is read: of 200,000 results no more than one is kept in two forms."""
    return core_schema.no_info_after_validator_function(_Result.row, handler(_Result))


class _Shard(_Told):
    index: NonNegativeInt
    count: Annotated[int, Field(ge=1, le=_MOST_SHARDS)]

    @model_validator(mode="after")
    def _within(self) -> "_Shard":
        if self.index >= self.count:
            raise ValueError(f"index counts from 0: of {self.count} it is not {self.index}")
        return self


class _Document(_Told):
    run_id: str
    started_at: _Moment
    finished_at: _Moment
    complete: bool
    shard: _Shard | None = None
    results: list[Annotated[Row, GetPydanticSchema(_as_row)]]

    def run(self) -> RunInfo:
        return RunInfo(
            run_id=one_line(self.run_id, _MOST_TEXT) or "",
            started_at=self.started_at,
            finished_at=self.finished_at,
            complete=self.complete,
            shard=Shard(index=self.shard.index, count=self.shard.count) if self.shard else None,
        )
