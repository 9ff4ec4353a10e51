"""The program `dbmigration`, also called `kubectl-dbmigration`: its commands, their options and their help.

Only parses. What a command needs is imported when it is called, so that help is quick and the operator's container need not
have what a terminal wants. It must not do any work of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from dbmigration import __version__, arguments, help_texts

if TYPE_CHECKING:
    from dbmigration.local.commands import Options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    parser = command_line(Path(sys.argv[0]).name)
    options = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] | None = getattr(options, "command", None)
    if command is None:
        parser.print_help()
        return 2
    try:
        return command(options)
    except ModuleNotFoundError as error:
        extra = "operator" if command is _controller else "cli"
        remedy = f"pip install '/path/to/dbmigration-operator[{extra}]', the checkout of the repository"
        print(f"dbmigration: {error.name} is missing: {remedy}.", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read the report has seen enough; Python would complain once more when it closes stdout.
        sys.stdout = None
        return 0


def command_line(name: str) -> argparse.ArgumentParser:
    """Everything that may stand on it; `name` is what the program was called by. The reference page is made of it."""
    program = "kubectl dbmigration" if name == "kubectl-dbmigration" else "dbmigration"
    parser = argparse.ArgumentParser(
        prog=program,
        description="Runs Alembic migrations the way a careful DBA would: plan, verified backup, migrate, verify.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    run = _command(commands, "run", _run, "run a migration on this machine", help_texts.RUN)
    arguments.add_manifest(run)
    arguments.add_place(run)
    run.add_argument(
        "--plan-only",
        action="store_true",
        help="tell what would be done; nothing is changed, no run is kept. Exit code 3 where a run would be refused",
    )
    run.add_argument(
        "--sql",
        action="store_true",
        help="with --plan-only: also the SQL of each revision, as far as Alembic can write it",
    )
    arguments.add_way_back(run, with_restore=True)
    arguments.add_json(
        run,
        "print the final status, or the plan, as JSON; the plan with what a run would refuse as `refused`, null where nothing",
    )
    arguments.add_elsewhere(run, "--steps", "--to", here="--target REVISION --allow-downgrade")

    cancel = _command(commands, "cancel", _cancel, "end a run on this machine that was interrupted", help_texts.CANCEL)
    arguments.add_manifest(cancel)
    arguments.add_place(cancel)
    arguments.add_way_back(cancel, with_restore=False)
    arguments.add_json(cancel, "print the final status as JSON")

    status = _command(
        commands,
        "status",
        _status,
        "print how a run stands: on a cluster by NAME, on this machine without it",
        help_texts.STATUS,
    )
    arguments.add_name(status, "?")
    arguments.add_manifest(status)
    arguments.add_database(status)
    arguments.add_json(status, "print it as JSON")

    backups = _command(
        commands,
        "backups",
        _backups,
        "list the verified backups of a resource on a cluster, or on a folder",
        help_texts.BACKUPS,
    )
    backups.add_argument(
        "where",
        metavar="NAME|DIR",
        help="a DatabaseMigration of the cluster of your kubeconfig; or a folder: what was given as --backups, or a mounted backup volume",
    )
    backups.add_argument("-n", "--namespace", help="the resource's namespace (default: the one of the current context)")
    backups.add_argument("--verify", action="store_true", help="of a folder: read every dump and compare its SHA-256")
    arguments.add_json(backups, "print them as JSON")

    wait = _command(
        commands,
        "wait",
        _wait,
        "follow a migration on a cluster until it is Ready, Failed or Cancelled",
        help_texts.WAIT,
    )
    arguments.add_name(wait, None)
    wait.add_argument(
        "--timeout",
        type=arguments.duration,
        default=timedelta(hours=1),
        metavar="DURATION",
        help="how long (default: 1h)",
    )

    rollback = _command(
        commands,
        "rollback",
        _rollback,
        "take a database on a cluster back: write an older targetRevision",
        help_texts.ROLLBACK,
    )
    arguments.add_name(rollback, None)
    where = rollback.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--steps",
        type=arguments.steps,
        metavar="N",
        help="so many revisions back, as the runs that are remembered tell",
    )
    where.add_argument("--to", metavar="REVISION", help="a revision's id, or base")
    rollback.add_argument(
        "--allow-downgrade", action="store_true", help="also set policy.downgrade to Allow, where it is not"
    )
    rollback.add_argument("--accept-data-loss", action="store_true", help="also set rollback.acceptDataLoss to true")

    restore = _command(
        commands,
        "restore",
        _restore,
        "put a backup in the place of a database on a cluster: create a DatabaseRestore and follow it",
        help_texts.RESTORE,
    )
    arguments.add_name(restore, None)
    restore.add_argument("--backup", required=True, metavar="BACKUP", help="its name, as `backups` lists it")
    restore.add_argument(
        "--accept-data-loss", action="store_true", help="what was written since the backup may be thrown away"
    )
    restore.add_argument(
        "--name", default="", help="what the DatabaseRestore is called (default: the resource's name and the time)"
    )
    restore.add_argument(
        "--timeout",
        type=arguments.duration,
        default=timedelta(hours=4),
        metavar="DURATION",
        help="how long it is followed (default: 4h)",
    )

    _command(commands, "crd", _crd, "print the CustomResourceDefinitions, for kubectl apply")
    _command(commands, "controller", _controller, "start the operator; configured by its environment")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    function: Callable[[argparse.Namespace], int],
    summary: str,
    description: str = "",
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=description or f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # one of them gives data up: it is meant only where it is written out
    )
    parser.set_defaults(command=function)
    return parser


def _run(options: argparse.Namespace) -> int:
    from dbmigration.local import commands

    if options.sql and not options.plan_only:
        print("dbmigration: --sql only prints: give it together with --plan-only.", file=sys.stderr)
        return 2
    if options.restore is not None and options.plan_only:
        print("dbmigration: --restore plans nothing: without --accept-data-loss it only tells.", file=sys.stderr)
        return 2
    return _local(commands.plan if options.plan_only else commands.run, options)


def _cancel(options: argparse.Namespace) -> int:
    from dbmigration.local import commands

    return _local(commands.cancel, options)


def _status(options: argparse.Namespace) -> int:
    from dbmigration.local import commands

    if options.resource is None:
        return _local(commands.status, options)

    from dbmigration import watching

    return _guarded(lambda: watching.status(options.resource, options.namespace, as_json=options.as_json))


def _wait(options: argparse.Namespace) -> int:
    from dbmigration import watching

    return _guarded(lambda: watching.wait(options.resource, options.namespace, options.timeout))


def _rollback(options: argparse.Namespace) -> int:
    from dbmigration import wishing

    wish = wishing.Wish(options.to, options.steps, options.allow_downgrade, options.accept_data_loss)
    return _guarded(lambda: wishing.rollback(options.resource, options.namespace, wish))


def _backups(options: argparse.Namespace) -> int:
    if Path(options.where).is_dir() or "/" in options.where:
        from dbmigration.local import commands

        return _guarded(lambda: commands.backups(Path(options.where), verify=options.verify, as_json=options.as_json))
    if options.verify:
        print("dbmigration: --verify reads dumps: give it with a folder.", file=sys.stderr)
        return 2

    from dbmigration import restoring

    return _guarded(lambda: restoring.backups(options.where, options.namespace, as_json=options.as_json))


def _restore(options: argparse.Namespace) -> int:
    from dbmigration import restoring

    wish = restoring.Wish(options.backup, options.accept_data_loss, options.name)
    return _guarded(lambda: restoring.restore(options.resource, options.namespace, wish, options.timeout))


def _crd(_: argparse.Namespace) -> int:
    import yaml

    from dbmigration.api.crd import custom_resource_definition, restore_definition

    class Plain(yaml.SafeDumper):
        """Repeats equal parts instead of pointing at them: kubectl reads anchors, people do not."""

        def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
            return True

    definitions = [custom_resource_definition(), restore_definition()]
    print(yaml.dump_all(definitions, Dumper=Plain, sort_keys=False, width=120, allow_unicode=True), end="")
    return 0


def _controller(_: argparse.Namespace) -> int:
    from dbmigration.controller.app import run
    from dbmigration.settings import Settings

    return run(Settings.from_environment())


def _local(command: Callable[[Options], int], options: argparse.Namespace) -> int:
    """Call a command of this machine's with what was said."""
    from dbmigration.local.commands import Options

    given = {name: value for name, value in vars(options).items() if name in Options.__dataclass_fields__}
    return _guarded(lambda: command(Options(**given)))


def _guarded(command: Callable[[], int]) -> int:
    """What is wrong in front of a run is one message."""
    from dbmigration.local.driving import Exit
    from dbmigration.local.errors import LocalError, StoreHeldError, UnansweredError

    try:
        return int(command())
    except LocalError as error:
        print(f"dbmigration: {error}", file=sys.stderr)
        codes = {StoreHeldError: Exit.HELD, UnansweredError: Exit.WAITING}
        return int(codes.get(type(error), Exit.INVALID))
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)
