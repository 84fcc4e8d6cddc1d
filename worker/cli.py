"""The commands. Everything heavy is imported by the command that needs it: --help and validate load no HTTP client."""

import gc
import json
import logging
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from worker.command import fail, launch, read_or_leave, run_to_end
from worker.core.exits import Exit, FailOn
from worker.core.shard import Shard
from worker.ending import drop_stdout, leave, prepare_streams, printed
from worker.options import Duration, Id, JsonObject, common, reporting
from worker.report_command import report
from worker.shapes_command import shapes
from worker.shard_options import COUNT_OPTION, INDEX_OPTION, shard_of, sharded
from worker.version import VERSION


class Commands(click.Group):
    """A reader who has seen enough (`| head`) is no failure; click would exit with 1, which says something else."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            drop_stdout()
            leave(Exit.OK)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="plugin-probe")
def cli() -> None:
    """Finds out first when a Mixpeek plugin breaks."""


@cli.command()
@common
@reporting
@click.option("--deadline", type=Duration(), help="Nothing new starts after this.  [default: schedule.deadline]")
@click.option("--period", type=Duration(), help="How often this batch is run.  [default: schedule.interval]")
@click.option("--only", multiple=True, metavar="NS[/PLUGIN]", help="Only these targets (glob); repeatable.")
@click.option("--no-outputs", is_flag=True, help="Write and push nothing; --only implies it.")
@sharded
def once(
    config: Path,
    log_level: str | None,
    log_format: str | None,
    fmt: str,
    reports: tuple[tuple[str, Path], ...],
    fail_on: FailOn,
    deadline: float | None,
    period: float | None,
    only: tuple[str, ...],
    no_outputs: bool,
    shard_index: int | None,
    shard_count: int | None,
) -> None:
    """Probe every target once, then exit.

    \b
    Exit codes:  0 nothing found that --fail-on names   1 something found
                 2 bad usage or configuration           3 the worker failed
                 4 incomplete: not every target probed, or nothing conclusive
    """
    if only and (shard_index is not None or shard_count is not None):
        raise click.UsageError(
            f"--only chooses among all targets, whoever probes them: leave {INDEX_OPTION} and {COUNT_OPTION} out"
        )
    shard = None if only else shard_of(shard_index, shard_count, environ=os.environ, host=os.uname().nodename)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(Exit.INCOMPLETE))  # until the batch stops gracefully
    settings = read_or_leave(config, shard=shard)
    from worker.batch import Order, chosen, run_batch
    from worker.config.plan import plan_warnings
    from worker.config.shapes_file import pin_warnings
    from worker.sinks.report_kinds import print_report

    targets = chosen(settings.targets, only)
    if only and not targets:
        raise click.UsageError(f"--only {' --only '.join(only)} matches none of {len(settings.targets)} targets")
    period_s, deadline_s = period or settings.schedule.interval_s, deadline or settings.schedule.deadline_s
    planned = replace(settings, targets=tuple(targets))
    order = Order(
        targets=targets,
        period_s=period_s,
        deadline_s=deadline_s,
        warnings=[*plan_warnings(planned, interval_s=period_s, deadline_s=deadline_s), *pin_warnings(settings, shard)],
        fail_on=fail_on,
        reports=reports,
        write_outputs=not (no_outputs or only),
        shard=shard,
    )
    # on a terminal the table tells what failed: the same again as log lines would only hide it
    quiet = "error" if fmt == "table" and sys.stderr.isatty() else None
    done = run_to_end(run_batch(settings, launch(log_level or quiet, log_format), order))
    taken = fmt == "none" or printed(lambda: print_report(fmt, done.run, done.rows, done.summary))
    leave(done.code if taken else Exit.WORKER_FAILED)


@cli.command()
@common
@click.option("--enable-reload", is_flag=True, help="Serve POST /-/reload.")
@click.option("--enable-probe", is_flag=True, help="Serve /probe?target=NAMESPACE/PLUGIN.")
@sharded
def run(
    config: Path,
    log_level: str | None,
    log_format: str | None,
    enable_reload: bool,
    enable_probe: bool,
    shard_index: int | None,
    shard_count: int | None,
) -> None:
    """Probe for ever: scheduler, /metrics, status page, reload on SIGHUP and on file change."""
    shard = shard_of(shard_index, shard_count, environ=os.environ, host=os.uname().nodename)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # one that comes before we listen for it asks for what we do anyway
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(Exit.OK))  # until the worker stops gracefully
    settings = read_or_leave(config, shard=shard)
    from worker.config.aside import load_aside
    from worker.daemon import Serving, run_daemon

    serving = Serving(
        load=lambda before: load_aside(config, environ=os.environ, before=before, shard=shard),
        enable_reload=enable_reload,
        enable_probe=enable_probe,
        shard=shard,
    )
    run_to_end(run_daemon(settings, launch(log_level, log_format), serving))


@cli.command()
@common
@click.argument("namespace", type=Id())
@click.argument("plugin", type=Id())
@click.option("--inputs", type=JsonObject(), metavar="JSON", help="An object to send instead of the configured inputs.")
def check(
    config: Path,
    log_level: str | None,
    log_format: str | None,
    namespace: str,
    plugin: str,
    inputs: dict[str, Any] | None,
) -> None:
    """Explain one probe: request, phases, reply, shape, and every rule with what was expected and found."""
    settings = read_or_leave(config)
    from worker.check import run_check, unlisted, with_inputs
    from worker.core.target import TargetKey

    key = TargetKey(namespace, plugin)
    target = next((listed for listed in settings.targets if listed.key == key), None)
    if target is None and inputs is None:
        raise click.UsageError(f"{key} is not in the targets files: name its inputs with --inputs '{{…}}'")
    target = target or unlisted(settings, key)
    target = target if inputs is None else with_inputs(target, inputs)
    text, code = run_to_end(run_check(settings, launch(log_level or "error", log_format), target))
    taken = printed(lambda: click.echo(text, nl=False))
    leave(code if taken else Exit.WORKER_FAILED)


@cli.command()
@common
@click.option("--resolved", is_flag=True, help="Print what the configuration amounts to, secrets masked.")
@click.option("--elsewhere", is_flag=True, help="It will run elsewhere: key, password and TLS files need not be here.")
@click.option(
    COUNT_OPTION, type=click.IntRange(min=1), metavar="N", help="As each of N workers finds it that share the limits."
)
def validate(
    config: Path,
    log_level: str | None,
    log_format: str | None,
    resolved: bool,
    elsewhere: bool,
    shard_count: int | None,
) -> None:
    """Check the configuration and say every problem at once; warn where the plan can't fit."""
    if resolved and elsewhere:
        raise click.UsageError("--resolved masks the key wherever it stands, so it has to be here: without --elsewhere")
    if shard_count is not None:
        read_or_leave(config, calling=not elsewhere, shard=Shard(index=0, count=shard_count))
    settings = read_or_leave(config, calling=not elsewhere)
    from worker.config.plan import plan_warnings
    from worker.config.shapes_file import pin_warnings
    from worker.mixpeek.credentials import Credentials, exposure

    exposed = None if elsewhere else exposure(settings.api.api_key_file)
    for warning in [*plan_warnings(settings), *pin_warnings(settings), *([exposed] if exposed else [])]:
        click.echo(f"warning: {warning}", err=True)
    if resolved:
        from worker.config.resolved import resolved as show

        text = Credentials(settings.api, os.environ, tell=lambda _: None).redact(show(settings))  # told above
    else:
        count = len(settings.targets)
        text = f"{config}: {count} target{'' if count == 1 else 's'}, no problem\n"
    leave(Exit.OK if printed(lambda: click.echo(text, nl=False)) else Exit.WORKER_FAILED)


@cli.command()
@common
def schema(config: Path, log_level: str | None, log_format: str | None) -> None:
    """Print the JSON Schema of worker.yaml and of a targets file, for editors."""
    from worker.config.model import json_schema

    text = json.dumps(json_schema(), indent=2)
    leave(Exit.OK if printed(lambda: click.echo(text)) else Exit.WORKER_FAILED)


@cli.command()
@common
@click.argument("folders", nargs=-1, metavar="[DIR]...", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=8799, show_default=True, help="0 takes a free one.")
@click.option("--api-key", help="The key that callers need; without it one is made and printed.")
@click.option("--namespace", default="ns_sandbox", show_default=True)
@click.option(
    "--faults", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Illnesses on demand, YAML."
)
def sandbox(
    config: Path,
    log_level: str | None,
    log_format: str | None,
    folders: tuple[Path, ...],
    port: int,
    api_key: str | None,
    namespace: str,
    faults: Path | None,
) -> None:
    """Serve the Mixpeek plugin API locally over plugin folders (none given: the samples)."""
    from worker.local import make_sandbox, run_sandbox
    from worker.sandbox.faults import FaultsError, read_faults
    from worker.sandbox.plugins import PluginError

    try:
        asked = read_faults(faults) if faults else None
        made = make_sandbox(folders, namespace=namespace, api_key=api_key, faults=asked)
    except (FaultsError, PluginError) as error:
        fail([str(error)])
    try:
        run_to_end(run_sandbox(made, port=port, show=click.echo))
    except OSError as error:
        fail([f"can't listen on port {port}: {error.strerror}; choose another with --port"])
    leave(Exit.OK)


@cli.command()
@common
@click.option("--serve", "keep", is_flag=True, help="Go on as a daemon with the status page.")
def demo(config: Path, log_level: str | None, log_format: str | None, keep: bool) -> None:
    """Probe the sandbox's samples, healthy and sick, once and print the table."""
    from worker.local import run_demo
    from worker.sandbox.plugins import PluginError
    from worker.sinks.report_kinds import print_report

    announce = (lambda url: click.echo(f"plugin-probe: status page at {url}", err=True)) if keep else None
    try:
        demonstration = run_demo(
            launch(log_level or "error", log_format),
            show=lambda done: print_report("table", done.run, done.rows, done.summary),
            announce=announce,
        )
        surprises = run_to_end(demonstration)
    except PluginError as error:
        fail([str(error)])
    for surprise in surprises:
        click.echo(surprise, err=True)
    leave(Exit.FOUND if surprises else Exit.OK)


cli.add_command(shapes)
cli.add_command(report)


def main() -> None:
    """The entry point. What nobody foresaw exits with 3: Python's own 1 would say that a plugin was found sick."""
    prepare_streams()
    # Start-up makes many objects and no garbage; `assemble` turns the collector on when everything is in place.
    gc.disable()
    # pydantic would look through every installed package for plug-ins of its own.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        code = 128 + signal.SIGINT
    except Exception:
        logging.getLogger("plugin_probe").critical("worker.crashed", exc_info=True)  # redacted, once a key was read
        code = Exit.WORKER_FAILED
    leave(code or Exit.OK)
