"""The daemon's judgement of readiness and freshness, over a worker that never calls anybody."""

import asyncio
import re
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import EPOCH_S, FixedClock, exchange, make_result, make_target
from worker.app import Launch, Worker
from worker.connection import Connection
from worker.core.exchange import Exchange
from worker.core.shard import Shard
from worker.core.target import Target, TargetKey
from worker.core.track import Recorded, Track, advance
from worker.daemon import FRESH_S, READY_S, Daemon, Serving
from worker.settings import (
    ApiSettings,
    ConfigError,
    LimitSettings,
    OutputSettings,
    Rate,
    Settings,
    TextfileSettings,
    TlsSettings,
)
from worker.sinks.log import LogSink
from worker.sinks.metrics import Metrics
from worker.stamp import stamp
from worker.web.board import Board

TARGET = make_target()


class FakeConnection(Connection):
    """Leads nowhere; refuses rubbish."""

    def __init__(self) -> None:
        super().__init__({}, FixedClock(), lambda: 0.0, Metrics(version="0").own, evidence=False)

    async def open(self, api: ApiSettings) -> None:
        if api.tls.ca_file:
            raise ConfigError(["api.tls.ca_file: not a certificate"])

    def call(self, target: Target, fresh: bool) -> Coroutine[Any, Any, Exchange]:
        return self.answer()

    async def answer(self) -> Exchange:
        return exchange()


class Case:
    """A daemon whose parts a test can reach."""

    def __init__(self, *targets: Target, shard: Shard | None = None) -> None:
        api = ApiSettings(base_url="http://127.0.0.1:1", api_key_env="KEY")
        self.settings = Settings(api=api, template=TARGET, targets=targets if shard else targets or (TARGET,))
        self.clock, self.board, self.metrics = FixedClock(), Board(), Metrics(version="0")
        self.connection = FakeConnection()
        self.worker = Worker(
            self.settings,
            Launch(environ={}),
            self.connection,
            log=LogSink(),
            metrics=self.metrics,
            clock=self.clock,
            extra={"board": self.board},
            begun=lambda: None,
            shard=shard,
        )
        for target in self.settings.targets:
            self.metrics.add(target)
        self.loaded: Settings | ConfigError = self.settings
        self.worker.engine.replace_targets(self.settings.targets)
        self.daemon = Daemon(self.worker, self.board, Serving(load=self.load))

    async def load(self, _before: Mapping[TargetKey, Target]) -> Settings:
        if isinstance(self.loaded, ConfigError):
            raise self.loaded
        return self.loaded

    def answered(self, at: float) -> None:
        result = make_result(exchange(at=at), TARGET)
        track, changes = advance(Track(), result)
        self.board.record(Recorded(result=result, track=track, changes=changes))

    def exposition(self) -> str:
        return b"".join(self.daemon.exposition(openmetrics=False)).decode()


async def test_it_is_ready_with_the_first_answer_or_after_a_minute() -> None:
    case = Case()
    assert not case.daemon.ready()
    case.clock.at = READY_S - 1
    assert not case.daemon.ready()
    case.clock.at = READY_S
    assert case.daemon.ready(), "an outage of theirs must not keep us out of service"
    case.clock.at = 0
    case.answered(EPOCH_S)
    assert case.daemon.ready()


async def test_a_shard_without_a_target_is_ready_at_once_and_with_one_waits_for_it() -> None:
    case = Case(shard=Shard(index=1, count=3))
    assert case.daemon.ready()
    case.loaded = replace(case.settings, targets=(TARGET,))
    assert await case.daemon.reload() == []
    assert not case.daemon.ready()
    case.answered(EPOCH_S)
    assert case.daemon.ready()
    case.loaded = case.settings
    assert await case.daemon.reload() == []
    assert case.daemon.ready()


async def test_a_reload_says_what_a_shard_may_use(capsys: pytest.CaptureFixture[str]) -> None:
    for shard in (Shard(index=1, count=3), None):
        case = Case(TARGET, shard=shard)
        case.loaded = replace(case.settings, limits=LimitSettings(rate=Rate(count=2, period_s=60.0), concurrency=4))
        assert await case.daemon.reload() == []
        told = "".join(capsys.readouterr())
        index = re.search(r"index.: ?1", told)  # JSON or not, as whoever was here before has set it up
        assert ("2/m" in told, "concurrency" in told, bool(index)) == (bool(shard),) * 3


async def test_a_fresh_result_answers_a_probe_and_an_old_one_does_not() -> None:
    case = Case()
    case.answered(EPOCH_S)
    case.clock.at = FRESH_S - 0.1
    assert await case.daemon._probe(TARGET.key, 0.01)
    case.clock.at = FRESH_S
    assert not await case.daemon._probe(TARGET.key, 0.01), "nothing runs here, so no new result can come in time"


async def test_a_target_that_is_not_listed_is_not_shown() -> None:
    case = Case()
    assert case.daemon.shown_one(make_target("other").key) is None
    (shown,) = case.daemon.shown()
    assert (shown.target, shown.row) == (TARGET, None)
    assert shown.next_due_in_s is not None
    assert 0 <= shown.next_due_in_s <= TARGET.interval_s


async def test_a_reload_takes_targets_in_and_out() -> None:
    case = Case(TARGET, make_target("leaves"))
    case.loaded = replace(case.settings, targets=(TARGET, make_target("comes")))
    assert await case.daemon.reload() == []
    text = case.exposition()
    assert 'plugin="comes"' in text
    assert 'plugin="leaves"' not in text
    assert "plugin_probe_config_last_reload_successful 1.0" in text
    assert "plugin_probe_targets 2.0" in text


async def test_a_reload_that_changes_nothing_touches_nothing() -> None:
    case = Case()
    case.exposition()
    terms, due_at = case.worker.engine.terms, dict(case.worker.engine.agenda.next_due_at)
    case.loaded = replace(case.settings, targets=tuple(case.settings.targets))
    assert await case.daemon.reload() == []
    assert case.worker.engine.terms is terms
    assert case.worker.engine.agenda.next_due_at == due_at
    assert case.metrics._exposition._dirty == {}


async def test_a_reload_with_other_limits_takes_them() -> None:
    case = Case()
    terms = case.worker.engine.terms
    case.loaded = replace(case.settings, limits=LimitSettings(concurrency=9))
    assert await case.daemon.reload() == []
    assert case.worker.engine.terms is not terms


async def test_a_file_that_changes_while_a_reload_fails_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "worker.yaml"
    file.write_text("before")
    case = Case()

    async def load(_before: Mapping[TargetKey, Target]) -> Settings:
        file.write_text("mended meanwhile")
        raise ConfigError(["worker.yaml:1:1: wrong"])

    daemon = Daemon(case.worker, case.board, Serving(load=load))
    daemon._watched = {file: stamp(file)}
    assert await daemon.reload() == ["worker.yaml:1:1: wrong"]
    assert await daemon._has_changed()


async def test_a_rejected_reload_changes_nothing() -> None:
    case = Case()
    case.loaded = ConfigError(["worker.yaml:1:1: limits: wrong"])
    assert await case.daemon.reload() == ["worker.yaml:1:1: limits: wrong"]
    assert case.worker.settings is case.settings
    assert "plugin_probe_config_last_reload_successful 0.0" in case.exposition()


async def test_a_reload_whose_client_cannot_be_made_changes_nothing() -> None:
    case = Case()
    api = replace(case.settings.api, tls=TlsSettings(ca_file=Path("rubbish.pem")))
    case.loaded = replace(case.settings, api=api, targets=())
    assert await case.daemon.reload() == ["api.tls.ca_file: not a certificate"]
    assert case.worker.settings is case.settings
    assert 'plugin_probe_calls_total{mixpeek_namespace="ns_a"' in case.exposition()


async def test_the_files_of_a_configuration_whose_client_cannot_be_made_are_watched(tmp_path: Path) -> None:
    case, file = Case(), tmp_path / "rubbish.pem"
    file.write_text("rubbish")
    api = replace(case.settings.api, tls=TlsSettings(ca_file=Path("rubbish.pem")))
    case.loaded = replace(case.settings, api=api, watched_files={file: stamp(file)})
    assert await case.daemon.reload() == ["api.tls.ca_file: not a certificate"]
    file.write_text("mended, and longer")
    assert await case.daemon._has_changed()


@pytest.mark.parametrize(
    ("outputs", "key"),
    [
        pytest.param(OutputSettings(listen_port=1), "outputs.listen", id="listen"),
        pytest.param(OutputSettings(histograms="namespace"), "outputs.histograms", id="histograms"),
    ],
)
async def test_what_a_reload_cannot_change_is_told_until_it_is_changed_back(
    outputs: OutputSettings, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    case = Case()
    case.loaded = replace(case.settings, outputs=outputs)
    for _ in range(2):
        await case.daemon.reload()
        assert "".join(capsys.readouterr()).count("outputs.") == 1
    case.loaded = replace(case.settings, outputs=OutputSettings(textfile=TextfileSettings(path=Path("x"))))
    await case.daemon.reload()
    assert key not in "".join(capsys.readouterr())


async def test_reloads_wait_for_one_another() -> None:
    case = Case()
    running: list[int] = []

    async def load(_before: Mapping[TargetKey, Target]) -> Settings:
        running.append(1)
        await asyncio.sleep(0.01)
        running.pop()
        assert not running, "another one loads meanwhile"
        return case.settings

    daemon = Daemon(case.worker, case.board, Serving(load=load))
    assert await asyncio.gather(*(daemon.reload() for _ in range(5))) == [[]] * 5


async def test_a_result_of_the_future_is_not_fresh() -> None:
    case = Case()
    case.answered(EPOCH_S + 3600)
    assert not await case.daemon._probe(TARGET.key, 0.01), "the clock was set back: nothing is known of its age"


async def test_who_gives_up_waiting_for_a_probe_takes_nobody_along() -> None:
    case = Case()
    patient = asyncio.create_task(case.daemon._probe(TARGET.key, 0.2))
    await asyncio.sleep(0)
    assert not await case.daemon._probe(TARGET.key, 0.01)
    case.worker.engine._running.end(TARGET.key)
    assert await patient


async def test_a_call_is_told_by_the_wall_clock_as_it_was_set_meanwhile() -> None:
    case = Case()

    async def answer() -> Exchange:
        case.clock.wall_offset_s += 3600.0
        return exchange()

    case.connection.answer = answer  # type: ignore[method-assign]
    made = await case.worker._world.call(TARGET, False)
    assert made.ended_at - exchange().ended_at == pytest.approx(3600.0)
