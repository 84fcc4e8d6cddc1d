"""The JSON documents of the discovery routes."""

from typing import Any

from worker.sandbox.plugins import Plugin
from worker.sandbox.sandbox import Served


def health() -> dict[str, Any]:
    parts = ("cache", "metadata", "vector_store", "object_storage", "task_queue", "inference")
    return {"status": "OK", "data": dict.fromkeys(parts, True) | {"analytics": None}, "errors": None}


def plugin_list(namespace: str, plugins: list[Served]) -> dict[str, Any]:
    return {
        "success": True,
        "plugins": [_item(served.plugin) for served in plugins],
        "total": len(plugins),
        "namespace_id": namespace,
    }


def plugin_detail(namespace: str, served: Served) -> dict[str, Any]:
    plugin = served.plugin
    manifest = plugin.manifest
    document = {
        **{key: value for key, value in _item(plugin).items() if key != "feature_uri"},
        "namespace_id": namespace,
        "organization_id": "org_sandbox",
        "s3_archive_url": f"s3://sandbox/{plugin.plugin_id}.zip",
        "code_hash": plugin.code_sha256,
        "validation_errors": [],
        "security_scan_passed": True,
        "deployment_info": {
            "feature_uri": manifest.feature_uri,
            "ray_deployment_name": plugin.inference_name if served.realtime else None,
            "deployed_at": _modified_at(plugin),
        },
        "manifest": {
            "feature_extractor_name": manifest.name,
            "version": manifest.version,
            "description": manifest.description,
            "input_schema": manifest.input_schema,
            "output_schema": manifest.output_schema,
            "parameter_schema": manifest.parameter_schema,
            "features": list(manifest.features),
            "dependencies": list(manifest.dependencies),
            "compute_profile": manifest.compute_profile,
            "feature_uri": manifest.feature_uri,
        },
        "deployed_at": _modified_at(plugin),
        "resolved_inference_name": plugin.inference_name if served.realtime else None,
    }
    return {"success": True, "plugin": document, "presigned_download_url": None}


def plugin_status(namespace: str, served: Served) -> dict[str, Any]:
    plugin = served.plugin
    return {
        "plugin_id": plugin.plugin_id,
        "namespace_id": namespace,
        "status": served.status,
        "name": plugin.manifest.name,
        "version": plugin.manifest.version,
        "realtime_enabled": served.realtime,
        "message": None if served.realtime else "Batch only: no realtime endpoint",
        "queued_at": None,
        "estimated_completion_seconds": None,
        "deployed": served.status == "DEPLOYED",
        "route_prefix": f"/inference/{plugin.inference_name}" if served.realtime else None,
        "feature_uri": plugin.manifest.feature_uri,
        "deployed_at": _modified_at(plugin) if served.realtime else None,
        "error": served.problem,
    }


def _item(plugin: Plugin) -> dict[str, Any]:
    """`deployed` is true for batch-only plugins too, as it is at Mixpeek: only the status tells them apart."""
    return {
        "plugin_id": plugin.plugin_id,
        "name": plugin.manifest.name,
        "version": plugin.manifest.version,
        "description": plugin.manifest.description,
        "deployed": True,
        "validation_status": "passed",
        "feature_uri": plugin.manifest.feature_uri,
        "created_at": _modified_at(plugin),
        "updated_at": _modified_at(plugin),
    }


def _modified_at(plugin: Plugin) -> str:
    return plugin.modified_at.isoformat().replace("+00:00", "Z")
