"""The engine through any sequence of reloads, faults and pauses: limits hold, nobody runs twice at once or starves."""

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.fakes import FakeClock, MemoryEvents, VirtualLoop, make_target
from tests.fuzz.budget import budget, tried
from tests.fuzz.witness import Manner, Witness
from tests.rig import make_terms
from worker.core.target import Target, TargetKey
from worker.engine import Engine
from worker.roster import replacing
from worker.settings import Rate
from worker.world import Terms, World

GRACE_S = 8.0
#: And the call that has to come first then.
LONGEST_PAUSE_S = 60.0 + 15.0
INTERVALS_S = [5.0, 7.0, 20.0, 60.0]

keys = st.builds(TargetKey, st.sampled_from(["ns_a", "ns_b", "ns_c"]), st.sampled_from(["p", "q", "r", "s"]))
lists = st.dictionaries(keys, st.sampled_from(INTERVALS_S), max_size=8)
rates = st.builds(Rate, count=st.integers(1, 5), period_s=st.just(1.0)) | st.sampled_from(
    [Rate(count=30, period_s=60.0), Rate(count=100, period_s=60.0)]
)
takes_s = st.sampled_from([0.0, 0.1, 0.5, 3.0, 9.0, 30.0])
manners = st.one_of(
    st.builds(Manner, takes_s=takes_s),
    st.builds(Manner, kind=st.just("throttled"), retry_after_s=st.sampled_from([None, 0.0, 0.5, 2.0, 10.0, 1e6])),
    st.builds(
        Manner,
        kind=st.sampled_from(["broken", "refused", "stalled", "stale", "raising", "cancelled"]),
        takes_s=takes_s,
    ),
)
terms = st.fixed_dictionaries(
    {"rate": rates, "concurrency": st.integers(1, 4), "rechecks": st.integers(0, 1)},
    optional={"namespace_rate": rates, "namespace_concurrency": st.integers(1, 3)},
)


class EngineStates(RuleBasedStateMachine):
    """Between two rules everything that is ready has run, so that what a rule changes holds for all that comes."""

    def __init__(self) -> None:
        super().__init__()
        tried[type(self).__name__] += 1
        self.loop = VirtualLoop()
        self.witness, self.events = Witness(), MemoryEvents()
        self.targets: dict[TargetKey, Target] = {}
        self.lives = 0
        self.key = 0

    def do(self, act: Callable[[], object]) -> None:
        async def settled() -> None:
            await asyncio.sleep(1e-6)
            act()
            self.witness.grow_patient(self.targets)
            await asyncio.sleep(1e-6)

        self.loop.run_until_complete(settled())

    def listed(self, key: TargetKey, **changes: Any) -> Target:
        return make_target(key.plugin, key.namespace, timeout_s=10.0, labels={"life": str(self.lives)}, **changes)

    def made(self, chosen: dict[str, Any]) -> Terms:
        made = make_terms(grace_s=GRACE_S, **chosen)
        self.witness.limit(made.limits.settings)
        return made

    @initialize(chosen=terms, intervals=lists)
    def start(self, chosen: dict[str, Any], intervals: dict[TargetKey, float]) -> None:
        def begin() -> None:
            world = World(
                call=self.witness.call,
                clock=FakeClock(),
                key_version=self.key_version,
                recorder=self.witness,
                event=self.events,
                throttled=lambda _limit, _seconds: None,
            )
            self.engine = Engine(world, self.made(chosen))
            self.engine_task = self.loop.create_task(self.engine.run_forever([]))

        self.do(begin)
        self.replace(intervals, slowly=False)

    def key_version(self, look: bool) -> int:
        self.key += look
        return self.key

    # Reloads ----------------------------------------------------------------------------------------------------------

    @rule(intervals=lists, slowly=st.booleans())
    def replace(self, intervals: dict[TargetKey, float], slowly: bool) -> None:
        """Another list; what it shares with the old one stays, with the interval that it has now."""

        async def reload() -> None:
            await asyncio.sleep(1e-6)
            before, self.lives = self.targets, self.lives + 1
            after = {
                key: self.listed(key, interval_s=interval_s)
                if key not in before
                else before[key]
                if before[key].interval_s == interval_s
                else self.renewed(before[key], interval_s)
                for key, interval_s in intervals.items()
            }
            self.witness.leaving = before.keys() - after.keys()
            self.witness.lives |= {key: int(target.labels["life"]) for key, target in after.items()}
            for _ in replacing(self.engine, after.values()):
                if slowly:
                    await asyncio.sleep(0.05)
            self.targets, self.witness.leaving = after, set()
            self.witness.lives = {key: int(target.labels["life"]) for key, target in after.items()}
            self.witness.waits = {key: wait for key, wait in self.witness.waits.items() if key in before.keys() & after}
            self.witness.grow_patient(after)
            await asyncio.sleep(1e-6)

        self.loop.run_until_complete(reload())

    @staticmethod
    def renewed(target: Target, interval_s: float) -> Target:
        return make_target(*reversed(target.key), timeout_s=10.0, labels=target.labels, interval_s=interval_s)

    @rule(chosen=terms)
    def limit(self, chosen: dict[str, Any]) -> None:
        self.do(lambda: self.engine.replace_terms(self.made(chosen)))

    # What plugins and people do ---------------------------------------------------------------------------------------

    @precondition(lambda self: self.targets)
    @rule(data=st.data(), manner=manners)
    def behave(self, data: st.DataObject, manner: Manner) -> None:
        key = data.draw(st.sampled_from(sorted(self.targets)))
        self.do(lambda: self.witness.behave(key, manner))

    @rule()
    def heal(self) -> None:
        self.do(self.witness.manners.clear)

    @precondition(lambda self: self.targets)
    @rule(data=st.data())
    def ask_now(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.targets)))
        self.do(lambda: self.engine.probe_now(key))

    # Time -------------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.0, 5.0]))
    def wait_a_little(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @rule(seconds=st.sampled_from([30.0, 61.0, 200.0]))
    def wait(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @rule(seconds=st.sampled_from([0.5, 20.0, 300.0]))
    def freeze(self, seconds: float) -> None:
        """The process is suspended."""

        def pass_by() -> None:
            self.loop.freeze(seconds)
            self.witness.grow_patient(self.targets, more_s=seconds)

        self.do(pass_by)

    # What holds -------------------------------------------------------------------------------------------------------

    @invariant()
    def every_promise_is_kept(self) -> None:
        assert not self.witness.broken

    @invariant()
    def no_target_starves(self) -> None:
        async def starving() -> list[str]:
            self.witness.grow_patient(self.targets)
            return self.witness.starving(self.targets, max(INTERVALS_S))

        if hasattr(self, "engine_task"):
            assert not self.loop.run_until_complete(starving())
            assert not self.engine_task.done()

    def teardown(self) -> None:
        """When all are well again, each is called soon; stopped, it ends within the grace, and every call of a target
        of the list belongs to a result.
        """
        if not hasattr(self, "engine_task"):
            self.loop.close()
            return
        manners = dict(self.witness.manners)
        self.heal()
        since = self.loop.time()
        patience_s = self.witness.patience_s(self.targets) + 2 * max(INTERVALS_S) + LONGEST_PAUSE_S
        self.loop.run_until_complete(asyncio.sleep(patience_s))
        starved = [str(key) for key in self.targets if self.witness.waits[key][0] < since]
        self.witness.manners = manners
        self.do(lambda: [self.engine.probe_now(key) for key in self.targets])
        self.loop.run_until_complete(asyncio.sleep(0.5))
        self.do(self.engine.stop)
        self.loop.run_until_complete(asyncio.wait([self.engine_task], timeout=GRACE_S + 0.1))
        ended, left = self.engine_task.done(), self.witness.inflight.total()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        assert not starved
        assert ended
        assert not left
        self.every_promise_is_kept()
        for known in self.witness.lives.items():
            assert self.witness.calls[known] == self.witness.told[known]
        failed = {event["target"] for event in self.events.named("worker.failed")}
        assert failed <= {str(key) for key in self.witness.may_fail}


TestEngineStates = EngineStates.TestCase
TestEngineStates.settings = budget(0.04, stateful_step_count=40)
