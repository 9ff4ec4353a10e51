"""What a step is told: the spec and the run's record, put into the runner's words.

Equal snapshots give equal tasks, so that a step that is started twice is the same step. It must not know how a task travels.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from dbmigration.api.spec import DowngradePolicy, MigrationSpec, PlanWritesPolicy
from dbmigration.api.status import Step
from dbmigration.api.units import duration, quantity
from dbmigration.lifecycle.draining import since_before_the_backup
from dbmigration.lifecycle.observed import Observed, StepRef
from dbmigration.lifecycle.reference import reference_of
from dbmigration.lifecycle.superseded_databases import to_drop, to_keep
from dbmigration_runner.contract.task import (
    ADMINISTERED,
    BackupOrder,
    ChecksAfter,
    ChecksBefore,
    CompareOrder,
    DatabaseAccess,
    ExpectedPlan,
    FindOrder,
    LockBudget,
    Migrations,
    OrderedBy,
    Policy,
    QueryCheck,
    RestoreOrder,
    RunIdentity,
    StepKind,
    Task,
    UrlHandover,
    UrlPart,
)


def nonce(uid: str, ref: StepRef) -> str:
    """Tie a result to its task: the same attempt has the same nonce whoever asks, another attempt never has it."""
    return hashlib.sha256(f"{uid}/{ref.run}/{ref.kind.value}/{ref.attempt}".encode()).hexdigest()[:20]


def time_limit(seen: Observed, kind: StepKind) -> timedelta:
    """How long the step's program may work."""
    limits = seen.spec.timeouts
    match kind:
        case StepKind.PLAN | StepKind.FIND | StepKind.LOOK | StepKind.COMPARE:
            return duration(limits.plan)
        case StepKind.BACKUP:
            return duration(limits.backup)
        case StepKind.MIGRATE:
            return duration(limits.migrate)
        case StepKind.DOWNGRADE:
            return duration(limits.downgrade)
        case StepKind.RESTORE:
            return duration(limits.restore)


def task(seen: Observed, step: Step) -> Task:
    """Make the task of one attempt."""
    kind = StepKind(step.name)
    run = seen.status.run
    number = run.number if run else 0
    expected, told = None, seen.status.plan
    if run is not None and run.plan_hash and told is not None and kind is not StepKind.PLAN:
        expected = ExpectedPlan(run.plan_hash, run.start_revisions, told.target, told.version_table, run.fingerprint)
    elif run is not None and run.order is not None and kind is not StepKind.FIND:
        order = run.order
        expected = ExpectedPlan("", run.start_revisions, order.revisions, order.version_table, run.fingerprint)
    restore = _restore(seen) if _concerns_a_restore(seen, kind) else None
    return Task(
        kind=kind,
        nonce=nonce(seen.uid, StepRef(number, kind, step.attempt)),
        run=RunIdentity(seen.namespace, seen.name, seen.uid, number, step.attempt),
        database=_access(seen, kind, restore),
        timeout_seconds=int(time_limit(seen, kind).total_seconds()),
        migrations=_migrations(seen),
        expected=expected,
        find=_find(seen) if kind is StepKind.FIND else None,
        backup=_backup(seen, step, number) if kind is StepKind.BACKUP else None,
        restore=restore,
        compare=_compare(seen) if kind is StepKind.COMPARE else None,
        locks=LockBudget(
            int(duration(seen.spec.locks.timeout).total_seconds() * 1000),
            int(duration(seen.spec.locks.retry_for).total_seconds()),
        ),
        before=_before(seen),
        after=_after(seen) if kind is StepKind.MIGRATE else ChecksAfter(),
        policy=_policy(seen),
        undo=kind is StepKind.DOWNGRADE and seen.is_rolling_back,
    )


def _concerns_a_restore(seen: Observed, kind: StepKind) -> bool:
    """It is one, or it looks what became of one."""
    return kind is StepKind.RESTORE or (kind is StepKind.LOOK and seen.work is StepKind.RESTORE)


def _access(seen: Observed, kind: StepKind, restore: RestoreOrder | None) -> DatabaseAccess:
    """No step that runs the application's code is told of the administrator's URL."""
    places = seen.places
    admin = places.admin_url_file if kind in ADMINISTERED or restore is not None else None
    return DatabaseAccess(places.url_file, admin, places.tls_directory)


def _policy(seen: Observed) -> Policy:
    return Policy(
        downgrade=_may_go_down(seen),
        plan_writes=seen.spec.policy.plan_writes is PlanWritesPolicy.ALLOW,
        clones=seen.spec.backup.clone,
        needs_restore=seen.spec.rollback.on_failure.restores,
        administered=seen.places.admin_url_file is not None,
    )


def _may_go_down(seen: Observed) -> bool:
    """What the run has planned it may do, whatever becomes of the spec meanwhile."""
    plan = seen.status.plan
    return plan.downgrade if plan is not None else seen.spec.policy.downgrade is DowngradePolicy.ALLOW


def _migrations(seen: Observed) -> Migrations:
    given = seen.spec.migrations
    url_to = UrlHandover(
        ini_option=given.url_to.ini_option or None,
        environment={name: UrlPart(part.value) for name, part in given.url_to.env.items()},
        x_arguments=given.url_to.x_arguments,
        connection=given.url_to.connection,
    )
    run = seen.status.run
    # What a run began with holds to its end, also where the spec is edited while it works.
    target = run.target_revision if run is not None and run.target_revision else seen.spec.target_revision
    image = run.reference if run is not None and run.reference else named_image(seen.spec)
    return Migrations(seen.places.project, given.config, target, url_to, image)


def named_image(spec: MigrationSpec) -> str:
    """The application's image, as the spec names it; "" where the scripts come from elsewhere."""
    image = spec.migrations.source.image
    return image.reference if image else ""


def pullable(image: str, reference: str) -> str:
    """How to name an image that ran: by its digest where that was told with a repository, else as the spec did."""
    return image if "@sha256:" in image and " " not in image else reference


def _compare(seen: Observed) -> CompareOrder:
    plan, reference = seen.status.plan, reference_of(seen)
    return CompareOrder(
        directory=seen.places.backups,
        backup=reference.backup if reference is not None else "",
        version_table=plan.version_table if plan else "alembic_version",
    )


def _backup(seen: Observed, step: Step, number: int) -> BackupOrder:
    plan = seen.status.plan
    return BackupOrder(
        directory=seen.places.backups,
        name=f"{seen.name}-{number}-{step.started_at:%Y%m%dT%H%M%SZ}",
        version_table=plan.version_table if plan else "alembic_version",
        keep_last=seen.spec.backup.retention.keep_last,
        probe_required=seen.spec.rollback.on_failure.restores,
        drop_replaced=to_drop(seen),
        keep_replaced=to_keep(seen),
        clone=seen.spec.backup.clone and since_before_the_backup(seen),
        known=_known(seen),
        schema_note=seen.status.schema_note,
    )


def _find(seen: Observed) -> FindOrder:
    run = seen.open_run
    assert run is not None  # noqa: S101  # an order belongs to an open run
    assert run.order is not None  # noqa: S101  # nothing else is looked for
    return FindOrder(seen.places.backups, run.order.backup, run.order.name, _known(seen))


def _known(seen: Observed) -> tuple[str, ...]:
    return tuple(backup.name for backup in seen.status.backups)


def _restore(seen: Observed) -> RestoreOrder:
    run = seen.open_run
    assert run is not None  # noqa: S101  # a restore belongs to an open run
    name, order = run.backup, run.order
    known = next((backup.sha256 for backup in seen.status.backups if backup.name == name), "")
    return RestoreOrder(
        directory=seen.places.backups,
        backup=name,
        sha256=known or (order.sha256 if order is not None else ""),
        # The same for all attempts of the run, and another one for a resource that is made anew and counts from 1.
        keep_as=f"before_restore_{run.started_at:%Y%m%d_%H%M%S}",
        accept_data_loss=order.accept_data_loss if order is not None else seen.spec.rollback.accept_data_loss,
        spared_users=seen.spec.rollback.spared_users,
        nothing_written=order is None and since_before_the_backup(seen),
        by=OrderedBy(order.name, run.identity, seen.status.target_revisions) if order is not None else None,
    )


def _before(seen: Observed) -> ChecksBefore:
    given = seen.spec.checks.before
    return ChecksBefore(
        int(duration(given.max_replication_lag).total_seconds()) if given.max_replication_lag else None,
        int(duration(given.max_transaction_age).total_seconds()) if given.max_transaction_age else None,
        quantity(given.min_free_disk) if given.min_free_disk else None,
    )


def _after(seen: Observed) -> ChecksAfter:
    given = seen.spec.checks.after
    queries = tuple(QueryCheck(query.name, query.sql, query.equals) for query in given.queries)
    return ChecksAfter(queries, given.tables, given.columns, given.command, given.integrity)
