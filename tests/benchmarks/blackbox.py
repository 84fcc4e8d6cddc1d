"""The whole road against blackbox_exporter: the same requests to the same server, as many at once.

Theirs is the exporter's own CPU alone: whoever asks it for probes is a process of its own. It makes a new connection
for every probe, whatever it is told, so ours is measured both ways. It judges by regular expressions on the body and
renders a page per probe; ours parses, judges and writes a textfile. Start-up counts for neither.
"""

from contextlib import ExitStack

from tests.benchmarks.children import child
from tests.benchmarks.exporter import MISSING, exporter, installed
from tests.benchmarks.figure import NO_GOAL, Figure, Missing, Row
from tests.benchmarks.options import Options
from tests.benchmarks.road import CONCURRENCY, PROBES
from tests.benchmarks.spent import Spent, cpu_of_s
from tests.benchmarks.startup import instant_server

CPU_NAME = "CPU per probe against blackbox_exporter's, our connections {}"
RATE_NAME = f"probes per second at {CONCURRENCY} at once against blackbox_exporter's, our connections {{}}"
#: Of CPU and of probes per second. What is fresh is shown beside, so that like can be compared with like.
GOALS = {"reuse": ("≤ 0.4", "> 1"), "fresh": (NO_GOAL, NO_GOAL)}


def blackbox(options: Options) -> list[Row]:
    if not installed():
        names = (CPU_NAME, RATE_NAME)
        return [Missing(name=name.format("reuse"), why=MISSING) for name in names]
    spent = _blocks(options.blocks)
    return [figure for kind in GOALS for figure in _figures(kind, spent[kind], spent["theirs"])]


def _blocks(blocks: int) -> dict[str, list[Spent]]:
    """What each block took: ours reusing connections, theirs, ours on fresh ones."""
    spent: dict[str, list[Spent]] = {"reuse": [], "theirs": [], "fresh": []}
    with ExitStack() as stack:
        port = stack.enter_context(instant_server())
        rival = stack.enter_context(exporter())
        driver = stack.enter_context(child("exporter_driver", rival.port, port))
        reuse = stack.enter_context(child("road_child", port, "reuse"))
        fresh = stack.enter_context(child("road_child", port, "fresh"))

        def theirs() -> Spent:
            before_s = cpu_of_s(rival.pid)
            wall_s = driver.ask("all", PROBES, CONCURRENCY)
            return Spent(cpu_of_s(rival.pid) - before_s, wall_s)

        for number in range(blocks + 1):
            took = {"reuse": Spent(*reuse.ask("batch")), "theirs": theirs(), "fresh": Spent(*fresh.ask("batch"))}
            if number:  # the first block warms all
                for kind, cost in took.items():
                    spent[kind].append(cost)
    return spent


def _figures(kind: str, ours: list[Spent], theirs: list[Spent]) -> list[Row]:
    cpu_goal, rate_goal = GOALS[kind]
    return [
        Figure(
            name=CPU_NAME.format(kind),
            goal=cpu_goal,
            each=PROBES,
            ours=[cost.cpu_s for cost in ours],
            theirs=[cost.cpu_s for cost in theirs],
        ),
        Figure(
            name=RATE_NAME.format(kind),
            goal=rate_goal,
            each=PROBES,
            rates=True,
            clock="wall",
            ours=[cost.wall_s for cost in ours],
            theirs=[cost.wall_s for cost in theirs],
        ),
    ]
