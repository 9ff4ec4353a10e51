"""Histories that nobody here wrote, taken back by their own downgrades.

What they can be taken back over is a fact of these releases: most go a few revisions, none goes to its base.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dbmigration_runner.checks.difference import difference
from dbmigration_runner.contract.task import ExpectedPlan, Policy
from dbmigration_runner.engines import engine_for, read_catalog
from tests.integration.real_histories.histories import JUPYTERHUB, MLFLOW, OPTUNA, History
from tests.sampling import some

# The first test of an application installs it.
pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Descent:
    """From the head to a target. `failed` is the revision whose downgrade raises, `reached` are the heads it then leaves."""

    history: History
    target: str
    revisions: int
    left_behind: tuple[str, ...] = ()
    failed: str = ""
    reached: str = ""
    undone: int = 0
    says: str = ""


COMPLETE = (
    Descent(OPTUNA, "v3.0.0.d", 1),
    Descent(MLFLOW, "75868b020152", 1),
    Descent(MLFLOW, "17e22815139b", 3),
    # Its downgrade() says `pass`: a longer value would not fit any more.
    Descent(MLFLOW, "1971f2d9a75b", 4, ("column public.experiment_tags.value: character varying(5000) became text",)),
    Descent(JUPYTERHUB, "ff1860e38070", 1),
    Descent(JUPYTERHUB, "be8ecf03ddac", 3),
)
BROKEN = (
    Descent(OPTUNA, "v3.0.0.b", 3, failed="v3.0.0.c", reached=OPTUNA.head, says="AttributeError"),
    Descent(OPTUNA, "base", 10, failed="v3.0.0.c", reached=OPTUNA.head, says="AttributeError"),
    Descent(MLFLOW, "base", 67, failed="2b4d017a5e9b", reached=MLFLOW.head, says="2BP01"),
    # One transaction a revision: what was undone before stays undone.
    Descent(JUPYTERHUB, "base", 19, failed="3c2384c5aae1", reached="3c2384c5aae1", undone=5, says="TypeError"),
)


def named(descent):
    return f"{descent.history.application}-{descent.target}"


@pytest.fixture
def history(descent):
    """The application of `descent`."""
    return descent.history


def planned(application, descent):
    wanted = {"target": descent.target, "policy": Policy(downgrade=True)}
    result = application.run("plan", **wanted).result
    plan = result.plan
    assert plan is not None, result.message
    assert (plan.downgrade, plan.count, plan.start) == (True, descent.revisions, (descent.history.head,))
    assert result.changed is False
    return {"expected": ExpectedPlan(plan.hash, plan.start, plan.target, plan.version_table), **wanted}


def schema_of(application):
    engine = engine_for(application.database.url)
    with engine.connect() as session:
        return read_catalog(engine, session)


@pytest.mark.parametrize("descent", some(COMPLETE, 3), ids=named)
def test_what_a_downgrade_reaches_is_the_schema_of_its_target(application, descent):
    application.begin()
    application.run("migrate", target=descent.target)
    meant = schema_of(application)
    assert application.run("migrate").result.heads == (descent.history.head,)

    result = application.run("downgrade", **planned(application, descent)).result
    assert (result.reason, result.heads) == ("Done", (descent.target,)), result.message
    assert len(result.migrate.applied) == descent.revisions
    assert difference(meant, schema_of(application)) == descent.left_behind
    assert (schema_of(application).fingerprint("alembic_version") == meant.fingerprint("alembic_version")) is not bool(
        descent.left_behind
    )


@pytest.mark.parametrize("descent", some(BROKEN, 2), ids=named)
def test_a_downgrade_that_raises_is_told_by_its_name_and_leaves_the_schema_of_where_it_stands(application, descent):
    application.begin()
    application.run("migrate", target=descent.reached)
    meant = schema_of(application)
    application.run("migrate")

    result = application.run("downgrade", **planned(application, descent)).result
    assert (result.reason, result.migrate.failed_revision) == ("MigrationFailed", descent.failed), result.message
    assert descent.says in result.message
    assert (result.heads, len(result.migrate.applied)) == ((descent.reached,), descent.undone)
    assert (result.changed, result.migrate.torn) == (bool(descent.undone), False)
    assert difference(meant, schema_of(application)) == ()
    assert result.catalog == meant.fingerprint("alembic_version")
