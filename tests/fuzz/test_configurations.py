"""A valid configuration loads, and as it is shown it loads again; a broken one is refused with the place of each."""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.fuzz.broken_json import broken, written
from tests.fuzz.budget import fuzzed
from tests.fuzz.configurations import targets, workers
from worker.config.load import load
from worker.config.plan import plan_warnings
from worker.config.problems import MAX_LINES
from worker.config.resolved import resolved
from worker.settings import ConfigError, Settings

ENVIRON = {"MIXPEEK_API_KEY": "key-for-tests"}
_PLACED = re.compile(r"[^:]*(worker\.yaml|targets\.yaml|targets\.json):[0-9]+:[0-9]+: .")


class _Quoting(yaml.SafeDumper):
    """Quotes every text: what is none without quotes is for the parser to say, and not for PyYAML."""


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def yaml_text(document: Any) -> str:
    return yaml.dump(document, Dumper=_Quoting, allow_unicode=True)


def loaded(worker: str, listed: str, name: str = "targets.yaml") -> Settings | list[str]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "worker.yaml").write_bytes(worker.encode(errors="surrogatepass"))
        Path(folder, name).write_bytes(listed.encode(errors="surrogatepass"))
        try:
            settings = load(Path(folder, "worker.yaml"), environ=ENVIRON)
        except ConfigError as error:
            return error.problems
        plan_warnings(settings, interval_s=60, deadline_s=30)
        return settings


def essence(settings: Settings) -> Any:
    """What does not depend on the folder. A schema is a function, which is equal to itself alone."""
    return settings.api, settings.limits, settings.schedule, settings.confirm, settings.outputs, settings.targets


@fuzzed(0.03, worker=workers, listed=targets, as_json=st.booleans())
def test_a_valid_configuration_loads_and_as_it_is_shown_again(
    worker: dict[str, Any], listed: dict[str, Any], as_json: bool
) -> None:
    name = "targets.json" if as_json else "targets.yaml"
    text = json.dumps(listed) if as_json else yaml_text(listed)
    settings = loaded(yaml_text(worker | {"targets_files": [name]}), text, name)
    assert isinstance(settings, Settings), settings
    shown, _, entries = resolved(settings).partition("\n---\n")
    again = loaded(shown, entries)
    assert isinstance(again, Settings), again
    assert essence(again) == essence(settings)


@fuzzed(0.06, worker=workers.flatmap(broken), listed=targets.flatmap(broken), as_json=st.booleans())
def test_a_broken_configuration_is_refused_with_the_place_of_every_fault(
    worker: Any, listed: Any, as_json: bool
) -> None:
    if isinstance(worker, dict):
        worker = worker | {"targets_files": ["targets.json" if as_json else "targets.yaml"]}
    found = loaded(written(worker), written(listed), "targets.json" if as_json else "targets.yaml")
    if isinstance(found, list):
        assert found
        assert all(problem.isprintable() for problem in found)
        more = len(found) == MAX_LINES + 1 and found.pop()
        assert not more or re.fullmatch("… and [0-9]+ more", more)
        assert [problem for problem in found if not _PLACED.match(problem)] == []
    else:
        resolved(found).encode()
