"""Loads plugin folders, each as a package of its own, so that relative imports work and no two clash."""

import hashlib
import importlib
import itertools
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from worker.sandbox import shims
from worker.sandbox.dialects import Build, RealtimeError, find_build
from worker.sandbox.manifest import Manifest, ManifestError, read_manifest

_SAMPLE_MODELS = {"wordllama", "gcld3"}
_numbers = itertools.count(1)


class PluginError(Exception):
    """A folder that cannot be served; the message names the folder, the file and what is wrong."""

    def __init__(self, folder: Path, file: str, problem: str) -> None:
        super().__init__(f"{folder / file if file else folder}: {problem}")
        self.folder = folder
        self.file = file
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plugin:
    """A loaded folder; `build` is None when it has no realtime endpoint."""

    folder: Path
    manifest: Manifest
    build: Build | None
    code_sha256: str
    modified_at: datetime

    @property
    def plugin_id(self) -> str:
        return self.manifest.plugin_id

    @property
    def inference_name(self) -> str:
        return f"custom_plugin_{self.plugin_id}"


def load_plugins(folders: Iterable[Path]) -> list[Plugin]:
    """Every folder, in order; two that claim the same plugin id are an error."""
    plugins: dict[str, Plugin] = {}
    for folder in folders:
        plugin = load_plugin(folder)
        other = plugins.setdefault(plugin.plugin_id, plugin)
        if other is not plugin:
            raise PluginError(plugin.folder, "manifest.py", f"plugin {plugin.plugin_id} is also in {other.folder}")
    return list(plugins.values())


def load_plugin(folder: Path) -> Plugin:
    """Imports manifest.py and, where there is one, realtime.py; PluginError says what is wrong."""
    folder = folder.resolve()
    _require_plugin_files(folder)
    shims.install()
    package = _make_package(folder)
    try:
        manifest = _read_manifest(folder, package)
        build = _find_build(folder, package) if (folder / "realtime.py").is_file() else None
    except PluginError:
        _forget(package)
        raise
    return Plugin(
        folder=folder,
        manifest=manifest,
        build=build,
        code_sha256=_code_sha256(folder),
        modified_at=datetime.fromtimestamp((folder / "manifest.py").stat().st_mtime, UTC),
    )


def _require_plugin_files(folder: Path) -> None:
    if not folder.is_dir():
        raise PluginError(folder, "", "not a folder" if folder.exists() else "no such folder")
    if not (folder / "manifest.py").is_file():
        raise PluginError(folder, "", "not a plugin: it has no manifest.py")
    if not any((folder / name).is_file() for name in ("realtime.py", "pipeline.py", "batch.py")):
        raise PluginError(folder, "", "not a plugin: it has neither realtime.py nor pipeline.py nor batch.py")


def _make_package(folder: Path) -> str:
    """A package that no other plugin can reach, whatever the folder is called."""
    package = f"plugin_probe_sandbox_plugin_{next(_numbers)}"
    module = ModuleType(package)
    module.__path__ = [str(folder)]
    module.__file__ = str(folder / "__init__.py")
    sys.modules[package] = module
    # The folder may be younger than the importer's last look at it.
    importlib.invalidate_caches()
    return package


def _forget(package: str) -> None:
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]


def _read_manifest(folder: Path, package: str) -> Manifest:
    module = _import(folder, package, "manifest")
    try:
        return read_manifest(module)
    except ManifestError as error:
        raise PluginError(folder, "manifest.py", str(error)) from error


def _find_build(folder: Path, package: str) -> Build:
    module = _import(folder, package, "realtime")
    try:
        return find_build(module)
    except RealtimeError as error:
        raise PluginError(folder, "realtime.py", str(error)) from error


def _import(folder: Path, package: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(f"{package}.{name}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may even call sys.exit() while it is imported
        file, line = _place(folder, error, f"{name}.py")
        where = f"line {line}: " if line else ""
        raise PluginError(folder, file, f"{where}{_reason(folder, error)}") from error


def _place(folder: Path, error: BaseException, file: str) -> tuple[str, int | None]:
    """The innermost line of the plugin's own that was running; for a syntax error the line that has it."""
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno))
    for filename, line in reversed(places):
        if Path(filename).is_relative_to(folder):
            return str(Path(filename).relative_to(folder)), line
    return file, None


def _reason(folder: Path, error: BaseException) -> str:
    missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing in _SAMPLE_MODELS:
        return f"needs the package {missing}: pip install 'plugin-probe[sandbox]'"
    if missing and ((folder / missing).is_dir() or (folder / f"{missing}.py").is_file()):
        return f"no module {missing!r}: a plugin is a package, write `from .{missing} import …`"
    if missing:
        return f"needs the module {missing!r}, which is not installed in this Python"
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {message}"


def _code_sha256(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
