"""A plugin that answers with vectors, and sandboxes in which it is sick."""

from typing import Any

from tests.sandbox.callers import Heard, calling
from worker.sandbox.faults import make_faults
from worker.sandbox.plugins import Plugin
from worker.sandbox.sandbox import Sandbox

ID = "greeter_1_0_0"
VECTORS = "return {'embedding': [1.0, 2.0, 3.0, 4.0], 'more': {'deep': [[1, 2], [3, 4]]}, 'label': 'x'}"


def sick(plugin: Plugin, fault: dict[str, Any], **settings: Any) -> Sandbox:
    return Sandbox([plugin], faults=make_faults({"seed": 1, "plugins": {ID: fault}}), **settings)


async def heard_of(plugin: Plugin, illness: Any, **fault: Any) -> Heard:
    async with calling(sick(plugin, {"illness": illness, **fault})) as caller:
        return await caller.test(ID)


async def all_heard_of(plugin: Plugin, illness: Any, calls: int, **settings: Any) -> list[Heard]:
    """One call after the other."""
    async with calling(sick(plugin, {"illness": illness}, **settings)) as caller:
        return [await caller.test(ID) for _ in range(calls)]
