"""The short forms of `make soak` and `make truth`, side by side."""

import pytest

from tests.e2e.commands import Together, together
from tests.soak.soak import Soak, soak
from tests.soak.truth import Truth, truth

pytestmark = [pytest.mark.e2e, pytest.mark.soak, pytest.mark.timeout(300)]

SECONDS = 57.0  # a minute, with beginning and end
PROBES, PER_S = 50_000, 1_000


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Together:
    cases = {"soak": lambda folder: soak(folder, SECONDS), "truth": lambda folder: truth(folder, PROBES, PER_S)}
    return together(cases, tmp_path_factory.mktemp("soak"))


def test_a_minute_of_faults_reloads_and_scrapes_leaves_the_daemon_as_it_was(seen: Together) -> None:
    found: Soak = seen["soak"]
    assert found.problems == [], found.table()


def test_of_50000_healthy_probes_none_is_down_whatever_befalls_the_worker(seen: Together) -> None:
    found: Truth = seen["truth"]
    assert found.problems == [], found.table()
