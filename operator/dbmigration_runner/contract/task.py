"""What a runner is told to do, once, as one JSON document in the environment variable DBMIGRATION_TASK.

Never a secret: the URL arrives apart, as a file whose path stands here. It must not know how a task is delivered.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum

from dbmigration_runner.contract.codec import DecodeError, decode, encode

TASK_VERSION = 1
TASK_VARIABLE = "DBMIGRATION_TASK"


class StepKind(str, Enum):
    """What a step's Job does."""

    PLAN = "plan"
    FIND = "find"
    BACKUP = "backup"
    MIGRATE = "migrate"
    DOWNGRADE = "downgrade"
    RESTORE = "restore"
    COMPARE = "compare"
    LOOK = "look"


# What changes the database; never silently made again.
CHANGING = frozenset({StepKind.MIGRATE, StepKind.DOWNGRADE, StepKind.RESTORE})
# These run nothing that an application brings; nor does a look that is given a restore's order, see Task.
WITHOUT_APPLICATION = frozenset({StepKind.FIND, StepKind.BACKUP, StepKind.COMPARE, StepKind.RESTORE})
# These, and such a look, are given the administrator's URL, where there is one: none of them runs anything of the application's.
ADMINISTERED = frozenset({StepKind.BACKUP, StepKind.RESTORE})


class UrlPart(str, Enum):
    """A piece of the database URL that an application may want by itself."""

    URL = "url"
    DRIVER = "driver"
    HOST = "host"
    PORT = "port"
    USER = "user"
    PASSWORD = "password"  # noqa: S105  # the name of a part, not a password
    DATABASE = "database"


@dataclass(frozen=True)
class RunIdentity:
    """Whose run this is; printed into the lock's description and the sessions' application_name."""

    namespace: str
    name: str
    uid: str
    number: int
    attempt: int


@dataclass(frozen=True)
class DatabaseAccess:
    """Where the URLs are. Files, for an environment is inherited by every child and shown by /proc."""

    url_file: str
    admin_url_file: str | None = None
    tls_directory: str | None = None


@dataclass(frozen=True)
class UrlHandover:
    """How the application's env.py gets the URL; several ways at once are common."""

    ini_option: str | None = "sqlalchemy.url"
    environment: dict[str, UrlPart] = field(default_factory=dict)
    x_arguments: tuple[str, ...] = ()
    connection: bool = False


@dataclass(frozen=True)
class Migrations:
    """The Alembic project. `path` is the working directory; `config` is relative to it."""

    path: str
    config: str = "alembic.ini"
    target: str = "head"
    url_to: UrlHandover = UrlHandover()
    image: str = ""


@dataclass(frozen=True)
class ExpectedPlan:
    """The plan that this run decided on; a later step refuses where the database or the image tells another one.

    `version_table` as the plan reported it: with it the heads can be read even where env.py does not run any more.
    `fingerprint` is the planned database's: a Secret that was edited meanwhile may lead to another one at the same revision.
    """

    hash: str
    start: tuple[str, ...]
    target: tuple[str, ...]
    version_table: str | None = None
    fingerprint: str = ""


@dataclass(frozen=True)
class BackupOrder:
    """Where to write the backup. `directory` belongs to this object alone; `name` is unique in it.

    When it is verified, the databases `drop_replaced` are dropped, which restores of this one had kept under these names;
    what was written about those of `keep_replaced` stays beside the backups. `clone`: also make a
    copy on the server, from which this backup is restored in seconds; nobody may be writing. `known` are the backups that
    need not be told of, while they are there. `schema_note` is what is known to be amiss with the schema as it is.
    """

    directory: str
    name: str
    version_table: str = "alembic_version"
    keep_last: int = 5
    probe_required: bool = False
    drop_replaced: tuple[str, ...] = ()
    keep_replaced: tuple[str, ...] = ()
    clone: bool = False
    known: tuple[str, ...] = ()
    schema_note: str = ""


@dataclass(frozen=True)
class CompareOrder:
    """Compare the schema with the one in this backup; `directory` as in BackupOrder."""

    directory: str
    backup: str
    version_table: str = "alembic_version"


@dataclass(frozen=True)
class FindOrder:
    """Find this backup on its storage, for the person's order of that name; `directory` and `known` as in BackupOrder."""

    directory: str
    backup: str
    order: str
    known: tuple[str, ...] = ()


@dataclass(frozen=True)
class OrderedBy:
    """The person's order that a restore carries out: once, whoever asks for it again.

    `name` is recorded beside the backup. So are, for whoever finds the record and nothing else, what the spec asked for when it was
    carried out: `identity` its hash, `target` the heads that it meant.
    """

    name: str
    identity: str = ""
    target: tuple[str, ...] = ()


@dataclass(frozen=True)
class RestoreOrder:
    """Put this backup in the database's place; `directory` as in BackupOrder, `sha256` as its report told.

    `keep_as` becomes the end of the replaced database's name, which begins with its own: letters, digits, `_` and `-`, at
    most 40, the same for all attempts of a run and for no other run. `nothing_written` says that the workloads were drained
    since before the backup, so there is nothing to compare. `spared_users` are roles whose sessions, such as a monitoring
    agent's, write nothing that counts: they are ended last, when the names are exchanged. The role of the task's own URL is
    never among them. `by` is None where a run restores of itself.
    """

    directory: str
    backup: str
    sha256: str
    keep_as: str
    accept_data_loss: bool = False
    nothing_written: bool = False
    spared_users: tuple[str, ...] = ()
    by: OrderedBy | None = None


@dataclass(frozen=True)
class LockBudget:
    """How long a statement may wait for a lock (and so stall the application), and how long it is tried again.

    `grace_seconds`: how long another holder of the database, or a session left over from an earlier attempt, is waited for.
    """

    timeout_milliseconds: int = 100
    retry_for_seconds: int = 600
    grace_seconds: int = 30


@dataclass(frozen=True)
class ChecksBefore:
    """What must hold before anything is changed; None = not asked."""

    max_replication_lag_seconds: int | None = None
    max_transaction_age_seconds: int | None = None
    min_free_disk_bytes: int | None = None


@dataclass(frozen=True)
class QueryCheck:
    """A query whose first value, as text, must equal `equals`."""

    name: str
    sql: str
    equals: str


@dataclass(frozen=True)
class ChecksAfter:
    """What must hold after the last revision. Tables and columns as `schema.table` and `schema.table.column`, schema optional."""

    queries: tuple[QueryCheck, ...] = ()
    tables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    integrity: bool = False


@dataclass(frozen=True)
class Policy:
    """What the manifest allows that is refused otherwise, and what it relies on.

    `needs_restore`: a failure is to be answered by a restore, so what would forbid one is told by the plan; `administered`:
    another URL is for that, which the plan is not given.
    """

    downgrade: bool = False
    plan_writes: bool = False
    needs_restore: bool = False
    clones: bool = False
    administered: bool = False


@dataclass(frozen=True)
class Task:
    """One step's whole order. `nonce` comes back in the result and proves that it answers this task.

    `undo` turns the expected plan round: what of it was applied is undone, and its start is the target. A look is given
    `restore` too where it follows a restore that did not tell whether it took place.
    """

    kind: StepKind
    nonce: str
    run: RunIdentity
    database: DatabaseAccess
    timeout_seconds: int
    migrations: Migrations | None = None
    expected: ExpectedPlan | None = None
    find: FindOrder | None = None
    backup: BackupOrder | None = None
    compare: CompareOrder | None = None
    restore: RestoreOrder | None = None
    locks: LockBudget = LockBudget()
    before: ChecksBefore = ChecksBefore()
    after: ChecksAfter = ChecksAfter()
    policy: Policy = Policy()
    undo: bool = False
    version: int = TASK_VERSION

    @property
    def runs_application(self) -> bool:
        """May something run that the application brings? A look behind a restore needs none of it."""
        return self.kind not in WITHOUT_APPLICATION and self.restore is None

    @property
    def is_administered(self) -> bool:
        """Is it given the administrator's URL, where there is one? So is a look that asks what became of a restore."""
        return self.kind in ADMINISTERED or self.restore is not None

    def to_json(self) -> str:
        """One line of JSON, keys sorted: the same task is the same text."""
        return json.dumps(encode(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Task:
        """Read a task; raises DecodeError where it is broken or of another version."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DecodeError(f"the task is no JSON: {error}") from error
        if not isinstance(document, dict) or document.get("version") != TASK_VERSION:
            raise DecodeError(
                f"the task is not of version {TASK_VERSION}: operator and runner are of different releases"
            )
        return decode(cls, document)
