"""`check`: one probe explained, and a curl line that works."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.e2e.commands import KEY, Case, Finished, Together, environment, run, target, together, write_config
from tests.fakes import make_target
from tests.programs import needs
from tests.servers import Call, answer, refuse, serving
from worker.check import curl
from worker.settings import ApiSettings, TlsSettings

pytestmark = pytest.mark.e2e

EXPECT = {
    "max_latency": "5s",
    "keys": ["embedding"],
    "vector": {"path": "embedding", "dimensions": 2, "normalized": True},
}
LISTED = [
    target("up", inputs={"text": "it's $HOME"}, expect=EXPECT),
    target("wrong", expect={**EXPECT, "vector": {"path": "embedding", "dimensions": 3}}),
    target("sick"),
    target("who"),
]
CASES: dict[str, Case] = {}


@dataclass(frozen=True, slots=True)
class Seen:
    done: Finished
    calls: list[Call]

    @property
    def facts(self) -> dict[str, str]:
        """What stands beside each label."""
        return {line[:10].strip(): line[10:] for line in self.done.out.splitlines() if re.match(r"[a-z]", line)}


def checking(name: str, *arguments: str) -> None:
    async def checked(folder: Path) -> Seen:
        async with serving({"sick": refuse(500, "out of memory", X_Request_ID="req_7"), "who": refuse(403)}) as server:
            write_config(folder, server.url, LISTED, outputs={"textfile": {"path": "probe.prom"}})
            done = await run("check", "-c", "worker.yaml", *arguments, cwd=folder)
            assert not (folder / "probe.prom").exists(), "check writes no outputs"
            return Seen(done, server.calls)

    CASES[name] = checked


checking("up", "ns_a", "up")
checking("wrong", "ns_a", "wrong")
checking("sick", "ns_a", "sick")
checking("who", "ns_a", "who")
checking("other inputs", "ns_a", "up", "--inputs", '{"text": "bonjour"}')
checking("unlisted", "ns_b", "new", "--inputs", '{"text": "bonjour"}')
checking("refused", "ns_b", "new")
checking("no json", "ns_a", "up", "--inputs", "{text}")
checking("no object", "ns_a", "up", "--inputs", "[1]")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Together:
    return together(CASES, tmp_path_factory.mktemp("check"))


def test_a_healthy_plugin_is_explained(seen: Together) -> None:
    result: Seen = seen["up"]
    facts = result.facts
    assert result.done.code == 0
    assert facts["target"] == "ns_a/up"
    assert facts["reply"].startswith("HTTP 200, ")
    assert facts["headers"] == "Content-Type: application/json"
    assert facts["shape"].startswith("{embedding: number[2]}")
    assert facts["vector"] == "embedding: 2 dimensions, norm 1"
    assert facts["verdict"] == "up: success, fault: none"
    for phase in ("dns –", "connect ", "send ", "wait ", "receive "):
        assert phase in facts["phases"]


def test_every_rule_says_what_was_expected_and_found(seen: Together) -> None:
    rules = [line for line in seen["wrong"].done.out.splitlines() if line.startswith("  ") and "expected" in line]
    assert any("[shape_mismatch]" in line and "3" in line and "2" in line for line in rules)
    assert sum("[ok]" in line for line in rules) >= 4
    assert seen["wrong"].done.code == 1


def test_a_sick_plugin_exits_with_1_and_shows_the_reply(seen: Together) -> None:
    result: Seen = seen["sick"]
    assert result.done.code == 1
    assert result.facts["verdict"] == "down: server_error, fault: plugin"
    assert "request req_7" in result.facts["reply"]
    assert "out of memory" in result.facts["body"]


def test_an_inconclusive_probe_exits_with_4(seen: Together) -> None:
    assert seen["who"].done.code == 4


def test_inputs_can_be_given(seen: Together) -> None:
    assert [call.json["inputs"] for call in seen["other inputs"].calls] == [{"text": "bonjour"}]


def test_a_pair_that_is_not_listed_needs_inputs(seen: Together) -> None:
    assert seen["unlisted"].done.code == 0
    assert [(call.namespace, call.plugin) for call in seen["unlisted"].calls] == [("ns_b", "new")]
    assert seen["refused"].done.code == 2
    assert "--inputs" in seen["refused"].done.err


@pytest.mark.parametrize("name", ["refused", "no json", "no object"])
def test_bad_usage_sends_nothing(seen: Together, name: str) -> None:
    result: Seen = seen[name]
    assert (result.done.code, result.calls, result.done.out) == (2, [], "")


@pytest.mark.parametrize("kept", ["in the environment", "in a file"])
@needs("curl")
async def test_the_curl_line_makes_the_same_call(tmp_path: Path, kept: str) -> None:
    key_file = tmp_path / "the key"
    key_file.write_text(f"{KEY}\n")
    odd = target("p/1", "ns a", inputs={"text": 'it\'s "quoted", $HOME, `id`, \\, ü'}, parameters={"k": [1]})
    async with serving(default=answer()) as server:
        write_config(tmp_path, server.url, [odd], key_file=key_file if kept == "in a file" else None)
        checked = await run("check", "-c", "worker.yaml", "ns a", "p/1", cwd=tmp_path)
        assert checked.code == 0
        line = Seen(checked, server.calls).facts["request"]
        assert KEY not in line
        curled = await run(line, cwd=tmp_path, command=["bash", "-c"], env=environment())
    assert curled.json["status"] == "success"
    ours, theirs = server.calls
    assert (theirs.method, theirs.path, theirs.json) == (ours.method, ours.path, ours.json)
    for name in ("authorization", "content-type"):
        assert theirs.headers[name] == ours.headers[name]


def test_the_curl_line_takes_the_certificates_along() -> None:
    tls = TlsSettings(ca_file=Path("/etc/my ca.pem"), cert_file=Path("/etc/cert.pem"), key_file=Path("/etc/key.pem"))
    api = ApiSettings(base_url="https://mixpeek.example.com", api_key_env="KEY", tls=tls)
    line = curl(api, make_target())
    assert "--cacert '/etc/my ca.pem' --cert /etc/cert.pem --key /etc/key.pem" in line
    assert "--cacert" not in curl(replace(api, tls=TlsSettings()), make_target())


async def test_pin_golden_vector_and_distinct_inputs_are_explained(tmp_path: Path) -> None:
    asked = {"path": "embedding", "distinct": {"inputs": [{"text": "a"}, {"text": "b"}]}}
    expect = {"vector": asked, "golden": {"file": "golden.json"}}
    (tmp_path / "golden.json").write_text('{"vector": [0.6, 0.8], "inference_name": "older"}')
    (tmp_path / "shapes.lock.yaml").write_text("shapes:\n  ns_a:\n    p_1_0_0: {shape: '{embedding: number[2]}'}\n")
    reply = answer({"embedding": [0.6, 0.8], "new": 1})
    async with serving(default=reply) as server:
        write_config(tmp_path, server.url, [target(expect=expect)], defaults={"expect": expect})
        done = await run("check", "-c", "worker.yaml", "ns_a", "p_1_0_0", cwd=tmp_path)
        assert (done.code, len(server.calls)) == (1, 3)
        lines = [" ".join(line.split()) for line in done.out.splitlines()]
        for told in (
            "pinned {embedding: number[2]} #",
            "differs new: expected nothing, found integer (compatible)",
            "golden cosine 1",
            "attempts 3, 2 of them for distinct inputs",
            "distinct embedding expected an answer to distinct.inputs[0] found success [ok]",
            "distinct embedding expected another vector for another input"
            " found the same one for distinct.inputs[0] and distinct.inputs[1] [bad_values]",
            "pinned shape expected {embedding: number[2]} found 1 compatible difference [ok]",
            "golden embedding expected a cosine of at least 0.99"
            " found 1; it was recorded from older, and custom_plugin_x_1_0_0 has answered [ok]",
        ):
            assert any(line.startswith(told) for line in lines), f"{told}\n{done.out}"
        done = await run("check", "-c", "worker.yaml", "ns_a", "p_1_0_0", "--inputs", "{}", cwd=tmp_path)
        assert "golden" not in done.out, "that is of the target's own inputs"
        done = await run("check", "-c", "worker.yaml", "ns_a", "unlisted", "--inputs", "{}", cwd=tmp_path)
        assert "golden" not in done.out
