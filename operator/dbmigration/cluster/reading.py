"""What a Job, its Pods and their Events say about a step.

Pure: documents in, one neutral view out. The answer is read from the Pod, 2 s before the Job's own condition says that it
ended, and counts only where it is a valid result of exactly this attempt. It must not talk to a cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dbmigration.api.reasons import Reason
from dbmigration.cluster.hindrances import of_creation, of_start
from dbmigration.cluster.manifests.pod import PREPARE, RUNNER
from dbmigration.cluster.objects import Document, created_at, is_deleting, key_of
from dbmigration.cluster.redaction import short
from dbmigration.lifecycle.observed import Absent, Ended, Gone, Running, StepView, Stopping
from dbmigration_runner.contract.codec import DecodeError
from dbmigration_runner.contract.result import Result

_IMAGE_CHARACTERS = 600
_NOT_STARTED = frozenset({"StartError", "ContainerCannotRun"})
# A start that takes no longer is normal, and nobody needs to ask why it takes so long.
_NORMAL_START = timedelta(seconds=4)


@dataclass(frozen=True, slots=True)
class Sight:
    """All that is seen of one attempt. `remains` are Pods that were deleted, as they were last seen."""

    job: Document | None = None
    pods: Sequence[Document] = ()
    remains: Sequence[Document] = ()
    events: Sequence[Document] = ()
    progress: str = ""

    @property
    def is_empty(self) -> bool:
        """Nothing of it is there or is remembered."""
        return self.job is None and not self.pods and not self.remains


def read_step(sight: Sight, *, nonce: str) -> StepView:
    """Say what became of an attempt."""
    for pod in (*sight.pods, *sight.remains):
        if answer := _answer(pod, nonce):
            return answer
    for pod in sight.pods:
        if gone := _end_without_answer(pod):
            return gone
    if sight.pods:
        return _of_pod(sight, sight.pods[0])
    return _without_pod(sight)


def program_runs_in(sight: Sight) -> str | None:
    """The name of the Pod in which the step's program is at work, whose log tells how far it is."""
    for pod in sight.pods:
        if "running" in _state(pod, RUNNER):
            return key_of(pod).name
    return None


def events_that_may_tell(sight: Sight, now: datetime) -> Document | None:
    """The object whose Events hold the cause where an attempt does not start and its Pod does not say why."""
    if not sight.pods:
        job = sight.job
        return job if job is not None and not _is_over(job) and _is_slow(job, now) else None
    pod = sight.pods[0]
    waits = "running" not in _state(pod, RUNNER) and "terminated" not in _state(pod, RUNNER)
    return pod if waits and not is_deleting(pod) and _is_slow(pod, now) else None


def _of_pod(sight: Sight, pod: Document) -> StepView:
    if is_deleting(pod) or sight.job is None or is_deleting(sight.job):
        return Stopping()
    if "running" in _state(pod, RUNNER):
        return Running(sight.progress)
    return of_start(pod, sight.events) or Running()


def _without_pod(sight: Sight) -> StepView:
    job = sight.job
    if job is None:
        return _of_remains(sight.remains) if sight.remains else Absent()
    if over := _is_over(job):
        return _of_remains(sight.remains) if sight.remains else Gone(short(over))
    if is_deleting(job):
        return Stopping()
    return of_creation(sight.events) or Running()


def _of_remains(remains: Sequence[Document]) -> Gone:
    for pod in remains:
        if gone := _end_without_answer(pod):
            return gone
    return Gone("Its Pod was deleted.")


def _answer(pod: Document, nonce: str) -> Ended | None:
    ended = _state(pod, RUNNER).get("terminated")
    if not ended or not ended.get("message"):
        return None
    try:
        result = Result.from_json(ended["message"], nonce=nonce)
    except DecodeError:
        return None
    return Ended(result, image_that_ran(pod))


def _end_without_answer(pod: Document) -> Gone | None:
    """How it ended, where it ended and no valid answer is there."""
    status = pod.get("status") or {}
    runner, prepare = _state(pod, RUNNER).get("terminated"), _state(pod, PREPARE).get("terminated")
    if status.get("reason") == "DeadlineExceeded":
        return Gone("The kubelet ended its Pod at its deadline.", Reason.STEP_OVERDUE)
    if status.get("reason") == "Evicted":
        return Gone(short(f"Its Pod was evicted: {status.get('message', '')}"))
    if runner:
        return _gone("Its program", runner)
    if prepare and prepare.get("exitCode") != 0:
        return _gone("Preparing it", prepare)
    if status.get("phase") in {"Failed", "Succeeded"}:
        return Gone(short(f"Its Pod ended: {status.get('reason', '')} {status.get('message', '')}".rstrip(": ")))
    return None


def _gone(what: str, ended: dict[str, Any]) -> Gone:
    reason, code, left = ended.get("reason", ""), ended.get("exitCode"), ended.get("message", "")
    if reason in _NOT_STARTED:
        return Gone(short(f"{what} could not be started: {left}"), Reason.CONTAINER_NOT_STARTED)
    if reason == "OOMKilled":
        return Gone(f"{what} was killed: out of memory (OOMKilled). Raise podTemplate.resources.limits.memory.")
    words = f"{what} ended with exit code {code} and no valid result"
    return Gone(short(f"{words}; it left: {left}" if left else f"{words}."))


def job_is_over(job: Document) -> bool:
    """Has the Job's controller said so?"""
    return bool(_is_over(job))


def _is_over(job: Document) -> str:
    """Why a Job is over, or an empty text."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition.get("type") in {"Failed", "Complete"} and condition.get("status") == "True":
            return f"Its Job is over and its Pod is gone: {condition.get('reason', condition['type'])}."
    return ""


def _is_slow(document: Document, now: datetime) -> bool:
    made = created_at(document)
    return made is not None and now - made >= _NORMAL_START


def _state(pod: Document, container: str) -> dict[str, Any]:
    status = _container_status(pod, container)
    return (status or {}).get("state") or {}


def _container_status(pod: Document, container: str) -> dict[str, Any] | None:
    status = pod.get("status") or {}
    known = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return next((item for item in known if item.get("name") == container), None)


def image_that_ran(pod: Document) -> str:
    """`repository@sha256:…` where the runtime tells it, else the reference with the bare id that it does tell."""
    status = _container_status(pod, RUNNER) or {}
    containers = (pod.get("spec") or {}).get("containers") or ()
    named = next((item["image"] for item in containers if item.get("name") == RUNNER), "") or status.get("image", "")
    ran = str(status.get("imageID") or "").removeprefix("docker-pullable://")
    if "@sha256:" in ran:
        return ran[:_IMAGE_CHARACTERS]
    return (f"{named} ({ran})" if ran else named)[:_IMAGE_CHARACTERS]
