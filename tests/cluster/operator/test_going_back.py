"""An older revision as a wish: written by the command line, and by a manifest whose image does not know where the database is."""

from __future__ import annotations

from tests.cluster.access import Cluster
from tests.cluster.embedded import catalog
from tests.cluster.operator.command_line import dbmigration
from tests.cluster.operator.history import CREATE_ORDERS, Revision
from tests.cluster.operator.stage import Stage

ORDERS = Revision("r1", CREATE_ORDERS)
INDEX = Revision(
    "r2",
    'op.create_index("ix_orders_note", "orders", ["note"])',
    "r1",
    undo='op.drop_index("ix_orders_note", "orders")',
)


def test_a_step_back_is_resolved_to_a_revision_and_gone(stage: Stage):
    stage.scripts(ORDERS, INDEX)
    stage.apply()
    stage.succeeded()
    refused = dbmigration(stage, "rollback", "shop", "--steps", "1")
    assert refused.startswith("2\n"), refused
    assert "--allow-downgrade" in refused
    assert stage.resource()["spec"].get("targetRevision", "head") == "head"

    said = dbmigration(stage, "rollback", "shop", "--steps", "1", "--allow-downgrade")
    assert said.startswith("0\n"), said
    assert "targetRevision is r1 now, and was head" in said
    status = stage.succeeded()
    assert (stage.heads(), status["run"]["undoneRevisions"], status["plan"]["downgrade"]) == (["r1"], ["r2"], True)
    assert stage.resource()["spec"]["targetRevision"] == "r1"


def test_an_image_of_before_is_fulfilled_by_the_image_that_took_the_database_further(stage: Stage, cluster: Cluster):
    stage.spec["migrations"] = {
        "source": {"image": {"reference": cluster.image(catalog.shop("1.0"))}},
        "urlTo": {"env": {"DATABASE_URL": "url"}},
    }
    before = stage.spec["migrations"]["source"]["image"]["reference"]
    stage.apply()
    stage.succeeded()
    stage.spec["migrations"]["source"]["image"]["reference"] = cluster.image(catalog.shop("1.1"))
    stage.apply()
    stage.succeeded()
    assert stage.heads() == ["11b"]

    stage.spec["migrations"]["source"]["image"]["reference"] = before
    stage.apply(policy={"downgrade": "Allow"}, rollback={"acceptDataLoss": True})
    status = stage.succeeded()
    assert (stage.heads(), status["run"]["undoneRevisions"]) == (["10c"], ["11b", "11a"])
    assert (status["run"]["verifiedBy"], status["run"].get("leftBehind")) == ("Schema", None)
    assert [step["name"] for step in status["steps"]][:2] == ["plan", "plan"]
