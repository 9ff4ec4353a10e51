"""DatabaseMigrations that are done: as the operator left them, so that it has nothing to do about them.

Only what a benchmark wants many of; it must not know a cluster.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from dbmigration.api import names
from dbmigration.api.conditions import Standing, conditions
from dbmigration.api.reasons import Reason
from dbmigration.api.spec import MigrationSpec
from dbmigration.api.status import (
    Backup,
    HistoryEntry,
    Metrics,
    Outcome,
    Phase,
    Plan,
    PlannedRevision,
    Run,
    Status,
    Step,
    StepState,
)
from dbmigration.lifecycle.identity import run_identity

_BEGUN = datetime(2026, 11, 1, 12, tzinfo=UTC)
_ENDED = _BEGUN + timedelta(seconds=9)
_HASH = "3f" * 32


def spec() -> dict[str, Any]:
    """What a user writes."""
    return {
        "database": {"urlFrom": {"secretKeyRef": {"name": "shop-database", "key": "url"}}},
        "migrations": {
            "source": {"image": {"reference": "registry.example/shop:1.1"}},
            "path": "/app",
            "urlTo": {"env": {"DATABASE_URL": "url"}},
        },
        "backup": {"storage": {"persistentVolumeClaim": {"claimName": "shop-backups"}}, "retention": {"keepLast": 5}},
        "checks": {"after": {"tables": ["customers", "orders", "order_lines"]}},
    }


def resource(name: str) -> dict[str, Any]:
    """The resource as it is applied."""
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": name}, "spec": spec()}


def status(name: str) -> dict[str, Any]:
    """The status of a run that applied three revisions behind a verified backup."""
    image = f"registry.example/shop@sha256:{_HASH}"
    heads = ("11b",)
    backup = f"{name}-1-20261101T120003Z"
    run = Run(
        number=1,
        identity=run_identity(MigrationSpec.parse(spec())),
        generation=1,
        started_at=_BEGUN,
        finished_at=_ENDED,
        outcome=Outcome.SUCCEEDED,
        image=image,
        fingerprint=f"postgresql:{name}",
        plan_hash=_HASH,
        start_revisions=("10b",),
        backup=backup,
        applied_revisions=("10c", "11a", "11b"),
    )
    kept = Backup(
        name=backup,
        location=f"/backups/{name}/{backup}.dump",
        size_bytes=8_000_000,
        sha256=_HASH,
        revisions=("10b",),
        image=image,
        taken_at=_BEGUN,
        verified_at=_BEGUN,
        restorable=True,
        catalog=_HASH,
    )
    message = f"3 revisions applied; the database was read back at 11b. Backup: {backup}."
    return Status(
        observed_generation=1,
        phase=Phase.SUCCEEDED,
        conditions=conditions((), Standing.READY, Reason.SUCCEEDED, message, generation=1, now=_ENDED),
        revision="11b",
        current_revisions=heads,
        target_revisions=heads,
        observed_at=_ENDED,
        run=run,
        plan=Plan(
            hash=_HASH,
            start=("10b",),
            target=heads,
            count=3,
            revisions=tuple(PlannedRevision(id=item, title=f"revision {item}") for item in run.applied_revisions),
            statements=7,
            catalog=_HASH,
        ),
        backups=(kept,),
        steps=tuple(
            Step(
                name=kind,
                attempt=1,
                job=f"{name}-0a1b2-1-{kind}-1",
                state=StepState.SUCCEEDED,
                started_at=_BEGUN,
                finished_at=_ENDED,
            )
            for kind in ("plan", "backup", "migrate")
        ),
        metrics=Metrics(duration_seconds=9, peak_cpu_percent=90, peak_memory_bytes=60_000_000, peak_disk_percent=40),
        history=(
            HistoryEntry(
                number=1,
                outcome=Outcome.SUCCEEDED,
                reason=Reason.SUCCEEDED.value,
                image=image,
                start_revisions=("10b",),
                end_revisions=heads,
                started_at=_BEGUN,
                finished_at=_ENDED,
                backup=backup,
            ),
        ),
    ).document()
