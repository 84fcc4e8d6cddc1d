"""The targets file that is written for a plugin author."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.sandbox.folders import handler, write_folder, write_plugin
from worker.sandbox.catalogue import sample_sandbox
from worker.sandbox.plugins import load_plugin
from worker.sandbox.sandbox import Sandbox
from worker.sandbox.targets import targets_yaml

HEAD = "feature_extractor_name = 'mine'\nversion = '1.0.0'\n"


def target_of(manifest: str, tmp_path: Path) -> tuple[dict[str, Any], str]:
    contents = {"manifest.py": HEAD + manifest, "realtime.py": handler("return {}")}
    text = targets_yaml(Sandbox([load_plugin(write_folder(tmp_path / "mine", contents))], namespace="ns_x"))
    (target,) = yaml.safe_load(text)["targets"]
    assert (target["namespace"], target["plugin"]) == ("ns_x", "mine_1_0_0")
    return target, text


@pytest.mark.parametrize(
    ("manifest", "inputs"),
    [
        ("", {"text": "hello world"}),
        ("input_mappings = {'image_url': 'payload.image'}", {"image_url": "https://example.com/image.jpg"}),
        ("input_schema = {'properties': {'text': {'type': 'string', 'examples': ['hi']}}}", {"text": "hi"}),
        ("supported_input_types = ['video']", {"video_url": "https://example.com/video.mp4"}),
        ("input_schema = {'properties': ['text'], 'required': True}", {"text": "hello world"}),
        ("input_schema = {'properties': {'text': 'string', 'n': 1}}", {"text": "hello world"}),
        ("input_schema = {'properties': {'n': {'type': ['integer', 'null']}}}", {"n": "hello world"}),
        ("input_schema = {'properties': {'kind': {'default': float}}}", {"kind": "<class 'float'>"}),
        (
            "input_schema = {'properties': {'a': {'type': 'integer'}, 'b': {'default': 'x'}, 'c': {}},"
            " 'required': ['a', 'b']}",
            {"a": 1, "b": "x"},
        ),
        (
            "from pydantic import BaseModel\nclass Input(BaseModel):\n    texts: list[str]\n    k: int = 3\n"
            "input_schema = Input",
            {"texts": ["hello world"]},
        ),
    ],
)
def test_inputs_are_guessed_from_what_the_manifest_says(manifest: str, inputs: dict[str, Any], tmp_path: Path) -> None:
    assert target_of(manifest, tmp_path)[0]["inputs"] == inputs


def test_vectors_come_from_the_features(tmp_path: Path) -> None:
    feature = "{'feature_type': 'embedding', 'feature_name': %r, 'embedding_dim': %d}"
    one = f"features = [{feature % ('text_vec', 384)}]"
    two = f"features = [{feature % ('text_vec', 384)}, {feature % ('image_vec', 512)}]"
    vector = {"path": "embedding", "dimensions": 384}
    assert target_of(one, tmp_path / "one")[0]["expect"] == {"vector": vector}
    assert target_of(two, tmp_path / "two")[0]["expect"] == {
        "vector": [vector, {"path": "image_vec", "dimensions": 512}]
    }


def test_a_feature_that_mixpeek_would_ignore_is_pointed_out(tmp_path: Path) -> None:
    target, text = target_of("features = [{'type': 'embedding', 'name': 'v', 'dimensions': 384}]", tmp_path)
    assert "expect" not in target
    assert "# mine_1_0_0: features[0] says 'dimensions', which Mixpeek ignores: write 'embedding_dim'\n" in text


def test_a_plugin_without_realtime_is_a_comment(tmp_path: Path) -> None:
    folder = write_plugin(tmp_path, None, files={"batch.py": ""})
    text = targets_yaml(Sandbox([load_plugin(folder)]))
    assert text.startswith("# greeter_1_0_0: no realtime.py, so there is nothing to probe\n")
    assert yaml.safe_load(text) == {"targets": []}


def test_the_healthy_samples_get_what_they_return() -> None:
    targets = {target["plugin"]: target for target in yaml.safe_load(targets_yaml(sample_sandbox()))["targets"]}
    assert targets["text_embed_1_0_0"]["expect"] == {
        "keys": ["embedding"],
        "vector": {"path": "embedding", "dimensions": 256},
    }
    assert targets["language_id_1_0_0"]["inputs"] == {"text": "Bonjour tout le monde"}
    assert targets["language_id_1_0_0"]["expect"] == {"keys": ["language", "probability"]}
