"""What one who asks may take of us: connections, bytes, and time."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """`at_once` large answers are made at a time, since each holds the event loop in every turn: two Prometheus
    replicas, a page and its JSON. Others wait for `patience_s` (a 503 at once would be `up == 0`), then they get a 503.
    An answer that is not taken in `answer_s` is given up; a request's head has `idle_s` from the end of the one before.
    """

    at_once: int = 4
    patience_s: float = 5.0
    answer_s: float = 30.0
    idle_s: float = 30.0
    connections: int = 250
    request_bytes: int = 32_768
