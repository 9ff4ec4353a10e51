"""What a run was, told to the person who answers for the database: outcome, cause and remedy, position, way back.

Everything in it was read from the database or the backup by a step. It must not conclude anything of its own.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dbmigration.api.reasons import Reason
from dbmigration.api.status import ConditionStatus, Outcome, Status, StepState, Verification
from dbmigration.lifecycle.orders import may_be_given_up
from dbmigration.lifecycle.progress import size
from dbmigration.local.archive import Found
from dbmigration.local.begun import goes_to_its_end
from dbmigration.local.driving import Exit, ready
from dbmigration.local.narration import restorable, short_heads, span
from dbmigration.local.store import Resource
from dbmigration_runner.contract.counting import counted
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import Result
from dbmigration_runner.contract.task import StepKind

_LABEL = 12
Row = tuple[str, str]


def report(resource: Resource, results: list[Result], logs: str, ending: Exit | None, width: int) -> str:
    """The whole report of the current run or the last one. `results` are the answers of its steps, oldest first; `logs` says where theirs are."""
    status = resource.parsed_status
    if resource.run_is_open and results and results[-1].heads is not None:
        # An interrupted step's last look is newer than the status, which only the next start brings up to date.
        status = replace(status, current_revisions=results[-1].heads, observed_at=None)
    rows = [
        *_head(resource, status, ending),
        *_position(status),
        *_revisions(status, results),
        *_comparison(status),
        *_way_back(resource, status),
    ]
    rows += [*_cost(status), *_remarks(status, results)]
    rows.append(("logs", logs))
    return "\n".join(_folded(rows, width))


def _head(resource: Resource, status: Status, ending: Exit | None) -> Iterator[Row]:
    run, condition = status.run, ready(status)
    if run is None:
        yield "outcome", "nothing was run"
    elif run.outcome is not None:
        # Of the resource it may say that nothing changed for it; an order has its own.
        ordered = run.order and next((order for order in status.orders if order.uid == run.order.uid), None)
        reason = ordered.reason if ordered else condition.reason if condition else "unknown"
        yield "outcome", _with_reason(run.outcome.value, reason)
    else:
        yield "outcome", f"{_UNFINISHED.get(ending, 'not over yet')}: the run is open"
        if ending is not None:
            yield "to go on", f"start the same command again; {_by_cancel(status)}"
    if (drained := status.drain) is not None and drained.resumed_at is None:
        # Whoever interrupts a run must know that the application stands still.
        names = ", ".join(f"{known.kind}/{known.name}" for known in drained.workloads if known.replicas is not None)
        since = drained.drained_at or drained.started_at
        begun = "since" if drained.drained_at is not None else "or about to be, since"
        if names:
            yield "drained", f"{names}, {begun} {since:%Y-%m-%d %H:%M:%S} UTC"
    # What a step was doing when it was interrupted is no news; what it waits for is.
    if condition is not None and (ending is not Exit.INTERRUPTED or condition.status is ConditionStatus.FALSE):
        yield "message", condition.message
    yield "resource", f"{resource.namespace}/{resource.name}{f', run {run.number}' if run else ''}"
    if resource.database:
        yield "database", resource.database


def _by_cancel(status: Status) -> str:
    """What `dbmigration cancel` would do with an open run."""
    if goes_to_its_end(status):
        return "its way back has begun, and dbmigration cancel, with the same options, goes to its end too"
    if may_be_given_up(status):
        return "nothing was restored yet, and dbmigration cancel, with the same options, gives the restore up"
    return "dbmigration cancel, with the same options, ends the run instead"


def _with_reason(outcome: str, reason: str) -> str:
    """A reason that only repeats the outcome is left out."""
    return outcome if reason == outcome else f"{outcome} ({reason})"


_UNFINISHED: dict[Exit | None, str] = {Exit.INTERRUPTED: "interrupted", Exit.WAITING: "waiting for something outside"}


def _position(status: Status) -> Iterator[Row]:
    plan = status.plan
    read = f" (read {status.observed_at:%Y-%m-%d %H:%M:%S} UTC)" if status.observed_at else ""
    yield "stands at", f"{short_heads(status.current_revisions)}{read}"
    if plan is not None:
        yield "wanted", short_heads(plan.target)


def _revisions(status: Status, results: list[Result]) -> Iterator[Row]:
    """One row a revision, marked; long plans are cut where the status cuts them."""
    run, plan = status.run, status.plan
    if plan is None or run is None or plan.count == 0:
        return
    arrived = status.current_revisions is not None and set(status.current_revisions) == set(plan.target)
    reports = [
        result.migrate for result in results if result.migrate is not None and result.kind is not StepKind.DOWNGRADE
    ]
    ran = {*run.applied_revisions, *(revision for report in reports for revision in report.applied)}
    done = "undone" if plan.downgrade else "applied"
    undone = set(run.undone_revisions)
    failed = {
        result.migrate.failed_revision: "stopped" if result.reason == RunnerReason.CANCELLED.value else "FAILED"
        for result in results
        if result.migrate is not None and result.migrate.failed_revision is not None
    }
    label = "revisions"
    width = len("restored away" if run.restored is not None else "applied ")
    for revision in plan.revisions:
        if revision.id in undone:
            mark = "undone"
        else:
            mark = done if arrived or revision.id in ran else failed.get(revision.id, "pending")
            if run.restored is not None and mark == "applied":
                mark = "restored away"
        yield label, f"{mark:<{width}} {revision.id}  {revision.title}"
        label = ""
    if plan.count > len(plan.revisions):
        yield "", f"… {plan.count} in all"


def _way_back(resource: Resource, status: Status) -> Iterator[Row]:
    name = status.run.backup if status.run else ""
    backup = next((known for known in status.backups if known.name == name), None)
    if backup is None:
        if status.plan is not None and status.plan.count:
            skip = resource.spec.get("backup", {}).get("skip")
            yield "backup", f"none: {skip['reason']}" if skip else "none"
        return
    yield "backup", f"{backup.name}, {size(backup.size_bytes)} ({backup.size_bytes} bytes)"
    yield "", f"at {backup.location}"
    yield "", f"sha256 {backup.sha256}"
    yield "", f"of the database at {short_heads(backup.revisions)}, taken {backup.taken_at:%Y-%m-%d %H:%M:%S} UTC"
    yield "", f"read back whole {backup.verified_at:%H:%M:%S} UTC; {restorable(backup.restorable, backup.note)}"
    if status.run is not None and status.run.outcome is Outcome.FAILED and status.run.order is None:
        yield "", f"the same command with --restore {backup.name} would put it back"


def _comparison(status: Status) -> Iterator[Row]:
    run = status.run
    if run is None or run.verified_by is None:
        return
    if run.verified_by is Verification.REVISION:
        yield "schema", "verified by revision only: nobody had recorded the schema from before"
        return
    yield "schema", "not the one from before the upgrade:" if run.left_behind else "the one from before the upgrade"
    yield from (("", item) for item in run.left_behind)


def _cost(status: Status) -> Iterator[Row]:
    steps = [step for step in status.steps if step.finished_at is not None]
    parts = []
    for step in steps:
        assert step.finished_at is not None  # noqa: S101  # filtered above
        ended = "" if step.state is StepState.SUCCEEDED else f" ({step.state.value})"
        parts.append(f"{step.name} {span(step.finished_at - step.started_at)}{ended}")
    if parts:
        yield "took", ", ".join(parts)
    metrics = status.metrics
    if metrics is None:
        return
    peaks = [
        f"CPU {metrics.peak_cpu_percent:.0f} % of a core" if metrics.peak_cpu_percent is not None else "",
        f"memory {size(metrics.peak_memory_bytes)}" if metrics.peak_memory_bytes is not None else "",
        f"disk {metrics.peak_disk_percent:.0f} % full" if metrics.peak_disk_percent is not None else "",
        counted(metrics.lock_waits, "lock wait") if metrics.lock_waits else "",
    ]
    if any(peaks):
        yield "peaks", ", ".join(peak for peak in peaks if peak)


def _remarks(status: Status, results: list[Result]) -> Iterator[Row]:
    for finding in status.plan.findings if status.plan else ():
        if finding.code == "NotRenderable":  # of use to who reads the SQL beforehand: --plan-only tells it
            continue
        yield "finding", f"{finding.code}{f' in {finding.revision}' if finding.revision else ''}: {finding.message}"
    for result in results:
        for warning in result.warnings:
            yield "warning", warning
        if result.migrate is None:
            continue
        for check in result.migrate.checks:
            yield (
                "check",
                f"{'holds' if check.passed else 'DOES NOT HOLD'}: {check.name}{f', {check.message}' if check.message else ''}",
            )


def plan_report(result: Result, sql: list[str] | None, width: int, *, accepts_data_loss: bool) -> str:
    """What a plan found, for `--plan-only`, and whether a run would refuse it."""
    plan = result.plan
    if plan is None:
        return "\n".join(
            _folded(
                [("outcome", _with_reason(result.outcome.value, result.reason)), ("message", result.message)], width
            )
        )
    rows: list[Row] = [("stands at", short_heads(plan.start)), ("wanted", short_heads(plan.target))]
    rows.append(
        (
            "to undo" if plan.downgrade else "pending",
            counted(plan.count, "revision")
            + (f", {counted(plan.statements, 'statement')}" if plan.statements is not None else ""),
        )
    )
    rows += [("", f"{item.id}  {item.title}") for item in plan.revisions]
    if plan.count > len(plan.revisions):
        rows.append(("", f"… {plan.count} in all"))
    rows += [
        ("finding", f"{item.code}{f' in {item.revision}' if item.revision else ''}: {item.message}")
        for item in plan.findings
    ]
    if (refused := refusal(result, accepts_data_loss=accepts_data_loss)) is not None:
        rows.append(("refused", refused))
    rows += [("warning", warning) for warning in result.warnings]
    rows.append(("plan hash", plan.hash))
    text = "\n".join(_folded(rows, width))
    return text if sql is None else "\n\n".join([text, *sql])


def plan_document(result: Result, sql: list[str] | None, *, accepts_data_loss: bool) -> dict[str, Any]:
    """The same for machines: the result as the runner wrote it, and what is known here alone."""
    refused = refusal(result, accepts_data_loss=accepts_data_loss)
    return {**json.loads(result.to_json()), "refused": refused, **({} if sql is None else {"sql": sql})}


def refusal(result: Result, *, accepts_data_loss: bool) -> str | None:
    """Why a run would end behind this plan, which the plan by itself does not."""
    if result.plan is None or not result.plan.loses_data or accepts_data_loss:
        return None
    remedy = "give --accept-data-loss, or set rollback.acceptDataLoss to true, if that may go."
    return f"a run would end with {Reason.DATA_LOSS_NOT_ACCEPTED.value}: {remedy}"


def archived(found: Found, *, verified: bool) -> str:
    """One backup of a folder, for a list."""
    backup = found.backup
    if backup is None:
        return f"{found.path.name}: NO BACKUP, {found.fault}"
    verdict = f"NO BACKUP, {found.fault}" if found.fault else restorable(backup.restorable, backup.restorable_note)
    rows = f", {sum(backup.rows.values())} rows in {len(backup.rows)} tables" if backup.rows else ""
    return "\n".join(
        (
            f"{backup.name}: {verdict}",
            f"  of {found.owner} at {short_heads(backup.revisions)}, taken {backup.taken_at} by {backup.tool}",
            f"  {found.dump}, {size(backup.size_bytes)}{rows}",
            f"  sha256 {backup.sha256}{' (read now)' if verified and not found.fault else ''}",
            *([f"  {backup.schema_note}"] if backup.schema_note else []),
        )
    )


def _folded(rows: list[Row], width: int) -> Iterator[str]:
    """Fold the texts beside their labels; names, paths and hashes are never broken, nor are runs of spaces."""
    for label, text in rows:
        lines = textwrap.wrap(text, max(width - _LABEL, 40), break_long_words=False, break_on_hyphens=False) or [""]
        for number, line in enumerate(lines):
            yield f"{label if number == 0 else '':<{_LABEL}}{line}".rstrip()
