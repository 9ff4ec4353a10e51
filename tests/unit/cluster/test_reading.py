"""What a Job, its Pods and Events say about a step, as tables whose rows are sentences."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.cluster.objects import slim
from dbmigration.cluster.reading import Sight, events_that_may_tell, program_runs_in, read_step
from dbmigration.lifecycle.observed import Absent, Ended, Gone, Running, Stopping, Waiting
from dbmigration_runner.contract.result import Outcome, Result
from dbmigration_runner.contract.task import StepKind
from tests.unit.cluster.documents import LATER, event, job, pod

NONCE = "0123456789abcdef0123"
ANSWER = Result(StepKind.PLAN, NONCE, Outcome.SUCCEEDED).to_json()


def ended(message: str = "", code: int = 1, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


RUNNING: dict[str, Any] = {"running": {"startedAt": "2026-11-23T12:00:01Z"}}
STARTING = waiting("ContainerCreating")
UNSCHEDULED = [
    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
]
UNBOUND = [UNSCHEDULED[0] | {"message": "pod has unbound immediate PersistentVolumeClaims"}]


VIEWS = {
    "nothing is there": (Sight(), Absent()),
    "a Job without a Pod is just starting": (Sight(job()), Running()),
    "a Pod that is being made is just starting": (Sight(job(), [pod(STARTING)]), Running()),
    "a program at work": (Sight(job(), [pod(RUNNING)], progress="2 of 3"), Running("2 of 3")),
    "a Pod that was told to go": (Sight(job(), [pod(RUNNING, deleting=True)]), Stopping()),
    "a Pod whose Job was told to go": (Sight(job(deleting=True), [pod(RUNNING)]), Stopping()),
    "a Pod whose Job is gone": (Sight(None, [pod(RUNNING)]), Stopping()),
    "a Job that was told to go before its Pod was there": (Sight(job(deleting=True)), Stopping()),
}


@pytest.mark.parametrize("case", VIEWS)
def test_a_step_that_has_not_ended(case):
    sight, expected = VIEWS[case]

    assert read_step(sight, nonce=NONCE) == expected


ANSWERS = {
    "the Job does not know yet": Sight(job(), [pod(ended(ANSWER, 0, "Completed"))]),
    "the Job has failed": Sight(job("Failed"), [pod(ended(ANSWER))]),
    "the exit code says something else": Sight(job(), [pod(ended(ANSWER, 1))]),
    "the Pod is being deleted": Sight(job(deleting=True), [pod(ended(ANSWER), deleting=True)]),
    "the Pod was deleted": Sight(None, [], [pod(ended(ANSWER))]),
    "the Pod was ended at its deadline": Sight(job(), [pod(ended(ANSWER), phase="Failed", reason="DeadlineExceeded")]),
    "the cache has dropped what nobody reads": Sight(slim(job()), [slim(pod(ended(ANSWER)))]),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_a_valid_answer_counts_whatever_else_there_is(case):
    view = read_step(ANSWERS[case], nonce=NONCE)

    assert isinstance(view, Ended)
    assert view.result.outcome is Outcome.SUCCEEDED


NO_ANSWERS = {
    "nothing was said": ("", Reason.STEP_LOST, "exit code 1"),
    "the exit code is 0 and nothing was said": ("", Reason.STEP_LOST, "no valid result"),
    "it answers another task": (ANSWER.replace(NONCE, "f" * 20), Reason.STEP_LOST, "no valid result"),
    "it is cut": (ANSWER[:-5], Reason.STEP_LOST, "no valid result"),
    "it is of another version": (ANSWER.replace('"version":1', '"version":99'), Reason.STEP_LOST, "no valid result"),
    "it is deep": ("[" * 4096, Reason.STEP_LOST, "no valid result"),
    "it is prose": ("Traceback: boom\n  at line 1", Reason.STEP_LOST, "Traceback: boom at line 1"),
    "it is a list": ("[1]", Reason.STEP_LOST, "no valid result"),
}


@pytest.mark.parametrize("case", NO_ANSWERS)
def test_what_is_no_valid_answer_is_a_lost_step(case):
    message, reason, words = NO_ANSWERS[case]

    view = read_step(Sight(job("Failed"), [pod(ended(message))]), nonce=NONCE)

    assert isinstance(view, Gone)
    assert view.reason is reason
    assert words in view.words
    assert len(view.words) <= 300


ENDS = {
    "out of memory": (Sight(job(), [pod(ended(code=137, reason="OOMKilled"))]), Reason.STEP_LOST, "out of memory"),
    "no such interpreter": (
        Sight(job(), [pod(ended('exec: "python9": executable file not found', 128, "StartError"))]),
        Reason.CONTAINER_NOT_STARTED,
        "python9",
    ),
    "evicted": (
        Sight(job(), [pod(None, phase="Failed", reason="Evicted", message="The node was low on resource: memory.")]),
        Reason.STEP_LOST,
        "low on resource",
    ),
    "at its deadline": (
        Sight(job(), [pod(None, phase="Failed", reason="DeadlineExceeded")]),
        Reason.STEP_OVERDUE,
        "deadline",
    ),
    "preparing failed": (
        Sight(job(), [pod(waiting("PodInitializing"), prepare=ended("No space left on device"))]),
        Reason.STEP_LOST,
        "Preparing it ended with exit code 1 and no valid result; it left: No space left on device",
    ),
    "deleted while at work": (Sight(job("Failed"), [], [pod(RUNNING)]), Reason.STEP_LOST, "was deleted"),
    "deleted with its Job": (Sight(None, [], [pod(RUNNING)]), Reason.STEP_LOST, "was deleted"),
    "nothing is left but a failed Job": (Sight(job("Failed")), Reason.STEP_LOST, "BackoffLimitExceeded"),
    "nothing is left but a complete Job": (Sight(job("Complete")), Reason.STEP_LOST, "is gone"),
    "the node is gone": (Sight(job(), [pod(None, phase="Failed", reason="NodeLost")]), Reason.STEP_LOST, "NodeLost"),
}


@pytest.mark.parametrize("case", ENDS)
def test_an_end_without_an_answer(case):
    sight, reason, words = ENDS[case]

    view = read_step(sight, nonce=NONCE)

    assert isinstance(view, Gone)
    assert view.reason is reason
    assert words in view.words


PULL = 'failed to pull and unpack image "x": not found'
HINDRANCES = {
    "a Secret that the environment names": (
        pod(waiting("CreateContainerConfigError", 'secret "shop" not found')), [], Reason.SECRET_NOT_FOUND, 'secret "shop" not found',
    ),
    "a key that the environment names": (
        pod(waiting("CreateContainerConfigError", "couldn't find key url in Secret prod/shop")), [], Reason.SECRET_NOT_FOUND, "key url",
    ),
    "a ConfigMap that the environment names": (
        pod(waiting("CreateContainerConfigError", 'configmap "shop" not found')), [], Reason.CONFIG_MAP_NOT_FOUND, "configmap",
    ),
    "an image made for root": (
        pod(waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root")), [], Reason.POD_REJECTED, "runAsUser",
    ),
    "a Secret that is mounted": (
        pod(STARTING), [event("FailedMount", 'MountVolume.SetUp failed for volume "url" : secret "shop" not found')],
        Reason.SECRET_NOT_FOUND, 'secret "shop" not found',
    ),
    "a key that is mounted": (
        pod(STARTING), [event("FailedMount", "MountVolume.SetUp failed : references non-existent secret key: url")],
        Reason.SECRET_NOT_FOUND, "key: url",
    ),
    "a ConfigMap that is mounted": (
        pod(STARTING), [event("FailedMount", 'MountVolume.SetUp failed : configmap "scripts" not found')],
        Reason.CONFIG_MAP_NOT_FOUND, "scripts",
    ),
    "a volume that does not attach": (pod(STARTING), [event("FailedAttachVolume", "Multi-Attach error")], Reason.VOLUME_NOT_MOUNTED, "Multi-Attach"),
    "a claim that is not bound": (pod(None, conditions=UNBOUND), [], Reason.VOLUME_NOT_MOUNTED, "unbound"),
    "no node": (pod(None, conditions=UNSCHEDULED), [], Reason.UNSCHEDULABLE, "0/3 nodes"),
    "an image that is not there": (pod(waiting("ErrImagePull", PULL)), [], Reason.IMAGE_PULL_FAILED, PULL),
    "the tools image is not there": (
        pod(waiting("PodInitializing"), prepare=waiting("ErrImageNeverPull", "Container image is not present")), [], Reason.IMAGE_PULL_FAILED, "tools:1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HINDRANCES)
def test_what_never_fails_by_itself_is_told_with_its_cause(case):
    stuck, events, reason, words = HINDRANCES[case]

    view = read_step(Sight(job(), [stuck], events=events), nonce=NONCE)

    assert isinstance(view, Waiting)
    assert view.reason is reason
    assert words in view.message


def test_a_pod_that_is_refused_is_told_by_the_job_s_event():
    note = 'Error creating: pods "shop-plan-1-x7k2p" is forbidden: exceeded quota: small'

    view = read_step(Sight(job(), events=[event("FailedCreate", note)]), nonce=NONCE)

    assert isinstance(view, Waiting)
    assert view.reason is Reason.POD_REJECTED
    assert "exceeded quota: small" in view.message
    assert "x7k2p" not in view.message


def test_a_failed_mount_that_was_overcome_is_no_hindrance():
    events = [event("FailedMount", "timed out", "2026-11-23T12:00:00Z"), event("Pulling", "", "2026-11-23T12:00:05Z")]

    assert read_step(Sight(job(), [pod(STARTING)], events=events), nonce=NONCE) == Running()


def test_the_wait_before_the_next_pull_tells_the_same_as_the_pull_that_failed():
    failed = read_step(Sight(job(), [pod(waiting("ErrImagePull", PULL))]), nonce=NONCE)
    backing_off = read_step(
        Sight(job(), [pod(waiting("ImagePullBackOff", f'Back-off pulling image "x": ErrImagePull: {PULL}'))]),
        nonce=NONCE,
    )

    assert failed == backing_off


@pytest.mark.parametrize(
    ("image_id", "told"),
    [
        ("registry.example/shop@sha256:" + "a" * 64, "registry.example/shop@sha256:" + "a" * 64),
        ("docker-pullable://shop@sha256:" + "a" * 64, "shop@sha256:" + "a" * 64),
        ("sha256:" + "b" * 64, "registry.example/shop:1.1 (sha256:" + "b" * 64 + ")"),
        ("", "registry.example/shop:1.1"),
    ],
)
def test_the_image_that_ran_is_told_as_exactly_as_the_runtime_tells(image_id, told):
    view = read_step(Sight(job(), [pod(ended(ANSWER), image_id=image_id)]), nonce=NONCE)

    assert isinstance(view, Ended)
    assert view.image == told


def test_last_words_that_hold_a_password_do_not_reach_a_status():
    words = "cannot connect to postgresql://shop:hunter2@db/shop (password=hunter2)"

    view = read_step(Sight(job("Failed"), [pod(ended(words))]), nonce=NONCE)

    assert isinstance(view, Gone)
    assert "hunter2" not in view.words


def test_events_are_asked_for_only_where_nothing_else_tells():
    slow, quick = LATER, LATER.replace(second=1)

    assert events_that_may_tell(Sight(job()), slow) == job()
    assert events_that_may_tell(Sight(job()), quick) is None
    assert events_that_may_tell(Sight(job("Failed")), slow) is None
    assert events_that_may_tell(Sight(job(), [pod(STARTING)]), slow) == pod(STARTING)
    assert events_that_may_tell(Sight(job(), [pod(RUNNING)]), slow) is None
    assert events_that_may_tell(Sight(job(), [pod(STARTING, deleting=True)]), slow) is None


def test_a_sidecar_is_never_taken_for_the_runner():
    meshed = pod(ended(ANSWER))
    sidecar = {"name": "proxy", "state": ended(json.dumps({"kind": "plan"}), 0, "Completed")}
    meshed["status"]["containerStatuses"].insert(0, sidecar)

    assert isinstance(read_step(Sight(job(), [meshed]), nonce=NONCE), Ended)
    assert program_runs_in(Sight(job(), [meshed])) is None
