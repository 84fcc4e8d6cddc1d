"""`check`: one probe explained so well that nobody needs curl."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from worker.app import Launch, assemble, stop_signals
from worker.core.exchange import PHASE_NAMES, Exchange, Reply
from worker.core.exits import Exit, FailOn, exit_code
from worker.core.finding import Finding
from worker.core.judge import explain
from worker.core.result import Result
from worker.core.summary import summarise
from worker.core.target import Target, TargetKey
from worker.core.track import Recorded
from worker.mixpeek.contract import encode_request
from worker.mixpeek.url import target_url
from worker.settings import ApiSettings, Settings

_LABEL_WIDTH = 10


@dataclass(slots=True)
class Capture:
    """A sink that keeps the one result, exchange and all."""

    recorded: Recorded | None = None

    def record(self, recorded: Recorded) -> None:
        self.recorded = recorded

    def forget(self, key: TargetKey) -> None:
        """A batch's list does not change."""


async def run_check(settings: Settings, launch: Launch, target: Target) -> tuple[str, Exit]:
    """Probes one target as a batch of one would; the explanation, and the exit code."""
    capture = Capture()
    async with assemble(settings, launch, targets=[target], extra={"check": capture}, evidence=True) as worker:
        with stop_signals(worker):
            await worker.engine.run_batch([target], period_s=target.interval_s, deadline_s=None)
        redact = worker.connection.redact
    assert capture.recorded is not None, "every target of a batch gets a result"
    result = capture.recorded.result
    complete = result.skipped is None
    code = exit_code(summarise([result]), FailOn.parse("down"), complete=complete, outputs_failed=False)
    return redact("\n".join(explanation(settings.api, result)) + "\n"), code


def explanation(api: ApiSettings, result: Result) -> Iterator[str]:
    """The lines for people: request, phases, reply, shape, rules, verdict."""
    target, exchange = result.target, result.exchange
    yield _line("target", str(target.key))
    yield _line("request", curl(api, target))
    if exchange is not None:
        yield from _timing(exchange, result.attempts, len(result.reference.others))
        yield from _reply(exchange)
        yield from _contents(result)
        yield from _rules(list(explain(target.expect, exchange, result.reference)))
    yield from _verdict(result)


def curl(api: ApiSettings, target: Target) -> str:
    """The call as a command for a shell; the key comes from where it is kept and is not shown."""
    key = f"$(cat {shlex.quote(str(api.api_key_file))})" if api.api_key_file else f"${api.api_key_env}"
    body = encode_request(target.inputs, target.parameters).decode()
    words = ["curl", "-sS", "-X", "POST", shlex.quote(target_url(api, target.key))]
    words += ["-H", f'"Authorization: Bearer {key}"', "-H", "'Content-Type: application/json'"]
    for option, file in (("--cacert", api.tls.ca_file), ("--cert", api.tls.cert_file), ("--key", api.tls.key_file)):
        words += [option, shlex.quote(str(file))] if file else []
    if api.proxy:
        words += ["-x", shlex.quote(re.sub(r"//[^/@]*@", "//***@", api.proxy))]
    return " ".join([*words, "-d", shlex.quote(body)])


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL_WIDTH}}{text}"


def _listed(label: str, lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield _line("" if number else label, line)


def _timing(exchange: Exchange, attempts: int, others: int) -> Iterator[str]:
    phases = exchange.phases.as_dict()
    told = " · ".join(f"{name} {_milliseconds(phases[name])}" for name in PHASE_NAMES)
    yield _line("phases", told + (", on a kept-alive connection" if exchange.reused_connection else ""))
    if exchange.duration_s is not None:
        yield _line("latency", f"{_milliseconds(exchange.duration_s)} (send + wait + receive)")
    if exchange.lost_s:
        yield _line("stalled", f"the worker itself stood still for {exchange.lost_s:.3g} s meanwhile")
    if attempts > 1:
        besides = f"{others} of them for distinct inputs" if others else "the last one is shown"
        yield _line("attempts", f"{attempts}, {besides}")


def _reply(exchange: Exchange) -> Iterator[str]:
    if exchange.http_status is None:
        yield _line("reply", f"none: the call ended in the phase {exchange.died_in}")
        return
    size = "" if exchange.response_bytes is None else f", {exchange.response_bytes:,} bytes"
    request_id = f", request {exchange.request_id}" if exchange.request_id else ""
    yield _line("reply", f"HTTP {exchange.http_status}{size}{request_id}")
    yield from _listed("headers", (f"{name}: {value}" for name, value in exchange.headers))
    if exchange.excerpt:
        yield from _listed("body", _folded(exchange.excerpt))


def _folded(text: str, width: int = 160, most: int = 6) -> Sequence[str]:
    """The beginning of a body, in lines that fit a screen."""
    lines = [line[at : at + width] for line in text.splitlines() for at in range(0, max(len(line), 1), width)]
    printable = ["".join(c if c.isprintable() else "�" for c in line) for line in lines[:most]]
    return printable if len(lines) <= most else [*printable, "…"]


def _contents(result: Result) -> Iterator[str]:
    judgement = result.judgement
    if judgement.shape is None:
        return
    yield _line("inference", judgement.inference_name or "")
    yield _line("shape", f"{judgement.shape}  #{judgement.shape_hash}")
    if result.target.pin:
        yield _line("pinned", f"{result.target.pin.text}  #{result.target.pin.hash}")
    yield from _listed("differs", map(str, judgement.shape_diff or ()))
    for vector in judgement.vectors:
        yield _line("vector", f"{vector.path}: {vector.dimensions} dimensions, norm {vector.norm:.6g}")
    if judgement.golden_cosine is not None:
        yield _line("golden", f"cosine {judgement.golden_cosine:.6g}")
    answer = result.exchange and result.exchange.answer
    if isinstance(answer, Reply) and answer.message:
        yield _line("message", answer.message)


def _rules(findings: Sequence[Finding]) -> Iterator[str]:
    yield ""
    wide = max(len(finding.rule) for finding in findings)
    wider = max(len(finding.expected) for finding in findings)
    for finding in findings:
        mark = finding.outcome.value if finding.outcome else "ok"
        shown = f"expected {finding.expected:<{wider}}  found {finding.found}"
        yield f"  {finding.rule:<{wide}}  {shown}  [{mark}]"
    yield ""


def _verdict(result: Result) -> Iterator[str]:
    outcome = result.outcome
    yield _line("verdict", f"{outcome.verdict.value}: {outcome.value}, fault: {outcome.fault.value}")
    if result.judgement.error:
        yield _line("error", result.judgement.error)


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.1f} ms"


def with_inputs(target: Target, inputs: Mapping[str, Any]) -> Target:
    """The same target asked something else: a golden vector is of its own inputs alone."""
    return replace(target, inputs=inputs, expect=replace(target.expect, golden=None))


def unlisted(settings: Settings, key: TargetKey) -> Target:
    """A target with the defaults, for a pair that is not in the list; golden vectors are read for those that are."""
    template = settings.template
    return replace(template, key=key, expect=replace(template.expect, golden=None), pin=settings.pins.get(key))
