"""ConfigMaps and Secrets as the kubelet mounts them: folders of links by way of `..data`, which is swapped."""

import json
import shutil
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import eventually, run, target, write_config
from tests.e2e.test_run import SOON, Surface, daemon
from tests.servers import Call, Mixpeek, Reply, answer, refuse, serving

pytestmark = [pytest.mark.e2e, pytest.mark.waits]

RELOADED = "plugin_probe_config_last_reload_successful"


class Mount:
    """A folder whose files are exchanged all at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._versions = count()
        folder.mkdir(exist_ok=True)

    def swap(self, files: Mapping[str, str]) -> None:
        """In the kubelet's order: the files, `..data`, links to what is new, links to what is gone, the old files."""
        data = self.folder / "..data"
        old = data.resolve() if data.exists() else None
        new = self.folder / f"..2026_01_01_00_00_{next(self._versions):02}.1234567890"
        new.mkdir()
        for name, text in files.items():
            (new / name).write_text(text)
        draft = self.folder / "..data_tmp"
        draft.symlink_to(new.name)
        draft.rename(data)
        links = {path.name for path in self.folder.iterdir() if not path.name.startswith("..")}
        for name in files.keys() - links:
            (self.folder / name).symlink_to(f"..data/{name}")
        for name in links - files.keys():
            (self.folder / name).unlink()
        if old:
            shutil.rmtree(old)


def lists(**plugins: list[str]) -> dict[str, str]:
    """Targets files by name."""
    return {
        f"{name}.yaml": json.dumps({"targets": [target(one) for one in listed]}) for name, listed in plugins.items()
    }


def worker_file(folder: Path, server: Mixpeek, **sections: Any) -> str:
    given = {"schedule": SOON, "outputs": {"listen": "127.0.0.1:0"}}
    return write_config(folder, server.url, **given | sections).read_text()


async def reloaded(surface: Surface, targets: int) -> None:
    """A look between two steps of a swap may find some of it, or fail: the next one finds all."""
    while (await surface.process.event("config.reloaded"))["targets"] != targets:
        pass
    assert await surface.sample(RELOADED) == "1.0"


async def test_a_configmap_is_taken_over_but_not_when_it_is_broken(tmp_path: Path) -> None:
    (tmp_path / "drafts").mkdir()
    async with serving() as server:
        globs = ["*.yaml", "**/*.yaml"]
        worker = {"worker.yaml": worker_file(tmp_path / "drafts", server, targets_files=globs)}
        mount = Mount(tmp_path / "config")
        mount.swap(worker | lists(a=["old"]))
        async with daemon(mount.folder) as surface:
            await server.called(1, "old")
            assert await surface.sample("plugin_probe_targets") == "1.0", "a link and what it leads to are one file"

            mount.swap(worker | lists(a=["old", "new"], b=["of_a_new_file"]))
            await reloaded(surface, 3)
            await server.called(1, "new")
            await server.called(1, "of_a_new_file")

            mount.swap(worker | lists(b=["of_a_new_file"]) | {"a.yaml": "targets: [{namespace: ns_a, plugn: old}]"})
            told = await surface.process.event("config.rejected")
            assert any("a.yaml:1:" in problem and "did you mean plugin" in problem for problem in told["problems"])
            assert await surface.sample(RELOADED) == "0.0"
            await server.called(len(server.of("new")) + 2, "new")

            mount.swap(worker | lists(a=["old", "newest"]))
            await reloaded(surface, 2)
            await server.called(1, "newest")
            assert (await surface.get("/api/v1/targets/ns_a/of_a_new_file"))[0] == 404


async def test_a_secret_that_is_swapped_is_used_from_then_on(tmp_path: Path) -> None:
    refused: set[str] = set()

    def guarded(call: Call) -> Reply:
        return refuse(401) if call.headers["authorization"] in refused else answer()

    async with serving(default=guarded) as server:
        secret = Mount(tmp_path / "secret")
        secret.swap({"api-key": "sk_first_key\n"})
        write_config(
            tmp_path,
            server.url,
            key_file=secret.folder / "api-key",
            schedule=SOON,
            outputs={"listen": "127.0.0.1:0"},
        )
        async with daemon(tmp_path) as surface:
            await server.called(2)
            secret.swap({"api-key": "sk_second_key\n"})
            refused.add("Bearer sk_first_key")

            async def used() -> bool:
                return server.calls[-1].headers["authorization"] == "Bearer sk_second_key"

            await eventually(used)
            await server.called(len(server.calls) + 2)
            outcomes = [line for line in (await surface.text("/metrics")).splitlines() if "results_total{" in line]
            assert len(outcomes) == 1, "no probe failed by the old key"
            assert 'outcome="success"' in outcomes[0]
    assert {call.headers["authorization"] for call in server.calls} == {"Bearer sk_first_key", "Bearer sk_second_key"}


@pytest.mark.parametrize("command", ["once", "run"])
async def test_a_secret_that_is_not_mounted_is_told_by_its_name_and_nothing_is_sent(
    command: str, tmp_path: Path
) -> None:
    async with serving() as server:
        missing = tmp_path / "secret" / "api-key"
        write_config(tmp_path, server.url, key_file=missing, outputs={"listen": "127.0.0.1:0"})
        done = await run(command, "-c", "worker.yaml", cwd=tmp_path)
    (line,) = done.err.splitlines()
    assert (done.code, done.out, server.calls) == (2, "", [])
    assert line.startswith("worker.yaml:1:")
    assert "api.api_key_file: " in line
    assert str(missing) in line
