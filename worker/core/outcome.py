"""The closed set of outcomes, each with its verdict and with who has to act. Order is precedence."""

from enum import StrEnum


class Verdict(StrEnum):
    """What a probe proved. `unknown` proved nothing and never counts against a plugin."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


class Fault(StrEnum):
    """Who has to act."""

    NONE = "none"
    PLUGIN = "plugin"
    PLATFORM = "platform"
    NETWORK = "network"
    CONFIGURATION = "configuration"
    PROBER = "prober"


class Outcome(StrEnum):
    """What a probe found. The value is the metric label, the log field and the report word.

    `up` and `unknown` say what the verdict is: to look up a member of an enum takes Python 3.11 four times as long.
    """

    verdict: Verdict
    fault: Fault
    up: bool
    unknown: bool

    def __new__(cls, word: str, verdict: Verdict, fault: Fault) -> "Outcome":
        member = str.__new__(cls, word)
        member._value_ = word
        member.verdict = verdict
        member.up = verdict is Verdict.UP
        member.unknown = verdict is Verdict.UNKNOWN
        member.fault = fault
        return member

    SKIPPED = "skipped", Verdict.UNKNOWN, Fault.PROBER
    PROBER_STALLED = "prober_stalled", Verdict.UNKNOWN, Fault.PROBER
    DNS_FAILURE = "dns_failure", Verdict.DOWN, Fault.NETWORK
    CONNECT_FAILURE = "connect_failure", Verdict.DOWN, Fault.NETWORK
    TLS_FAILURE = "tls_failure", Verdict.DOWN, Fault.NETWORK
    TIMEOUT = "timeout", Verdict.DOWN, Fault.PLUGIN
    DISCONNECTED = "disconnected", Verdict.DOWN, Fault.PLUGIN
    RESPONSE_TOO_LARGE = "response_too_large", Verdict.DOWN, Fault.PLUGIN
    REDIRECTED = "redirected", Verdict.UNKNOWN, Fault.CONFIGURATION
    UNAUTHORIZED = "unauthorized", Verdict.UNKNOWN, Fault.CONFIGURATION
    QUOTA_EXCEEDED = "quota_exceeded", Verdict.UNKNOWN, Fault.CONFIGURATION
    FORBIDDEN = "forbidden", Verdict.UNKNOWN, Fault.CONFIGURATION
    NOT_FOUND = "not_found", Verdict.DOWN, Fault.CONFIGURATION
    RATE_LIMITED = "rate_limited", Verdict.UNKNOWN, Fault.CONFIGURATION
    WARMING = "warming", Verdict.UNKNOWN, Fault.PLATFORM
    REJECTED = "rejected", Verdict.DOWN, Fault.CONFIGURATION
    SERVER_ERROR = "server_error", Verdict.DOWN, Fault.PLUGIN
    CONTRACT_VIOLATION = "contract_violation", Verdict.DOWN, Fault.PLATFORM
    PLUGIN_ERROR = "plugin_error", Verdict.DOWN, Fault.PLUGIN
    BAD_VALUES = "bad_values", Verdict.DOWN, Fault.PLUGIN
    SHAPE_MISMATCH = "shape_mismatch", Verdict.DOWN, Fault.PLUGIN
    DRIFT = "drift", Verdict.DOWN, Fault.PLUGIN
    SLOW = "slow", Verdict.UP, Fault.PLUGIN
    SUCCESS = "success", Verdict.UP, Fault.NONE
    INTERNAL_ERROR = "internal_error", Verdict.UNKNOWN, Fault.PROBER


#: By the word that stands for it wherever it was written down.
OUTCOMES = {outcome.value: outcome for outcome in Outcome}
