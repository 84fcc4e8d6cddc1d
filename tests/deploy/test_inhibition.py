"""Of several alerts that fire, which ones are told: a real Alertmanager says what inhibits what, and what does not."""

import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.alertmanager import CONFIG, Alertmanager, Labels, running
from tests.deploy.rule_files import alerts
from tests.programs import needs, wait

pytestmark = needs("prometheus-alertmanager")

HERE, BESIDE, ELSEWHERE = ("ns_a", "embed"), ("ns_a", "caption"), ("ns_b", "embed")
OF_A_PLUGIN = {
    **dict.fromkeys(("PluginDown", "PluginBadValues", "PluginDrift", "SloBurnFast"), "critical"),
    **dict.fromkeys(("PluginShapeChanged", "PluginSlow", "UnknownTooLong", "SloBurnSlow"), "warning"),
    "SloBudgetSpent": "info",
}
OTHERS = {
    **dict.fromkeys(("NamespaceDown", "PlatformDown", "CertificateExpiring"), "critical"),
    **dict.fromkeys(("ProberRefused", "ProberMissing"), "critical"),
    **dict.fromkeys(("ProbesThrottled", "ProberRunsFailing", "ProberStalled", "ProberOverloaded"), "warning"),
    **dict.fromkeys(("ConfigReloadFailed", "SinkFailing"), "warning"),
}
#: Variants of which there is more to say than one.
VARIANTS: dict[str, list[dict[str, str]]] = {
    "PluginDown": [{"fault": fault} for fault in ("plugin", "network", "platform", "configuration")],
    "PluginBadValues": [{"fault": "plugin"}],
    "PluginDrift": [{"fault": "plugin"}],
    "ProberRefused": [{"scope": "all"}, {"scope": "some"}],
    "SloBurnFast": [{"slo": "availability"}],
    "SloBurnSlow": [{"slo": "availability"}],
    "SloBudgetSpent": [{"slo": "availability"}],
    "SinkFailing": [{"sink": "pushgateway"}],
}

#: What each inhibits, and how far that reaches; whatever is not here inhibits nothing.
ALONE, NAMESPACE, ALL = {HERE}, {HERE, BESIDE}, {HERE, BESIDE, ELSEWHERE}
SYMPTOMS = ("PluginSlow", "PluginShapeChanged", "SloBurnSlow")
INHIBITS: dict[str, dict[str, set[tuple[str, str]]]] = {
    "PlatformDown": {"NamespaceDown": {HERE, ELSEWHERE}, **dict.fromkeys(OF_A_PLUGIN, ALL)},
    "NamespaceDown": dict.fromkeys(OF_A_PLUGIN, NAMESPACE),
    "PluginDown plugin": dict.fromkeys((*SYMPTOMS, "SloBurnFast"), ALONE),
    "PluginDown network": dict.fromkeys((*SYMPTOMS, "SloBurnFast"), ALONE),
    "PluginDown platform": dict.fromkeys((*SYMPTOMS, "SloBurnFast"), ALONE),
    "PluginDown configuration": dict.fromkeys(SYMPTOMS, ALONE),
    "PluginBadValues plugin": dict.fromkeys(("PluginDown", *SYMPTOMS, "SloBurnFast"), ALONE),
    "PluginDrift plugin": dict.fromkeys(("PluginDown", *SYMPTOMS, "SloBurnFast"), ALONE),
    "SloBurnFast availability": {"SloBurnSlow": ALONE},
    "ProberRefused all": dict.fromkeys(OF_A_PLUGIN, ALL),
    "ProberStalled": {"UnknownTooLong": ALL},
    "ProberOverloaded": {"UnknownTooLong": ALL},
    "ProberMissing": dict.fromkeys(("ProberRunsFailing", "ProberStalled", "ProberOverloaded"), ALONE),
}


def made(name: str, place: tuple[str, str] = HERE, /, **more: str) -> Labels:
    """An alert as the rules make it."""
    labels = {"alertname": name, "severity": (OF_A_PLUGIN | OTHERS)[name], **more}
    if name in OF_A_PLUGIN:
        labels |= {"mixpeek_namespace": place[0], "plugin": place[1], "team": "search"}
    if name == "NamespaceDown":
        labels |= {"mixpeek_namespace": place[0]}
    return labels


def variants(name: str) -> list[dict[str, str]]:
    return VARIANTS.get(name, [{}])


def identity(labels: Labels) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


def by(source: Labels, alertmanager: Alertmanager, awaited: set[Any]) -> set[Any]:
    """What this one inhibits. Asked a second time where that is not what is awaited: posting is not taking up."""
    found: set[Any] = set()
    for pause_s in (0.0, 0.3):
        time.sleep(pause_s)
        found = {identity(labels) for labels, sources in alertmanager.inhibited() if sources == [source]}
        if found == awaited:
            break
    return found


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    with running(CONFIG, tmp_path_factory.mktemp("alertmanager")) as api:
        yield api


def test_the_table_knows_every_alert_that_there_is() -> None:
    assert {alert["alert"] for alert in alerts()} == {*OF_A_PLUGIN, *OTHERS}
    assert set(INHIBITS) <= set(SOURCES)


SOURCES = {
    " ".join((name, *kind.values())): made(name, HERE, **kind)
    for name in (*OF_A_PLUGIN, *OTHERS)
    for kind in variants(name)
}


@pytest.mark.parametrize("name", SOURCES)
def test_an_alert_inhibits_what_the_table_says_and_nothing_else(name: str, alertmanager: Alertmanager) -> None:
    source = SOURCES[name]
    alertmanager.post([source])
    time.sleep(0.02)  # an alert inhibits a moment after it was posted
    reaches = INHIBITS.get(name, {})
    before: list[Labels] = []
    wrong: dict[str, tuple[set[Any], set[Any]]] = {}
    for target in (*OF_A_PLUGIN, *OTHERS):
        everywhere = [made(target, place, **kind) for place in ALL for kind in variants(target)]
        posted = [labels for labels in everywhere if labels != source]
        alertmanager.post(posted, ended=before)
        before = posted
        reach = [made(target, place, **kind) for place in reaches.get(target, ()) for kind in variants(target)]
        expected = {identity(labels) for labels in reach}
        found = by(source, alertmanager, expected)
        if found != expected:
            wrong[target] = (found - expected, expected - found)
    alertmanager.post([], ended=[source, *before])
    assert wrong == {}, "too much, and too little"


def test_a_burn_of_one_objective_hides_no_burn_of_the_other(alertmanager: Alertmanager) -> None:
    fast = made("SloBurnFast", slo="availability")
    slow = [made("SloBurnSlow", slo=slo) for slo in ("availability", "latency")]
    alertmanager.post([fast, *slow])
    expected = {identity(slow[0])}
    assert by(fast, alertmanager, expected) == expected
    alertmanager.post([], ended=[fast, *slow])


def test_a_prober_that_is_missing_hides_nothing_of_another(alertmanager: Alertmanager) -> None:
    missing = made("ProberMissing", job="staging", shard="1")
    names = ("ProberRunsFailing", "ProberStalled", "ProberOverloaded")
    own = [made(name, job="staging", shard="1") for name in names]
    others = [made(name, **at) for name in names for at in ({"job": "staging", "shard": "0"}, {"job": "production"})]
    alertmanager.post([missing, *own, *others])
    expected = {identity(labels) for labels in own}
    assert by(missing, alertmanager, expected) == expected
    alertmanager.post([], ended=[missing, *own, *others])


class Inbox:
    """A receiver of webhooks: which receiver was told of which alerts, one entry a notification."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[str]]] = []
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                told.append((message["receiver"], sorted(one["labels"]["alertname"] for one in message["alerts"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> "Inbox":
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


def told_of(firing: list[Labels], folder: Path, notifications: int) -> list[tuple[str, list[str]]]:
    """What an Alertmanager that waits shortly for a group to be complete says of these: so many notifications."""
    with Inbox() as inbox:
        text = CONFIG.read_text(encoding="utf-8")
        text = re.sub(r"https://\w+\.example\.com", f"http://127.0.0.1:{inbox.server.server_port}", text)
        text = re.sub(r"group_wait: \w+", "group_wait: 400ms", text)
        text = text.replace("/etc/alertmanager/secrets/pager", str(folder / "pager"))
        (folder / "pager").write_text("secret")
        (folder / "alertmanager.yml").write_text(text)
        with running(folder / "alertmanager.yml", folder) as alertmanager:
            alertmanager.post(firing)
            wait(lambda: len(inbox.told) >= notifications, f"{notifications} notifications; came: {inbox.told}")
            time.sleep(0.5)  # and no more
    return sorted(inbox.told)


def test_an_outage_of_everything_is_one_notification(tmp_path: Path) -> None:
    places = [(f"ns_{number % 5}", f"p_{number}") for number in range(100)]
    plugins = [made("PluginDown", place, fault=fault) for place in places for fault in ("plugin", "network")]
    namespaces = [made("NamespaceDown", (f"ns_{number}", "")) for number in range(5)]
    told = told_of([*plugins, *namespaces, made("PlatformDown")], tmp_path, 1)
    assert told == [("on-call-page", ["PlatformDown"])]


def test_plugins_that_fail_alike_are_one_notification_for_each_team_and_namespace(tmp_path: Path) -> None:
    places = [*((("ns_a"), f"p_{number}") for number in range(4)), ("ns_b", "p")]
    down = [made("PluginDown", place, fault="plugin") for place in places]
    down += [{**made("PluginDown", ("ns_a", "q"), fault="plugin"), "team": "vision"}]
    burns = [made("SloBurnFast", place, slo="availability") for place in places]
    told = told_of([*down, *burns, made("SloBudgetSpent", slo="availability")], tmp_path, 3)
    assert told == [
        ("team-search-page", ["PluginDown"]),
        ("team-search-page", ["PluginDown"] * 4),
        ("team-vision-page", ["PluginDown"]),
    ]
