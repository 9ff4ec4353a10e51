"""Every word that may stand in a condition is explained."""

from __future__ import annotations

import re
from pathlib import Path

from dbmigration.api.explanations import EXPLANATIONS, ReasonClass, classify
from dbmigration.api.reasons import Reason
from dbmigration.api.status import FINDINGS
from dbmigration.lifecycle import schema_notes
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import LOSES_DATA


def test_every_reason_is_explained_with_a_remedy_unless_nothing_is_wrong():
    assert set(EXPLANATIONS) == set(Reason)
    for reason, explanation in EXPLANATIONS.items():
        assert explanation.meaning.endswith(".")
        assert explanation.remedy.endswith(".") or explanation.kind is ReasonClass.PROGRESS, reason


def test_every_word_of_the_runner_is_a_reason_of_ours():
    words = {word.value for word in RunnerReason} - {"Done"}
    assert words <= {reason.value for reason in Reason}


def test_a_word_that_nobody_knows_needs_a_person():
    assert classify("FromTheFuture") == (Reason.INTERNAL_ERROR, ReasonClass.DECISION)


def test_reasons_are_camel_case_as_the_condition_schema_wants():
    assert all(re.fullmatch(r"[A-Z][A-Za-z]*", reason.value) for reason in Reason)


def test_every_word_of_a_finding_is_told_by_the_reference():
    root = Path(__file__).parents[3] / "operator" / "dbmigration_runner"
    text = "\n".join(path.read_text(encoding="utf-8") for path in root.glob("**/*.py"))
    used = set(re.findall(r'\bFinding\(\s*"(\w+)"', text))
    assert len(used) > 5
    assert used | {LOSES_DATA, schema_notes.FINDING} == set(FINDINGS)
