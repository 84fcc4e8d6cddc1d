"""What a report tells is read back from its file, and what is no report is told with its place and the remedy."""

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sinks.given import T0, exchange, exchanges, probed, refused, target, timed_out
from tests.sinks.given import last as newest
from worker.core.difference import Difference, Severity
from worker.core.exchange import Exchange, Phase, Phases, Reply
from worker.core.result import SkipReason
from worker.core.shard import Shard
from worker.core.summary import Summary, summarise
from worker.core.track import Recorded
from worker.core.vector import VectorReading
from worker.sinks.report_file import Report, ReportError, parse_report, read_report
from worker.sinks.reports import RunInfo, json_chunks
from worker.sinks.rows import Row, moment, row

RUN = RunInfo(run_id="run-1", started_at=T0, finished_at=T0 + 1.25, complete=True, shard=Shard(index=1, count=3))
#: As a configuration can hold them.
TARGETS = st.builds(
    target, namespace=st.text(max_size=9), plugin=st.text(max_size=9), labels=st.dictionaries(st.text(), st.text())
)


def written(rows: Sequence[Row], run: RunInfo = RUN) -> bytes:
    return b"".join(json_chunks(run, rows, Summary()))


def read(rows: Sequence[Row], run: RunInfo = RUN) -> Report:
    return parse_report("report.json", written(rows, run))


def edited(**changes: Any) -> bytes:
    """A report of one result with some of its fields changed; `...` takes one out, `results__x` is a result's."""
    document = json.loads(written([row(newest(probed(target(), exchange())))]))
    for name, value in changes.items():
        inside, field = (document["results"][0], name[9:]) if name.startswith("results__") else (document, name)
        inside[field] = value
        if value is ...:
            del inside[field]
    return json.dumps(document).encode()


# What was written -----------------------------------------------------------------------------------------------------


@given(
    probes=st.lists(
        st.builds(lambda of, call: newest(probed(of, call)), TARGETS, exchanges | st.sampled_from(SkipReason)),
        max_size=4,
    )
)
def test_a_row_that_is_read_back_tells_what_was_written_and_measures_the_same(probes: list[Recorded]) -> None:
    kept = [row(one) for one in probes]
    found = read(kept).rows
    assert [one.as_dict() for one in found] == [one.as_dict() for one in kept]
    again = Summary()
    for one in found:
        again.take(one.outcome, one.latency_s)
    latency = summarise(one.result for one in probes).latency()
    assert again.latency() == {name: None if value is None else round(value, 6) for name, value in latency.items()}


def test_a_row_in_which_nothing_is_null_is_read_back_whole() -> None:
    phases = Phases(dns=0.1, connect=0.2, tls=0.3, send=0.4, wait=0.5, receive=0.6)
    call = exchange(phases=phases, request_id="req-1", lost_s=0.1)
    kept = row(newest(probed(target(labels={"team": "search"}), call)))._replace(died_in=Phase.WAIT)
    told = kept.judgement._replace(
        shape_diff=(Difference(path="a", expected="number", found="string", severity=Severity.COMPATIBLE),),
        vectors=(VectorReading(path="v", dimensions=3, norm=1.5),),
        golden_cosine=0.75,
        expected="this",
        found="that",
        error="it broke",
    )
    kept = kept._replace(judgement=told)
    assert None not in kept.as_dict().values()
    assert read([kept]).rows[0].as_dict() == kept.as_dict()


def test_what_json_could_not_say_stays_null() -> None:
    kept = row(newest(probed(target(), exchange())))
    told = kept.judgement._replace(vectors=(VectorReading(path="v", dimensions=3, norm=math.inf),))
    (found,) = read([kept._replace(judgement=told, duration_s=math.nan)]).rows
    assert (found.as_dict()["vectors"][0]["norm"], found.duration_s, found.latency_s) == (None, None, None)


def test_only_documented_replies_that_no_stall_touched_have_a_latency() -> None:
    calls: list[Exchange | SkipReason] = [
        exchange(),
        exchange(lost_s=9.0),
        refused(500),
        timed_out(),
        SkipReason.DEADLINE,
    ]
    assert [one.latency_s for one in read([row(newest(probed(target(), call))) for call in calls]).rows] == [
        pytest.approx(0.042),
        None,
        None,
        None,
        None,
    ]


@given(call=exchanges)
def test_a_reply_is_known_by_its_shape(call: Exchange) -> None:
    kept = row(newest(probed(target(), call)))
    assert (kept.shape is not None) is isinstance(call.answer, Reply)


@given(started=st.integers(0, 4_000_000_000_000), took=st.integers(0, 10**7))
def test_the_batch_is_read_back_to_the_millisecond(started: int, took: int) -> None:
    run = RunInfo(
        run_id="run-7", started_at=started / 1000, finished_at=(started + took) / 1000, complete=False, shard=None
    )
    assert read([], run).run == run
    assert read([]).run == RUN


# Other versions -------------------------------------------------------------------------------------------------------


def test_fields_of_a_newer_version_are_passed_over_and_those_of_an_older_one_null() -> None:
    bare = {"namespace": "ns_a", "plugin": "p", "outcome": "timeout"}
    document = json.loads(edited(colour="red", shard=...)) | {"results": [bare | {"mood": "sad"}]}
    found = parse_report("report.json", json.dumps(document).encode())
    assert found.run.shard is None
    shown = found.rows[0].as_dict()
    told = bare | {"verdict": "down", "fault": "plugin", "labels": {}, "attempts": 0}
    assert {name: value for name, value in shown.items() if value is not None and name != "phases"} == told


def test_an_outcome_of_a_newer_version_is_told_as_such() -> None:
    with pytest.raises(ReportError, match=r"results\[0\]\.outcome: unknown outcome 'grumpy'; .* of this version"):
        parse_report("report.json", edited(results__outcome="grumpy"))


# What is no report ----------------------------------------------------------------------------------------------------

REMEDY = "; give what `plugin-probe once --report json=PATH` of this version wrote"
LEAVE_OUT = "; leave it out, and its targets are told as not probed"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"", f": is empty, as of a worker that was killed{LEAVE_OUT}", id="empty"),
        pytest.param(b" \n", f": is empty, as of a worker that was killed{LEAVE_OUT}", id="blank"),
        pytest.param(
            written([])[:-5], f":25:0: is cut short, as of a worker that was killed{LEAVE_OUT}", id="cut at the end"
        ),
        pytest.param(b"targets: []\n", f":1:2: not JSON: expected ident{REMEDY}", id="YAML"),
        pytest.param(b'{"a": 1}\n{"b": 2}', f":2:1: not JSON: trailing characters{REMEDY}", id="lines of JSON"),
        pytest.param(b"[]", f": no report of a batch: must be an object{REMEDY}", id="another kind"),
        pytest.param(
            b'{"results": []}',
            f": no report of a batch: run_id, started_at, finished_at, complete missing{REMEDY}",
            id="fields missing",
        ),
        pytest.param(
            edited(results__plugin=..., results__lost_s="1", results__attempts=1.5, run_id=5, complete="yes"),
            ": no report of a batch: run_id: must be a valid string; "
            "complete: must be a valid boolean; "
            f"results[0].plugin: is missing; and 2 more{REMEDY}",
            id="several fields",
        ),
        pytest.param(
            edited(started_at="yesterday"),
            f": no report of a batch: started_at: 'yesterday' is no time such as 2026-09-01T12:00:00.250Z{REMEDY}",
            id="no time",
        ),
        pytest.param(
            edited(shard={"index": 3, "count": 3}),
            f": no report of a batch: shard: index counts from 0: of 3 it is not 3{REMEDY}",
            id="a shard beyond the last",
        ),
        pytest.param(
            edited(shard={"index": 0, "count": 10**9}),
            f": no report of a batch: shard.count: must be less than or equal to 10000{REMEDY}",
            id="more shards than there can be",
        ),
        pytest.param(
            edited(results__duration_s=float("nan")),
            f": no report of a batch: results[0].duration_s: must be a finite number{REMEDY}",
            id="not a number",
        ),
    ],
)
def test_what_is_no_report_is_told_in_one_line_with_the_remedy(data: bytes, says: str) -> None:
    with pytest.raises(ReportError) as caught:
        parse_report("x.json", data)
    assert str(caught.value) == f"x.json{says}"


@pytest.mark.parametrize("text", ["", "12", "2026-09-01T12:00:00", "9999-12-31T23:59:59-23:59", "2026-13-01T12:00:00Z"])
def test_what_is_no_instant_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no time such as"):
        moment(text)


@given(cut=st.integers(1, 1000))
def test_a_report_that_ends_anywhere_before_its_end_is_told_as_cut_short(cut: int) -> None:
    whole = written([row(newest(probed(target(), exchange())))]).rstrip()
    with pytest.raises(ReportError, match=r"x\.json:\d+:\d+: is cut short"):
        parse_report("x.json", whole[: -min(cut, len(whole) - 1)])


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    field=st.sampled_from([*json.loads(edited())] + [f"results__{key}" for key in json.loads(edited())["results"][0]]),
    value=_JSON,
)
def test_whatever_stands_in_a_field_gives_a_report_or_is_told(field: str, value: Any) -> None:
    with suppress(ReportError):
        assert written(parse_report("x.json", edited(**{field: value})).rows)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing.json", f"missing.json: no such file{LEAVE_OUT}"),
        ("folder", f"folder: can't be read: Is a directory{LEAVE_OUT}"),
        ("folder\0", f"folder\\x00: is no path{REMEDY}"),
    ],
)
def test_a_file_that_can_not_be_read_is_named(
    name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReportError) as caught:
        read_report(Path(name))
    assert str(caught.value) == says
