"""Tasks and results survive the way, however long or hostile they are."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import typing
from enum import Enum

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dbmigration_runner.contract.codec import DecodeError
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import RESULT_BYTES, Result, fit
from dbmigration_runner.contract.task import StepKind, Task

TEXT = st.text(st.characters(codec="utf-8"), max_size=80)


def of(hint):
    """A strategy for everything that an annotation of the contract allows."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        fixed = {"version": st.just(1), "reason": st.sampled_from([reason.value for reason in RunnerReason])}
        fields = {field.name: fixed.get(field.name, of(hints[field.name])) for field in dataclasses.fields(hint)}
        return st.builds(hint, **fields)
    if origin is tuple:
        return st.lists(of(arguments[0]), max_size=4).map(tuple)
    if origin is dict:
        return st.dictionaries(of(arguments[0]), of(arguments[1]), max_size=3)
    if type(None) in arguments:
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return st.none() | of(inner)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    return {
        str: TEXT,
        int: st.integers(-(2**63), 2**63),
        bool: st.booleans(),
        float: st.floats(allow_nan=False, allow_infinity=False),
    }[hint]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [field.name for field in dataclasses.fields(Result)]
NEARLY = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=len(FIELDS)).map(
    lambda document: {"kind": "plan", "outcome": "Succeeded", **document, "version": 1, "nonce": "n"}
)
RELAXED = settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=60)


@RELAXED
@given(of(Task))
def test_a_task_comes_back_as_it_was_sent(task):
    assert Task.from_json(task.to_json()) == task


@RELAXED
@given(of(Result))
def test_a_result_comes_back_as_it_was_sent(result):
    assert Result.from_json(result.to_json(), nonce=result.nonce) == result


@RELAXED
@given(of(Result), st.integers(1, 40))
def test_a_result_is_made_to_fit_and_stays_readable(result, times):
    """The decisive facts are bounded by the runner; sentences and lists are not."""
    small = dataclasses.replace(result, nonce="n", heads=("a1",), catalog=None, database=None, backup=None)
    long = dataclasses.replace(
        small,
        message=small.message * times,
        warnings=small.warnings * times,
        plan=small.plan
        and dataclasses.replace(
            small.plan,
            hash="h",
            start=(),
            target=("a1",),
            version_table="public.alembic_version",
            revisions=small.plan.revisions * times,
            findings=small.plan.findings * times,
        ),
        migrate=small.migrate
        and dataclasses.replace(
            small.migrate,
            applied=small.migrate.applied * times,
            failed_revision="a2",
            error=small.migrate.error * times,
        ),
    )
    fitted = fit(long)
    assert len(fitted.to_json().encode()) <= RESULT_BYTES
    read = Result.from_json(fitted.to_json(), nonce="n")
    assert (read.outcome, read.reason, read.heads) == (long.outcome, long.reason, long.heads)
    assert read.truncated or read == long


@RELAXED
@given(NEARLY)
@example({"version": 1, "nonce": "n", "kind": {}, "outcome": []})
@example({"version": 1, "nonce": "n", "kind": "plan", "outcome": "Succeeded", "heads": "a1"})
def test_a_hostile_result_is_refused_and_never_crashes(document):
    with contextlib.suppress(DecodeError):
        Result.from_json(json.dumps(document), nonce="n")


@RELAXED
@given(st.text() | JSON.map(json.dumps))
@example("[" * 20_000)
@example("1" * 10_000)
@example(
    '{"version": 1, "nonce": "n", "kind": "plan", "outcome": "Succeeded", "resources": {"duration_seconds": 1'
    + "0" * 400
    + "}}"
)
def test_hostile_text_is_refused_and_never_crashes(text):
    for read in (Task.from_json, lambda words: Result.from_json(words, nonce="n")):
        with contextlib.suppress(DecodeError):
            read(text)


def test_an_answer_to_another_task_is_no_answer():
    answer = Result(StepKind.PLAN, "one", next(iter(typing.get_type_hints(Result)["outcome"]))).to_json()
    with pytest.raises(DecodeError, match="another task"):
        Result.from_json(answer, nonce="two")
