"""What a runner answers: one JSON document of at most 4 KiB, on the container's termination log.

Small by construction: `fit` cuts the long parts until the document fits, and says so. A result that cannot be read, or
answers another task, is no result. Nothing here must hold a URL, a password or a row of data.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from enum import Enum

from dbmigration_runner.contract.codec import DecodeError, decode, encode
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.task import StepKind

RESULT_VERSION = 1
LOSES_DATA = "LosesData"  # the code of a finding: undoing a revision drops what holds data
RESULT_BYTES = 4096  # the kubelet cuts a termination message here
MESSAGE_CHARACTERS = 900  # a condition's message stays readable, and the document within its budget


class Outcome(str, Enum):
    """Did the step do what it was told?"""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True)
class DatabaseFacts:
    """Which database this was. `fingerprint` is equal for equal databases, however they were reached, and says nothing secret.

    `server` is the same for all databases of one server; "" where the engine does not tell.
    """

    fingerprint: str
    engine: str
    flavour: str
    server_version: str
    server: str = ""


@dataclass(frozen=True)
class PlannedRevision:
    """One pending revision and the first line of its docstring."""

    id: str
    title: str = ""


@dataclass(frozen=True)
class Finding:
    """Something that the plan noticed: a stable code, the revision where there is one, a sentence."""

    code: str
    message: str
    revision: str | None = None


@dataclass(frozen=True)
class PlanReport:
    """What lies between the database and the target. `count` is the truth where `revisions` was cut.

    `version_table` is where the migration context keeps its heads, schema first where it has one; a backup, which runs
    without the application's environment, reads them there. `downgrade` says that the revisions are undone.
    """

    hash: str
    start: tuple[str, ...]
    target: tuple[str, ...]
    count: int
    version_table: str = "alembic_version"
    revisions: tuple[PlannedRevision, ...] = ()
    statements: int | None = None
    findings: tuple[Finding, ...] = ()
    downgrade: bool = False
    loses_data: bool = False


@dataclass(frozen=True)
class StoredBackup:
    """A dump that was written, checksummed and fully decoded, as its manifest tells.

    Times are RFC 3339, UTC; sha256 is of the file as stored; `image` is the one whose migrations it was taken for, as the
    task named it. `schema_note` tells in what its schema differs from that of an earlier backup of the same revisions.
    """

    name: str
    location: str
    size_bytes: int
    sha256: str
    revisions: tuple[str, ...]
    taken_at: str
    verified_at: str
    restorable: bool | None = None
    restorable_note: str = ""
    catalog: str = ""
    image: str = ""
    schema_note: str = ""


@dataclass(frozen=True)
class BackupReport(StoredBackup):
    """The one that was just made.

    Of the replaced databases that were to go, `dropped` are those that did, `missing` those of which none of ours was there.
    `clone` is the copy of it on the server, "" where there is none.
    """

    pruned: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    clone: str = ""


@dataclass(frozen=True)
class StorageReport:
    """What of this database lies on the backups' storage, held against the backups that the task called known.

    `found` are others that could be restored, newest first, and `untold` counts older ones for which there was no room;
    `gone` are known ones that could not be restored any more.
    """

    found: tuple[StoredBackup, ...] = ()
    untold: int = 0
    gone: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckReport:
    """One check after the migration; the message never holds data."""

    name: str
    passed: bool
    message: str = ""


@dataclass(frozen=True)
class MigrateReport:
    """What this attempt did. `applied` holds the revisions of this attempt only, in order; a downgrade undid them.

    `torn` says that something of the failed revision is there, although it does not count as applied; `ran` are those of
    its statements that are committed, in order and without values, as far as they went through SQLAlchemy. `emptied` are the
    tables and columns that a downgrade made again and whose data went with the upgrade.
    """

    applied: tuple[str, ...] = ()
    failed_revision: str | None = None
    torn: bool = False
    error: str = ""
    lock_waits: int = 0
    checks: tuple[CheckReport, ...] = ()
    ran: tuple[str, ...] = ()
    emptied: tuple[str, ...] = ()


@dataclass(frozen=True)
class CompareReport:
    """What the schema differs in from the one in a backup, one sentence an item; `count` is the truth where they were cut."""

    against: str
    count: int
    differences: tuple[str, ...] = ()


class RestoreStage(str, Enum):
    """How far a restore came; the database is whole in each: the old one up to FENCED, the restored one from SWAPPED on."""

    VERIFIED = "verified"  # the dump is the one that was written
    RESTORED = "restored"  # beside the database, and compared with the manifest
    FENCED = "fenced"  # nobody else is in the database
    COMPARED = "compared"  # what would be lost is known
    SWAPPED = "swapped"
    LOOKED = "looked"  # heads and schema were read from the database after that


@dataclass(frozen=True)
class TableLoss:
    """What of a table differs from the backup: rows inserted, changed and deleted since.

    A restore takes the first, gives the second their old values and brings the third back. `untold` says why it may be more
    than the counts tell; "": they are exact.
    """

    table: str
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    untold: str = ""

    @property
    def rows(self) -> int:
        """All of them."""
        return self.inserted + self.updated + self.deleted


@dataclass(frozen=True)
class RestoreReport:
    """What a restore did. `kept_as` is the name of the replaced database, "" where none was replaced.

    `lost_tables`, `lost_rows` and its three kinds are the truth where `lost` was cut; nothing is known of them unless
    `compared`. The whole list, row by row, lies beside the backup as `list_file`, and is as private as it.
    """

    backup: str
    stage: RestoreStage | None = None
    swapped: bool = False
    kept_as: str = ""
    compared: bool = False
    lost_tables: int = 0
    lost_rows: int = 0
    lost: tuple[TableLoss, ...] = ()
    list_file: str = ""
    list_sha256: str = ""
    inserted: int = 0
    updated: int = 0
    deleted: int = 0


@dataclass(frozen=True)
class CarriedOut:
    """A person's order that was carried out before; `identity` and `target` are what the spec asked for at that time."""

    backup: str
    at: str
    identity: str = ""
    target: tuple[str, ...] = ()
    restore: RestoreReport | None = None


@dataclass(frozen=True)
class FindReport:
    """The backup that was looked for, as its manifest tells; `before` where the order was carried out already.

    `written` is a sentence: about what was written to the database since.
    """

    backup: StoredBackup | None = None
    version_table: str = "alembic_version"
    before: CarriedOut | None = None
    written: str = ""


@dataclass(frozen=True)
class Resources:
    """Peaks over the step; bytes and percent of one core; None = could not be read."""

    duration_seconds: float
    peak_cpu_percent: float | None = None
    peak_memory_bytes: int | None = None
    peak_disk_percent: float | None = None


@dataclass(frozen=True)
class Result:
    """One step's whole answer.

    `heads` were read from the database after the act (None: could not be read); `catalog` is the fingerprint of its
    schema at that moment; `target` is what a plan that failed nevertheless knows of where it should lead; `changed` tells whether this step left anything behind (None: not known).
    """

    kind: StepKind
    nonce: str
    outcome: Outcome
    reason: str = RunnerReason.DONE.value
    message: str = ""
    changed: bool | None = False
    heads: tuple[str, ...] | None = None
    catalog: str | None = None
    target: tuple[str, ...] | None = None
    database: DatabaseFacts | None = None
    plan: PlanReport | None = None
    find: FindReport | None = None
    backup: BackupReport | None = None
    migrate: MigrateReport | None = None
    compare: CompareReport | None = None
    restore: RestoreReport | None = None
    storage: StorageReport | None = None
    resources: Resources | None = None
    warnings: tuple[str, ...] = ()
    truncated: bool = False
    version: int = RESULT_VERSION

    def to_json(self) -> str:
        """One line of compact JSON."""
        return json.dumps(encode(self), separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, *, nonce: str) -> Result:
        """Read a result; raises DecodeError where it is broken, of another version, or answers another task."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DecodeError("the last words are no JSON document") from error
        if not isinstance(document, dict) or document.get("version") != RESULT_VERSION:
            raise DecodeError(f"the result is not of version {RESULT_VERSION}")
        if document.get("nonce") != nonce:
            raise DecodeError("the result answers another task")
        return decode(cls, document)


def fit(result: Result, limit: int = RESULT_BYTES) -> Result:
    """Cut a result until its JSON takes at most `limit` bytes; what was cut is told by `truncated`.

    The facts that decide (outcome, reason, heads, hashes, sizes) are never cut; lists and prose are, longest first. Before
    them goes what another step will tell: the oldest backups on the storage.
    """
    if _size(result) <= limit:
        return result
    result = _without_oldest(dataclasses.replace(result, truncated=True), limit)
    if _size(result) <= limit:
        return result
    result = dataclasses.replace(result, message=_short(result.message, MESSAGE_CHARACTERS))
    share = 64
    while _size(result) > limit and share > 0:
        share //= 2
        result = _cut(result, share)
    return result


def _without_oldest(result: Result, limit: int) -> Result:
    """With as many of the newest backups on the storage as there is room for."""
    while (told := result.storage) is not None and told.found and _size(result) > limit:
        fewer = dataclasses.replace(told, found=told.found[:-1], untold=told.untold + 1)
        result = dataclasses.replace(result, storage=fewer)
    return result


def _cut(result: Result, share: int) -> Result:
    """Leave each list at most `share` items and each sentence at most 16 times as many characters."""
    width = max(16 * share, 80)
    plan, migrate, backup = result.plan, result.migrate, result.backup
    compare, restore, find = result.compare, result.restore, result.find
    if plan is not None:
        plan = dataclasses.replace(
            plan,
            revisions=tuple(PlannedRevision(item.id, _short(item.title, share)) for item in plan.revisions[:share]),
            findings=tuple(
                Finding(item.code, _short(item.message, width), item.revision) for item in plan.findings[:share]
            ),
        )
    if migrate is not None:
        checks = sorted(migrate.checks, key=lambda check: check.passed)[:share]
        migrate = dataclasses.replace(
            migrate,
            applied=migrate.applied[-share:] if share else (),
            error=_short(migrate.error, width),
            checks=tuple(CheckReport(item.name[:80], item.passed, _short(item.message, width)) for item in checks),
            ran=tuple(_short(item, width) for item in migrate.ran[:share]),
            emptied=tuple(_short(item, width) for item in migrate.emptied[:share]),
        )
    if backup is not None:
        backup = dataclasses.replace(
            backup,
            restorable_note=_short(backup.restorable_note, width),
            schema_note=_short(backup.schema_note, width),
            pruned=backup.pruned[:share],
            dropped=backup.dropped[:share],  # the next one finds those missing
            missing=backup.missing[:share],
        )
    if compare is not None:
        compare = dataclasses.replace(
            compare, differences=tuple(_short(item, width) for item in compare.differences[:share])
        )
    if restore is not None:
        restore = dataclasses.replace(restore, lost=tuple(_short_loss(loss, width) for loss in restore.lost[:share]))
    if find is not None and find.before is not None and (told := find.before.restore) is not None:
        told = dataclasses.replace(told, lost=tuple(_short_loss(loss, width) for loss in told.lost[:share]))
        find = dataclasses.replace(find, before=dataclasses.replace(find.before, restore=told))
    storage = result.storage
    if storage is not None:
        storage = dataclasses.replace(storage, gone=storage.gone[:share])  # the next step tells of the others
    warnings = tuple(_short(item, width) for item in result.warnings[:share])
    return dataclasses.replace(
        result,
        plan=plan,
        find=find,
        migrate=migrate,
        backup=backup,
        compare=compare,
        restore=restore,
        storage=storage,
        warnings=warnings,
        message=_short(result.message, max(width, 300)),
    )


def _short_loss(loss: TableLoss, width: int) -> TableLoss:
    return dataclasses.replace(loss, table=_short(loss.table, 140), untold=_short(loss.untold, width))


def _size(result: Result) -> int:
    return len(result.to_json().encode())


def _short(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: max(characters - 1, 0)] + "…"
