"""The routes, their error shapes, authentication and rate limit, as Mixpeek documents them."""

import asyncio
import io
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.callers import calling
from tests.sandbox.folders import handler, write_folder, write_plugin
from worker.sandbox.app import serve
from worker.sandbox.bucket import RateLimit
from worker.sandbox.plugins import Plugin, load_plugin
from worker.sandbox.sandbox import Sandbox

TEST = "/v1/namespaces/ns_sandbox/plugins/greeter_1_0_0/realtime/test"


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return load_plugin(write_plugin(tmp_path, handler("return {'said': request['inputs'].get('text')}")))


def test_the_key_that_is_made_up_is_a_new_one_every_time() -> None:
    keys = {Sandbox([]).api_key for _ in range(3)}
    assert len(keys) == 3
    assert all(key.startswith("sk_sandbox_") for key in keys)


async def test_a_success_has_every_documented_field(plugin: Plugin) -> None:
    async with calling(Sandbox([plugin])) as caller:
        heard = await caller.test("greeter_1_0_0", {"text": "é"})
    assert heard.json == {
        "status": "success",
        "inference_name": "custom_plugin_greeter_1_0_0",
        "raw_response": {"said": "é"},
        "response_type": "dict",
        "response_keys": ["said"],
        "error": None,
        "message": "Inference call to 'custom_plugin_greeter_1_0_0' succeeded",
    }


@pytest.mark.parametrize(
    ("returned", "response_type", "keys", "raw"),
    [
        ("[1, 2]", "list", None, [1, 2]),
        ("'text'", "str", None, "text"),
        ("None", "NoneType", None, None),
        ("(1, 2)", "tuple", None, [1, 2]),
        ("True", "bool", None, True),
        ("{2: 1, None: 3, True: 4}", "dict", ["2", "null", "true"], {"2": 1, "null": 3, "true": 4}),
        ("{}", "dict", [], {}),
    ],
)
async def test_type_and_keys_are_those_of_the_python_value(
    returned: str, response_type: str, keys: list[str] | None, raw: Any, tmp_path: Path
) -> None:
    folder = write_plugin(tmp_path, handler(f"return {returned}"))
    async with calling(Sandbox([load_plugin(folder)])) as caller:
        reply = (await caller.test("greeter_1_0_0")).json
    assert (reply["response_type"], reply["response_keys"]) == (response_type, keys)
    assert reply["raw_response"] == raw


async def test_nan_and_infinity_travel_as_literals(tmp_path: Path) -> None:
    folder = write_plugin(tmp_path, handler("return {'v': [float('nan'), float('inf'), -float('inf')]}"))
    async with calling(Sandbox([load_plugin(folder)])) as caller:
        heard = await caller.test("greeter_1_0_0")
    assert '"raw_response": {"v": [NaN, Infinity, -Infinity]}' in heard.text


@pytest.mark.parametrize("header", [None, "", "Bearer wrong", "Bearer", "Basic KEY", "KEY"])
async def test_a_missing_or_wrong_key_is_refused_in_the_envelope(header: str | None, plugin: Plugin) -> None:
    sandbox = Sandbox([plugin], api_key="sk_right")
    headers = {"Authorization": (header or "").replace("KEY", "sk_right")}
    async with calling(sandbox) as caller:
        if header is None:
            del caller.session.headers["Authorization"]
            headers = {}
        heard = await caller.test("greeter_1_0_0", headers=headers)
    assert heard.status == 401
    assert heard.json == {
        "success": False,
        "status": 401,
        "error": {"message": "Invalid or missing API key", "type": "UnauthorizedError"},
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/namespaces/ns_sandbox/plugins/other_1_0_0/realtime/test"),
        ("POST", "/v1/namespaces/ns_other/plugins/greeter_1_0_0/realtime/test"),
        ("GET", "/v1/namespaces/ns_sandbox/plugins/other_1_0_0"),
        ("GET", "/v1/namespaces/ns_sandbox/plugins/other_1_0_0/status"),
    ],
)
async def test_an_unknown_plugin_is_not_found_as_a_detail(method: str, path: str, plugin: Plugin) -> None:
    async with calling(Sandbox([plugin])) as caller:
        heard = await caller.ask(method, path)
    assert heard.status == 404
    assert heard.json == {"detail": f"Plugin not found: {path.split('/')[5]}"}


@pytest.mark.parametrize(
    ("data", "loc"),
    [
        (b"", ["body"]),
        (b"{", ["body"]),
        (b"[]", ["body"]),
        (b'{"inputs": null}', ["body", "inputs"]),
        (b'{"inputs": {}, "parameters": "x"}', ["body", "parameters"]),
    ],
)
async def test_a_body_that_is_not_the_documented_one_is_invalid(data: bytes, loc: list[str], plugin: Plugin) -> None:
    async with calling(Sandbox([plugin])) as caller:
        heard = await caller.ask("POST", TEST, data=data)
    assert heard.status == 422
    assert [item["loc"] for item in heard.json["detail"]] == [loc]
    assert set(heard.json["detail"][0]) == {"loc", "msg", "type"}


async def test_inputs_may_be_left_out_and_other_keys_are_ignored(plugin: Plugin) -> None:
    async with calling(Sandbox([plugin])) as caller:
        heard = await caller.ask("POST", TEST, json={"more": 1})
    assert heard.json["raw_response"] == {"said": None}


async def test_a_body_of_megabytes_is_taken_but_not_one_of_any_size(plugin: Plugin) -> None:
    async with calling(Sandbox([plugin])) as caller:
        large = json.dumps({"inputs": {"text": "x" * 3_000_000}}).encode()
        heard = await caller.ask("POST", TEST, data=io.BytesIO(large))
        refused = await caller.ask("POST", TEST, data=io.BytesIO(bytes(33 * 1024 * 1024)))
    assert len(heard.json["raw_response"]["said"]) == 3_000_000
    assert refused.status == 413
    assert refused.json["detail"].endswith("Too Large"), "Python names it anew in 3.13"


async def test_every_reply_has_its_limits_and_an_id_of_its_own(plugin: Plugin) -> None:
    async with calling(Sandbox([plugin])) as caller:
        replies = [
            await caller.test("greeter_1_0_0"),
            await caller.test("other_1_0_0"),
            await caller.test("greeter_1_0_0", headers={"Authorization": "Bearer wrong"}),
            await caller.ask("GET", "/v1/health"),
            await caller.ask("GET", "/v1/nowhere"),
            await caller.ask("GET", TEST),
        ]
    assert [reply.status for reply in replies] == [200, 404, 401, 200, 404, 405]
    assert len({reply.headers["X-Request-ID"] for reply in replies}) == len(replies)
    for reply in replies:
        assert reply.headers["X-RateLimit-Limit"] == "600"
        assert reply.headers["X-RateLimit-Window"] == "60"
        assert abs(int(reply.headers["X-RateLimit-Reset"]) - time.time()) < 5
    assert [int(reply.headers["X-RateLimit-Remaining"]) for reply in replies[:2]] == [599, 598]


async def test_an_id_that_the_caller_sends_comes_back_where_it_can(plugin: Plugin) -> None:
    async with calling(Sandbox([plugin])) as caller:
        heard = await caller.test("greeter_1_0_0", headers={"X-Request-ID": "mine"})
        odd = await caller.test("greeter_1_0_0", headers={"X-Request-ID": "é" * 10})
    assert heard.headers["X-Request-ID"] == "mine"
    assert odd.headers["X-Request-ID"].startswith("req_")


def test_a_key_that_is_not_text_is_a_wrong_key() -> None:
    assert not Sandbox([]).accepts("Bearer \udcff")


async def test_health_needs_no_key_and_is_not_billed() -> None:
    async with calling(Sandbox([], rate_limit=RateLimit(requests=1))) as caller:
        replies = [await caller.ask("GET", "/v1/health", headers={"Authorization": ""}) for _ in range(3)]
    assert {reply.status for reply in replies} == {200}
    assert replies[0].json["status"] == "OK"
    assert replies[0].json["data"]["inference"] is True


async def test_plugins_are_listed_shown_and_have_a_status(plugin: Plugin, tmp_path: Path) -> None:
    batch = load_plugin(write_plugin(tmp_path, None, name="batch_only", files={"pipeline.py": ""}))
    async with calling(Sandbox([plugin, batch])) as caller:
        listed = (await caller.ask("GET", "/v1/namespaces/ns_sandbox/plugins")).json
        shown = (await caller.ask("GET", "/v1/namespaces/ns_sandbox/plugins/greeter_1_0_0")).json
        status = [
            (await caller.ask("GET", f"/v1/namespaces/ns_sandbox/plugins/{name}/status")).json
            for name in ("greeter_1_0_0", "batch_only_1_0_0")
        ]
        called = await caller.test("batch_only_1_0_0")
    assert [item["plugin_id"] for item in listed["plugins"]] == ["greeter_1_0_0", "batch_only_1_0_0"]
    assert (listed["total"], listed["namespace_id"]) == (2, "ns_sandbox")
    assert shown["plugin"]["resolved_inference_name"] == "custom_plugin_greeter_1_0_0"
    assert len(shown["plugin"]["code_hash"]) == 64
    assert [(item["status"], item["realtime_enabled"]) for item in status] == [
        ("DEPLOYED", True),
        ("NOT_DEPLOYED", False),
    ]
    assert (called.status, called.json["status"]) == (200, "error")
    assert "no realtime deployment" in called.json["error"]


async def test_a_manifest_that_json_cannot_write_is_shown_all_the_same(tmp_path: Path) -> None:
    manifest = "feature_extractor_name = 'greeter'\nversion = '1.0.0'\nfeatures = [{'feature_type': float}]\n"
    folder = write_folder(tmp_path / "odd", {"manifest.py": manifest, "realtime.py": handler("return {}")})
    async with calling(Sandbox([load_plugin(folder)])) as caller:
        shown = await caller.ask("GET", "/v1/namespaces/ns_sandbox/plugins/greeter_1_0_0")
    assert shown.json["plugin"]["manifest"]["features"] == [{"feature_type": "<class 'float'>"}]


async def test_an_unknown_namespace_is_not_found() -> None:
    async with calling(Sandbox([], other_namespaces=["ns_empty"])) as caller:
        unknown = await caller.ask("GET", "/v1/namespaces/ns_nowhere/plugins")
        empty = await caller.ask("GET", "/v1/namespaces/ns_empty/plugins")
    assert (unknown.status, unknown.json["error"]["type"]) == (404, "NotFoundError")
    assert (empty.status, empty.json["plugins"]) == (200, [])


async def test_it_listens_on_loopback_and_a_taken_port_is_an_error() -> None:
    async with serve(Sandbox([])) as url:
        assert url.startswith("http://127.0.0.1:")
        with pytest.raises(OSError, match="address already in use"):
            async with serve(Sandbox([]), port=int(url.rpartition(":")[2])):
                pass
    with socket.socket() as gone, pytest.raises(ConnectionRefusedError):
        gone.connect(("127.0.0.1", int(url.rpartition(":")[2])))


async def test_many_callers_at_once_are_all_answered(plugin: Plugin) -> None:
    async with calling(Sandbox([plugin])) as caller:
        replies = await asyncio.gather(*(caller.test("greeter_1_0_0", {"text": str(n)}) for n in range(200)))
    assert [reply.json["raw_response"]["said"] for reply in replies] == [str(number) for number in range(200)]
