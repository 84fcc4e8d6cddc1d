"""Listing namespaces: pages, search, sorting."""

from typing import Any

import pytest

from tests.sandbox.callers import Heard, calling
from worker.sandbox.sandbox import Sandbox


async def listed(query: dict[str, str], body: dict[str, Any] | None = None) -> Heard:
    others = [f"ns_other_{number}" for number in range(4)]
    async with calling(Sandbox([], other_namespaces=others)) as caller:
        return await caller.ask("POST", "/v1/namespaces/list", params=query, json=body)


async def test_namespaces_are_listed_without_a_body() -> None:
    reply = (await listed({})).json
    assert [item["namespace_id"] for item in reply["results"]][:2] == ["ns_sandbox", "ns_other_0"]
    assert (reply["total_count"], reply["pagination"]["total"]) == (5, None)


async def test_namespaces_come_in_pages_by_offset_and_by_cursor() -> None:
    seen: list[str] = []
    query: dict[str, str] = {"limit": "2", "include_total": "true"}
    while True:
        reply = (await listed(query)).json
        seen += [item["namespace_id"] for item in reply["results"]]
        assert (reply["pagination"]["total"], reply["pagination"]["total_pages"]) == (5, 3)
        if reply["pagination"]["next_cursor"] is None:
            break
        query["cursor"] = reply["pagination"]["next_cursor"]
    assert seen == ["ns_sandbox", *(f"ns_other_{number}" for number in range(4))]
    middle = (await listed({"limit": "2", "offset": "2"})).json["pagination"]
    assert (middle["page"], middle["next_page"]) == (2, "/v1/namespaces/list?limit=2&offset=4")
    assert middle["previous_page"] == "/v1/namespaces/list?limit=2&offset=0"


async def test_namespaces_are_searched_filtered_and_sorted() -> None:
    found = (await listed({}, {"search": "OTHER", "sort": {"field": "namespace_id", "direction": "desc"}})).json
    assert [item["namespace_id"][-1] for item in found["results"]] == ["3", "2", "1", "0"]
    assert (await listed({}, {"search": "OTHER", "case_sensitive": True})).json["total_count"] == 0
    assert (await listed({}, {"filters": {"namespace_name": "sandbox"}})).json["total_count"] == 1


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "1001"}, {"offset": "-1"}, {"offset": "x"}])
async def test_a_page_out_of_range_is_invalid(query: dict[str, str]) -> None:
    heard = await listed(query)
    assert heard.status == 422
    assert heard.json["detail"][0]["loc"] == ["query", next(iter(query))]
