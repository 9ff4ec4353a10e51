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

from dbmigration import __version__, help_texts

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
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    run = _command(commands, "run", _run, "run a migration on this machine", help_texts.RUN)
    _add_manifest(run)
    _add_place(run)
    run.add_argument(
        "--plan-only", action="store_true", help="tell what would be done; nothing is changed, no run is kept"
    )
    run.add_argument(
        "--sql",
        action="store_true",
        help="with --plan-only: also the SQL of each revision, as far as Alembic can write it",
    )
    _add_way_back(run)
    _add_json(run, "print the final status, or the plan, as JSON")

    cancel = _command(commands, "cancel", _cancel, "end a run on this machine that was interrupted", help_texts.CANCEL)
    _add_manifest(cancel)
    _add_place(cancel)
    _add_way_back(cancel)
    _add_json(cancel, "print the final status as JSON")

    status = _command(
        commands,
        "status",
        _status,
        "print how a run stands: on a cluster by NAME, on this machine without it",
        help_texts.STATUS,
    )
    _add_name(status, "?")
    _add_manifest(status)
    _add_json(status, "print it as JSON")

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
    _add_json(backups, "print them as JSON")

    wait = _command(
        commands,
        "wait",
        _wait,
        "follow a migration on a cluster until it is Ready, Failed or Cancelled",
        help_texts.WAIT,
    )
    _add_name(wait, None)
    wait.add_argument(
        "--timeout", type=_seconds, default=timedelta(hours=1), metavar="DURATION", help="how long (default: 1h)"
    )

    rollback = _command(
        commands,
        "rollback",
        _rollback,
        "take a database on a cluster back: write an older targetRevision",
        help_texts.ROLLBACK,
    )
    _add_name(rollback, None)
    where = rollback.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--steps", type=_steps, metavar="N", help="so many revisions back, as the runs that are remembered tell"
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
    _add_name(restore, None)
    restore.add_argument("--backup", required=True, metavar="BACKUP", help="its name, as `backups` lists it")
    restore.add_argument(
        "--accept-data-loss", action="store_true", help="what was written since the backup may be thrown away"
    )
    restore.add_argument(
        "--name", default="", help="what the DatabaseRestore is called (default: the resource's name and the time)"
    )
    restore.add_argument(
        "--timeout",
        type=_seconds,
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
    )
    parser.set_defaults(command=function)
    return parser


def _add_name(parser: argparse.ArgumentParser, count: str | None) -> None:
    parser.add_argument(
        "resource", nargs=count, metavar="NAME", help="a DatabaseMigration of the cluster of your kubeconfig"
    )
    parser.add_argument("-n", "--namespace", help="its namespace (default: the one of the current context)")


def _add_manifest(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what")
    group.add_argument(
        "-f",
        "--filename",
        type=Path,
        metavar="FILE",
        help="YAML with one DatabaseMigration; without it the options make one",
    )
    group.add_argument("--name", help="without a manifest: what the resource is called (default: the project's folder)")
    group.add_argument(
        "--project",
        type=Path,
        metavar="DIR",
        help="the Alembic project; stands for the manifest's image, ConfigMap or volume",
    )
    group.add_argument(
        "--config",
        metavar="FILE",
        help="Alembic's configuration, relative to the project; instead of migrations.config",
    )
    group.add_argument(
        "--target", metavar="REVISION", help="instead of targetRevision: head, heads, base, or a revision id"
    )
    group.add_argument(
        "--allow-downgrade",
        action="store_true",
        help="instead of policy.downgrade: a target behind the database is meant",
    )
    group.add_argument(
        "--state", type=Path, metavar="DIR", help="where runs are remembered (default: $XDG_STATE_HOME/dbmigration)"
    )


def _add_place(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where")
    url = group.add_mutually_exclusive_group()
    url.add_argument(
        "--url-file",
        type=Path,
        metavar="FILE",
        help="file that holds the database's SQLAlchemy URL (or DBMIGRATION_URL)",
    )
    url.add_argument("--url", help="the URL itself; visible to everybody who may list processes")
    group.add_argument(
        "--admin-url-file",
        type=Path,
        metavar="FILE",
        help="URL past a pooler, for the backup (or DBMIGRATION_ADMIN_URL)",
    )
    group.add_argument(
        "--python", metavar="PROGRAM", help="the project's interpreter, 3.10 or newer (default: this program's own)"
    )
    group.add_argument("--tls", type=Path, metavar="DIR", help="stands for the Secret of database.tls")
    backup = group.add_mutually_exclusive_group()
    backup.add_argument("--backups", type=Path, metavar="DIR", help="stands for the volume of backup.storage")
    backup.add_argument("--no-backup", metavar="REASON", help="without a manifest: take no backup, and why")
    group.add_argument(
        "--max-wait",
        type=_seconds,
        default=timedelta(minutes=5),
        metavar="DURATION",
        help="how long something outside may stay unmended, such as 30s or 2h (default: 5m)",
    )


def _add_way_back(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the way back")
    group.add_argument(
        "--on-failure",
        choices=("None", "Downgrade", "DowngradeOrRestore", "Restore"),
        help="instead of rollback.onFailure: what follows a migration that failed after it had changed something",
    )
    group.add_argument(
        "--accept-data-loss",
        action="store_true",
        help="instead of rollback.acceptDataLoss: data may go on the way back",
    )
    _add_commands(group)


def _add_commands(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--drain-command",
        metavar="COMMAND",
        help="stops what writes to the database, before a restore, or before the backup with drain.when Always: a program and its arguments, without a shell (use sh -c '…'). It is called for each of drain.workloads with DBMIGRATION_WORKLOAD=Deployment/shop-web (Deployment/application without a manifest), must end with 0 only when nothing of it writes any more, within ten minutes, and is called again until it does",
    )
    group.add_argument(
        "--resume-command",
        metavar="COMMAND",
        help="starts it again afterwards, whatever came of it; called in the same way, with DBMIGRATION_REPLICAS beside it",
    )


def _add_json(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--json", action="store_true", dest="as_json", help=what)


def _steps(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of steps")
    return int(text)


def _seconds(text: str) -> timedelta:
    units = {"s": "seconds", "m": "minutes", "h": "hours"}
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 30s, 5m or 2h")
    return timedelta(**{units[unit]: int(number)})


def _run(options: argparse.Namespace) -> int:
    from dbmigration.local import commands

    if options.sql and not options.plan_only:
        print("dbmigration: --sql only prints: give it together with --plan-only.", file=sys.stderr)
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
