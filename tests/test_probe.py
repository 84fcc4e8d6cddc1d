"""Distinct inputs in the engine, in virtual time: calls like any other, at their spacing, after a healthy reply."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tests.fakes import make_target, no_reply, refusal, reply, virtually
from tests.rig import Rig
from worker.core.exchange import Answer, Failure
from worker.core.outcome import Outcome
from worker.core.result import Result
from worker.core.target import Distinct, Expectation, Target, VectorExpectation
from worker.settings import Rate

A, B = {"text": "a"}, {"text": "b"}
OWN = {"text": "own"}
VECTORS: Mapping[str, list[float]] = {"own": [0.6, 0.8], "a": [1.0, 0.0], "b": [0.0, 1.0]}


def asking(every_s: float = 3600.0, **changes: Any) -> Target:
    vector = VectorExpectation(path="v", distinct=Distinct(inputs=(A, B), every_s=every_s))
    return make_target(inputs=OWN, expect=Expectation(vectors=(vector,)), **changes)


class Plugin:
    """Answers by its inputs; `said` replaces the answer to one of them, `asked` counts."""

    def __init__(self, **said: tuple[Answer, int | None]) -> None:
        self.said = said
        self.asked: Counter[str] = Counter()

    def __call__(self, target: Target, _number: int) -> tuple[Answer, int | None]:
        text = target.inputs["text"]
        self.asked[text] += 1
        return self.said.get(text, (reply({"v": VECTORS[text]}), 200))


def last(rig: Rig) -> Result:
    return rig.recorder.recorded[-1].result


def test_distinct_inputs_are_asked_after_the_targets_own_and_count_as_calls() -> None:
    plugin = Plugin()

    async def main() -> None:
        rig = await Rig(plugin).batch([asking()])
        assert plugin.asked == {"own": 1, "a": 1, "b": 1}
        result = last(rig)
        assert (result.outcome, result.attempts, result.judgement.distinct) == (Outcome.SUCCESS, 3, True)
        assert rig.recorder.recorded[-1].track.calls == 3
        assert rig.recorder.recorded[-1].track.probes == 1

    virtually(main())


def test_they_go_through_the_limits_and_the_main_call_alone_gives_duration_and_shape() -> None:
    async def main() -> None:
        plugin = Plugin(a=(reply({"v": [1.0, 0.0], "more": 1}), 200))
        rig = await Rig(plugin, rate=Rate(count=1, period_s=1.0)).batch([asking()])
        assert all(later - earlier >= 1.0 for earlier, later in pairwise(rig.starts("p_1_0_0")))
        result = last(rig)
        assert result.judgement.shape == "{v: number[2]}"
        assert result.exchange is not None
        assert result.exchange.duration_s == pytest.approx(0.1)
        assert result.lateness_s == 0.0

    virtually(main())


def test_one_vector_for_both_is_a_collapse_at_the_first_probe() -> None:
    async def main() -> None:
        rig = await Rig(Plugin(b=(reply({"v": VECTORS["a"]}), 200))).batch([asking()])
        judgement = last(rig).judgement
        assert (judgement.outcome, judgement.rule) == (Outcome.BAD_VALUES, "distinct v")
        assert rig.recorder.recorded[-1].track.shape_hash is not None

    virtually(main())


def test_a_daemon_asks_them_at_their_spacing_and_in_every_probe_while_they_are_alike() -> None:
    plugin = Plugin()
    target = asking(every_s=600.0, interval_s=60.0)

    async def main() -> None:
        rig = Rig(plugin)
        collapsed = (reply({"v": VECTORS["a"]}), 200)
        rig.later(1800.0, plugin.said.update, {"b": collapsed})
        rig.later(3000.0, plugin.said.clear)
        await rig.forever([target], for_s=3600.0)
        assert plugin.asked["own"] in range(59, 62)
        # found at the first of the ten-minute turns, and then every minute of the 10 to 20 that are left
        down = rig.outcomes["p_1_0_0"].count(Outcome.BAD_VALUES)
        assert down in range(10, 22)
        assert plugin.asked["b"] - down in (4, 5)
        assert rig.outcomes["p_1_0_0"][-1] is Outcome.SUCCESS

    virtually(main())


def test_a_plugin_that_is_down_is_not_asked_more() -> None:
    plugin = Plugin(own=(refusal(), 500))

    async def main() -> None:
        rig = await Rig(plugin).batch([asking()])
        assert (last(rig).outcome, plugin.asked) == (Outcome.SERVER_ERROR, {"own": 1})

    virtually(main())


@pytest.mark.parametrize(
    ("answer", "outcome", "calls"),
    [
        pytest.param((refusal(), 500), Outcome.SERVER_ERROR, 2, id="an error"),
        pytest.param((no_reply(Failure.TIMEOUT), None), Outcome.TIMEOUT, 2, id="a time-out"),
        pytest.param((reply({"v": [0.0, 0.0]}), 200), Outcome.BAD_VALUES, 2, id="an ill vector"),
        pytest.param((reply({"w": [1.0, 2.0]}), 200), Outcome.SHAPE_MISMATCH, 2, id="no vector"),
        pytest.param((refusal(retry_after_s=1.0), 429), Outcome.SUCCESS, 4, id="throttled proves nothing"),
    ],
)
def test_an_input_without_an_answer_decides_unless_it_proves_nothing(
    answer: tuple[Answer, int | None], outcome: Outcome, calls: int
) -> None:
    plugin = Plugin(a=answer)

    async def main() -> None:
        result = last(await Rig(plugin).batch([asking()]))
        assert (result.outcome, result.attempts) == (outcome, calls)
        assert plugin.asked["b"] == 0
        assert not result.judgement.distinct
        assert result.exchange is not None
        assert result.exchange.http_status == 200, "what is told of the call is told of the target's own"

    virtually(main())


def test_a_failure_of_another_input_is_confirmed_as_any_other() -> None:
    plugin = Plugin(a=(refusal(), 500))

    async def main() -> None:
        rig = Rig(plugin, rechecks=1)
        rig.later(1.0, plugin.said.clear)
        result = last(await rig.batch([asking()]))
        assert (result.outcome, result.attempts, plugin.asked["a"]) == (Outcome.SUCCESS, 4, 2)

    virtually(main())


@pytest.mark.parametrize(
    ("stop_s", "calls"),
    [pytest.param(0.15, 2, id="while one is in flight"), pytest.param(0.05, 1, id="before one is asked")],
)
def test_a_stop_keeps_what_the_targets_own_inputs_came_to(stop_s: float, calls: int) -> None:
    async def main() -> None:
        rig = Rig(Plugin())
        rig.later(stop_s, rig.engine.stop)
        result = last(await rig.batch([asking()]))
        assert (result.outcome, result.attempts) == (Outcome.SUCCESS, calls)

    virtually(main())


def test_a_call_besides_that_the_grace_cuts_off_keeps_it_too() -> None:
    async def main() -> None:
        rig = Rig(Plugin(), takes_s=lambda target: 0.1 if target.inputs == OWN else 9.0, grace_s=0.5)
        rig.later(1.0, rig.engine.stop)
        result = last(await rig.batch([asking()]))
        assert (result.outcome, result.attempts) == (Outcome.SUCCESS, 2)

    virtually(main())


def test_a_dead_connection_besides_is_asked_again_and_proves_nothing_without_time() -> None:
    async def main() -> None:
        rig = Rig(Plugin())
        rig.plugins.dead = frozenset({1})
        result = last(await rig.batch([asking()]))
        assert (result.outcome, result.attempts, rig.plugins.fresh_calls) == (Outcome.SUCCESS, 4, 1)
        rig = Rig(Plugin())
        rig.plugins.dead = frozenset({1})
        rig.later(0.15, rig.engine.stop)
        assert last(await rig.batch([asking()])).outcome is Outcome.SUCCESS

    virtually(main())


def test_a_reload_between_them_takes_effect_at_the_next_probe() -> None:
    async def main() -> None:
        rig, target = Rig(Plugin(), takes_s=0.5), asking(interval_s=60.0)
        rig.later(0.2, rig.engine.probe_now, target.key)
        rig.later(0.9, lambda: rig.engine.replace_targets([replace(target, expect=Expectation())]))
        await rig.forever([target], for_s=3.0)
        assert len(rig.plugins.calls) == 3
        assert last(rig).attempts == 3

    virtually(main())
