"""Runs one plugin in one daemon thread with an event loop of its own: whatever it does, it holds up nobody else."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from enum import StrEnum
from threading import Thread
from typing import Any, TypeVar

from worker.sandbox.answers import Answer, Failure, Success, success
from worker.sandbox.dialects import Build, Call, find_call
from worker.sandbox.shims import run_in_daemon_thread

_log = logging.getLogger("plugin_probe.sandbox")

T = TypeVar("T")
Alter = Callable[[Any], Any]
"""Changes what a plugin returned, before it is encoded."""


class State(StrEnum):
    """A realtime service's state, in the words of Mixpeek's status endpoint."""

    pending = "PENDING"
    in_progress = "IN_PROGRESS"
    deployed = "DEPLOYED"
    failed = "FAILED"


class DaemonExecutor(ThreadPoolExecutor):
    """For asyncio.to_thread in plugins: the standard one waits at exit for threads that may hang forever."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        return run_in_daemon_thread(fn, *args, **kwargs)


class Runtime:
    """The service of one plugin, built once and called in its own thread; the thread starts at first use."""

    def __init__(self, name: str, build: Build) -> None:
        self._name = name
        self._build = build
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._building: asyncio.Task[Call | None] | None = None
        self.state = State.pending
        self.problem: str | None = None

    async def warm_up(self) -> None:
        """Builds the service unless it is there; what goes wrong is in `problem`."""
        await self._in_thread(self._built())

    async def call(self, inputs: dict[str, Any], parameters: dict[str, Any], alter: Alter) -> Answer:
        """One call; a caller who is cancelled takes his call with him, if the plugin lets go of the thread."""
        return await self._in_thread(self._call(inputs, parameters, alter))

    def close(self, wait_s: float = 0.2) -> None:
        """Stops the thread; one that is stuck in the plugin's code is left behind and dies with the process."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = self._building = None
        self.state, self.problem = State.pending, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(wait_s)

    async def _in_thread(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._loop.set_default_executor(DaemonExecutor())
            self._thread = Thread(target=_run, args=(self._loop,), name=f"plugin {self._name}", daemon=True)
            self._thread.start()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _built(self) -> Call | None:
        """The service's method; None, with `problem` set, when it could not be built. Built once, never again."""
        if self._building is None:
            self._building = asyncio.create_task(self._build_service())
        # Shielded: the first caller's cancellation must not take the model away from the others.
        return await asyncio.shield(self._building)

    async def _build_service(self) -> Call | None:
        self.state = State.in_progress
        try:
            built = self._build()
            call = find_call(await built if inspect.isawaitable(built) else built)
        except BaseException as error:
            if _is_ours(error):
                raise
            self.state, self.problem = State.failed, describe(error)
            return None
        self.state = State.deployed
        return call

    async def _call(self, inputs: dict[str, Any], parameters: dict[str, Any], alter: Alter) -> Answer:
        # A call that was given up while the thread was blocked is cancelled here, before it costs anything.
        await asyncio.sleep(0)
        call = await self._built()
        if call is None:
            return Failure(error=f"the service could not be built: {self.problem}")
        try:
            reply = call(inputs, parameters)
            value = await reply if inspect.isawaitable(reply) else reply
        except BaseException as error:
            if _is_ours(error):
                raise
            return Failure(error=describe(error))
        return _encoded(alter, value)


def describe(error: BaseException) -> str:
    """Type and message; even __str__ may be broken in somebody else's exception."""
    try:
        message = str(error)
    except Exception:
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _is_ours(error: BaseException) -> bool:
    """Whether the call itself was cancelled; a plugin may raise CancelledError, SystemExit or worse of its own."""
    task = asyncio.current_task()
    cancelled = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
    return cancelled or isinstance(error, GeneratorExit)


def _encoded(alter: Alter, value: Any) -> Success | Failure:
    try:
        return success(alter(value))
    except (TypeError, ValueError, RecursionError) as error:
        return Failure(error=f"the reply is not JSON: {describe(error)}")


def _told(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """In a line: whose traceback it is, and when the collector comes across it, is the plugin's affair."""
    error = context.get("exception")
    _log.error("%s: %s", context.get("message"), describe(error) if error else "no exception")


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(_told)
    while True:
        try:
            loop.run_forever()
            break
        except BaseException as error:  # a task of the plugin's own called sys.exit(): the thread goes on
            loop.call_exception_handler({"message": "plugin tried to end the process", "exception": error})
    _cancel_all(loop)
    loop.close()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=0.1))
