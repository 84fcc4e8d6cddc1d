"""`shapes pin`: samples become pins and golden vectors, sick ones only by force."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from worker.app import Launch
from worker.config.golden_file import file_of, golden_text
from worker.config.locate import locate
from worker.config.source import shown_path
from worker.core.exchange import Reply
from worker.core.exits import Exit
from worker.core.notation import text
from worker.core.outcome import Verdict
from worker.core.pin import Pin, learn
from worker.core.result import Result
from worker.core.shape import infer
from worker.core.target import Golden, Target, TargetKey
from worker.core.vector import ABSENT, cosine, lookup, survey
from worker.settings import Settings
from worker.shapes import Say, as_sampled, first_sick, replies_of, run_diff, sample, write_pins
from worker.sinks import textfile


@dataclass(frozen=True, slots=True, kw_only=True)
class PinOrder:
    """What `shapes pin` was asked for."""

    targets: Sequence[Target]
    samples: int
    force: bool = False
    golden: bool = False


async def run_pin(settings: Settings, launch: Launch, order: PinOrder, say: Say) -> Exit:
    """Pins what can be pinned: 1 where a plugin was sick, 4 where it gave no answer that proves anything.

    Raises OSError and NotEditableError where the shapes file can't be written; it then is as it was.
    """
    samples = await sample(settings, launch, [as_sampled(target) for target in order.targets], order.samples)
    pins: dict[TargetKey, Pin] = {}
    lines: list[str] = []
    codes = {Exit.OK}
    for target in order.targets:
        results = samples.results.get(target.key, [])
        sick, replies = first_sick(results, order.samples), replies_of(results)
        if not replies or (sick and not order.force):
            remedy = "; --force pins it all the same" if replies else ""
            lines.append(f"{target.key}: not pinned: {sick}{remedy}")
            codes.add(_code_of(results))
            continue
        old = settings.pins.get(target.key)
        pins[target.key] = pin = learn([reply.raw_response for reply in replies], old)
        lines += _told(target.key, pin, old, sick)
    write_pins(settings.shapes_file, pins)
    for line in lines:  # not before it is true
        say(line)
    for target in order.targets if order.golden else ():
        if target.key in pins:
            codes.add(_record_golden(settings, target, replies_of(samples.results[target.key]), order, say))
    return next(code for code in (Exit.FOUND, Exit.INCOMPLETE, Exit.OK) if code in codes)


def _code_of(results: Sequence[Result]) -> Exit:
    down = any(result.outcome.verdict is Verdict.DOWN for result in results)
    return Exit.FOUND if down else Exit.INCOMPLETE


def _told(key: TargetKey, pin: Pin, old: Pin | None, sick: str | None) -> Iterator[str]:
    warning = f"  (sick: {sick})" if sick else ""
    if pin is old:
        yield f"{key}: as pinned before: {pin.text}  #{pin.hash}{warning}"
        return
    yield f"{key}: pinned from {pin.samples} sample{'' if pin.samples == 1 else 's'}: {pin.text}  #{pin.hash}{warning}"
    yield from (f"  └ {one}" for one in (old.compare(pin.shape) if old else ()))


# Golden vectors -------------------------------------------------------------------------------------------------------


def _record_golden(settings: Settings, target: Target, replies: Sequence[Reply], order: PinOrder, say: Say) -> Exit:
    golden = target.expect.golden
    if golden is None:
        say(f"{target.key}: no golden vector: the target has no expect.golden")
        return Exit.OK
    problem = _unfit(settings, target, golden, replies, order)
    if problem:
        say(f"{target.key}: no golden vector: {problem}")
        return Exit.FOUND
    path, last = file_of(golden, target.key), replies[-1]
    vector = lookup(last.raw_response, golden.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    textfile.write(path, [golden_text(target, golden.path, vector, last.inference_name).encode()])
    say(f"{target.key}: golden vector of {len(vector)} numbers recorded in {shown_path(path)}")
    return Exit.OK


def _unfit(settings: Settings, target: Target, golden: Golden, replies: Sequence[Reply], order: PinOrder) -> str | None:
    vectors = [lookup(reply.raw_response, golden.path) for reply in replies]
    for reply, vector in zip(replies, vectors, strict=True):
        looked = survey(vector)
        if looked is None or isinstance(vector[0] if vector else None, list):
            where = locate(settings, target.key, ("expect", "golden", "path"))
            found = "nothing" if vector is ABSENT else text(infer(vector))[:200]
            return f"{where}: {golden.path}: {found} there in the reply, {text(infer(reply.raw_response))[:200]}"
        if looked.illness:
            return f"{golden.path} is {looked.illness}"
    least = min((_likeness(one, other) for one, other in pairwise(vectors)), default=1.0)
    if least < golden.min_cosine and not order.force:
        return (
            f"the samples differ among themselves by a cosine of {least:.6g}, less than min_cosine"
            f" {golden.min_cosine:g}: every probe would drift; --force records it all the same"
        )
    return None


def _likeness(one: list[float], other: list[float]) -> float:
    return cosine(one, other) if len(one) == len(other) else -1.0


# A new version --------------------------------------------------------------------------------------------------------


async def run_carry(settings: Settings, launch: Launch, carried: Sequence[tuple[Target, TargetKey]], say: Say) -> Exit:
    """The pin of an old version becomes that of a new one; what the new one really answers is compared with it."""
    pins = {target.key: settings.pins[old] for target, old in carried}
    write_pins(settings.shapes_file, pins)
    for target, old in carried:
        pin = pins[target.key]
        say(f"{target.key}: pinned as {old} was: {pin.text}  #{pin.hash}")
    return await run_diff(settings, launch, [replace(target, pin=pins[target.key]) for target, _ in carried], say)


def carried_from(settings: Settings, namespace: str, name: str) -> TargetKey | None:
    """The pin that `--from` names: a plugin of that namespace, or NAMESPACE/PLUGIN."""
    wanted = (TargetKey(namespace, name), *(key for key in settings.pins if str(key) == name))
    return next((key for key in wanted if key in settings.pins), None)
