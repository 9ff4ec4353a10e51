"""Three applications' histories: where their packages keep them, where they begin, and what shows that nothing was lost.

Facts of the locked releases only: how a step is run is the fixture's business.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class History:
    """One application's migrations, as its package ships them."""

    application: str
    driver: str
    path: str  # of the working directory, within the installed packages
    config: str  # relative to it
    revisions: int  # from nothing to head
    start: tuple[str, ...]  # heads of the database that the application's first tables come with
    pending: int  # from there to head
    middle: str
    head: str
    tables: tuple[str, ...]  # some that only the last revisions know
    rows: str  # written at the middle; "" where the database began with rows
    kept: tuple[str, ...]  # queries that say at head what they said at the middle
    told: str  # what the application itself then finds in its database
    reversible: dict[str, int]  # how many revisions can be undone, by what their downgrade() says
    dropping: int  # how many of them drop tables or columns
    unclear: int  # how many may destroy what has no name
    undoable: int  # from the head down, until the first whose downgrade() raises
    config_is_made: bool = False  # by the application, where its package has a template only
    runs_on_mariadb: bool = False  # from nothing to head; else the application makes the head's tables there
    first_tables_by: str = ""  # the requirements of the release that makes them; "" where the history does


OPTUNA = History(
    application="optuna",
    driver="postgresql+psycopg",
    path="optuna/storages/_rdb",
    config="alembic.ini",
    revisions=10,
    start=(),
    pending=10,
    middle="v2.6.0.a",
    head="v3.2.0.a",
    tables=("study_directions", "trial_intermediate_values", "trial_values"),
    rows="""
        INSERT INTO studies (study_id, study_name) VALUES (1, 'paraboloid');
        INSERT INTO study_directions (study_id, direction, objective) VALUES (1, 'MINIMIZE', 0);
        INSERT INTO trials (trial_id, number, study_id, state, datetime_start, datetime_complete)
            VALUES (1, 0, 1, 'COMPLETE', '2021-03-01 10:00', '2021-03-01 10:01');
        INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json)
            VALUES (1, 'x', 0.5, '{"name": "UniformDistribution", "attributes": {"low": 0.0, "high": 1.0}}');
        INSERT INTO trial_values (trial_id, objective, value) VALUES (1, 0, 0.25);
        INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value) VALUES (1, 3, 0.75);
        """,
    kept=(
        "SELECT study_id, study_name FROM studies",
        "SELECT study_id, direction::text, objective FROM study_directions",
        "SELECT trial_id, number, state::text, datetime_start, datetime_complete FROM trials",
        "SELECT trial_id, param_name, param_value FROM trial_params",
        "SELECT trial_id, objective, value FROM trial_values",
        "SELECT trial_id, step, intermediate_value FROM trial_intermediate_values",
    ),
    told="paraboloid COMPLETE {'x': 0.5} [0.25]",
    reversible={"Works": 9, "Empty": 1},
    dropping=4,
    unclear=6,
    undoable=2,
)

MLFLOW = History(
    application="mlflow",
    driver="postgresql+psycopg2",
    path="",
    config="mlflow/store/db_migrations/alembic.ini",
    revisions=67,
    start=(),
    pending=67,
    middle="a1b2c3d4e5f6",
    head="dc11669786a5",
    tables=("webhooks", "scorers", "jobs", "secrets"),
    rows="""
        INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage)
            VALUES (7, 'churn', '/artifacts/7', 'active');
        INSERT INTO runs (run_uuid, name, status, start_time, lifecycle_stage, artifact_uri, experiment_id, source_type)
            VALUES ('0123456789abcdef0123456789abcdef', 'first', 'FINISHED', 1700000000000, 'active', '/artifacts/7/0', 7, 'LOCAL');
        INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
            VALUES ('loss', 0.5, 1700000000001, '0123456789abcdef0123456789abcdef', 1, false),
                   ('loss', 0.25, 1700000000002, '0123456789abcdef0123456789abcdef', 2, false);
        INSERT INTO params (key, value, run_uuid) VALUES ('depth', '5', '0123456789abcdef0123456789abcdef');
        INSERT INTO tags (key, value, run_uuid) VALUES ('owner', 'ada', '0123456789abcdef0123456789abcdef');
        """,
    kept=(
        "SELECT experiment_id, name, artifact_location, lifecycle_stage FROM experiments",
        "SELECT run_uuid, name, status, start_time, artifact_uri, experiment_id FROM runs",
        "SELECT key, value, timestamp, run_uuid, step, is_nan FROM metrics ORDER BY step",
        "SELECT key, value, run_uuid FROM params",
        "SELECT key, value, run_uuid FROM tags",
    ),
    told="churn",
    reversible={"Works": 40, "Empty": 27},
    dropping=31,
    unclear=1,
    undoable=60,
    runs_on_mariadb=True,
    first_tables_by="mlflow",
)

JUPYTERHUB = History(
    application="jupyterhub",
    driver="postgresql+psycopg",
    path="",
    config="alembic.ini",
    revisions=19,
    start=("4dc2d5a8c53c",),
    pending=9,
    middle="4621fec11365",
    head="f460b0348206",
    tables=("oauth_clients", "spawners", "user_group_map"),
    rows="",
    kept=(
        "SELECT id, name, admin FROM users ORDER BY id",
        "SELECT id, name FROM groups",
        "SELECT user_id, group_id FROM user_group_map",
        "SELECT id, name FROM services",
        "SELECT id, user_id, server_id, name FROM spawners ORDER BY id",
        "SELECT id, identifier FROM oauth_clients",
    ),
    told="admin\nhas-server",
    reversible={"Works": 19},
    dropping=18,
    unclear=0,
    undoable=5,
    config_is_made=True,
    first_tables_by="jupyterhub-1.1",
)

ALL = (OPTUNA, MLFLOW, JUPYTERHUB)


def named(history: History) -> str:
    """A history's name in a test's."""
    return history.application
