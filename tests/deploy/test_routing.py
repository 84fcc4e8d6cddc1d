"""Who is told of which alert, by Alertmanager's own tool."""

import re

import pytest
import yaml

from tests.deploy.alertmanager import CONFIG
from tests.deploy.rule_files import alerts
from tests.programs import needs, run

#: Alert, severity, fault and team (- is none), and who is told.
ROUTES = [
    *[(f"PluginDown critical {fault} search", "on-call-page") for fault in ("network", "platform")],
    *[(f"PluginDown critical {fault}", "on-call-page") for fault in ("network", "platform")],
    *[(f"PluginDown critical configuration{team}", "configuration-tickets") for team in ("", " search", " vision")],
    ("PluginDown critical plugin search", "team-search-page"),
    ("PluginDown critical plugin vision", "team-vision-page"),
    ("PluginDown critical plugin unheard_of", "on-call-page"),
    ("PluginDown critical plugin", "on-call-page"),
    ("PluginBadValues critical plugin search", "team-search-page"),
    ("PluginDrift critical plugin vision", "team-vision-page"),
    ("PluginShapeChanged warning - search", "team-search-chat"),
    ("PluginSlow warning - search", "team-search-chat"),
    ("PluginSlow warning", "on-call-chat"),
    ("SloBurnFast critical - search", "team-search-page"),
    ("SloBurnSlow warning - vision", "team-vision-chat"),
    ("SloBudgetSpent info - search", "nobody"),
    ("SloBudgetSpent info", "nobody"),
    ("UnknownTooLong warning - search", "prober-chat"),
    ("NamespaceDown critical", "on-call-page"),
    ("PlatformDown critical", "on-call-page"),
    ("CertificateExpiring critical", "on-call-page"),
    ("CertificateExpiring warning", "on-call-chat"),
    *[(f"{name} critical", "prober-page") for name in ("ProberRefused", "ProberMissing")],
    *[
        (f"{name} warning", "prober-chat")
        for name in ("ProbesThrottled", "ProberRunsFailing", "ProberStalled", "ProberOverloaded")
    ],
    *[(f"{name} warning", "prober-chat") for name in ("ConfigReloadFailed", "SinkFailing")],
    ("SomethingElse critical", "on-call-page"),
    ("SomethingElse warning", "on-call-chat"),
]


def labels_of(words: str) -> dict[str, str]:
    given = zip(("alertname", "severity", "fault", "team"), words.split(), strict=False)
    return {name: word for name, word in given if word != "-"}


@needs("amtool")
def test_the_example_is_what_alertmanager_takes() -> None:
    code, said = run("amtool", "check-config", str(CONFIG))
    assert code == 0, said


@needs("amtool")
@pytest.mark.parametrize(("alert", "receiver"), ROUTES, ids=[f"{words} to {receiver}" for words, receiver in ROUTES])
def test_an_alert_goes_to_whoever_has_to_act(alert: str, receiver: str) -> None:
    given = [f"{name}={word}" for name, word in labels_of(alert).items()]
    code, said = run("amtool", "config", "routes", "test", f"--config.file={CONFIG}", *given)
    assert (code, said.splitlines()[-1]) == (0, receiver)


def test_every_receiver_has_an_alert_in_the_table_and_every_alert_a_receiver() -> None:
    receivers = [receiver["name"] for receiver in yaml.safe_load(CONFIG.read_text())["receivers"]]
    assert sorted(receivers) == sorted({receiver for _, receiver in ROUTES})
    written = {f"{alert['alert']} {alert['labels']['severity']}" for alert in alerts()}
    assert {" ".join(words.split()[:2]) for words, _ in ROUTES if "SomethingElse" not in words} == written


def test_neither_a_secret_nor_a_real_address_stands_in_the_example() -> None:
    text = CONFIG.read_text()
    assert set(re.findall(r"https?://([^/\"\s]+)", text)) <= {
        "pager.example.com",
        "chat.example.com",
        "tickets.example.com",
    }
    assert not re.search(r"(credentials|password|token|api_key|routing_key|api_url): *\S", text)
