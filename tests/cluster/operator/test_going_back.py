"""An older revision as a wish: written by the command line, and by a manifest whose image does not know where the database is."""

from __future__ import annotations

from typing import Any

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


def test_the_shop_goes_back_by_one_revision_by_three_and_to_its_base(stage: Stage, cluster: Cluster):
    """By three with the image of before, which knows none of them: by the one that took the database further."""
    before, newer = (cluster.image(catalog.shop(release)) for release in ("1.0", "1.1"))

    def goes_to(image: str, target: str, **spec: Any) -> dict[str, Any]:
        source = {"image": {"reference": image}}
        stage.spec["migrations"] = {"source": source, "urlTo": {"env": {"DATABASE_URL": "url"}}}
        stage.apply(targetRevision=target, **spec)
        return stage.succeeded()

    wish = {"policy": {"downgrade": "Allow"}, "rollback": {"acceptDataLoss": True}}
    goes_to(before, "10a")
    goes_to(newer, "head")
    assert stage.heads() == ["11b"]

    status = goes_to(newer, "11a", **wish)
    assert (stage.heads(), status["run"]["undoneRevisions"]) == (["11a"], ["11b"])

    status = goes_to(before, "10a", **wish)
    assert (stage.heads(), status["run"]["undoneRevisions"]) == (["10a"], ["11a", "10c", "10b"])
    assert (status["run"]["verifiedBy"], status["run"].get("leftBehind")) == ("Schema", None)
    assert [step["name"] for step in status["steps"]][:2] == ["plan", "plan"]

    status = goes_to(before, "base", **wish)
    assert (stage.heads(), status["run"]["undoneRevisions"]) == ([], ["10a"])
    assert stage.psql("SELECT relname FROM pg_stat_user_tables") == "alembic_version"
