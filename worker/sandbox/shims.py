"""The platform modules that published plugins import, in the size that a realtime call needs.

Names and uses are documented, exact signatures are not: what cannot be served locally says so when it is called.
"""

import functools
import logging
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any, BinaryIO, NoReturn


class BaseInferenceService:
    """Base of realtime services; `logger` is there even when a subclass forgets super().__init__()."""

    logger = logging.getLogger("plugin_probe.sandbox.plugin")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass


class ServeDeploymentConfig:
    """Keeps whatever it is given: replicas and accelerators mean nothing here."""

    def __init__(self, **settings: Any) -> None:
        self.__dict__.update(settings)


class LazyModelMixin:
    """`self.model` calls `load_model()`, or `_load_model()`, at its first use."""

    _loaded_model: Any = None

    @property
    def model(self) -> Any:
        if self._loaded_model is None:
            load = getattr(self, "load_model", None) or self._load_model
            self._loaded_model = load()
        return self._loaded_model

    def _load_model(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no load_model()")


def lazy_model(load: Callable[[Any], Any]) -> functools.cached_property[Any]:
    """A property that is computed at its first use and kept."""
    return functools.cached_property(load)


def open_asset(path: str, mode: str = "rb") -> BinaryIO:
    """Opens a file that lies beside the calling plugin's own files."""
    if mode != "rb":
        raise ValueError("assets of a plugin are opened with mode 'rb'")
    return _asset(path, Path(sys._getframe(1).f_globals["__file__"])).open("rb")


def download_asset(path: str, *_: Any, **__: Any) -> str:
    """The local path of such a file: nothing is downloaded here."""
    return str(_asset(path, Path(sys._getframe(1).f_globals["__file__"])))


def _asset(path: str, caller: Path) -> Path:
    folders = [caller.parent, *caller.parents][:3]
    for folder in folders:
        if (folder / path).is_file():
            return folder / path
    raise FileNotFoundError(f"no asset {path!r} in {folders[0]}")


def parallel_io(function: Callable[[Any], Any], items: Iterable[Any], *_: Any, **__: Any) -> list[Any]:
    """`function` of every item at once, results in the items' order; the first error is raised."""
    return [future.result() for future in [run_in_daemon_thread(function, item) for item in items]]


def run_in_daemon_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
    """Like an executor's submit, but the thread never holds up the exit of the process."""
    future: Future[Any] = Future()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    Thread(target=run, name="plugin-io", daemon=True).start()
    return future


def _no_registry(*_: Any, **__: Any) -> NoReturn:
    raise NotImplementedError("the sandbox has no model registry: load the model from a package or an asset")


_MODELS: dict[str, Any] = {
    "load_namespace_model": _no_registry,
    "load_hf_model": _no_registry,
    "LazyModelMixin": LazyModelMixin,
    "lazy_model": lazy_model,
}
_MODULES: dict[str, dict[str, Any]] = {
    "shared": {},
    "shared.models": {},
    "shared.models.loader": _MODELS,
    "shared.plugins": {"open_asset": open_asset, "download_asset": download_asset},
    "shared.plugins.inference": {},
    "shared.plugins.inference.serve": {
        "BaseInferenceService": BaseInferenceService,
        "ServeDeploymentConfig": ServeDeploymentConfig,
    },
    "shared.plugins.sdk": {"parallel_io": parallel_io, "concurrent_api_calls": parallel_io},
    "engine": {},
    "engine.models": _MODELS,
    "engine.models.loader": _MODELS,
}


def install() -> None:
    """Makes the modules importable; a module of that name that is already imported is left alone."""
    for name, contents in _MODULES.items():
        if name in sys.modules:
            continue
        module = ModuleType(name)
        module.__path__ = []
        module.__dict__.update(contents)
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
