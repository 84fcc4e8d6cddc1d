"""How plugins of the soak's server behave, and what each has to come to: all faults of the table that one address can
play, and what takes more than one call. A plugin's id begins with its behaviour's name and an underscore.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.faults.fault import GOOD_REPLY, Fault, Play, Stage, envelope
from tests.faults.table import FAULTS
from tests.mixpeek.servers import reply
from worker.core.outcome import Outcome

#: What a reply may have, and what the largest that are read to their end have: they stall the worker for some 10 ms.
MAX_RESPONSE_BYTES = 2**20
BOMB_BYTES = 2**18
#: What hangs has less time than others, so that it takes no more of the concurrency than its share.
HANGS_S = 0.7
#: What may come of any plugin, and does not blame it.
UNPROVEN = frozenset({Outcome.SKIPPED, Outcome.PROBER_STALLED})

_calls = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What it does with a request, what may come of it, where it lives, how many there are, and their own keys.

    Each has a namespace of its own, of the same name: what came of it then stands in one counter. Those that are
    throttled share theirs: a second namespace with a 429 would pause everything.
    """

    play: Play
    outcomes: frozenset[Outcome]
    namespace: str
    targets: int = 2
    keys: Mapping[str, Any]


async def comes_and_goes(stage: Stage) -> None:
    await stage.peer.send(reply(envelope(), status="500 Error") if next(_calls) % 2 else GOOD_REPLY)


async def closes_idle(stage: Stage) -> None:
    """Healthy; the connection is closed without a word, as its next call may already be under way."""
    await stage.peer.send(GOOD_REPLY)
    stage.peer.writer.close()


def of_table(fault: Fault, play: Play) -> Behaviour:
    throttled = fault.takes == "waits"
    expect = dict(fault.expect) | ({"max_warming": "1h"} if fault.outcome is Outcome.WARMING else {})
    return Behaviour(
        play=play,
        outcomes=frozenset({fault.outcome}),
        namespace="throttled" if throttled else fault.name,
        targets=1 if throttled or fault.holds else 2,
        keys={"expect": expect, **({"timeout": HANGS_S} if fault.takes == "time-out" else {})},
    )


def own(play: Play, *outcomes: Outcome) -> Behaviour:
    return Behaviour(play=play, outcomes=frozenset(outcomes), namespace=play.__name__, targets=50, keys={})


BEHAVIOURS: Mapping[str, Behaviour] = {
    **{fault.name: of_table(fault, fault.play) for fault in FAULTS.values() if fault.play},
    "comes_and_goes": own(comes_and_goes, Outcome.SUCCESS, Outcome.SERVER_ERROR),
    "closes_idle": own(closes_idle, Outcome.SUCCESS),
}
#: By namespace; all others are healthy.
OUTCOMES = {behaviour.namespace: behaviour.outcomes for behaviour in BEHAVIOURS.values()}
WELL = frozenset({Outcome.SUCCESS})
