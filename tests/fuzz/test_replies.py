"""Whatever a server writes, one probe makes one outcome, and every sink says so in its own format and no secret."""

import io
import json
from typing import Any

from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from tests.core.values import expectations, references
from tests.fakes import FakeClock, MemoryEvents, make_target, virtually
from tests.fuzz.budget import fuzzed
from tests.fuzz.memory_wire import KEY, MemoryClient, Served
from tests.fuzz.replies import served
from tests.rig import make_terms
from tests.sinks.given import T0
from worker.core.outcome import Outcome
from worker.core.summary import Summary
from worker.core.target import Target, TargetKey
from worker.core.track import Recorded
from worker.engine import Engine
from worker.sinks.log import LogSink, configure
from worker.sinks.metrics import Metrics
from worker.sinks.report_file import parse_report
from worker.sinks.reports import RunInfo, json_chunks
from worker.sinks.rows import row
from worker.world import World


class Sinks:
    """All of them, and what they were told."""

    def __init__(self, target: Target, redact: Any) -> None:
        self.recorded: list[Recorded] = []
        self.stream = io.StringIO()
        configure(level="debug", fmt="json", run_id="run-1", redact=redact, stream=self.stream)
        self.log = LogSink(redact=redact)
        self.metrics = Metrics(version="0.1.0", python="3.11.0")
        self.metrics.add(target)
        self.redact = redact

    def record(self, recorded: Recorded) -> None:
        self.recorded.append(recorded)
        self.log.record(recorded)
        self.metrics.record(recorded)

    def forget(self, key: TargetKey) -> None:
        self.metrics.forget(key)

    def written(self) -> str:
        """Everything, checked as its readers would."""
        lines = self.stream.getvalue().splitlines()
        assert all(isinstance(json.loads(line), dict) for line in lines)
        plain = b"".join(self.metrics.exposition()).decode()
        openmetrics = b"".join(self.metrics.exposition(openmetrics=True)).decode()
        read = [_samples(read_plain(plain)), _samples(read_openmetrics(openmetrics))]  # type: ignore[no-untyped-call]
        assert read[0] == read[1]
        return "\n".join([*lines, plain, openmetrics, self._report()])

    def _report(self) -> str:
        rows = [row(one, self.redact) for one in self.recorded]
        run = RunInfo(run_id="run-1", started_at=T0, finished_at=T0 + 1, complete=True)
        report = b"".join(json_chunks(run, rows, Summary()))
        assert [one.as_dict() for one in parse_report("report.json", report).rows] == [one.as_dict() for one in rows]
        return report.decode()


def _samples(families: Any) -> list[str]:
    return sorted(f"{s.name}{sorted(s.labels.items())}{s.value!r}" for family in families for s in family.samples)


async def probed(target: Target, replies: list[Served], probes: int) -> tuple[Sinks, list[tuple[str, str, Any]]]:
    """A target that is probed so often with these replies, by the real engine and client."""
    async with MemoryClient(replies) as client:
        sinks, events = Sinks(target, client._credentials.redact), MemoryEvents()
        world = World(
            call=lambda asked, fresh: client.call(asked, fresh=fresh),
            clock=FakeClock(),
            key_version=lambda _look: 0,
            recorder=sinks,
            event=events,
            throttled=lambda _limit, _seconds: None,
        )
        engine = Engine(world, make_terms(rechecks=1))
        for _ in range(probes):
            await engine.run_batch([target], period_s=300.0, deadline_s=None)
            engine = _again(engine, world)
    return sinks, events.events


def _again(engine: Engine, world: World) -> Engine:
    """The next batch, which remembers the last one."""
    after = Engine(world, make_terms(rechecks=1))
    after.tracks = engine.tracks
    return after


def tells_the_key(value: Any) -> bool:
    """Every sink takes the key out once more, so what they are given is looked at as well."""
    match value:
        case str():
            return KEY in value
        case dict():
            return any(tells_the_key(inner) for item in value.items() for inner in item)
        case list() | tuple():
            return any(map(tells_the_key, value))
        case _:
            return False


@fuzzed(
    0.2,
    replies=st.lists(served(), min_size=1, max_size=3),
    expect=expectations,
    pin=references.map(lambda reference: reference.pin),
    probes=st.integers(1, 2),
)
def test_whatever_comes_back_is_one_outcome_told_in_every_format(
    replies: list[Served], expect: Any, pin: Any, probes: int
) -> None:
    target = make_target(expect=expect, pin=pin, inputs={"text": "a"})
    sinks, events = virtually(probed(target, replies, probes))
    outcomes = [one.result.outcome for one in sinks.recorded]
    assert len(outcomes) == probes
    assert Outcome.INTERNAL_ERROR not in outcomes, events
    assert KEY not in sinks.written()
    assert not any(tells_the_key(one.result.exchange) for one in sinks.recorded)
    assert not [event for event in events if event[0] == "worker.failed"]
