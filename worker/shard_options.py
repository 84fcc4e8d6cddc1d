"""Which shard this worker is: as options say it, as Kubernetes tells a pod, or as the host is named."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import click

from worker.core.shard import Shard
from worker.options import taking

INDEX_OPTION, COUNT_OPTION = "--shard-index", "--shard-count"
COUNT_VARIABLE = "PLUGIN_PROBE_SHARDS"
#: Kubernetes sets the first in the pods of an Indexed Job; the second takes a StatefulSet's label.
INDEX_VARIABLES = ("JOB_COMPLETION_INDEX", "PLUGIN_PROBE_SHARD_INDEX")

#: Nothing that int() would take besides: signs, blanks, the digits of other scripts, or thousands of digits.
_NUMBER = r"[0-9]{1,9}"
_REPLICAS = "a Job's completions or a StatefulSet's replicas"

#: What a command takes that probes a part of the targets.
sharded = taking(
    click.option(
        INDEX_OPTION,
        type=int,
        metavar="I",
        help="Probe this worker's part of the targets alone, from 0."
        f"  [default: ${', $'.join(INDEX_VARIABLES)}, then the host name's suffix]",
    ),
    click.option(
        COUNT_OPTION,
        type=int,
        metavar="N",
        help=f"How many workers share targets and limits.  [default: ${COUNT_VARIABLE}]",
    ),
)


class _Given(NamedTuple):
    """A number, and who says it."""

    by: str
    number: int

    def __str__(self) -> str:
        return f"{self.by} is {self.number}"


def shard_of(index: int | None, count: int | None, *, environ: Mapping[str, str], host: str) -> Shard | None:
    """The shard that options (None: not given) and environment name together, the index by the name of the host where
    they don't; None where there is neither index nor count.

    Raises UsageError for half of it, for what contradicts itself and for what is no number: a guess would make some
    targets nobody's, or everybody's.
    """
    total = _agreed(
        [*_option(COUNT_OPTION, count), *_variables([COUNT_VARIABLE], environ, "how many shards there are")]
    )
    own = _agreed([*_option(INDEX_OPTION, index), *_variables(INDEX_VARIABLES, environ, "which this is, from 0 on")])
    if total is None:
        if own is None:
            return None
        raise click.UsageError(
            f"{own}, but nothing says of how many shards: use {COUNT_OPTION}, or set {COUNT_VARIABLE} to {_REPLICAS}"
        )
    return _placed(own or _named(host, total), total)


def _option(name: str, number: int | None) -> Iterator[_Given]:
    if number is not None:
        yield _Given(name, number)


def _variables(names: Sequence[str], environ: Mapping[str, str], meaning: str) -> Iterator[_Given]:
    for name in names:
        value = environ.get(name)
        if value == "":
            raise click.UsageError(f"{name} is empty: set it to {meaning}, or take it out of the environment")
        if value is not None and not re.fullmatch(_NUMBER, value):
            raise click.UsageError(f"{name} is {value[:40]!r}, which is no number in digits alone: set it to {meaning}")
        if value is not None:
            yield _Given(name, int(value))


def _agreed(given: Sequence[_Given]) -> _Given | None:
    for other in given[1:]:
        if other.number != given[0].number:
            raise click.UsageError(f"{given[0]}, but {other}: take out the one that is wrong")
    return given[0] if given else None


def _named(host: str, total: _Given) -> _Given:
    """A StatefulSet's pod is plugin-probe-3; the domain may stand behind it."""
    suffix = re.search(rf"-({_NUMBER})\Z", host.partition(".")[0])
    if suffix is None:
        raise click.UsageError(
            f"{total}, but nothing says which shard this is: use {INDEX_OPTION}, or set {INDEX_VARIABLES[0]} (as an"
            f" Indexed Job does) or {INDEX_VARIABLES[1]} (to a StatefulSet's pod-index label), or have a host name that"
            f" ends as plugin-probe-3 does, unlike {host!r}"
        )
    return _Given(f"the suffix of the host name {host}", int(suffix[1]))


def _placed(own: _Given, total: _Given) -> Shard:
    index, count = own.number, total.number
    if count < 1:
        raise click.UsageError(f"{total}, but there is 1 shard at least: set it to {_REPLICAS}")
    if not 0 <= index < count:
        last = f"the last is {count - 1}" if index >= count else "the first is 0"
        raise click.UsageError(
            f"{own}, but of {count} shard{'' if count == 1 else 's'} ({total.by}) {last}: indexes count from 0, and"
            f" the number of shards must be that of all workers ({_REPLICAS})"
        )
    return Shard(index=index, count=count)
