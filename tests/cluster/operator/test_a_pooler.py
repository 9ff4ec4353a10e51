"""PgBouncer in front of the database, whose sessions are of one transaction: refused for a migration, and no hindrance for a restore."""

from __future__ import annotations

from tests.cluster.embedded import catalog
from tests.cluster.operator.history import CREATE_ORDERS, chain
from tests.cluster.operator.orders import give, told
from tests.cluster.operator.stage import PASSWORD, Stage, served

PORT = 6432
ADMIN = {"secretKeyRef": {"name": "past-the-pooler", "key": "url"}}


def pooled(stage: Stage) -> str:
    """The URL of the stage's database through a pooler, which is started for it."""
    users = '"{}" "{}"'.format(stage.role, PASSWORD.replace('"', '""'))
    settings = (
        f"[databases]\n* = host={stage.server.host}\n[pgbouncer]\nlisten_addr = 0.0.0.0\nlisten_port = {PORT}\nunix_socket_dir =\n"
        "auth_type = trust\nauth_file = /tmp/users\npool_mode = transaction\nignore_startup_parameters = extra_float_digits\n"
    )
    begin = 'printf "%s\\n" "$USERS" >/tmp/users; printf "%s" "$SETTINGS" >/tmp/ini; exec pgbouncer -q /tmp/ini'
    pooler = {
        "name": "pooler",
        "image": stage.namespace.cluster.image(catalog.POSTGRESQL),
        "command": ["sh", "-c", begin],
        "env": [{"name": "USERS", "value": users}, {"name": "SETTINGS", "value": settings}],
        "ports": [{"containerPort": PORT}],
        "startupProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1, "failureThreshold": 60},
    }
    namespace = served(stage.namespace.cluster, pooler)
    return stage.url.replace(stage.server.host, f"pooler.{namespace.name}.svc:{PORT}")


def test_a_transaction_pooler_is_named_and_what_is_restored_is_restored_past_it(stage: Stage):
    direct, through = stage.url, pooled(stage)
    stage.scripts(*chain(CREATE_ORDERS))
    stage.secret(through)
    stage.apply()
    stage.until("PoolerDetected")
    assert (stage.jobs()[:1], {*stage.jobs()}, stage.heads()) == (["plan"], {"plan"}, [])
    assert stage.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"

    stage.secret(direct)
    stage.apply(annotations={"dbmigration.io/retry": "direct"})
    (backup,) = stage.succeeded(timeout=180)["backups"]
    assert stage.heads() == ["r1"]

    stage.secret(through)
    stage.secret(direct, name=ADMIN["secretKeyRef"]["name"])
    stage.apply(database={**stage.spec["database"], "adminUrlFrom": ADMIN})
    give(stage, "back", backup["name"], accept=True)
    told(stage, "back", "Restored")
    assert stage.heads() == []
    assert len(stage.kept()) == 1
