"""Lists namespaces, a page at a time."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

_DEFAULT_LIMIT = 100


class ListQuery(BaseModel):
    """Query of namespaces/list; a cursor wins over an offset."""

    limit: int = Field(default=_DEFAULT_LIMIT, ge=1, le=1000)
    offset: int = Field(default=0, ge=0, le=10_000)
    cursor: str | None = None
    include_total: bool = False

    @property
    def start(self) -> int:
        return self.offset if self.cursor is None else _position(self.cursor)


class Sort(BaseModel):
    field: str = "namespace_id"
    direction: Literal["asc", "desc"] = "asc"


class ListRequest(BaseModel):
    """Body of namespaces/list; other keys are ignored."""

    filters: dict[str, Any] | None = None
    sort: Sort | None = None
    search: str | None = None
    case_sensitive: bool = False


def list_namespaces(names: Sequence[str], query: ListQuery, request: ListRequest) -> dict[str, Any]:
    found = [model for model in map(_model, names) if _matches(model, request)]
    if request.sort is not None:
        field = request.sort.field
        found.sort(key=lambda model: str(model.get(field)), reverse=request.sort.direction == "desc")
    start, end = query.start, query.start + query.limit
    more = end < len(found)
    pages = -(-len(found) // query.limit)
    return {
        "results": found[start:end],
        "pagination": {
            "total": len(found) if query.include_total else None,
            "page": start // query.limit + 1,
            "page_size": query.limit,
            "total_pages": pages if query.include_total else None,
            "next_page": _link(query.limit, end) if more else None,
            "previous_page": _link(query.limit, max(0, start - query.limit)) if start else None,
            "next_cursor": _cursor(end) if more else None,
        },
        "total_count": len(found),
        "stats": None,
    }


def _model(name: str) -> dict[str, Any]:
    return {"namespace_id": name, "namespace_name": name.removeprefix("ns_"), "namespace_type": "standard"}


def _matches(model: dict[str, Any], request: ListRequest) -> bool:
    if any(model.get(key) != value for key, value in (request.filters or {}).items()):
        return False
    sought, text = request.search or "", f"{model['namespace_id']} {model['namespace_name']}"
    return sought in text if request.case_sensitive else sought.casefold() in text.casefold()


def _link(limit: int, offset: int) -> str:
    return f"/v1/namespaces/list?limit={limit}&offset={offset}"


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(f"at:{position}".encode()).decode()


def _position(cursor: str) -> int:
    """Where a cursor points; one that is not ours starts from the beginning."""
    try:
        text = base64.urlsafe_b64decode(cursor.encode()).decode()
        return max(0, int(text.removeprefix("at:")))
    except (binascii.Error, ValueError):
        return 0
