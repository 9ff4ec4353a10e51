"""A PostgreSQL backup: what is in it is what was in the database at one instant, and its manifest says so."""

from __future__ import annotations

import dataclasses
import json
import stat
import threading

import pytest

from dbmigration_runner.checks.manifest import write_manifest
from dbmigration_runner.contract.result import BackupReport
from dbmigration_runner.engines.catalog import Catalog
from dbmigration_runner.engines.postgresql_catalog import dumped
from tests.integration import backups
from tests.integration.backups import Backups


@pytest.fixture
def shop(database, tmp_path):
    """A small shop at revision a1, whose administrator may create databases."""
    database.ask(
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); INSERT INTO alembic_version VALUES ('a1');"
        "CREATE TABLE orders (id int PRIMARY KEY, note text, total numeric(10,2));"
        "INSERT INTO orders SELECT i, CASE WHEN i % 3 > 0 THEN E'line\\nbreak\\\\.\\ttab ' || i END, i / 7.0"
        " FROM generate_series(1, 5000) i;"
        'CREATE TABLE "Odd (name" ("a.b" text, "x""y" int); INSERT INTO "Odd (name" VALUES (E\'\\\\.\', 1), (NULL, 2);'
        "CREATE TABLE nothing (); CREATE TABLE empty (id int);"
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO shop"
    )
    return Backups(database.url, tmp_path / "backups", database.server.url(database.name, user="postgres"))


def test_what_is_restored_elsewhere_is_what_was_backed_up(shop, database):
    report = shop.take()
    copy = database.name + "_copy"
    try:
        backups.restore(database.server, shop.directory / "first.dump.zst", copy)
        for table in ("orders", '"Odd (name"', "alembic_version"):
            assert backups.contents(database.server, copy, table) == backups.contents(
                database.server, database.name, table
            )
    finally:
        backups.drop(database.server, copy)
    assert report.restorable is True
    assert backups.probes(database.server) == []


def test_the_manifest_tells_what_was_found_in_the_dump(shop, database):
    database.ask(
        f"ALTER DATABASE {database.name} SET work_mem = '8MB'; COMMENT ON DATABASE {database.name} IS 'the shop'"
    )
    report = shop.take(start=("a1",))
    (manifest,) = shop.manifests
    assert manifest.rows == {
        "public.orders": 5000,
        'public."Odd (name"': 2,
        "public.alembic_version": 1,
        "public.nothing": 0,
        "public.empty": 0,
    }
    assert (manifest.revisions, manifest.plan_hash, manifest.sha256) == (("a1",), "plan-hash", report.sha256)
    assert manifest.image == "registry.example/shop:1.4"
    assert "column public.orders.total numeric(10,2)" in manifest.catalog
    assert manifest.surroundings is not None
    assert (manifest.surroundings.owner, manifest.surroundings.comment) == ("shop", "the shop")
    assert [setting.setting for setting in manifest.surroundings.settings] == ["work_mem=8MB"]
    assert report == BackupReport(
        name="first",
        location=str(shop.directory / "first.dump.zst"),
        size_bytes=(shop.directory / "first.dump.zst").stat().st_size,
        sha256=manifest.sha256,
        revisions=("a1",),
        taken_at=manifest.taken_at,
        verified_at=manifest.verified_at,
        restorable=True,
        catalog=manifest.catalog_digest,
        image="registry.example/shop:1.4",
    )


def test_nobody_else_can_read_a_backup(shop):
    shop.take()
    assert stat.S_IMODE(shop.directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in shop.directory.iterdir()} == {0o600}


def test_a_backup_is_of_one_instant_while_others_write(shop, database):
    """Each transaction writes one row into either table; a dump of two instants would hold unequal numbers."""
    database.ask("CREATE TABLE a (id serial, note text); CREATE TABLE zz (id serial, note text)")
    database.ask("INSERT INTO a (note) SELECT md5(i::text) FROM generate_series(1, 300000) i")
    database.ask("INSERT INTO zz (note) SELECT note FROM a")
    over = threading.Event()

    def write() -> None:
        with database.server.superuser(database.name) as connection:
            while not over.is_set():
                connection.execute(
                    "WITH x AS (INSERT INTO a (note) VALUES ('new')) INSERT INTO zz (note) VALUES ('new')"
                )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        shop.take()
    finally:
        over.set()
        writer.join()
    (manifest,) = shop.manifests
    written = database.ask("SELECT count(*) FROM a")[0][0]
    assert manifest.rows["public.a"] == manifest.rows["public.zz"]
    assert 300000 <= manifest.rows["public.a"] < written


def test_a_database_that_somebody_else_migrated_is_not_backed_up(shop):
    ran = shop.start(start=("a0",)).wait()
    assert ran.result.reason == "DatabaseMoved"
    assert "a1" in ran.result.message
    assert shop.files == set()


def test_an_empty_database_has_no_revision_and_is_backed_up(database, tmp_path):
    admin = database.server.url(database.name, user="postgres")
    report = Backups(database.url, tmp_path / "backups", admin).take(start=())
    assert (report.revisions, report.restorable) == ((), True)


def test_heads_are_read_where_the_plan_found_them(shop, database):
    database.ask("CREATE SCHEMA app; CREATE TABLE app.versions (version_num text)")
    database.ask(
        "INSERT INTO app.versions VALUES ('b2'), ('b1'); GRANT ALL ON SCHEMA app TO shop; GRANT ALL ON app.versions TO shop"
    )
    assert shop.take(version_table="app.versions", start=("b1", "b2")).revisions == ("b1", "b2")


def test_the_step_reports_the_database_and_leaves_it_as_it_was(shop):
    ran = shop.start(start=("a1",)).wait()
    assert (ran.code, ran.result.reason, ran.result.changed) == (0, "Done", False)
    assert ran.result.heads == ("a1",)
    assert ran.result.backup is not None
    assert ran.result.catalog == ran.result.backup.catalog


def test_only_the_newest_backups_are_kept(shop):
    names = [f"shop-{number}-20261123T00000{number}Z" for number in range(1, 4)]
    pruned = [shop.take(name, keep_last=2).pruned for name in names]
    assert pruned == [(), (), (names[0],)]
    assert [manifest.name for manifest in shop.manifests] == [names[2], names[1]]
    assert shop.files == {f"{name}{suffix}" for name in names[1:] for suffix in (".dump.zst", ".manifest.json")}


def test_the_backup_just_made_is_kept_after_one_of_a_clock_that_was_ahead(shop):
    ahead, made = "shop-1-20991231T000000Z", "shop-2-20261123T000000Z"
    shop.take(ahead)
    write_manifest(shop.directory, dataclasses.replace(shop.manifests[0], taken_at="2099-12-31T00:00:00Z"))
    assert shop.take(made, keep_last=1).pruned == (ahead,)
    assert shop.files == {f"{made}.dump.zst", f"{made}.manifest.json"}


def test_an_index_that_was_never_built_is_no_reason_to_doubt_the_backup(shop, database):
    """pg_dump leaves it out; a partitioned table's index that waits for its partitions' is dumped, and as invalid again."""
    database.ask(
        "CREATE TABLE parted (id int) PARTITION BY RANGE (id);"
        "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (1) TO (9);"
        "CREATE INDEX waiting ON ONLY parted (id); GRANT ALL ON parted, parted_1 TO shop"
    )
    with pytest.raises(Exception, match="could not create unique index"):
        database.ask('CREATE UNIQUE INDEX CONCURRENTLY "bro""ken" ON orders ((1))')
    report = shop.take()
    assert (report.restorable, report.restorable_note) == (True, "")
    assert any(item.startswith('index "bro""ken" invalid') for item in shop.manifests[0].catalog)


def test_a_valid_index_that_is_called_invalid_is_still_compared():
    found = Catalog(('index "an invalid" := a', "index invalid := b", "index x clustered := c", "index y invalid := d"))
    assert dumped(found).items == found.items[:3]


def test_the_list_of_backups_is_rebuilt_from_what_lies_on_the_volume(shop):
    shop.take("whole")
    shop.take("cut-later")
    with (shop.directory / "cut-later.dump.zst").open("r+b") as file:
        file.truncate(100)
    (shop.directory / "of-nothing.manifest.json").write_text("{}", encoding="utf-8")
    (shop.directory / "broken.manifest.json").write_text('{"version": 1, "name": ', encoding="utf-8")
    assert [manifest.name for manifest in shop.manifests] == ["whole"]


def test_a_manifest_holds_neither_host_nor_user_nor_password(shop, database):
    shop.take()
    text = (shop.directory / "first.manifest.json").read_text(encoding="utf-8")
    document = json.loads(text)
    assert "127.0.0.1" not in text
    assert str(database.server.port) not in json.dumps(
        {name: value for name, value in document.items() if name != "catalog"}
    )
