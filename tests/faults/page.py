"""docs/outcomes.md: what each outcome means, and the table of faults, both from the code."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.faults.fault import Fault
from tests.faults.table import TABLE
from worker.core.outcome import Fault as Actor
from worker.core.outcome import Outcome

PAGE = Path(__file__).parents[2] / "docs" / "outcomes.md"

#: When it is found, and what helps.
MEANINGS: dict[Outcome, tuple[str, str]] = {
    Outcome.SKIPPED: (
        "no call was made: the deadline, a stop, or the last cycle's call still runs",
        "more time or fewer targets",
    ),
    Outcome.PROBER_STALLED: (
        "the worker stood still while it waited, asked again at most twice",
        "give the worker a CPU",
    ),
    Outcome.DNS_FAILURE: ("the host name was not resolved, or not in time", "the name, the name servers"),
    Outcome.CONNECT_FAILURE: ("no connection, or not in time; a proxy refused", "routes, firewalls, the address"),
    Outcome.TLS_FAILURE: ("no handshake, or not in time; a certificate was refused", "the certificate, `api.tls`"),
    Outcome.TIMEOUT: (
        "connected, but no whole reply in time; `died_in` names the phase",
        "the plugin's load, or a longer `timeout`",
    ),
    Outcome.DISCONNECTED: (
        "reset, closed early, malformed HTTP, an encoding that cannot be decoded",
        "the plugin's process, the gateway",
    ),
    Outcome.RESPONSE_TOO_LARGE: ("more than `max_response_bytes` once decoded", "the plugin's reply, or a larger cap"),
    Outcome.REDIRECTED: ("3xx; never followed, so the key goes nowhere else", "`api.base_url`"),
    Outcome.UNAUTHORIZED: ("401; a key file that has changed is read again first", "the API key"),
    Outcome.QUOTA_EXCEEDED: ("403 with the type `QuotaExceededError`", "the account's credits"),
    Outcome.FORBIDDEN: ("any other 403", "what the key may do"),
    Outcome.NOT_FOUND: ("404 or 405", "the target's namespace and plugin"),
    Outcome.RATE_LIMITED: ("429, and asked again twice", "`limits.rate`"),
    Outcome.WARMING: ("503 that says so, for at most `max_warming`", "patience; then it is server_error"),
    Outcome.REJECTED: ("any other 4xx but 408", "the target's `inputs` and `parameters`"),
    Outcome.SERVER_ERROR: ("5xx, 408", "the plugin's logs"),
    Outcome.CONTRACT_VIOLATION: (
        "2xx but not the documented reply; a status that is none",
        "what stands in front of the plugin",
    ),
    Outcome.PLUGIN_ERROR: ("2xx and status error", "the plugin's own error text"),
    Outcome.BAD_VALUES: ("NaN, infinity, a vector that cannot be one", "the model"),
    Outcome.SHAPE_MISMATCH: ("what was expected or pinned is not there", "the model's version, or `shapes pin`"),
    Outcome.DRIFT: ("too far from the golden vector", "the model's version"),
    Outcome.SLOW: ("all well, but later than `max_latency`", "the plugin's load"),
    Outcome.SUCCESS: ("all well", "nothing"),
    Outcome.INTERNAL_ERROR: ("a bug of ours; the batch goes on", "tell us, with the log"),
}

TAKES = {"at once": "", "time-out": "one time-out", "waits": "two waits"}
HOLDS = {"": "", "cap": "the cap", "parsed": "parsing the cap"}

_HEAD = """\
<!-- Made from worker/core/outcome.py and tests/faults/ by `make outcomes`. -->
# Outcomes

Every probe has exactly one, the first in this order that applies. `unknown` proved nothing and never counts against a
plugin.

| outcome | verdict | who acts | when | look at |
|---|---|---|---|---|
"""
_FAULTS = """
## Faults

Each of these is played by a server to the installed command (`tests/e2e/test_faults.py`), and has this one outcome in
whatever order and company: what one plugin's server does changes no other target's outcome.

**Time.** Where nothing else is said, a fault is told as soon as it came. Otherwise it takes one time-out, or two waits
as long as the reply asks, `limits.max_retry_after` at most, for itself and for each like it in its namespace. A batch
ends within 1.1 × (⌈hanging ÷ concurrency⌉ × time-out + 2 × (targets of one namespace that always answer 429) × the
largest capped Retry-After) + 2 s.

**Memory.** Where nothing else is said, a fault takes no more than its reply. Otherwise at most `max_response_bytes`,
the cap, or what parsing so much takes: 60 times the cap, once, since replies are parsed one after the other. A process
stays below 150 MiB + 60 × cap + 2 × cap × concurrency.

**What no worker can tell.** A kept-alive connection carries replies without names: a server that sends a second one
later, when the next request has gone out, answers that. `api.connections: fresh` is the remedy. And while a reply of
megabytes is parsed, for up to a second, the worker hears nobody: where that is a tenth of a call's time-out, the call
that has timed out is asked again, and is `prober_stalled` when it happens thrice.
"""


def page() -> str:
    return _HEAD + "".join(_meanings()) + _FAULTS + "".join(map(_group, TABLE.items()))


def _meanings() -> Iterator[str]:
    for outcome in Outcome:
        when, look_at = MEANINGS[outcome]
        actor = "nobody" if outcome.fault is Actor.NONE else outcome.fault.value
        yield _row(f"`{outcome}`", outcome.verdict.value, actor, when, look_at)


def _group(group: tuple[str, Iterable[Fault]]) -> str:
    title, faults = group
    head = f"\n### {title}\n\n" + _row("fault", "the server", "outcome", "verdict", "who acts", "takes", "holds")
    return head + "|---|---|---|---|---|---|---|\n" + "".join(map(_fault, faults))


def _fault(fault: Fault) -> str:
    outcome = fault.outcome
    named = f"`{outcome}`" + (f" in {fault.died_in}" if fault.died_in else "")
    actor = "nobody" if outcome.fault is Actor.NONE else outcome.fault.value
    return _row(
        f"`{fault.name}`", fault.does, named, outcome.verdict.value, actor, TAKES[fault.takes], HOLDS[fault.holds]
    )


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
