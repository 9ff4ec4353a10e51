"""Spec and status as data: reading, defaults, round trips, patches, conditions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbmigration.api.conditions import Standing, conditions
from dbmigration.api.merging import merge_patch
from dbmigration.api.reasons import Reason
from dbmigration.api.spec import MigrationSpec
from dbmigration.api.status import Run, Status
from dbmigration.api.units import duration, quantity
from dbmigration.lifecycle.identity import run_identity
from tests.unit.lifecycle.laboratory import manifest

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(("text", "seconds"), [("100ms", 0.1), ("90s", 90), ("10m", 600), ("1h30m", 5400)])
def test_durations(text, seconds):
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("text", "size"), [("12", 12), ("10Gi", 10 * 2**30), ("5M", 5_000_000), ("1k", 1000)])
def test_quantities(text, size):
    assert quantity(text) == size


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"targetRevision": "+1"}, "targetRevision"),
        ({"locks": {"timeout": "soon"}}, "locks.timeout"),
        ({"backup": {"storage": {"persistentVolumeClaim": {}}}}, "backup.storage.persistentVolumeClaim.claimName"),
    ],
)
def test_a_bad_spec_names_the_field(change, place):
    with pytest.raises(ValueError, match=place):
        MigrationSpec.parse(manifest(**change))


def test_a_status_comes_back_as_it_was_written():
    status = Status(
        observed_generation=2,
        current_revisions=(),
        run=Run(number=1, identity="1:ab", generation=2, started_at=NOON),
        conditions=conditions((), Standing.WORKING, Reason.PLANNING, "m", generation=2, now=NOON),
    )
    assert Status.parse(status.document()) == status


json_values = st.recursive(
    st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(st.text(max_size=2), json_values, max_size=4)


def applied(document, patch):
    """RFC 7386, read from its pseudo-code."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = applied(result.get(key), value)
    return result


@given(objects, objects)
def test_a_merge_patch_turns_the_old_into_the_new(old, new):
    assert applied(old, merge_patch(old, new)) == new


@given(objects)
def test_what_did_not_change_makes_no_patch(document):
    assert merge_patch(document, document) == {}


def test_a_transition_time_moves_only_with_the_status():
    first = conditions((), Standing.WORKING, Reason.PLANNING, "m", generation=1, now=NOON)
    later = NOON + timedelta(hours=1)
    second = conditions(first, Standing.RETRYING, Reason.LOCK_HELD, "m", generation=1, now=later)
    assert [condition.last_transition_time for condition in second] == [later, NOON, NOON]


def test_reconciling_and_stalled_are_never_both_true():
    assert all([status.value for status in standing.value][1:] != ["True", "True"] for standing in Standing)


def test_a_field_at_its_default_is_no_field():
    bare, explicit = (
        MigrationSpec.parse(manifest()),
        MigrationSpec.parse(manifest(targetRevision="head", checks={"after": {}})),
    )
    assert run_identity(bare) == run_identity(explicit)


@pytest.mark.parametrize("change", [{"targetRevision": "a1"}, {"checks": {"after": {"tables": ["orders"]}}}])
def test_what_decides_the_work_changes_the_identity(change):
    assert run_identity(MigrationSpec.parse(manifest())) != run_identity(MigrationSpec.parse(manifest(**change)))


def test_frozen_means_frozen():
    status = Status()
    assert replace(status, progress="1/3") != status
    with pytest.raises(AttributeError):
        status.progress = "1/3"  # type: ignore[misc]
