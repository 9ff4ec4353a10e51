"""Histories that nobody here wrote, by the images of their applications: to their heads, back by one, and as far as they can.

None of them can be taken back to its base by its own downgrades: what they had changed before they failed is restored. What is
pinned of each is a fact of its release.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.embedded import catalog
from tests.cluster.operator.idlers import Idler
from tests.cluster.operator.stage import QUOTED_PASSWORD, ROLE_PASSWORD_SQL, Stage
from tests.integration.projects import Project
from tests.integration.real_histories.conftest import Application
from tests.integration.real_histories.histories import JUPYTERHUB, MLFLOW, OPTUNA, History
from tests.sampling import IS_SOAK

# Who begins with tables of its own is installed here, too.
pytestmark = pytest.mark.timeout(900)
PACKAGES = "/venv/lib/python3.13/site-packages"


@dataclass(frozen=True)
class Case:
    """A history, the revision before its head, and why its base is not reached from there.

    Where one transaction holds the whole way nothing has to be restored. An application's own Alembic configuration is at /app.
    """

    history: History
    before: str
    says: str
    restores: bool = False

    @property
    def folder(self) -> str:
        """Where its image has what the configuration's place is told from."""
        return "/app" if self.history.config_is_made else f"{PACKAGES}/{self.history.path}"


_ALWAYS = [Case(OPTUNA, "v3.0.0.d", "Revision v3.0.0.c failed: AttributeError")]
_IN_A_SOAK = [
    Case(MLFLOW, "75868b020152", "Revision 2b4d017a5e9b failed: 2BP01"),
    Case(JUPYTERHUB, "ff1860e38070", "Revision 3c2384c5aae1 failed: TypeError", restores=True),
]


@pytest.mark.parametrize(
    "case", [*_ALWAYS, *(_IN_A_SOAK if IS_SOAK else [])], ids=lambda case: case.history.application
)
def test_a_history_goes_to_its_head_back_by_one_and_never_stays_half_way(stage: Stage, case: Case, tmp_path: Path):
    history, cluster = case.history, stage.namespace.cluster
    application = Idler(stage.namespace, cluster.image(catalog.TOOLS))
    application.start()
    begin(stage, history, tmp_path)
    image = cluster.image(catalog.application(history.application))
    source = {"image": {"reference": image}}
    stage.spec["migrations"] = {"source": source, "path": case.folder, "config": history.config}
    stage.apply()
    status = stage.succeeded()
    assert (status["plan"]["count"], len(status["run"]["appliedRevisions"])) == (history.pending, history.pending)
    assert stage.heads() == [history.head]
    for table in history.tables:
        assert stage.psql(f"SELECT to_regclass('{table}') IS NOT NULL") == "t"

    stage.spec["policy"] = {"downgrade": "Allow"}
    stage.apply(targetRevision=case.before)
    status = stage.succeeded()
    assert (stage.heads(), status["run"]["undoneRevisions"]) == ([case.before], [history.head])

    stage.spec |= {"targetRevision": "base", "drain": {"workloads": [application.drain]}}
    stage.apply(rollback={"onFailure": "Restore"})
    stage.until("DataLossNotAccepted")
    told = len(stage.events())
    stage.apply(rollback={"onFailure": "Restore", "acceptDataLoss": True})
    status = stage.until("RolledBack" if case.restores else "MigrationFailed", timeout=240)
    assert (status["currentRevisions"], stage.heads()) == ([case.before], [case.before])
    assert case.says in " ".join(stage.condition()["message"].split())
    assert bool(stage.tells("Draining", behind=told)) == case.restores
    assert ("restored" in status["run"]) == case.restores
    assert case.restores or not status["run"].get("undoneRevisions")
    assert (application.size[0], status.get("drain")) == (1, None)


def begin(stage: Stage, history: History, folder: Path) -> None:
    """Make what the database holds before the first of the pending revisions, as the application does; give the URL its driver."""
    url = stage.url.replace("+psycopg:", f"+{history.driver.partition('+')[2]}:")
    stage.secret(url)
    here = url.replace(f"@{stage.server.host}/", f"@127.0.0.1:{stage.server.forward.local()}/")
    with plain_password(stage) as plain:
        Application(history, Project(folder, here.replace(QUOTED_PASSWORD, plain))).begin()


@contextmanager
def plain_password(stage: Stage) -> Iterator[str]:
    """Within, the role has a password that old releases can read from a URL: some unquote it twice."""
    stage.server.psql(f"ALTER ROLE {stage.role} PASSWORD 'plain'")
    try:
        yield "plain"
    finally:
        stage.server.psql(f"ALTER ROLE {stage.role} PASSWORD '{ROLE_PASSWORD_SQL}'")
