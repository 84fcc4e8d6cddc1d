"""Which targets a batch takes, and what it keeps of their results."""

import pytest

from tests.fakes import exchange, make_result, make_target, refusal
from worker.batch import Results, chosen
from worker.core.outcome import Outcome, Verdict
from worker.core.result import Result, SkipReason, skip
from worker.core.track import Recorded, Track, advance

FLEET = [make_target(plugin, namespace) for namespace in ("ns_a", "ns_b", "prod") for plugin in ("embed_1", "rank_1")]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        pytest.param([], [target.key for target in FLEET], id="everything"),
        pytest.param(["prod"], [("prod", "embed_1"), ("prod", "rank_1")], id="a namespace"),
        pytest.param(["ns_*/rank_?"], [("ns_a", "rank_1"), ("ns_b", "rank_1")], id="globs"),
        pytest.param(["ns_b/embed_1", "prod/r*"], [("ns_b", "embed_1"), ("prod", "rank_1")], id="any of two"),
        pytest.param(["prod/"], [("prod", "embed_1"), ("prod", "rank_1")], id="a trailing slash"),
        pytest.param(["PROD"], [], id="case matters"),
        pytest.param(["ns"], [], id="whole names"),
    ],
)
def test_only_chooses_by_globs_in_the_order_of_the_list(only: list[str], expected: list[tuple[str, str]]) -> None:
    assert [tuple(target.key) for target in chosen(FLEET, only)] == [tuple(key) for key in expected]


class Counting:
    """A progress bar that only counts."""

    done = 0

    def advance(self, count: int = 1) -> None:
        self.done += count


def recorded(result: Result) -> Recorded:
    track, changes = advance(Track(), result)
    return Recorded(result=result, track=track, changes=changes)


def test_results_stand_in_the_order_of_the_list_whatever_came_first() -> None:
    bar = Counting()
    results = Results(bar)
    results.record(recorded(make_result(exchange(refusal(), status=500), FLEET[2])))
    results.record(recorded(skip(FLEET[1], SkipReason.DEADLINE)))
    results.record(recorded(make_result(target=FLEET[0])))
    rows = results.in_order(FLEET)
    assert [row.outcome for row in rows] == [Outcome.SUCCESS, Outcome.SKIPPED, Outcome.SERVER_ERROR]
    assert bar.done == 3
    assert results.skipped == 1
    assert {verdict: results.summary.count(verdict) for verdict in Verdict} == {"up": 1, "down": 1, "unknown": 1}
