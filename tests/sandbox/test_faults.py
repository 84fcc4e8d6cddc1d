"""Faults on demand: what each illness does to a reply, and how faults are configured."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.callers import Caller, calling
from tests.sandbox.folders import handler, write_plugin
from tests.sandbox.patients import ID, VECTORS, heard_of, sick
from worker.sandbox.faults import FaultsError, make_faults, read_faults
from worker.sandbox.illnesses import ILLNESSES
from worker.sandbox.plugins import Plugin, load_plugin
from worker.sandbox.sandbox import Sandbox


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return load_plugin(write_plugin(tmp_path, handler(VECTORS)))


async def test_a_raising_plugin_answers_200_with_its_error(plugin: Plugin) -> None:
    heard = await heard_of(plugin, {"raising": {"error": "ValueError: bad"}})
    assert (heard.status, heard.json["status"], heard.json["error"]) == (200, "error", "ValueError: bad")


@pytest.mark.parametrize(
    ("illness", "embedding", "deep"),
    [
        ("nan", "[NaN, 2.0, 3.0, 4.0]", "[[NaN, 2], [NaN, 4]]"),
        ("wrong_size", "[1.0, 2.0]", "[[1], [3]]"),
        ({"wrong_size": {"dimensions": 5}}, "[1.0, 2.0, 3.0, 4.0, 1.0]", "[[1, 2, 1, 2, 1], [3, 4, 3, 4, 3]]"),
        ({"wrong_size": {"dimensions": 0}}, "[]", "[[], []]"),
        ("norm_jump", "[10.0, 20.0, 30.0, 40.0]", "[[10.0, 20.0], [30.0, 40.0]]"),
        ({"norm_jump": {"factor": 0.5}}, "[0.5, 1.0, 1.5, 2.0]", "[[0.5, 1.0], [1.5, 2.0]]"),
        ("zero_vector", "[0.0, 0.0, 0.0, 0.0]", "[[0.0, 0.0], [0.0, 0.0]]"),
    ],
)
async def test_vectors_are_spoiled_wherever_they_are(illness: Any, embedding: str, deep: str, plugin: Plugin) -> None:
    heard = await heard_of(plugin, illness)
    expected = f'{{"embedding": {embedding}, "more": {{"deep": {deep}}}, "label": "x"}}'
    assert f'"raw_response": {expected}, ' in heard.text


async def test_nan_spoils_plain_numbers_where_there_is_no_vector(tmp_path: Path) -> None:
    plugin = load_plugin(write_plugin(tmp_path, handler("return {'p': 0.5, 'flag': True, 'in': {'n': 1}}")))
    heard = await heard_of(plugin, "nan")
    assert '{"p": NaN, "flag": true, "in": {"n": NaN}}' in heard.text


async def test_a_slow_plugin_answers_well_but_late(plugin: Plugin) -> None:
    started_at = time.monotonic()
    heard = await heard_of(plugin, {"slow": {"by": "150ms"}})
    assert time.monotonic() - started_at >= 0.15
    assert heard.json["status"] == "success"


async def test_latency_is_added_to_whatever_else_is_wrong(plugin: Plugin) -> None:
    slept: list[float] = []

    async def sleep(delay_s: float) -> None:
        slept.append(delay_s)

    async with calling(sick(plugin, {"latency": "2m", "illness": "slow"}, sleep=sleep)) as caller:
        assert (await caller.test(ID)).json["status"] == "success"
    assert slept == [120.0, 0.6]


async def test_a_hanging_plugin_never_answers(plugin: Plugin) -> None:
    async with calling(sick(plugin, {"illness": "hanging"})) as caller:
        with pytest.raises(TimeoutError):
            await caller.test(ID, timeout_s=0.1)


async def statuses(caller: Caller, count: int) -> list[int]:
    return [(await caller.test(ID)).status for _ in range(count)]


async def test_a_cold_plugin_warms_up_after_some_calls(plugin: Plugin) -> None:
    async with calling(sick(plugin, {"illness": {"cold": {"calls": 2, "retry_after_s": 7}}})) as caller:
        first = await caller.test(ID)
        rest = await statuses(caller, 3)
    assert (first.status, first.headers["Retry-After"]) == (503, "7")
    assert first.json["error"]["code"] == "model_warming"
    assert first.json["error"]["type"] == "InferenceServiceUnavailableError"
    assert rest == [503, 200, 200]


async def test_a_cold_plugin_warms_up_after_some_time_since_its_first_call(plugin: Plugin) -> None:
    now_s = [0.0]
    fault = {"illness": {"cold": {"calls": 0, "period": "20s"}}}
    async with calling(sick(plugin, fault, clock=lambda: now_s[0])) as caller:
        now_s[0] = 1000.0
        before = await statuses(caller, 2)
        now_s[0] = 1019.0
        before += await statuses(caller, 1)
        now_s[0] = 1020.0
        after = await statuses(caller, 1)
    assert (before, after) == ([503, 503, 503], [200])


async def test_a_plugin_that_is_not_deployed_says_so_in_call_and_status(plugin: Plugin) -> None:
    async with calling(sick(plugin, {"illness": "not_deployed"})) as caller:
        heard = await caller.test(ID)
        status = await caller.ask("GET", f"/v1/namespaces/ns_sandbox/plugins/{ID}/status")
    assert (heard.status, heard.json["status"]) == (200, "error")
    assert (status.json["status"], status.json["realtime_enabled"]) == ("NOT_DEPLOYED", False)


async def test_a_server_error_is_an_envelope_with_its_status(plugin: Plugin) -> None:
    heard = await heard_of(plugin, {"server_error": {"status": 502}})
    assert (heard.status, heard.json["status"], heard.json["success"]) == (502, 502, False)


async def test_a_rate_limited_plugin_says_when_to_come_back(plugin: Plugin) -> None:
    heard = await heard_of(plugin, {"rate_limited": {"retry_after_s": 3}})
    assert (heard.status, heard.headers["Retry-After"]) == (429, "3")
    assert heard.json["error"]["details"]["retry_after"] == 3


@pytest.mark.parametrize(("status", "kind"), [(401, "UnauthorizedError"), (500, "InternalServerError")])
async def test_a_careless_error_echoes_the_authorization(status: int, kind: str, plugin: Plugin) -> None:
    sandbox = sick(plugin, {"illness": {"unauthorized_echo": {"status": status}}})
    async with calling(sandbox) as caller:
        heard = await caller.test(ID)
    assert heard.status == status
    assert heard.json["error"]["type"] == kind
    assert f"Bearer {sandbox.api_key}" in heard.json["error"]["message"]


async def test_the_echo_can_be_that_of_a_plugin(plugin: Plugin) -> None:
    heard = await heard_of(plugin, {"unauthorized_echo": {"status": 200}})
    assert heard.json["status"] == "error"
    assert "Bearer sk_sandbox_" in heard.json["error"]


async def test_a_page_in_place_of_json_is_a_page(plugin: Plugin) -> None:
    heard = await heard_of(plugin, "not_json")
    assert (heard.status, heard.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(heard.text)


async def test_an_error_rate_fails_its_share_of_calls_the_same_with_the_same_seed(plugin: Plugin) -> None:
    runs = []
    for _ in range(2):
        async with calling(sick(plugin, {"error_rate": 0.3})) as caller:
            runs.append(await statuses(caller, 100))
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 500}
    assert 15 <= runs[0].count(500) <= 45


async def test_defaults_are_for_every_plugin_and_an_entry_changes_only_what_it_says(tmp_path: Path) -> None:
    plugins = [load_plugin(write_plugin(tmp_path, handler("return {}"), name=n)) for n in ("one", "two")]
    faults = make_faults(
        {
            "defaults": {"illness": "server_error", "latency": "10ms"},
            "plugins": {"two_1_0_0": {"illness": "rate_limited"}},
        }
    )
    assert faults.of("two_1_0_0").latency == 0.01
    async with calling(Sandbox(plugins, faults=faults)) as caller:
        replies = await asyncio.gather(caller.test("one_1_0_0"), caller.test("two_1_0_0"))
    assert [reply.status for reply in replies] == [500, 429]


def test_every_illness_is_in_the_table_under_the_name_of_its_class() -> None:
    snake = {name: "".join(part.capitalize() for part in name.split("_")) for name in ILLNESSES}
    assert snake == {name: illness.__name__ for name, illness in ILLNESSES.items()}


@pytest.mark.parametrize(
    ("yaml", "messages"),
    [
        ("plugin: {}", ["plugin: Extra inputs are not permitted"]),
        ("plugins: {a: {latencyy: 1}}", ["plugins.a.latencyy: Extra inputs are not permitted"]),
        ("plugins: {a: {error_rate: 2}}", ["plugins.a.error_rate: Input should be less than or equal to 1"]),
        ("plugins: {a: {illness: hangng}}", ["unknown illness 'hangng' (did you mean hanging?); known: raising"]),
        ("plugins: {a: {illness: [[nan]]}}", ["unknown illness ['nan']"]),
        ("plugins: {a: {illness: [null]}}", ["unknown illness None"]),
        ("plugins: {a: {illness: {nan: {}, slow: {}}}}", ["unknown illness {'nan': {}, 'slow': {}}"]),
        ("plugins: {a: {illness: {cold: {call: 1}}}}", ["cold.call: Extra inputs are not permitted"]),
        ("plugins: {a: {illness: {nan: {after: -1}}}}", ["nan.after: Input should be greater than or equal to 0"]),
        (
            "plugins: {a: {illness: {not_deployed: {after: 1}}}}",
            ["not_deployed.after: ", "whether a plugin is deployed is settled before its first call"],
        ),
        ("plugins: {a: {illness: missing_key}}", ["missing_key.key: Field required"]),
        ("plugins: {a: {illness: {extra_key: {value: 2026-01-01}}}}", ["extra_key.value: input was not a valid JSON"]),
        ("plugins: {a: {illness: {drift: {per_call: 0}}}}", ["drift.per_call: Input should be greater than 0"]),
        ("plugins: {a: {illness: {norm_jump: {factor: .inf}}}}", ["norm_jump.factor: Input should be a finite number"]),
        (
            "plugins: {a: {illness: [nan, {drift: {percall: 1}}, {cold: {calls: x}}, colapse]}}",
            ["plugins.a.illness: ", "drift.percall: Extra", "cold.calls: Input", "did you mean collapse?"],
        ),
        ("plugins: {a: {latency: 3 parsecs}}", ["'3 parsecs' is not a duration"]),
        (
            "plugins: {a: {latency: -1, error_rate: x}}",
            ["a.latency: Input should be greater", "a.error_rate: Input should be a valid number"],
        ),
        ("[1]", ["faults: Input should be a valid dictionary"]),
        ("a: [", ["not YAML"]),
    ],
)
def test_a_wrong_faults_file_says_every_problem(yaml: str, messages: list[str], tmp_path: Path) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text(yaml)
    with pytest.raises(FaultsError) as caught:
        read_faults(file)
    assert str(caught.value).startswith(f"{file}: ")
    for message in messages:
        assert message in str(caught.value)


def test_an_empty_faults_file_is_no_faults_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    assert read_faults(tmp_path / "empty.yaml").plugins == {}
    with pytest.raises(FaultsError, match=r"none\.yaml: No such file"):
        read_faults(tmp_path / "none.yaml")


def test_faults_for_a_plugin_that_is_not_there_are_an_error(plugin: Plugin) -> None:
    with pytest.raises(FaultsError, match=r"plugins\.greter_1_0_0: no such plugin \(did you mean greeter_1_0_0\?\)"):
        Sandbox([plugin], faults=make_faults({"plugins": {"greter_1_0_0": {}}}))
