"""`shapes`: what plugins answer is recorded, compared with what was recorded, shown and tidied."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from worker.app import Launch, assemble, stop_signals
from worker.config.lock_lines import Fields
from worker.config.lock_text import with_entries, without_entries
from worker.core.exchange import Reply
from worker.core.exits import Exit
from worker.core.notation import pretty
from worker.core.outcome import Verdict
from worker.core.pin import Pin
from worker.core.result import Result
from worker.core.target import ShapePolicy, Target, TargetKey
from worker.core.track import Recorded
from worker.settings import Settings
from worker.sinks import textfile
from worker.sinks.table import progress

Say = Callable[[str], None]


@dataclass(slots=True)
class Samples:
    """A sink that keeps every result whole, and the replies that tell a shape."""

    advance: Callable[[], None]
    results: dict[TargetKey, list[Result]] = field(default_factory=dict)

    def record(self, recorded: Recorded) -> None:
        self.results.setdefault(recorded.result.target.key, []).append(recorded.result)
        self.advance()

    def forget(self, key: TargetKey) -> None:
        """A batch's list does not change."""


def named(keys: Sequence[TargetKey], globs: Sequence[str]) -> list[TargetKey]:
    """Those whose plugin id, or NAMESPACE/PLUGIN, any of the globs matches; all where there is no glob."""

    def matches(key: TargetKey) -> bool:
        return any(fnmatchcase(key.plugin, glob) or fnmatchcase(str(key), glob) for glob in globs)

    return [key for key in keys if not globs or matches(key)]


async def sample(settings: Settings, launch: Launch, targets: Sequence[Target], count: int) -> Samples:
    """Calls every target so many times, within the limits; a signal ends it early. Nothing is written or pushed."""
    with progress(len(targets) * count) as bar:
        samples = Samples(bar.advance)
        async with assemble(settings, launch, targets=targets, extra={"samples": samples}) as worker:
            with stop_signals(worker):
                for number in range(count):
                    if number:
                        worker.begin_anew()
                    await worker.engine.run_batch(targets, period_s=settings.schedule.interval_s, deadline_s=None)
                    if worker.engine.stopping:
                        break
    return samples


def as_sampled(target: Target) -> Target:
    """What is recorded is to be replaced, so nothing is held against it; distinct inputs are no sample."""
    vectors = tuple(replace(item, distinct=None) for item in target.expect.vectors)
    return replace(target, pin=None, expect=replace(target.expect, golden=None, vectors=vectors))


def replies_of(results: Sequence[Result]) -> list[Reply]:
    """Those that tell a shape: an error's null is none."""
    answers = [result.exchange.answer for result in results if result.exchange]
    return [answer for answer in answers if isinstance(answer, Reply) and answer.status == "success"]


def first_sick(results: Sequence[Result], count: int) -> str | None:
    """What was wrong first; None when all of `count` samples are healthy."""
    sick = next((result for result in results if result.outcome.verdict is not Verdict.UP), None)
    if sick is None:
        return None if len(results) == count else f"only {len(results)} of {count} samples were made"
    told = sick.judgement
    why = f"expected {told.expected}, found {told.found}" if told.expected and told.found else told.error or ""
    return f"{sick.outcome.value}: {why}" if why else sick.outcome.value


# The file -------------------------------------------------------------------------------------------------------------


def write_pins(path: Path, pins: Mapping[TargetKey, Pin]) -> None:
    """Sets these entries; all else in the file stays as it is. OSError, NotEditableError: then it is as it was."""
    _edit(
        path, lambda text: with_entries(text, {(key.namespace, key.plugin): fields(pin) for key, pin in pins.items()})
    )


def drop_pins(path: Path, keys: Sequence[TargetKey]) -> None:
    """Takes these entries out, likewise."""
    _edit(path, lambda text: without_entries(text, keys))


def _edit(path: Path, change: Callable[[str], str]) -> None:
    """On what is in the file now: somebody may have edited it while plugins were called."""
    before = path.read_bytes().decode("utf-8-sig") if path.exists() else ""
    after = change(before)
    if after != before:
        path.parent.mkdir(parents=True, exist_ok=True)
        textfile.write(path, [after.encode()])


def fields(pin: Pin) -> Fields:
    """An entry's keys in the file."""
    written: dict[str, str | int | Sequence[str]] = {"shape": pretty(pin.shape)}
    if pin.vectors:
        written["vectors"] = list(pin.vectors)
    if pin.samples is not None:
        written["samples"] = pin.samples
    return written


# diff and show --------------------------------------------------------------------------------------------------------


async def run_diff(settings: Settings, launch: Launch, targets: Sequence[Target], say: Say) -> Exit:
    """Live replies against pins: 1 on any difference, 4 where a pinned target gave nothing to compare."""
    pinned = [replace(as_sampled(target), pin=target.pin) for target in targets if target.pin]
    samples = await sample(settings, launch, pinned, 1)
    code = Exit.OK
    for target in targets:
        if target.pin is None:
            off = target.shape is ShapePolicy.OFF
            say(f"{target.key}: {'shape: off, not looked at' if off else 'not pinned'}")
            continue
        found, lines = _compared(target, samples.results.get(target.key, []))
        for line in lines:
            say(line)
        code = Exit.FOUND if Exit.FOUND in (code, found) else max(code, found)
    return code


def _compared(target: Target, results: Sequence[Result]) -> tuple[Exit, list[str]]:
    result = results[-1] if results else None
    if result is None or result.judgement.shape_diff is None:
        return Exit.INCOMPLETE, [f"{target.key}: nothing to compare: {first_sick(results, 1)}"]
    differences = result.judgement.shape_diff
    if not differences:
        return Exit.OK, [f"{target.key}: as pinned: {result.judgement.shape}  #{result.judgement.shape_hash}"]
    return Exit.FOUND, [f"{target.key}: differs", *(f"  └ {one}" for one in differences)]


def shown(settings: Settings, keys: Sequence[TargetKey]) -> Iterator[str]:
    """What is pinned of these; nothing is called."""
    listed = {target.key for target in settings.targets}
    for key in keys:
        pin = settings.pins.get(key)
        if pin is None:
            yield f"{key}: not pinned"
            continue
        facts = [f"#{pin.hash}"]
        facts += [] if pin.samples is None else [f"{pin.samples} sample{'' if pin.samples == 1 else 's'}"]
        facts += [f"vectors: {', '.join(pin.vectors)}"] if pin.vectors else []
        facts += [] if key in listed else ["no target: `plugin-probe shapes prune` clears that"]
        yield f"{key}: {'  '.join(facts)}"
        yield from (f"  {line}" for line in pretty(pin.shape).splitlines())
