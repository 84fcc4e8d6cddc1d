"""Loading plugin folders: dialects, isolation, and what a wrong folder is told."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.sandbox.callers import calling
from tests.sandbox.folders import DIALECTS, MANIFEST, handler, write_folder, write_plugin
from worker.sandbox.plugins import PluginError, load_plugin, load_plugins
from worker.sandbox.sandbox import Sandbox

CORE = {"processors/__init__.py": "", "processors/core.py": "def greet(text):\n    return 'hello ' + text\n"}
PYDANTIC_MANIFEST = """
    from pydantic import BaseModel

    class Input(BaseModel):
        text: str

    metadata = {{"name": "{name}", "version": "{version}", "description": "greets", "category": "text"}}
    input_schema = Input
    output_schema = Input
    parameter_schema = None
"""


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_every_published_dialect_of_realtime_answers(dialect: str, tmp_path: Path) -> None:
    plugin = load_plugin(write_plugin(tmp_path, DIALECTS[dialect], files=CORE))
    async with calling(Sandbox([plugin])) as caller:
        body = {"inputs": {"text": "you"}, "parameters": {"loud": True}}
        heard = await caller.test("greeter_1_0_0", json=body)
    assert heard.json["raw_response"] == {"said": "hello you", "parameters": {"loud": True}}
    assert heard.json["response_keys"] == ["said", "parameters"]


@pytest.mark.parametrize("manifest", [MANIFEST, PYDANTIC_MANIFEST], ids=["variables", "metadata and models"])
def test_both_dialects_of_the_manifest_are_read(manifest: str, tmp_path: Path) -> None:
    plugin = load_plugin(write_plugin(tmp_path, handler("return {}"), manifest=manifest, version="1.2.3"))
    assert plugin.plugin_id == "greeter_1_2_3"
    assert plugin.inference_name == "custom_plugin_greeter_1_2_3"


@pytest.mark.parametrize(
    ("written", "plugin_id"),
    [("v1", "greeter_1_0_0"), ("1.0", "greeter_1_0_0"), ("v2.1", "greeter_2_1_0"), ("3.4.5", "greeter_3_4_5")],
)
def test_a_version_is_completed_as_mixpeek_does(written: str, plugin_id: str, tmp_path: Path) -> None:
    assert load_plugin(write_plugin(tmp_path, handler("return {}"), version=written)).plugin_id == plugin_id


async def test_two_plugins_with_the_same_module_names_do_not_clash(tmp_path: Path) -> None:
    folders = [
        write_plugin(
            tmp_path,
            "from .processors.core import NAME\n" + handler("return {'from': NAME}"),
            name=name,
            files={"processors/__init__.py": "", "processors/core.py": f"NAME = {name!r}\n"},
        )
        for name in ("first", "second")
    ]
    async with calling(Sandbox(load_plugins(folders))) as caller:
        replies = [(await caller.test(f"{name}_1_0_0")).json for name in ("first", "second")]
    assert [reply["raw_response"] for reply in replies] == [{"from": "first"}, {"from": "second"}]


def test_two_folders_with_one_plugin_id_are_an_error(tmp_path: Path) -> None:
    folders = [write_plugin(tmp_path / side, handler("return {}")) for side in ("a", "b")]
    with pytest.raises(PluginError, match="greeter_1_0_0 is also in"):
        load_plugins(folders)


BAD_FOLDERS = [
    pytest.param({"readme.txt": ""}, "", "not a plugin: it has no manifest.py", id="no manifest"),
    pytest.param({"manifest.py": "x = 1"}, "", "neither realtime.py nor pipeline.py nor batch.py", id="manifest only"),
    pytest.param({"manifest.py": "x = (", "realtime.py": ""}, "manifest.py", "line 1: SyntaxError", id="syntax"),
    pytest.param({"manifest.py": "version = '1.0.0'", "realtime.py": ""}, "manifest.py", "no name", id="no name"),
    pytest.param(
        {"manifest.py": "feature_extractor_name = '9lives'\nversion = '1.0.0'", "realtime.py": ""},
        "manifest.py",
        "name '9lives' is not a letter",
        id="bad name",
    ),
    pytest.param(
        {"manifest.py": "feature_extractor_name = 'abc'\nversion = 'new'", "realtime.py": ""},
        "manifest.py",
        "version 'new' is not like 1.0.0",
        id="bad version",
    ),
    pytest.param(
        {"manifest.py": MANIFEST, "realtime.py": "import torchvision_of_nobody"},
        "realtime.py",
        "line 1: needs the module 'torchvision_of_nobody', which is not installed",
        id="missing module",
    ),
    pytest.param(
        {"manifest.py": MANIFEST, "realtime.py": "from processors.core import x", "processors/core.py": "x = 1"},
        "realtime.py",
        "write `from .processors import",
        id="absolute import of its own",
    ),
    pytest.param(
        {"manifest.py": MANIFEST, "realtime.py": "from .core import x", "core.py": "\n\nx = 1 / 0"},
        "core.py",
        "line 3: ZeroDivisionError: division by zero",
        id="a file further in",
    ),
    pytest.param(
        {"manifest.py": MANIFEST, "realtime.py": "import sys\nsys.exit(3)"},
        "realtime.py",
        "line 2: SystemExit: 3",
        id="exits",
    ),
    pytest.param({"manifest.py": MANIFEST, "realtime.py": "x = 1"}, "realtime.py", "found no service", id="no service"),
    pytest.param(
        {"manifest.py": MANIFEST, "realtime.py": "class RealtimeHandler:\n    pass"},
        "realtime.py",
        "RealtimeHandler has none of the methods run_inference",
        id="no method",
    ),
]


@pytest.mark.parametrize(("contents", "file", "problem"), BAD_FOLDERS)
def test_a_wrong_folder_is_told_which_file_and_what(
    contents: dict[str, str], file: str, problem: str, tmp_path: Path
) -> None:
    named = {name: text.replace("{name}", "abc").replace("{version}", "1.0.0") for name, text in contents.items()}
    folder = write_folder(tmp_path / "wrong", named)
    with pytest.raises(PluginError) as caught:
        load_plugin(folder)
    assert str(caught.value).startswith(str(folder / file) + ": ")
    assert problem in str(caught.value)
    assert not [name for name, module in sys.modules.items() if str(folder) in str(getattr(module, "__path__", ""))]


def test_a_path_that_is_no_folder_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(PluginError, match=r"file\.txt: not a folder"):
        load_plugin(tmp_path / "file.txt")
    with pytest.raises(PluginError, match="nowhere: no such folder"):
        load_plugin(tmp_path / "nowhere")


def test_two_services_need_a_name_and_a_base_class_is_none_of_them(tmp_path: Path) -> None:
    head = "from shared.plugins.inference.serve import BaseInferenceService as Base\n"
    method = "    async def run_inference(self, inputs, parameters):\n        return {}\n"
    chain = f"{head}class Common(Base):\n{method}class Mine(Common):\n{method}"
    assert load_plugin(write_plugin(tmp_path / "chain", chain)).build is not None
    with pytest.raises(PluginError, match=r"several services \(One, Two\)"):
        load_plugin(write_plugin(tmp_path / "two", f"{head}class One(Base):\n{method}class Two(Base):\n{method}"))


async def test_the_platform_modules_that_plugins_import_are_there(tmp_path: Path) -> None:
    code = """
        from engine.models import LazyModelMixin, lazy_model, load_hf_model, load_namespace_model
        from shared.models.loader import load_namespace_model
        from shared.plugins import download_asset, open_asset
        from shared.plugins.sdk import concurrent_api_calls, parallel_io

        class RealtimeHandler(LazyModelMixin):
            def load_model(self):
                with open_asset("words.txt") as file:
                    return file.read().decode()

            @lazy_model
            def shout(self):
                return self.model.upper()

            def predict(self, request):
                try:
                    load_namespace_model("bert")
                except NotImplementedError as error:
                    refused = str(error)
                return {"model": self.model, "shout": self.shout, "refused": refused,
                        "path": download_asset("words.txt"), "doubled": parallel_io(lambda x: 2 * x, [1, 2])}
    """
    folder = write_plugin(tmp_path, code, files={"words.txt": "abc"})
    async with calling(Sandbox([load_plugin(folder)])) as caller:
        reply = (await caller.test("greeter_1_0_0")).json
    assert reply["error"] is None
    assert reply["raw_response"] == {
        "model": "abc",
        "shout": "ABC",
        "refused": "the sandbox has no model registry: load the model from a package or an asset",
        "path": str(folder / "words.txt"),
        "doubled": [2, 4],
    }


def test_a_sample_without_its_model_says_which_extra_is_missing() -> None:
    code = (
        "import sys; sys.modules['wordllama'] = None\n"
        "from worker.sandbox.catalogue import sample_sandbox\n"
        "from worker.sandbox.plugins import PluginError\n"
        "try: sample_sandbox()\n"
        "except PluginError as error: print(error)\n"
        "assert len(sample_sandbox(only_sick=True).plugins) == 6\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert "realtime.py: line" in run.stdout
    assert "needs the package wordllama: pip install 'plugin-probe[sandbox]'" in run.stdout
