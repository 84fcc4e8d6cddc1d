"""The soak's targets, well, sick and passing through, and the files in which the daemon finds them."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.commands import replace, target, write_config
from tests.faults.contract import GOLDEN, GOLDEN_FILE
from tests.soak.behaviours import BEHAVIOURS, MAX_RESPONSE_BYTES

TARGETS = 5_000
NAMESPACES = 20
#: Of the healthy and of the sick ones; those who visit have that of the healthy.
INTERVAL_S, SICK_INTERVAL_S = 10.0, 20.0
#: Three times what is in flight on average, and so little that it is all used before the warm-up ends: of the worker's
#: tasks as many as that stay.
CONCURRENCY = 40
#: Each reload brings so many new targets, which stay for some reloads, and changes what others ask for.
VISITORS, STAY, CHANGED = 50, 3, 100
HEALTHY_TARGETS = TARGETS - VISITORS * STAY - sum(behaviour.targets for behaviour in BEHAVIOURS.values())

Targets = list[dict[str, Any]]


def healthy() -> Targets:
    numbers = range(HEALTHY_TARGETS)
    return [target(f"well_{number}", f"ns_{number % NAMESPACES}", inputs={"text": "hello"}) for number in numbers]


def sick() -> Targets:
    return [
        target(f"{name}_{index}", behaviour.namespace, interval=SICK_INTERVAL_S, **behaviour.keys)
        for name, behaviour in BEHAVIOURS.items()
        for index in range(behaviour.targets)
    ]


def visitors(generation: int) -> Targets:
    """One of them hangs: it may leave while it is called."""
    well = [target(f"visitor_{generation}x{index}", "ns_visitors") for index in range(VISITORS - 1)]
    return [*well, target(f"silent_{generation}x", "silent", timeout="1s")]


@dataclass(slots=True, kw_only=True)
class Lists:
    """The files of the configuration, and what is done to them."""

    folder: Path
    url: str
    stable: Targets = field(default_factory=lambda: [*healthy(), *sick()])
    written_at: dict[int, float] = field(default_factory=dict)  # by generation, where it was not spoilt instead

    def write(self, generation: int) -> None:
        """That generation's lists; every third time the limits are others as well."""
        for index in range(CHANGED):
            place = (generation * CHANGED + index) % HEALTHY_TARGETS
            self.stable[place]["inputs"] = {"text": f"hello {generation}"}
        concurrency = CONCURRENCY + generation // 3 % 2 * 4
        staying = range(max(0, generation - STAY + 1), generation + 1)
        listed = [*self.stable, *(each for visited in staying for each in visitors(visited))]
        replace(self.folder / GOLDEN_FILE, json.dumps({"vector": GOLDEN}))
        write_config(
            self.folder,
            self.url,
            listed,
            api={"max_response_bytes": MAX_RESPONSE_BYTES},
            limits={"rate": "3000/s", "concurrency": concurrency, "max_retry_after": "50ms"},
            schedule={"interval": INTERVAL_S, "timeout": INTERVAL_S, "grace": "10s"},
            outputs={"listen": "127.0.0.1:0", "textfile": {"path": "probe.prom"}},
        )
        self.written_at[generation] = time.monotonic()

    def spoil(self, number: int) -> None:
        """In one of several ways: a key that is none, half a file, no file."""
        worker, targets = self.folder / "worker.yaml", self.folder / "targets.yaml"
        ways = [
            lambda: replace(targets, json.dumps({"targets": [{"namespace": "ns_a", "plugn": "p"}]})),
            lambda: replace(worker, worker.read_text()[:100]),
            lambda: targets.unlink(),
        ]
        ways[number % len(ways)]()
