"""What is known to be amiss with the schema as it is: a run left a part of a revision, or a backup of such a database was restored.

Pure setters of `status.schemaNote`. They must not stop a run: whether a person has mended it, nobody here can tell.
"""

from __future__ import annotations

from dataclasses import replace

from dbmigration.api.conditions import cut
from dbmigration.api.status import Finding, Status, Verification
from dbmigration.lifecycle.reference import are_of_one_form

FINDING = "SchemaNoted"
_CHARACTERS = 240  # it goes into manifests, Events and the lists of backups


def left_torn(status: Status, message: str) -> Status:
    """The run ended within a revision, and what that one did before is there."""
    assert status.run is not None  # noqa: S101  # callers are inside an open run
    note = f"Run {status.run.number} left a part of a revision behind. {message}"
    return replace(status, schema_note=cut(note, _CHARACTERS))


def restored(status: Status, backup: str) -> Status:
    """The database is what the backup is; what was amiss before is in the one that was replaced."""
    note = next((known.schema_note for known in status.backups if known.name == backup), "")
    return replace(status, schema_note=note)


def planned(status: Status, before: Status) -> Status:
    """What is still true when the database was read anew, for the plan to tell; `before` is what was known until then.

    A schema that has become another one was worked at: then only a comparison of backups can tell what it is.
    """
    assert status.plan is not None  # noqa: S101  # the plan has just been read
    if not status.schema_note:
        return status
    if are_of_one_form(before.catalog, status.catalog) and before.catalog != status.catalog:
        return replace(status, schema_note="")
    findings = (Finding(code=FINDING, message=status.schema_note), *status.plan.findings)
    return replace(status, plan=replace(status.plan, findings=findings[:50]))


def completed(status: Status) -> Status:
    """The pending revisions were applied as a whole, or undone to a schema that was compared and left nothing behind."""
    run, plan = status.run, status.plan
    assert run is not None  # noqa: S101  # callers are inside an open run
    assert plan is not None  # noqa: S101  # callers are behind the plan
    is_known = run.verified_by is Verification.SCHEMA and not run.left_behind
    return replace(status, schema_note="") if is_known or not plan.downgrade else status
