"""Where scripts come from, and what runs them: old libraries, an asynchronous driver alone, a ConfigMap."""

from __future__ import annotations

import pytest

from tests.cluster.embedded import catalog
from tests.cluster.operator.history import GOOD, chain
from tests.cluster.operator.stage import Stage

PARTS = {"DB_USER": "user", "DB_PASSWORD": "password", "DB_HOST": "host", "DB_PORT": "port", "DB_NAME": "database"}


@pytest.mark.parametrize(
    ("name", "driver", "url_to"),
    [("oldest", "psycopg2", {"env": PARTS}), ("asyncpg", "asyncpg", {})],
    ids=["SQLAlchemy 1.4 and psycopg2", "asyncpg alone"],
)
def test_the_applications_own_libraries_do(stage: Stage, name: str, driver: str, url_to: dict):
    stage.secret(
        stage.url.replace("+psycopg:", f"+{driver}:").replace(f"{stage.server.host}/", f"{stage.server.host}:5432/")
    )
    image = stage.namespace.cluster.image(catalog.application(name))
    stage.apply(migrations={"source": {"image": {"reference": image}}, "urlTo": url_to})
    status = stage.succeeded()
    assert status["run"]["appliedRevisions"] == ["w1", "w2"]
    assert stage.heads() == ["w2"]
    assert (
        image.rpartition(":")[0] in status["run"]["image"]
    )  # from a registry it is told by its digest, not by its tag


def test_scripts_of_a_config_map_run_in_the_tools_image(stage: Stage):
    stage.scripts(*chain(*GOOD))
    stage.apply(checks={"after": {"tables": ["orders"], "columns": ["orders.total"], "integrity": True}})
    status = stage.succeeded()
    assert status["run"]["appliedRevisions"] == ["r1", "r2", "r3"]
    assert status["plan"]["statements"] >= 3
    assert status["metrics"]["peakMemoryBytes"] > 0
