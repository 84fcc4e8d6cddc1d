"""A plugin that hangs, blocks or misbehaves holds up neither its neighbours nor the exit."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sandbox.callers import calling
from tests.sandbox.folders import async_service, handler, write_plugin
from worker.sandbox.faults import make_faults
from worker.sandbox.plugins import load_plugin, load_plugins
from worker.sandbox.sandbox import Sandbox

HANGING = {
    "sync sleep": handler("import time", "time.sleep(3600)"),
    "sleep in a coroutine": async_service("import time", "time.sleep(3600)"),
    "endless await": async_service("await asyncio.Event().wait()"),
    "thread": async_service("import time", "await asyncio.to_thread(time.sleep, 3600)"),
    "busy loop": handler("while True: pass"),
}


@pytest.mark.parametrize("kind", [kind for kind in HANGING if kind != "busy loop"])
async def test_a_hanging_plugin_holds_up_nobody_else_nor_the_exit(kind: str, tmp_path: Path) -> None:
    plugins = load_plugins(
        [
            write_plugin(tmp_path, HANGING[kind], name="hanging"),
            write_plugin(tmp_path, handler("return {'fine': True}"), name="healthy"),
        ]
    )
    async with calling(Sandbox(plugins)) as caller:
        stuck = asyncio.create_task(caller.test("hanging_1_0_0", timeout_s=30))
        await asyncio.sleep(0.05)
        for _ in range(3):
            heard = await caller.test("healthy_1_0_0", timeout_s=1)
            assert heard.json["raw_response"] == {"fine": True}
        assert not stuck.done()
        leaving_at = time.monotonic()
        stuck.cancel()
    assert time.monotonic() - leaving_at < 2.0


async def test_the_exit_does_not_wait_for_callers_that_still_hang_on(tmp_path: Path) -> None:
    faults = make_faults({"plugins": {"greeter_1_0_0": {"illness": "hanging"}}})
    sandbox = Sandbox([load_plugin(write_plugin(tmp_path, handler("return {}")))], faults=faults)
    async with calling(sandbox) as caller:
        stuck = asyncio.create_task(caller.test("greeter_1_0_0", timeout_s=30))
        await asyncio.sleep(0.05)
        leaving_at = time.monotonic()
    assert time.monotonic() - leaving_at < 2.0
    stuck.cancel()


@pytest.mark.parametrize("kind", HANGING)
def test_a_process_with_a_hanging_plugin_ends_promptly(kind: str, tmp_path: Path) -> None:
    folder = write_plugin(tmp_path, HANGING[kind])
    code = (
        "import asyncio, sys, time\nfrom pathlib import Path\n"
        "from worker.sandbox.plugins import load_plugin\nfrom worker.sandbox.sandbox import Sandbox\n"
        "async def main():\n"
        "    sandbox = Sandbox([load_plugin(Path(sys.argv[1]))])\n"
        "    call = sandbox.plugins['greeter_1_0_0'].call({}, {}, '')\n"
        "    try: await asyncio.wait_for(call, 0.1)\n"
        "    except TimeoutError: pass\n"
        "    sandbox.close()\n"
        "started = time.monotonic(); asyncio.run(main()); print(time.monotonic() - started)\n"
    )
    started_at = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(folder)], capture_output=True, text=True, timeout=20
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert float(run.stdout) < 2.0
    assert time.monotonic() - started_at < 10.0


async def test_calls_that_were_given_up_leave_the_queue_of_a_blocked_plugin(tmp_path: Path) -> None:
    body = handler("import time", "count = self.count = getattr(self, 'count', 0) + 1", "time.sleep(0.4)")
    plugin = load_plugin(write_plugin(tmp_path, body + "        return {'count': count}\n"))
    async with calling(Sandbox([plugin])) as caller:
        first = asyncio.create_task(caller.test("greeter_1_0_0"))
        await asyncio.sleep(0.1)
        impatient = [asyncio.create_task(caller.test("greeter_1_0_0", timeout_s=0.1)) for _ in range(3)]
        assert all(
            isinstance(result, TimeoutError) for result in await asyncio.gather(*impatient, return_exceptions=True)
        )
        last = await caller.test("greeter_1_0_0")
        assert (await first).json["raw_response"] == {"count": 1}
    assert last.json["raw_response"] == {"count": 2}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (["raise ValueError('no text')"], "ValueError: no text"),
        (["import sys", "sys.exit(1)"], "SystemExit: 1"),
        (["raise KeyboardInterrupt"], "KeyboardInterrupt"),
        (["import asyncio", "raise asyncio.CancelledError('mine')"], "CancelledError: mine"),
        (["class Odd(Exception):", "    def __str__(self): raise RuntimeError", "raise Odd()"], "Odd"),
        (["return {'vector': {1, 2}}"], "the reply is not JSON: TypeError: Object of type set is not JSON"),
        (["loop = []", "loop.append(loop)", "return loop"], "the reply is not JSON: "),
    ],
)
async def test_whatever_a_plugin_raises_is_a_reply_and_it_goes_on(body: list[str], error: str, tmp_path: Path) -> None:
    plugin = load_plugin(write_plugin(tmp_path, handler("if request['text'] == 'ok': return {}", *body)))
    async with calling(Sandbox([plugin])) as caller:
        heard = await caller.test("greeter_1_0_0")
        again = await caller.test("greeter_1_0_0", {"text": "ok"})
    assert (heard.status, heard.json["status"]) == (200, "error")
    assert heard.json["error"].startswith(error)
    assert heard.json["raw_response"] is None
    assert again.json["status"] == "success"


async def test_a_task_of_the_plugins_own_that_exits_does_not_end_its_thread(tmp_path: Path) -> None:
    leave = "async def leave():\n    raise SystemExit(1)\n"
    body = async_service("task = asyncio.create_task(leave())", "await asyncio.sleep(0)", "return {}", setup=leave)
    plugin = load_plugin(write_plugin(tmp_path, body))
    async with calling(Sandbox([plugin])) as caller:
        replies = [await caller.test("greeter_1_0_0") for _ in range(2)]
    assert [reply.json["status"] for reply in replies] == ["success", "success"]


async def test_a_service_that_cannot_be_built_is_failed_and_built_only_once(tmp_path: Path) -> None:
    code = """
        from pathlib import Path

        def get_inference_service():
            with Path(__file__).with_name("builds.txt").open("a") as file:
                file.write("x")
            raise OSError("no weights")
    """
    folder = write_plugin(tmp_path, code)
    sandbox = Sandbox([load_plugin(folder)])
    async with calling(sandbox) as caller:
        assert await sandbox.warm_up() == {"greeter_1_0_0": "OSError: no weights"}
        heard = await caller.test("greeter_1_0_0")
        status = await caller.ask("GET", "/v1/namespaces/ns_sandbox/plugins/greeter_1_0_0/status")
    assert heard.json["error"] == "the service could not be built: OSError: no weights"
    assert (status.json["status"], status.json["error"]) == ("FAILED", "OSError: no weights")
    assert (folder / "builds.txt").read_text() == "x"


async def test_a_service_that_takes_too_long_to_build_is_named(tmp_path: Path) -> None:
    code = "import time\ndef get_inference_service():\n    time.sleep(3600)\n"
    sandbox = Sandbox([load_plugin(write_plugin(tmp_path, code))])
    assert await sandbox.warm_up(timeout_s=0.1) == {"greeter_1_0_0": "the service is still being built"}
    assert sandbox.plugins["greeter_1_0_0"].status == "IN_PROGRESS"
    sandbox.close()


async def test_an_async_plugin_answers_calls_side_by_side(tmp_path: Path) -> None:
    plugin = load_plugin(write_plugin(tmp_path, async_service("await asyncio.sleep(0.2)", "return {}")))
    async with calling(Sandbox([plugin])) as caller:
        started_at = time.monotonic()
        await asyncio.gather(*(caller.test("greeter_1_0_0") for _ in range(8)))
    assert time.monotonic() - started_at < 1.0


async def test_a_sandbox_can_be_served_again(tmp_path: Path) -> None:
    sandbox = Sandbox([load_plugin(write_plugin(tmp_path, handler("return {}")))])
    for _ in range(2):
        async with calling(sandbox) as caller:
            assert (await caller.test("greeter_1_0_0")).json["status"] == "success"
