"""`shapes pin`, `diff`, `show` and `prune`, and what the other commands make of what they wrote."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import KEY, Finished, run, started, target, write_config, write_targets
from tests.servers import Call, Reply, answer, refuse, serving

pytestmark = [pytest.mark.e2e, pytest.mark.waits]

VECTOR = [0.6, 0.8] * 32
WORDS: tuple[list[str], ...] = (["a"], ["a", "b", "c"], [])


async def shapes(folder: Path, *arguments: str | Path) -> Finished:
    command, *rest = arguments
    return await run("shapes", command, "-c", "worker.yaml", *rest, cwd=folder)


async def once(folder: Path, *arguments: str | Path) -> Finished:
    return await run("once", "-c", "worker.yaml", "--format", "json", *arguments, cwd=folder)


def lock(folder: Path) -> str:
    return (folder / "shapes.lock.yaml").read_text(encoding="utf-8")


def varying(call: Call) -> Reply:
    """Keys that come and go, and a list of another length each time."""
    extra = {"note": "x"} if call.number == 1 else {}
    return answer({"embedding": VECTOR, "tokens": WORDS[call.number % 3], "n": 1, **extra})


async def test_what_varies_is_learnt_and_what_changes_is_caught(tmp_path: Path) -> None:
    async with serving({"p_1_0_0": varying}) as server:
        write_config(tmp_path, server.url, outputs={"textfile": {"path": "probe.prom"}})
        done = await shapes(tmp_path, "pin")
        assert (done.code, len(server.calls)) == (0, 3)
        assert lock(tmp_path).split("\n", 1)[1] == (
            "shapes:\n  ns_a:\n    p_1_0_0:\n      shape: |-\n        {\n          embedding: number[64],\n"
            "          n: integer,\n          note?: string,\n          tokens: string[0..3],\n        }\n"
            "      vectors: [embedding]\n      samples: 3\n"
        )
        assert done.out.startswith("ns_a/p_1_0_0: pinned from 3 samples: {embedding: number[64], n: integer, note?: ")
        for _ in range(3):
            assert (await once(tmp_path)).code == 0
        assert (await shapes(tmp_path, "diff")).code == 0

        server.scripts["p_1_0_0"] = answer({"embedding": VECTOR[:32], "tokens": ["a"], "n": 0.5, "new": None})
        done = await once(tmp_path)
        (row,) = done.json["results"]
        assert (done.code, row["outcome"]) == (1, "shape_mismatch")
        assert row["shape_diff"] == [
            {"path": "embedding", "expected": "number[64]", "found": "number[32]", "severity": "breaking"},
            {"path": "new", "expected": None, "found": "null", "severity": "compatible"},
        ]
        assert done.event("probe.failed")["shape_diff"] == row["shape_diff"]
        assert done.event("shape.changed")["shape_diff"] == row["shape_diff"]
        metrics = (tmp_path / "probe.prom").read_text()
        labels = 'mixpeek_namespace="ns_a",plugin="p_1_0_0"'
        assert f"plugin_probe_response_shape_match{{{labels}}} 0\n" in metrics
        assert f'plugin_probe_vector_dimensions{{{labels},path="embedding"}} 32\n' in metrics
        assert f"plugin_probe_response_shape_changes_total{{{labels}}} 1\n" in metrics
        done = await shapes(tmp_path, "diff")
        assert (done.code, done.out) == (
            1,
            "ns_a/p_1_0_0: differs\n  └ embedding: expected number[64], found number[32]\n"
            "  └ new: expected nothing, found null (compatible)\n",
        )
        done = await shapes(tmp_path, "pin", "--samples", "1")
        assert done.code == 0
        assert "  └ embedding: expected number[64], found number[32]\n" in done.out
        assert (await once(tmp_path)).code == 0


async def test_pinning_again_changes_one_entry_and_keeps_every_remark(tmp_path: Path) -> None:
    async with serving({"q_1_0_0": answer({"label": "x"})}) as server:
        write_config(tmp_path, server.url, [target(), target("q_1_0_0")])
        await shapes(tmp_path, "pin")
        text = lock(tmp_path).replace("    q_1_0_0:\n", "    # asked for by the search team\n    q_1_0_0:\n")
        text = text.replace("      samples: 3\n", "      samples: 3 # enough\n")
        (tmp_path / "shapes.lock.yaml").write_text(text)
        assert (await shapes(tmp_path, "pin")).code == 0
        assert lock(tmp_path) == text, "what is as it was is not touched"
        server.default = answer({"embedding": [1.0, 2.0, 3.0]})
        done = await shapes(tmp_path, "pin", "ns_a/p*")
        assert (done.code, server.calls[-1].plugin) == (0, "p_1_0_0")
        before, after = text.splitlines(), lock(tmp_path).splitlines()
        assert [line for line in before if line not in after] == ["          embedding: number[2],"]
        assert [line for line in after if line not in before] == ["          embedding: number[3],"]
        (tmp_path / "shapes.lock.yaml").write_text("shapes: {ns_a: {}}\n")
        done = await shapes(tmp_path, "pin")
        assert (done.code, lock(tmp_path)) == (2, "shapes: {ns_a: {}}\n")
        assert "line 1: not written with one key a line; write it so" in done.err


async def test_a_sick_reply_is_pinned_by_force_alone(tmp_path: Path) -> None:
    sick = {"nan": answer({"v": [1.0, float("nan")]}), "broken": answer(None, status="error", error="it broke")}
    scripts = {**sick, "cold": refuse(503, kind="InferenceServiceUnavailableError", Retry_After="1")}
    async with serving(scripts) as server:
        write_config(tmp_path, server.url, [target(plugin) for plugin in ("well", "nan", "broken")])
        done = await shapes(tmp_path, "pin", "--samples", "2")
        assert done.code == 1
        assert done.out.splitlines()[1:] == [
            "ns_a/nan: not pinned: bad_values: expected finite numbers only, found nan at v[1];"
            " --force pins it all the same",
            "ns_a/broken: not pinned: plugin_error: expected status success, found status error",
        ]
        assert "    well:\n" in lock(tmp_path)
        assert "nan:" not in lock(tmp_path)
        done = await shapes(tmp_path, "pin", "nan", "--force", "--samples", "1")
        assert (done.code, done.out.count("(sick: bad_values")) == (0, 1)
        assert "          v: number[2],\n" in lock(tmp_path)
        write_targets(tmp_path, [target("cold")])
        done = await shapes(tmp_path, "pin", "--samples", "1")
        assert (done.code, "not pinned: warming" in done.out) == (4, True)


async def test_a_new_version_takes_over_the_pin_and_is_told_what_differs(tmp_path: Path) -> None:
    async with serving() as server:
        write_config(tmp_path, server.url, [target("embed_1_0_0")])
        assert (await shapes(tmp_path, "pin", "--samples", "1")).code == 0
        write_targets(tmp_path, [target("embed_1_1_0"), target("embed_2_0_0")])
        done = await shapes(tmp_path, "pin", "embed_1_1_0", "--from", "embed_1_0_0")
        assert (done.code, done.out.splitlines()[1].split(": ")[1]) == (0, "as pinned")
        server.default = answer({"embeddings": [0.6, 0.8]})
        done = await shapes(tmp_path, "pin", "embed_2_0_0", "--from", "ns_a/embed_1_0_0")
        assert done.code == 1
        assert "  └ embedding: expected number[2], found nothing\n" in done.out
        assert lock(tmp_path).count("          embedding: number[2],\n") == 3
        for arguments, told in (
            (("embed_2_0_0", "--from", "embed_9_0_0"), "embed_9_0_0 is not pinned for ns_a/embed_2_0_0"),
            (("embed_*", "--from", "embed_1_0_0"), "name the new one, and nothing else"),
            (("--from", "embed_1_0_0"), "name the new one, and nothing else"),
            (("embed_1_1_0", "--from", "embed_1_1_0"), "is the plugin itself"),
            (("embed_2_0_0", "--from", "embed_1_0_0", "--golden"), "leave --force and --golden out"),
        ):
            done = await shapes(tmp_path, "pin", *arguments)
            assert (done.code, told in done.err) == (2, True), done.err


async def test_a_new_version_in_many_namespaces_takes_over_each_ones_pin(tmp_path: Path) -> None:
    async with serving() as server:
        spaces = ("ns_a", "ns_b")
        write_config(tmp_path, server.url, [target("v1", namespace) for namespace in spaces])
        assert (await shapes(tmp_path, "pin", "--samples", "1")).code == 0
        write_targets(tmp_path, [target("v2", namespace) for namespace in spaces])
        done = await shapes(tmp_path, "pin", "v2", "--from", "v1")
        assert done.code == 0, done.err
        assert [line.split(": ")[:2] for line in done.out.splitlines()] == [
            ["ns_a/v2", "pinned as ns_a/v1 was"],
            ["ns_b/v2", "pinned as ns_b/v1 was"],
            ["ns_a/v2", "as pinned"],
            ["ns_b/v2", "as pinned"],
        ]


async def test_pins_are_shown_and_those_without_a_target_cleared(tmp_path: Path) -> None:
    async with serving() as server:
        write_config(tmp_path, server.url, [target("a"), target("b"), target("off", shape="off")])
        await shapes(tmp_path, "pin", "a", "b", "--samples", "1")
        calls = len(server.calls)
        write_targets(tmp_path, [target("b"), target("c"), target("off", shape="off")])
        done = await run("validate", "-c", "worker.yaml", cwd=tmp_path)
        assert done.code == 0
        assert (
            "warning: shapes.lock.yaml: pinned, but no target: ns_a/a; `plugin-probe shapes prune` clears" in done.err
        )
        assert "warning: shapes.lock.yaml: not pinned: ns_a/c; `plugin-probe shapes pin` does it" in done.err
        done = await shapes(tmp_path, "show")
        told = done.out.splitlines()
        assert (done.code, len(server.calls)) == (0, calls)
        assert told[0].endswith("1 sample  no target: `plugin-probe shapes prune` clears that")
        assert told[1:4] == ["  {", "    embedding: number[2],", "  }"]
        assert told[-2:] == ["ns_a/c: not pinned", "ns_a/off: not pinned"]
        assert (await shapes(tmp_path, "show", "nobody")).code == 2
        done = await shapes(tmp_path, "diff")
        assert done.code == 0
        assert "ns_a/c: not pinned\nns_a/off: shape: off, not looked at\n" in done.out
        assert [call.plugin for call in server.calls[calls:]] == ["b"]
        assert (await shapes(tmp_path, "prune")).out == "ns_a/a: no target, no pin any more\n"
        assert "    a:\n" not in lock(tmp_path)
        assert (await shapes(tmp_path, "prune")).out == "every pin has a target\n"
        server.default = refuse(500)
        done = await shapes(tmp_path, "diff", "b")
        assert (done.code, done.out) == (
            4,
            "ns_a/b: nothing to compare: server_error: expected HTTP 2xx, found HTTP 500\n",
        )


async def test_golden_vectors_are_recorded_and_drift_is_caught(tmp_path: Path) -> None:
    golden: dict[str, Any] = {"expect": {"golden": {"file": "golden/{namespace}/{plugin}.json"}}}
    async with serving() as server:
        write_config(tmp_path, server.url, [target("a", **golden), target("b")])
        done = await once(tmp_path)
        assert done.code == 2
        assert "targets.yaml:1:" in done.err
        assert "record it with `plugin-probe shapes pin --golden ns_a/a`" in done.err
        done = await shapes(tmp_path, "pin", "--golden")
        assert done.code == 0, done.err
        document = json.loads((tmp_path / "golden" / "ns_a" / "a.json").read_text())
        assert document["vector"] == [0.6, 0.8]
        assert "no golden vector: the target has no expect.golden" in done.out
        done = await once(tmp_path)
        assert (done.code, done.json["results"][0]["golden_cosine"]) == (0, 1.0)
        server.default = answer({"embedding": [1.0, 0.0]}, inference_name="another")
        done = await once(tmp_path)
        row = done.json["results"][0]
        assert (row["outcome"], row["golden_cosine"]) == ("drift", 0.6)
        assert "it was recorded from custom_plugin_x_1_0_0, and another has answered" in row["found"]


async def test_what_is_no_golden_vector_is_told_with_its_place_in_the_targets_file(tmp_path: Path) -> None:
    numbers = iter(range(100))
    scripts: dict[str, Any] = {
        "turning": lambda call: answer({"embedding": [1.0, 3.5 * next(numbers)]}),
        "matrix": answer({"embedding": [[0.6, 0.8]]}),
    }
    async with serving(scripts) as server:
        targets = [
            target("elsewhere", expect={"golden": {"file": "a.json", "path": "embeding"}}),
            target("turning", expect={"golden": {"file": "b.json"}}),
            target("matrix", expect={"golden": {"file": "c.json"}}),
        ]
        write_config(tmp_path, server.url, targets)
        (tmp_path / "targets.yaml").write_text(json.dumps({"targets": targets}, indent=1))
        done = await shapes(tmp_path, "pin", "--golden")
        assert done.code == 1
        told = [line for line in done.out.splitlines() if "no golden" in line]
        assert told[0] == (
            "ns_a/elsewhere: no golden vector: targets.yaml:9:14: targets[0].expect.golden.path: embeding: nothing"
            " there in the reply, {embedding: number[2]}"
        )
        assert "differ among themselves by a cosine of" in told[1]
        assert "embedding: number[1][2] there in the reply" in told[2]
        assert {name for name in os.listdir(tmp_path) if name.endswith(".json")} == set()


async def test_a_file_that_cannot_be_written_or_read_is_told(tmp_path: Path) -> None:
    async with serving() as server:
        (tmp_path / "file").write_text("")
        write_config(tmp_path, server.url, shapes_file="file/shapes.lock.yaml")
        done = await shapes(tmp_path, "pin")
        assert (done.code, "Not a directory" in done.err) == (2, True)
        write_config(tmp_path, server.url, shapes_file="/proc/shapes.lock.yaml")
        done = await shapes(tmp_path, "pin", "--samples", "1")
        assert done.code == 3, done.err
        assert "can't be written" in done.err
        write_config(tmp_path, server.url)
        (tmp_path / "shapes.lock.yaml").write_text("shapes:\n  ns_a:\n    p_1_0_0: {shape: numbr}\n")
        calls = len(server.calls)
        for command in ("once", "validate", "shapes"):
            words = ("shapes", "pin") if command == "shapes" else (command,)
            done = await run(*words, "-c", "worker.yaml", cwd=tmp_path)
            assert done.code == 2
            assert done.err == (
                "shapes.lock.yaml:3:22: shapes.ns_a.p_1_0_0.shape: column 1: 'numbr' is no kind of value;"
                " did you mean number?\n"
            )
        assert len(server.calls) == calls


async def test_a_signal_while_samples_are_made_leaves_everything_as_it_was(tmp_path: Path) -> None:
    async with serving(default=answer(delay_s=0.3)) as server:
        write_config(tmp_path, server.url, schedule={"grace": "0s"})
        async with started("shapes", "pin", "-c", "worker.yaml", "--samples", "50", cwd=tmp_path) as process:
            await server.called(2)
            process.send(signal.SIGTERM)
            done = await process.finish()
        assert done.code == 4, done.err
        assert "not pinned" in done.out
        assert not (tmp_path / "shapes.lock.yaml").exists()


async def test_samples_keep_to_the_rate(tmp_path: Path) -> None:
    async with serving() as server:
        write_config(tmp_path, server.url, [target(f"p{n}") for n in range(3)], limits={"rate": "4/s"})
        assert (await shapes(tmp_path, "pin", "--samples", "2")).code == 0
        instants = sorted(call.at for call in server.calls)
        assert len(instants) == 6
        assert instants[4] - instants[0] >= 0.99


async def test_a_secret_that_a_plugin_names_a_key_after_is_not_written(tmp_path: Path) -> None:
    async with serving(default=answer({KEY: 1, "embedding": [0.6, 0.8]})) as server:
        write_config(tmp_path, server.url)
        done = await shapes(tmp_path, "pin")
        assert done.code == 0
        assert KEY not in lock(tmp_path) + done.out + done.err


async def test_nothing_that_a_reply_chooses_reaches_the_terminal_as_an_escape_sequence(tmp_path: Path) -> None:
    async with serving(default=answer({"\x1b[2J": float("nan")})) as server:
        write_config(tmp_path, server.url)
        done = await shapes(tmp_path, "pin", "--samples", "1")
        assert (done.code, "found nan at \\x1b[2J" in done.out, "\x1b" in done.out) == (1, True, False)


async def test_a_daemon_takes_a_new_pin_without_a_restart(tmp_path: Path) -> None:
    async with serving() as server:
        path = write_config(tmp_path, server.url, [target(interval="100ms")], outputs={"listen": "127.0.0.1:0"})
        async with started("run", "-c", path, cwd=tmp_path) as process:
            await process.event("run.started")
            await server.called(2)
            (tmp_path / "shapes.lock.yaml").write_text("shapes:\n  ns_a:\n    p_1_0_0: {shape: '{a: number}'}\n")
            assert (await process.event("config.reloaded"))["targets"] == 1
            failed = await process.event("probe.failed")
            assert [one["path"] for one in failed["shape_diff"]] == ["a", "embedding"]
            (tmp_path / "shapes.lock.yaml").write_text("shapes: nonsense\n")
            assert "shapes.lock.yaml:1:9" in (await process.event("config.rejected"))["problems"][0]
            (tmp_path / "shapes.lock.yaml").unlink()
            await process.event("probe.recovered")
            process.send(signal.SIGTERM)
            assert (await process.finish()).code == 0
