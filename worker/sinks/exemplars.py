"""Exemplars: which run and which request a latency was measured in, on a histogram's bucket, in OpenMetrics alone."""

import re

from worker.core.track import Exemplar
from worker.sinks.text import Redact, unchanged

#: An exemplar's labels may have 128 characters in all; with more the parser refuses, and Prometheus drops, the scrape.
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_RUN_ID = re.compile(r"[A-Za-z0-9-]{1,36}")


class Exemplars:
    """Those of one run. A run id that does not fit gives none."""

    def __init__(self, run_id: str, redact: Redact = unchanged) -> None:
        self._run = f'run_id="{run_id}"' if _RUN_ID.fullmatch(run_id) else ""
        self._redact = redact

    def mark(self, lines: bytes, exemplar: Exemplar | None) -> bytes:
        """A histogram's lines, its buckets first, with the exemplar on its bucket."""
        if exemplar is None or not self._run:
            return lines
        place, value_s, at, request_id = exemplar
        end = -1
        for _ in range(place + 1):
            end = lines.find(b"\n", end + 1)
        mark = f" # {{{self._run}{self._request(request_id)}}} {value_s:.6f} {at:.3f}"
        return lines[:end] + mark.encode() + lines[end:]

    def _request(self, request_id: str | None) -> str:
        """A server chose it, and could have chosen our key."""
        if not request_id or not _REQUEST_ID.fullmatch(request_id) or self._redact(request_id) != request_id:
            return ""
        return f',request_id="{request_id}"'
