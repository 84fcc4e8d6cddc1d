"""Files that are no mistake but an attack, or an accident, and long lists: told or taken within bounds of memory."""

import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands import Case, Finished, Together, run, together, write_config

pytestmark = pytest.mark.e2e

MIB = 2**20
#: What the smallest configuration takes is a quarter of it.
BAD_MIB = 160
#: 200,000 targets that say the same.
LONG_MIB = 400
LONG = 200_000
ENTRY = "- {namespace: ns_a, plugin: p_1_0_0}\n"
NINE = ",".join(["*a{}"] * 9)

#: What stands in each file and the whole of what is told of it.
MONSTERS: dict[str, tuple[bytes | str, str]] = {
    "laughs.yaml": (
        "a0: &a0 [ha]\n" + "".join(f"a{n}: &a{n} [{NINE.replace('{}', str(n - 1))}]\n" for n in range(1, 40)),
        "6:34: a5[6]: aliases blow this file up beyond all measure; write it out",
    ),
    "merges.yaml": (
        "a0: &a0 {k: ha}\n"
        + "".join(f"a{n}: &a{n} {{<<: [{NINE.replace('{}', str(n - 1))}]}}\n" for n in range(1, 40)),
        "6:27: a5['<<'][3]: aliases blow this file up beyond all measure; write it out",
    ),
    "cycle.yaml": ("targets: &a [*a]\n", "1:14: targets[0]: *a refers to nothing that is complete before it"),
    "anchor_twice.yaml": (
        "targets:\n- &a {namespace: ns_a, plugin: p}\n- &a {namespace: ns_a, plugin: q}\n- *a\n",
        "4:3: targets[2].plugin: ns_a/q is listed twice; the first is at anchor_twice.yaml:3:24",
    ),
    "keys_in_keys.yaml": ("? " * 100_000, "1:201: " + "['?']" * 8 + ": nested more than 100 deep"),
    "lists_in_lists.yaml": ("- " * 100_000, "1:201: " + "[0]" * 8 + ": nested more than 100 deep"),
    "deep.yaml": ("{a: " * 500_000, "1:401: a.a.a.a.a.a.a.a: nested more than 100 deep"),
    "deep.json": ('{"targets":' + "[" * 5_000_000, "1:111: targets" + "[0]" * 7 + ": nested more than 100 deep"),
    "scalar.yaml": (
        f'targets:\n- {{namespace: ns_a, plugin: "{"x" * 10 * MIB}"}}\n',
        "2:29: targets[0].plugin: an id has at most 256 characters, this one has 10485760",
    ),
    "scalar.json": (
        f'{{"targets": ["{"x" * 10 * MIB}"]}}',
        f"1:14: targets[0]: must be a mapping, not '{'x' * 60}…'",
    ),
    "escapes.json": (
        '{"targets": [1, "' + r"\u0041" * MIB + '"]}',
        f"1:14: targets[0]: must be a mapping, not 1\n1:17: targets[1]: must be a mapping, not '{'A' * 60}…'",
    ),
    "number.yaml": (
        f"targets:\n- {{namespace: ns_a, plugin: n, interval: {'9' * MIB}}}\n",
        "2:42: targets[0].interval: a number of more than 4300 digits; quote it if it is text",
    ),
    "flow.yaml": (
        "targets: [" + "{namespace: ns_a, plugin: p}, " * 30_000 + "{namespace: ns_a, plugin: p",
        "2:1: not YAML: while parsing a flow mapping, did not find expected ',' or '}';"
        " close what is open, or quote a value that holds [ ] { } or a comma",
    ),
    "tag.yaml": (
        "targets:\n- !!python/object/apply:os.system {namespace: ns_a, plugin: q_1_0_0}\n",
        "2:3: targets[0]: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not supported; leave it out",
    ),
    "nul.yaml": (b"\0" * MIB, "1:1: not YAML: character U+0000 may not stand in a file"),
    "utf_16.yaml": (ENTRY.encode("utf-16"), "1:1: not UTF-8: byte 0xff; save the file as UTF-8"),
    "utf_16_without_mark.yaml": (
        ENTRY.encode("utf-16-be"),
        "1:1: not YAML: character U+0000 may not stand in a file",
    ),
    "tab.yaml": (
        f"targets:\n\t{ENTRY}",
        "2:1: not YAML: a tab where only spaces may stand; indent with spaces",
    ),
    "documents.yaml": ("---\n" * MIB, "2:1: a second document starts here; a file holds one"),
}


def at_most(mib: int) -> Callable[[], None]:
    """The process gets no more memory than this."""
    return lambda: resource.setrlimit(resource.RLIMIT_DATA, (mib * MIB, mib * MIB))


async def validated(folder: Path, files: dict[str, bytes | str], mib: int) -> Finished:
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    write_config(folder, "http://127.0.0.1:1", targets_files=list(files))
    return await run("validate", "-c", "worker.yaml", cwd=folder, preexec_fn=at_most(mib), within_s=50)


async def all_monsters(folder: Path) -> Finished:
    return await validated(folder, {name: content for name, (content, _) in MONSTERS.items()}, BAD_MIB)


def listed(count: int) -> str:
    entries = (f"- {{namespace: ns_{n % 200}, plugin: p{n}_1_0_0, inputs: {{text: hello}}}}\n" for n in range(count))
    return "targets:\n" + "".join(entries)


async def long_list(folder: Path) -> Finished:
    return await validated(folder, {"long.yaml": listed(LONG - 1)}, LONG_MIB)


CASES: dict[str, Case] = {case.__name__: case for case in (all_monsters, long_list)}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Together:
    return together(CASES, tmp_path_factory.mktemp("monsters"))


@pytest.mark.parametrize("name", MONSTERS)
def test_a_monster_is_told_by_its_place_and_holds_up_no_other_file(seen: Together, name: str) -> None:
    told = [line.removeprefix(f"{name}:") for line in seen["all_monsters"].err.splitlines() if line.startswith(name)]
    assert told == MONSTERS[name][1].splitlines()


def test_nothing_else_is_told_of_them(seen: Together) -> None:
    done: Finished = seen["all_monsters"]
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == sum(len(told.splitlines()) for _, told in MONSTERS.values())


def test_200000_lines_are_loaded(seen: Together) -> None:
    done: Finished = seen["long_list"]
    assert done.code == 0, done.err
    assert f"{LONG - 1} targets, no problem" in done.out
