"""Plugin folders for tests, in every dialect that was published."""

import textwrap
from pathlib import Path

MANIFEST = """
    feature_extractor_name = "{name}"
    version = "{version}"
"""

DIALECTS = {
    "callable service": """
        from typing import Any, Dict
        from shared.plugins.inference.serve import BaseInferenceService

        class InferenceService(BaseInferenceService):
            def __init__(self):
                super().__init__()
                self.greeting = "hello"

            async def __call__(self, inputs: Dict[str, Any], parameters: Dict[str, Any]) -> Dict[str, Any]:
                return {"said": f"{self.greeting} {inputs['text']}", "parameters": parameters}
    """,
    "factory": """
        from .processors.core import greet

        try:
            from shared.plugins.inference.serve import BaseInferenceService
        except ImportError:
            class BaseInferenceService:
                pass

        class GreetingInferenceService(BaseInferenceService):
            async def run_inference(self, inputs, parameters):
                return {"said": greet(inputs["text"]), "parameters": parameters}

            async def __call__(self, inputs, parameters):
                raise AssertionError("run_inference comes first")

        def get_inference_service(**kwargs):
            return GreetingInferenceService()
    """,
    "process single": """
        from shared.plugins.inference.serve import BaseInferenceService, ServeDeploymentConfig
        from .processors.core import greet

        class GreetingRealtimeService(BaseInferenceService):
            serve_config = ServeDeploymentConfig(enabled=True, num_replicas=1)

            def __init__(self):
                self.logger.debug("ready")

            async def _process_single(self, inputs, parameters):
                return {"said": greet(inputs["text"]), "parameters": parameters}
    """,
    "predict handler": """
        class RealtimeHandler:
            def predict(self, request):
                assert request["inputs"]["text"] == request["text"]
                return {"said": "hello " + request["text"], "parameters": request["parameters"]}
    """,
}


def write_plugin(
    parent: Path,
    realtime: str | None,
    *,
    name: str = "greeter",
    version: str = "1.0.0",
    manifest: str = MANIFEST,
    files: dict[str, str] | None = None,
) -> Path:
    """A plugin folder; `realtime` None leaves realtime.py out."""
    contents = {"manifest.py": manifest.format(name=name, version=version), **(files or {})}
    if realtime is not None:
        contents["realtime.py"] = realtime
    return write_folder(parent / name, contents)


def write_folder(folder: Path, contents: dict[str, str]) -> Path:
    for name, text in contents.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


def handler(*body: str) -> str:
    """A realtime.py whose handler runs these lines; `request` holds the inputs."""
    lines = "\n".join(f"        {line}" for line in body)
    return f"class RealtimeHandler:\n    def predict(self, request):\n{lines}\n"


def async_service(*body: str, setup: str = "") -> str:
    """A realtime.py whose coroutine runs these lines; `inputs` and `parameters` are at hand."""
    lines = "\n".join(f"        {line}" for line in body)
    return (
        "import asyncio\nfrom shared.plugins.inference.serve import BaseInferenceService\n"
        f"{setup}\nclass InferenceService(BaseInferenceService):\n"
        f"    async def run_inference(self, inputs, parameters):\n{lines}\n"
    )
