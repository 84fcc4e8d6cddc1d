"""The board: the newest result of each target."""

import json

from tests.fakes import exchange, make_target, refusal
from tests.web.surface import probed, recorded, waiting
from worker.core.outcome import Outcome, Verdict
from worker.web.board import Board, sick_first


def test_it_keeps_the_newest_row_and_forgets_with_its_target() -> None:
    board, target = Board(), make_target()
    first = recorded(target, exchange(refusal(), status=500))
    board.record(first)
    board.record(recorded(target, exchange(), first.track))
    assert [row.outcome for row in board.rows.values()] == [Outcome.SUCCESS]
    board.forget(target.key)
    board.forget(target.key)
    assert board.rows == {}


def test_down_stands_before_unknown_before_unprobed_before_up_and_names_decide_within() -> None:
    shown = [
        probed("b"),
        waiting("c"),
        probed("d", exchange(refusal(), status=403)),
        probed("f", exchange(refusal(), status=500)),
        probed("e", exchange(refusal(), status=500)),
        probed("a"),
    ]
    assert [one.target.key.plugin for one in sick_first(shown, 10)] == ["e", "f", "d", "c", "a", "b"]


def test_what_is_shown_is_json() -> None:
    told = json.loads(json.dumps(probed("p", exchange(refusal(), status=500), labels={"team": "x"}).as_dict()))
    assert (told["verdict"], told["outcome"], told["labels"]) == ("down", "server_error", {"team": "x"})
    assert told["consecutive_failures"] == 1
    assert told["result"]["http_status"] == 500


def test_a_target_that_was_not_probed_has_no_verdict() -> None:
    assert waiting().verdict is None
    assert probed().verdict is Verdict.UP
    assert waiting().as_dict()["result"] is None
