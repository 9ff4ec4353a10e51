"""Why a step's Pod does not start: what never fails by itself, read from waiting reasons and, where only they tell, from Events.

Pure. All of it can be mended outside, so all of it is waited for. It must not know what a step is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dbmigration.api.explanations import EXPLANATIONS
from dbmigration.api.reasons import Reason
from dbmigration.cluster.objects import Document
from dbmigration.cluster.redaction import short
from dbmigration.lifecycle.observed import Waiting

_IMAGE_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_CONFIGURATION_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_MOUNT_REASONS = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume"})
_SANDBOX_REASON = "FailedCreatePodSandBox"
# Told after a failure, these say that it is over.
_OVERCOME_REASONS = frozenset({"Pulling", "Pulled", "Created", "Started", "SuccessfulCreate"})
# The kubelet tells the same failure in turn as itself and as the wait before the next try.
_BACK_OFF = re.compile(r"^Back-off pulling image \"[^\"]*\"(: )?(ErrImagePull: )?")
# Every try is of a Pod of another name.
_POD_OF_A_TRY = re.compile(r"^(\(combined from similar events\): )?Error creating: pods \"[^\"]*\" is ")


def of_start(pod: Document, events: Sequence[Document]) -> Waiting | None:
    """What holds a Pod that was made and does not run its program; None where it is just starting."""
    status = pod.get("status") or {}
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        if reason in _IMAGE_REASONS:
            detail = _BACK_OFF.sub("", message) or reason
            return _waiting(
                Reason.IMAGE_PULL_FAILED, f"The image {container.get('image', '')} cannot be pulled: {detail}"
            )
        if reason in _CONFIGURATION_REASONS:
            otherwise = Reason.POD_REJECTED if reason == "CreateContainerConfigError" else Reason.CONTAINER_NOT_STARTED
            return _waiting(_missing_object(message) or otherwise, message or reason)
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            message = condition.get("message", "") or condition.get("reason", "")
            return _waiting(
                Reason.VOLUME_NOT_MOUNTED if "persistentvolume" in message.lower() else Reason.UNSCHEDULABLE, message
            )
    for event in _newest_first(events):
        if event.get("reason") in _OVERCOME_REASONS:
            return None
        if event.get("reason") in _MOUNT_REASONS:
            message = _note(event)
            return _waiting(_missing_object(message) or Reason.VOLUME_NOT_MOUNTED, message)
        if event.get("reason") == _SANDBOX_REASON:
            return _waiting(Reason.CONTAINER_NOT_STARTED, _note(event))
    return None


def of_creation(events: Sequence[Document]) -> Waiting | None:
    """What keeps a Job from making its Pod; its status says nothing of it, only an Event does."""
    for event in _newest_first(events):
        if event.get("reason") in _OVERCOME_REASONS:
            return None
        if event.get("reason") == "FailedCreate":
            return _waiting(Reason.POD_REJECTED, _POD_OF_A_TRY.sub("The step's Pod is ", _note(event)))
    return None


def refused(message: str) -> Waiting:
    """The API server did not take the Job itself, and says why."""
    told = short(message, 600).rstrip(". ")
    return Waiting(Reason.POD_REJECTED, f"The step's Job is not taken: {told}. Mend what it names; it is tried again.")


def _missing_object(message: str) -> Reason | None:
    """`secret "x" not found`, `couldn't find key k in Secret ns/x`, `references non-existent secret key: k`."""
    text = message.lower()
    if not re.search(r"not found|non-existent|couldn't find key|not registered", text):
        return None
    if "configmap" in text or "non-existent config key" in text:
        return Reason.CONFIG_MAP_NOT_FOUND
    return Reason.SECRET_NOT_FOUND if "secret" in text else None


def _waiting(reason: Reason, cause: str) -> Waiting:
    told = short(cause, 600).rstrip(". ")
    return Waiting(reason, f"{told}. {EXPLANATIONS[reason].remedy}")


def _note(event: Document) -> str:
    return str(event.get("note") or event.get("message") or event.get("reason", ""))


def _newest_first(events: Sequence[Document]) -> list[Document]:
    return sorted(events, key=_last_seen, reverse=True)


def _last_seen(event: Document) -> str:
    """RFC 3339 in UTC sorts as text."""
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("deprecatedLastTimestamp") or event.get("eventTime") or "")
