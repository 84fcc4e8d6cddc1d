"""Finds the service in a realtime.py, and how to call it: four ways of writing one have been published."""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from worker.sandbox.shims import BaseInferenceService

Build = Callable[[], Any]
"""Makes the service, without arguments; may return an awaitable."""

Call = Callable[[dict[str, Any], dict[str, Any]], Any]
"""Answers (inputs, parameters); may return an awaitable."""

# The current name first; the older ones are often aliases of it.
_METHODS = ("run_inference", "_process_single", "__call__", "predict")


class RealtimeError(ValueError):
    """A realtime.py in which no service can be found, or a service that cannot be called."""


def find_build(module: ModuleType) -> Build:
    """A factory if there is one, else the subclass of BaseInferenceService, else RealtimeHandler."""
    factory: Build | None = getattr(module, "get_inference_service", None)
    if factory is not None and callable(factory):
        return factory
    service_class = _service_class(module) or _own_class(module, "RealtimeHandler")
    if service_class is None:
        raise RealtimeError(
            "found no service: define get_inference_service(), a subclass of BaseInferenceService, "
            "or a class RealtimeHandler"
        )
    _method(service_class)
    return service_class


def find_call(service: object) -> Call:
    """The method of `service` that answers, whatever its dialect calls it."""
    name = _method(type(service))
    method = getattr(service, name)
    if name != "predict":
        return lambda inputs, parameters: method(inputs, parameters)
    return lambda inputs, parameters: method(_request(inputs, parameters))


def _request(inputs: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """What `predict` gets: how a call maps to it is not documented, so both readings find what they look for."""
    return {"inputs": inputs, "parameters": parameters, **inputs}


def _service_class(module: ModuleType) -> type | None:
    own = [
        item
        for item in vars(module).values()
        if inspect.isclass(item)
        and issubclass(item, BaseInferenceService)
        and item.__module__.startswith(_package(module))
    ]
    # A base class of another candidate is there to be inherited from.
    leaves = [item for item in dict.fromkeys(own) if not any(item in other.__mro__[1:] for other in own)]
    named = [item for item in leaves if item.__name__ == "InferenceService"]
    if len(leaves) > 1 and len(named) != 1:
        names = ", ".join(item.__name__ for item in leaves)
        raise RealtimeError(f"found several services ({names}): name one of them InferenceService")
    return next(iter(named or leaves), None)


def _own_class(module: ModuleType, name: str) -> type | None:
    found = getattr(module, name, None)
    return found if inspect.isclass(found) else None


def _package(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[0] or module.__name__


def _method(service_class: type) -> str:
    """Looked for in the classes' own dictionaries: getattr(cls, "__call__") finds the metaclass's."""
    declared = {name for base in service_class.__mro__ if base is not object for name in vars(base)}
    for name in _METHODS:
        if name in declared:
            return name
    raise RealtimeError(f"{service_class.__name__} has none of the methods {', '.join(_METHODS)}")
