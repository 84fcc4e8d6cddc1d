"""A real Alertmanager with the example's configuration: alerts are posted to it, and what becomes of them is asked."""

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.programs import ROOT, free_port, serving

CONFIG = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"

Labels = Mapping[str, str]


class Alertmanager:
    """Its API, over one connection that is kept."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def close(self) -> None:
        self._connection.close()

    def post(self, firing: Sequence[Labels], ended: Sequence[Labels] = ()) -> None:
        now = datetime.now(UTC)
        alerts = [_alert(labels, now, now + timedelta(hours=1)) for labels in firing]
        alerts += [_alert(labels, now - timedelta(seconds=1), now) for labels in ended]
        self._ask("POST", alerts)

    def inhibited(self) -> list[tuple[Labels, list[Labels]]]:
        """Each alert that is inhibited, with the first that inhibits it, unless that has just ended."""
        alerts = self._ask("GET")
        named = {alert["fingerprint"]: alert["labels"] for alert in alerts}
        inhibited = [alert for alert in alerts if alert["status"]["inhibitedBy"]]
        return [
            (alert["labels"], [named[by] for by in alert["status"]["inhibitedBy"] if by in named])
            for alert in inhibited
        ]

    def _ask(self, method: str, body: Any = None) -> Any:
        sent = None if body is None else json.dumps(body)
        self._connection.request(method, "/api/v2/alerts", sent, {"Content-Type": "application/json"})
        reply = self._connection.getresponse()
        answer = reply.read()
        assert reply.status == 200, answer
        return json.loads(answer) if answer else None


def _alert(labels: Labels, began: datetime, ends: datetime) -> dict[str, Any]:
    return {"labels": dict(labels), "startsAt": began.isoformat(), "endsAt": ends.isoformat()}


@contextmanager
def running(config: Path, folder: Path) -> Iterator[Alertmanager]:
    port = free_port()
    command = (
        "prometheus-alertmanager",
        f"--config.file={config}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    )
    with serving(*command, ready=f"http://127.0.0.1:{port}/-/ready", folder=folder), closing(Alertmanager(port)) as api:
        yield api
