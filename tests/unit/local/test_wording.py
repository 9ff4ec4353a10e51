"""Nobody at a laptop is sent to a Secret, a Pod or an annotation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dbmigration.api.explanations import EXPLANATIONS, ReasonClass
from dbmigration.api.reasons import Reason
from dbmigration.local.wording import PHRASES, here
from dbmigration_runner.contract.reasons import RunnerReason

OPERATOR = Path(__file__).parents[3] / "operator"
OF_A_CLUSTER = re.compile(r"\bSecrets?\b|\bPods?\b|\bJobs?\b|annotation|podTemplate|kubelet|\bclaim\b|\bimage\b")
# A remedy follows a runner's message where it is tried again.
REMEDIES = [
    EXPLANATIONS[Reason(reason.value)].remedy
    for reason in RunnerReason
    if reason is not RunnerReason.DONE and EXPLANATIONS[Reason(reason.value)].kind is ReasonClass.MENDABLE
]


@pytest.mark.parametrize("remedy", REMEDIES)
def test_a_remedy_can_be_followed_without_a_cluster(remedy):
    assert not OF_A_CLUSTER.search(here(remedy))


@pytest.mark.parametrize(("there", "said"), PHRASES)
def test_a_phrase_is_one_that_is_said_and_what_is_said_here_knows_no_cluster(there, said):
    rooms = [*OPERATOR.glob("dbmigration/lifecycle/**/*.py"), *OPERATOR.glob("dbmigration_runner/**/*.py")]
    texts = (
        path.read_text(encoding="utf-8") for path in (*rooms, OPERATOR / "dbmigration" / "api" / "explanations.py")
    )
    assert any(there in text for text in texts)
    assert not OF_A_CLUSTER.search(said)


def test_what_an_option_allows_here_is_told_by_its_name():
    downgrade = EXPLANATIONS[Reason.DOWNGRADE_NOT_ALLOWED].remedy
    assert here(downgrade).startswith(
        "Give --allow-downgrade, or set policy.downgrade to Allow, if the database shall go back"
    )
    assert here("Set rollback.acceptDataLoss to true if that may go.") == (
        "Give --accept-data-loss, or set rollback.acceptDataLoss to true, if that may go."
    )
