"""The options that several commands of `dbmigration` share. They only parse: what they mean is the commands' concern."""

from __future__ import annotations

import argparse
from datetime import timedelta
from pathlib import Path


def add_name(parser: argparse.ArgumentParser, count: str | None) -> None:
    """NAME and its namespace; `count` is "?" where it may be left away."""
    parser.add_argument(
        "resource", nargs=count, metavar="NAME", help="a DatabaseMigration of the cluster of your kubeconfig"
    )
    parser.add_argument("-n", "--namespace", help="its namespace (default: the one of the current context)")


def add_manifest(parser: argparse.ArgumentParser) -> None:
    """What is to be run."""
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


def add_place(parser: argparse.ArgumentParser) -> None:
    """Where it runs: the database, the interpreter, the folders."""
    group = parser.add_argument_group("where")
    _add_url(group)
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
        type=duration,
        default=timedelta(minutes=5),
        metavar="DURATION",
        help="how long something outside may stay unmended, such as 30s or 2h (default: 5m); it does not limit the drain",
    )


def add_database(parser: argparse.ArgumentParser) -> None:
    """Which database, for what does not open it."""
    _add_url(parser.add_argument_group("where"))


def _add_url(group: argparse._ArgumentGroup) -> None:
    url = group.add_mutually_exclusive_group()
    url.add_argument(
        "--url-file",
        type=Path,
        metavar="FILE",
        help="file that holds the database's SQLAlchemy URL (or DBMIGRATION_URL)",
    )
    url.add_argument("--url", help="the URL itself; visible to everybody who may list processes")


def add_way_back(parser: argparse.ArgumentParser, *, with_restore: bool) -> None:
    """What follows a failure, and the caller's commands around a restore; `with_restore`: also one that is ordered by hand."""
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
    if with_restore:
        group.add_argument(
            "--restore",
            metavar="BACKUP",
            help="instead of migrating: put this backup of --backups into the database's place, and let it rest at that revision; what was written since is undone only with --accept-data-loss",
        )
    _add_commands(group)


def _add_commands(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--drain-command",
        metavar="COMMAND",
        help="stops what writes to the database, before a restore, or before the backup with drain.when Always: a program and its arguments, without a shell (use sh -c '…'). It is called for each of drain.workloads with DBMIGRATION_WORKLOAD=Deployment/shop-web (Deployment/application without a manifest), must end with 0 only when nothing of it writes any more, within ten minutes, and is called again until it does, after 1 s, then 2 s, at most every 10 s; where all of them are not drained ten minutes after the drain began, nothing is restored and the run fails with DrainContested, whatever --max-wait says",
    )
    group.add_argument(
        "--resume-command",
        metavar="COMMAND",
        help="starts it again afterwards, whatever came of it; called in the same way, with DBMIGRATION_REPLICAS beside it, until it ends with 0 or Ctrl-C interrupts the run",
    )


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """Say `what` is printed as JSON."""
    parser.add_argument("--json", action="store_true", dest="as_json", help=what)


class _Elsewhere(argparse.Action):
    """Says what it is called here, and ends the program."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002
        values: object,  # noqa: ARG002
        option_string: str | None = None,
    ) -> None:
        parser.error(f"{option_string}: here it is {self.const}")


def add_elsewhere(parser: argparse.ArgumentParser, *options: str, here: str) -> None:
    """Options of another command, answered by what they are called `here`; help does not list them."""
    parser.add_argument(
        *options, action=_Elsewhere, nargs="?", const=here, dest=argparse.SUPPRESS, help=argparse.SUPPRESS
    )


def steps(text: str) -> int:
    """A positive whole number."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of steps")
    return int(text)


def duration(text: str) -> timedelta:
    """Such as 30s, 5m or 2h."""
    units = {"s": "seconds", "m": "minutes", "h": "hours"}
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 30s, 5m or 2h")
    return timedelta(**{units[unit]: int(number)})
