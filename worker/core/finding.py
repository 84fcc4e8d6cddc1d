"""Finding: one rule with what it expected beside what it found."""

from typing import NamedTuple

from worker.core.outcome import Outcome


class Finding(NamedTuple):
    """`outcome` is None when the rule is kept."""

    rule: str
    expected: str
    found: str
    outcome: Outcome | None = None


def finding(rule: str, kept: bool, expected: str, outcome: Outcome, found: str) -> Finding:
    return Finding(rule=rule, expected=expected, found=found, outcome=None if kept else outcome)


def cut(text: str, most: int = 200) -> str:
    """For people."""
    return text if len(text) <= most else text[: most - 1] + "…"
