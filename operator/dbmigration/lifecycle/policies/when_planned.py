"""What a plan may hold, measured by what the spec accepts, before anything is done for it."""

from __future__ import annotations

from dbmigration.api.reasons import Reason
from dbmigration.lifecycle.observed import Observed
from dbmigration.lifecycle.policies import Refusal
from dbmigration_runner.contract.result import LOSES_DATA


def data_loss_is_accepted(seen: Observed) -> Refusal | None:
    """Nobody's rows go with a downgrade unless the manifest says so."""
    plan = seen.status.plan
    if plan is None or not plan.loses_data or seen.spec.rollback.accept_data_loss:
        return None
    losses = "; ".join(finding.message.rstrip(".") for finding in plan.findings if finding.code == LOSES_DATA)
    return Refusal(
        Reason.DATA_LOSS_NOT_ACCEPTED,
        f"The downgrade would lose data: {losses}. Set rollback.acceptDataLoss to true if that may go.",
    )


WHEN_PLANNED = (data_loss_is_accepted,)
