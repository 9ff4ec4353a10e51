"""What goes wrong before a migration and can be mended outside: each its own reason with a remedy, and no migrate Job.

Once it is mended the run goes on by itself. What a person must decide is told by the scenarios.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.cluster.operator.history import GOOD, chain
from tests.cluster.operator.stage import QUOTED_PASSWORD, Stage


@dataclass(frozen=True, slots=True)
class Trouble:
    """How it is made, what must be seen, and how it is mended."""

    reason: str
    make: Callable[[Stage], object]
    mend: Callable[[Stage], object]
    words: str = ""


def _with_spec(**changes: object) -> Callable[[Stage], object]:
    return lambda stage: stage.spec.update(changes)


def _delete_secret(stage: Stage) -> None:
    stage.namespace.kubectl("delete", "secret", "database")


def _service_account(stage: Stage) -> None:
    stage.namespace.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "migrations"}})


MENDABLE: dict[str, Trouble] = {
    "wrong password": Trouble(
        "AuthenticationFailed",
        lambda s: s.secret(s.url.replace(QUOTED_PASSWORD, "wrong")),
        lambda s: s.secret(),
        "Secret",
    ),
    "unreachable server": Trouble(
        "DatabaseUnreachable",
        lambda s: s.secret(s.url.replace(s.server.host, "nowhere.databases.svc")),
        lambda s: s.secret(),
    ),
    "no such database": Trouble(
        "DatabaseNotFound", lambda s: s.secret(s.url.replace(s.database, "absent")), lambda s: s.secret()
    ),
    "missing Secret": Trouble("SecretNotFound", _delete_secret, lambda s: s.secret(), "database"),
    "missing key": Trouble(
        "SecretNotFound", lambda s: (_delete_secret(s), s.secret(key="other")), lambda s: s.secret(), "url"
    ),
    "missing service account": Trouble(
        "PodRejected", _with_spec(podTemplate={"serviceAccountName": "migrations"}), _service_account, "migrations"
    ),
    "no rights to alter": Trouble(
        "InsufficientPrivilege",
        lambda s: s.psql(
            "CREATE TABLE orders (id int); ALTER DATABASE "
            + s.database
            + " OWNER TO postgres; REVOKE ALL ON SCHEMA public FROM PUBLIC; "
            f"GRANT USAGE ON SCHEMA public TO {s.role}; DROP TABLE orders"
        ),
        lambda s: s.psql(f"GRANT ALL ON SCHEMA public TO {s.role}"),
    ),
}


@pytest.mark.parametrize("name", MENDABLE)
def test_what_is_mended_outside_goes_on_by_itself(stage: Stage, name: str):
    trouble = MENDABLE[name]
    stage.scripts(*chain(*GOOD))
    trouble.make(stage)
    stage.apply()
    # Read once: the next attempt may have begun a second later.
    conditions = {item["type"]: item for item in stage.until(trouble.reason)["conditions"]}
    assert [conditions[kind]["status"] for kind in ("Ready", "Reconciling", "Stalled")] == ["False", "True", "False"]
    assert trouble.words in conditions["Ready"]["message"]
    assert "migrate" not in stage.jobs()
    trouble.mend(stage)
    stage.succeeded(timeout=180)
    assert stage.heads() == ["r3"]


def test_an_unknown_image_is_named_and_pulled_once_the_spec_is_mended(stage: Stage):
    stage.scripts(*chain(*GOOD))
    source = stage.spec["migrations"]
    stage.spec["migrations"] = {"source": {"image": {"reference": "registry.invalid/shop:9.9"}}}
    stage.apply()
    stage.until("ImagePullFailed")
    assert "registry.invalid/shop:9.9" in stage.condition()["message"]
    stage.spec["migrations"] = source
    stage.apply()
    status = stage.succeeded(timeout=180)
    assert [entry["outcome"] for entry in status["history"]] == ["Succeeded", "Superseded"]
