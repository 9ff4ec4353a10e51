"""What is told of a run: as often as it is news, to whoever is meant to read it."""

from __future__ import annotations

from dbmigration.api.reasons import Reason
from dbmigration.api.status import Phase
from dbmigration.lifecycle.observed import Gone
from dbmigration_runner.contract.reasons import RunnerReason


def test_the_happy_path_writes_the_status_four_times_and_emits_four_events(lab):
    for _ in range(3):
        lab.turn()
        lab.answer()
    lab.settle()
    assert (lab.writes, len(lab.events)) == (4, 4)


def test_what_a_step_warned_of_is_told_once_and_the_run_goes_on(lab):
    """Nobody reads the termination log of a step that succeeded."""
    lab.turn()
    lab.answer()
    lab.turn()
    backup = "No database could be made to try a restore in: give the role CREATEDB, or set adminUrlFrom."
    lab.answer(warnings=(backup,))
    lab.turn()
    lab.answer()
    lab.settle()
    told = [event for event in lab.events if event.reason is Reason.STEP_WARNED]
    assert [(event.message, event.warning) for event in told] == [(f"backup: {backup}", True)]
    assert lab.status.phase is Phase.SUCCEEDED


def test_what_a_failed_step_warned_of_is_not_told_at_every_try(lab):
    lab.turn()
    lab.fail(RunnerReason.LOCK_HELD, warnings=("The disk is 95 % full.",))
    lab.turn()
    assert not [event for event in lab.events if event.reason is Reason.STEP_WARNED]


def test_a_lost_step_is_told_with_what_helps(lab):
    lab.turn()
    lab.answer()
    lab.turn()
    lab.lose()
    lab.turn()
    assert lab.status.conditions[0].reason == "StepLost"
    assert "raise podTemplate.resources" in lab.status.conditions[0].message


def test_what_is_tried_again_is_told_once_and_another_trouble_is_told_again(lab):
    """A message may name what is another one at each try, such as the container that could not be started."""
    for attempt in range(1, 6):
        lab.turn()
        lab.steps[lab.running] = Gone(f"container {attempt} could not be started", Reason.CONTAINER_NOT_STARTED)
        lab.wait(lab.turn())
    for _ in range(3):
        lab.turn()
        lab.fail(RunnerReason.AUTHENTICATION_FAILED)
        lab.wait(lab.turn())
    warnings = [event.reason for event in lab.events if event.warning]
    assert warnings == [Reason.CONTAINER_NOT_STARTED, Reason.AUTHENTICATION_FAILED]
