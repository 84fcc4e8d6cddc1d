"""The sandbox does what the OpenAPI description says that it serves, with input that fits it and with input that does
not.
"""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from tests.sandbox.folders import handler, write_plugin
from worker.sandbox.app import make_app, serve
from worker.sandbox.bucket import RateLimit
from worker.sandbox.openapi import description
from worker.sandbox.plugins import load_plugin
from worker.sandbox.sandbox import Sandbox

SCHEMA = schemathesis.openapi.from_dict(description())
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)}
KEY = "sk_sandbox_for_tests"
KNOWN = {"namespace": "ns_sandbox", "plugin": "greeter_1_0_0"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A sandbox in a thread of its own: what calls it is synchronous."""
    plugins = tmp_path_factory.mktemp("plugins")
    loaded = [
        load_plugin(write_plugin(plugins, handler("return {'said': request['inputs'].get('text')}"))),
        load_plugin(write_plugin(plugins, None, name="batch_only", files={"pipeline.py": ""})),
    ]
    sandbox = Sandbox(loaded, api_key=KEY, other_namespaces=["ns_empty"], rate_limit=RateLimit(requests=1_000_000))
    loop = asyncio.new_event_loop()
    started: asyncio.Future[str] = loop.create_future()
    over = asyncio.Event()

    async def serving() -> None:
        async with serve(sandbox) as url:
            started.set_result(url)
            await over.wait()

    task = loop.create_task(serving())
    thread = threading.Thread(target=loop.run_until_complete, args=(task,))
    address = loop.run_until_complete(started)
    thread.start()
    yield address
    loop.call_soon_threadsafe(over.set)
    thread.join()
    loop.close()


def called(label: str, mode: GenerationMode, url: str, key: str, path: dict[str, str] | None) -> list[int]:
    """The statuses that came. Each is a documented one, with its content type, headers and body; nothing is refused
    that fits, nor taken that does not.
    """
    statuses: list[int] = []
    headers = {"Authorization": f"Bearer {key}"}

    @settings(
        max_examples=25,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=OPERATIONS[label].as_strategy(mode, path_parameters=path, headers=headers))
    def conforms(case: Any) -> None:
        statuses.append(case.call_and_validate(base_url=url, timeout=10).status_code)

    conforms()
    return statuses


def known(label: str) -> dict[str, str] | None:
    """A plugin that is there, for an operation that asks for one."""
    return {name: value for name, value in KNOWN.items() if f"{{{name}}}" in label} or None


@pytest.mark.parametrize("label", OPERATIONS)
def test_what_fits_is_answered_as_described(label: str, url: str) -> None:
    assert set(called(label, GenerationMode.POSITIVE, url, KEY, known(label))) == {200}


@pytest.mark.parametrize("label", [label for label in OPERATIONS if known(label)])
def test_what_is_not_there_is_not_found_as_described(label: str, url: str) -> None:
    assert 404 in called(label, GenerationMode.POSITIVE, url, KEY, None)


@pytest.mark.parametrize("label", [label for label in OPERATIONS if label.startswith("POST")])
def test_what_does_not_fit_is_refused_as_described(label: str, url: str) -> None:
    statuses = set(called(label, GenerationMode.NEGATIVE, url, KEY, known(label)))
    assert 422 in statuses
    assert statuses <= {422} or "list" in label, "only a query, which is text, is read with some good will"


@pytest.mark.parametrize("label", OPERATIONS)
def test_a_wrong_key_is_refused_as_described_where_one_is_asked_for(label: str, url: str) -> None:
    open_to_all = OPERATIONS[label].definition.raw.get("security") == []
    assert set(called(label, GenerationMode.POSITIVE, url, "wrong", known(label))) == {200 if open_to_all else 401}


def test_it_serves_its_description(url: str) -> None:
    served = requests.get(f"{url}/openapi.json", timeout=10)
    assert served.json() == description()
    assert served.headers["Content-Type"] == "application/json; charset=utf-8"


def test_every_route_is_described() -> None:
    routes = {
        (route.method, route.resource.canonical) for route in make_app(Sandbox([])).router.routes() if route.resource
    }
    described = {tuple(label.split(" ")) for label in OPERATIONS}
    assert {(method, path) for method, path in routes if method != "HEAD"} == described
