"""What the sandbox serves, as an OpenAPI 3.1 description. Faults that were asked for may answer anything besides."""

from collections.abc import Mapping
from typing import Any

from worker.version import VERSION

Schema = Mapping[str, Any]

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_ANYTHING: Schema = {}
_OPEN: Schema = {"type": "object"}


def description() -> dict[str, Any]:
    """The document of /openapi.json."""
    plugin = "/v1/namespaces/{namespace}/plugins/{plugin}"
    return {
        "openapi": "3.1.0",
        "info": {"title": "plugin-probe sandbox", "version": VERSION},
        "security": [{"key": []}],
        "paths": {
            "/openapi.json": {"get": _open_to_all("This document", _OPEN)},
            "/v1/health": {"get": _open_to_all("How the platform's parts are", _ref("Health"))},
            "/v1/namespaces/list": {"post": _namespaces()},
            "/v1/namespaces/{namespace}/plugins": {
                "get": _operation("A namespace's plugins", _ref("Plugins"), not_found="Envelope"),
                "parameters": [_in_path("namespace")],
            },
            plugin: _of_a_plugin("get", _operation("A plugin", _ref("PluginReply"), not_found="Detail")),
            plugin + "/status": _of_a_plugin(
                "get", _operation("A plugin's deployment", _ref("Status"), not_found="Detail")
            ),
            plugin + "/realtime/test": _of_a_plugin("post", _realtime_test()),
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": _SCHEMAS,
            "headers": _HEADERS,
        },
    }


# Operations -----------------------------------------------------------------------------------------------------------


def _open_to_all(summary: str, schema: Schema) -> dict[str, Any]:
    """Needs no key and is not counted."""
    return {"summary": summary, "security": [], "responses": {"200": _reply(summary, schema)}}


def _operation(summary: str, schema: Schema, *, not_found: str | None = None) -> dict[str, Any]:
    responses = {
        "200": _reply(summary, schema),
        "401": _reply("No key, or a wrong one", _ref("Envelope")),
        "429": _reply(
            "Over the rate limit", _ref("Envelope"), **{"Retry-After": {"required": True, "schema": _NUMBER}}
        ),
        "500": _reply("An error of the sandbox, or one that a fault asked for", _ref("Envelope")),
    }
    if not_found:
        responses["404"] = _reply("There is none", _ref(not_found))
    return {"summary": summary, "responses": responses}


def _taking(operation: dict[str, Any], body: str, *, required: bool) -> dict[str, Any]:
    """An operation with a body."""
    operation["requestBody"] = {"required": required, "content": _json(_ref(body))}
    operation["responses"]["413"] = _reply("A body of more than 32 MiB", _ref("Detail"))
    operation["responses"]["422"] = _reply("Not what is documented", _ref("Problems"))
    return operation


def _namespaces() -> dict[str, Any]:
    operation = _taking(_operation("A page of the namespaces", _ref("Namespaces")), "ListRequest", required=False)
    operation["parameters"] = [
        _in_query("limit", {"type": "integer", "minimum": 1, "maximum": 1000}),
        _in_query("offset", {"type": "integer", "minimum": 0, "maximum": 10_000}),
        _in_query("cursor", _TEXT),
        _in_query("include_total", _FLAG),
    ]
    return operation


def _realtime_test() -> dict[str, Any]:
    operation = _operation("The plugin's reply, or its error", _ref("Realtime"), not_found="Detail")
    return _taking(operation, "RealtimeRequest", required=True)


def _of_a_plugin(method: str, operation: dict[str, Any]) -> dict[str, Any]:
    return {method: operation, "parameters": [_in_path("namespace"), _in_path("plugin")]}


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT}


def _in_query(name: str, schema: Schema) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}


def _reply(summary: str, schema: Schema, **headers: Schema) -> dict[str, Any]:
    known = {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS}
    return {"description": summary, "headers": known | headers, "content": _json(schema)}


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


# Schemas --------------------------------------------------------------------------------------------------------------


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _all_of(**properties: Schema) -> Schema:
    """An object with all of these and nothing else."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _some_of(**properties: Schema) -> Schema:
    """An object that may have these, and others that are ignored."""
    return {"type": "object", "properties": properties}


_PLUGIN = {
    "plugin_id": _TEXT,
    "name": _TEXT,
    "version": _TEXT,
    "description": {"type": ["string", "null"]},
    "deployed": _FLAG,
    "validation_status": {"const": "passed"},
    "created_at": _TEXT,
    "updated_at": _TEXT,
}
_PLATFORM = ("cache", "metadata", "vector_store", "object_storage", "task_queue", "inference")
_ERROR = _all_of(message=_TEXT, type=_TEXT)
_COUNTED = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-RateLimit-Window")
_HEADERS = {name: {"required": True, "schema": _NUMBER} for name in _COUNTED} | {
    "X-Request-ID": {"required": True, "schema": _TEXT}
}

_SCHEMAS: dict[str, Schema] = {
    "Envelope": _all_of(
        success={"const": False},
        status={"type": "integer"},
        error={**_ERROR, "properties": {**_ERROR["properties"], "code": _TEXT, "details": _OPEN}},
    ),
    "Detail": _all_of(detail=_TEXT),
    "Problems": _all_of(
        detail=_list(_all_of(loc=_list({"type": ["string", "integer"]}), msg=_TEXT, type=_TEXT)),
    ),
    "Health": _all_of(
        status={"const": "OK"},
        data=_all_of(**dict.fromkeys(_PLATFORM, _FLAG), analytics={"type": "null"}),
        errors={"type": "null"},
    ),
    "ListRequest": _some_of(
        filters=_or_null(_OPEN),
        sort=_or_null(_some_of(field=_TEXT, direction={"enum": ["asc", "desc"]})),
        search=_or_null(_TEXT),
        case_sensitive=_FLAG,
    ),
    "Namespaces": _all_of(
        results=_list(_all_of(namespace_id=_TEXT, namespace_name=_TEXT, namespace_type={"const": "standard"})),
        pagination=_all_of(
            total=_or_null(_NUMBER),
            page=_NUMBER,
            page_size=_NUMBER,
            total_pages=_or_null(_NUMBER),
            next_page=_or_null(_TEXT),
            previous_page=_or_null(_TEXT),
            next_cursor=_or_null(_TEXT),
        ),
        total_count=_NUMBER,
        stats={"type": "null"},
    ),
    "Plugins": _all_of(
        success={"const": True},
        plugins=_list(_all_of(**_PLUGIN, feature_uri=_TEXT)),
        total=_NUMBER,
        namespace_id=_TEXT,
    ),
    "PluginReply": _all_of(
        success={"const": True},
        plugin=_all_of(
            **_PLUGIN,
            namespace_id=_TEXT,
            organization_id=_TEXT,
            s3_archive_url=_TEXT,
            code_hash=_TEXT,
            validation_errors=_list(_TEXT),
            security_scan_passed=_FLAG,
            deployment_info=_all_of(feature_uri=_TEXT, ray_deployment_name=_or_null(_TEXT), deployed_at=_TEXT),
            manifest=_OPEN,
            deployed_at=_TEXT,
            resolved_inference_name=_or_null(_TEXT),
        ),
        presigned_download_url={"type": "null"},
    ),
    "Status": _all_of(
        plugin_id=_TEXT,
        namespace_id=_TEXT,
        status=_TEXT,
        name=_TEXT,
        version=_TEXT,
        realtime_enabled=_FLAG,
        message=_or_null(_TEXT),
        queued_at={"type": "null"},
        estimated_completion_seconds={"type": "null"},
        deployed=_FLAG,
        route_prefix=_or_null(_TEXT),
        feature_uri=_TEXT,
        deployed_at=_or_null(_TEXT),
        error=_or_null(_TEXT),
    ),
    "RealtimeRequest": _some_of(inputs=_OPEN, parameters=_OPEN),
    "Realtime": _all_of(
        status={"enum": ["success", "error"]},
        inference_name=_TEXT,
        raw_response=_ANYTHING,
        response_type=_or_null(_TEXT),
        response_keys=_or_null(_list(_TEXT)),
        error=_or_null(_TEXT),
        message=_TEXT,
    ),
}
