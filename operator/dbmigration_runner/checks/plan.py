"""The plan step: what lies between the database and the target, in read-only sessions, and proof that nothing changed.

Changes nothing unless the manifest lets env.py write while it is loaded, and then says what became of it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from dbmigration_runner import application
from dbmigration_runner.checks.drops import Drop
from dbmigration_runner.checks.losses import losses
from dbmigration_runner.checks.restorable import require_cloned, require_restorable
from dbmigration_runner.contract.counting import counted
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import LOSES_DATA, Finding, Outcome, PlanReport, Result
from dbmigration_runner.engines.clone import room
from dbmigration_runner.errors import RunnerError
from dbmigration_runner.step import changed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbmigration_runner.application import Story
    from dbmigration_runner.events import Planned
    from dbmigration_runner.step import Step

# At most, and at most half of what the step has left: the SQL is for eyes, and nothing depends on it.
RENDERING_SECONDS = 30


def plan(step: Step) -> Result:
    """Raises RunnerError where the database cannot be reached or worked on."""
    writes = step.task.policy.plan_writes
    with step.first_session() as session:
        step.meet(session)
        before = step.first_look(session)
    lock = step.engine.lock(exclusive=False, should_stop=step.check, wait_seconds=step.task.locks.grace_seconds)
    try:
        story = application.run(
            step, lock, read_only=not writes, limit_locks=writes, rendering_seconds=RENDERING_SECONDS
        )
    finally:
        lock.release()
    told = story.planned
    if told is not None:
        before = before.told(told.heads, told.version_table)
    after = step.look(told.version_table if told is not None else None)
    left = changed(before, after, committed=False)
    error = _error(story)
    if error is not None or told is None:
        aim = story.aimed.target if story.aimed is not None else None
        facts = {"changed": left, "heads": after.heads, "catalog": after.catalog, "target": aim}
        return step.failed(error or _nothing_told(), **facts)
    try:
        _require_way_back(step, told)
    except RunnerError as refusal:
        return step.failed(refusal, changed=left, heads=after.heads, catalog=after.catalog, target=told.target)
    report = _report(story, told, (*_losses(step, told), *_copy(step, told)))
    if left:
        wrote = Finding("EnvironmentWrites", "env.py changed the schema while it was loaded, before any revision.")
        report = dataclasses.replace(report, findings=(wrote, *report.findings))
    step.log.say("plan", hash=report.hash, revisions=[found.id for found in report.revisions], target=report.target)
    return step.result(
        Outcome.SUCCEEDED,
        RunnerReason.DONE,
        _said(report),
        changed=left,
        heads=after.heads,
        catalog=after.catalog,
        plan=report,
    )


def _error(story: Story) -> RunnerError | None:
    """All facts are told before rendering begins: a process that dies there costs the SQL only."""
    died_rendering = story.planned is not None and story.stopped is None and story.failed is None
    return None if died_rendering else story.error


def _require_way_back(step: Step, told: Planned) -> None:
    """Hours of backup need not be waited for to be told of a right that is missing."""
    policy = step.task.policy
    if told.revisions and policy.clones:
        require_cloned(step.engine)
    if told.revisions and policy.needs_restore:
        require_restorable(step.engine, None, with_rights=not policy.administered)


def _nothing_told() -> RunnerError:
    return RunnerError(RunnerReason.ENVIRONMENT_DID_NOTHING, "env.py ended without showing its revisions.")


def _said(report: PlanReport) -> str:
    if not report.count:
        return "Nothing is pending."
    return f"{'To undo' if report.downgrade else 'Pending'}: {counted(report.count, 'revision')}."


def _losses(step: Step, told: Planned) -> tuple[Finding, ...]:
    """What a way down takes away that is really there, and holds something."""
    drops: dict[str, tuple[Drop, ...]] = {}
    for taken in told.taken:
        drops[taken.revision] = (*drops.get(taken.revision, ()), Drop(taken.table, taken.column))
    return tuple(Finding(LOSES_DATA, loss.sentence, loss.revision) for loss in losses(step.engine, drops))


def _copy(step: Step, told: Planned) -> tuple[Finding, ...]:
    """How much room a server has is known to a person at most: it does not tell its clients."""
    if not told.revisions or not step.task.policy.clones:
        return ()
    with step.engine.connect() as session:
        size = room(step.engine, session)
    words = (
        f"backup.clone has the server copy this database of {size} bytes: see that it has the room, and some to spare."
    )
    return (Finding("CloneTakesRoom", words),) if size else ()


def _report(story: Story, told: Planned, own: tuple[Finding, ...]) -> PlanReport:
    known = {item.revision: item for item in story.rendered}
    complete = all(found.id in known and not known[found.id].unrenderable for found in told.revisions)
    return PlanReport(
        hash=told.hash,
        start=told.start,
        target=told.target,
        count=len(told.revisions),
        version_table=told.version_table,
        revisions=told.revisions,
        statements=sum(item.statements for item in story.rendered) if complete else None,
        findings=(*own, *told.findings, *_unrenderable(story, told)),
        downgrade=told.down,
        loses_data=any(finding.code == LOSES_DATA for finding in own) or told.unclear,
    )


def _unrenderable(story: Story, told: Planned) -> Iterator[Finding]:
    """One finding a cause: where nothing can be rendered it is said once, not for each of three hundred revisions."""
    causes = {item.revision: item.unrenderable for item in story.rendered}
    whys = {
        found.id: causes.get(found.id, f"the process ended while rendering, {story.end}") for found in told.revisions
    }
    for why in dict.fromkeys(why for why in whys.values() if why):
        revisions = [revision for revision, cause in whys.items() if cause == why]
        several = f" ({len(revisions)} revisions)" if len(revisions) > 1 else ""
        yield Finding("NotRenderable", f"The SQL is not known in advance{several}: {why}", revisions[0])
