"""Which backups go and which stay."""

from __future__ import annotations

import dataclasses

import pytest

from dbmigration_runner.checks.manifest import SUFFIX, Manifest, read_manifests, write_manifest
from dbmigration_runner.checks.replaced import forget
from dbmigration_runner.checks.retention import give_up, prune, remove_left_overs, superfluous
from dbmigration_runner.contract.result import BackupReport
from dbmigration_runner.contract.task import BackupOrder
from dbmigration_runner.engines import engine_for

MANIFEST = Manifest(
    name="",
    file="",
    object="shops/shop/0123",
    run=1,
    attempt=1,
    taken_at="",
    verified_at="",
    engine="sqlite",
    server_version="3",
    tool="test",
    size_bytes=4,
    decoded_bytes=4,
    data_bytes=4,
    sha256="",
    revisions=(),
    version_table="alembic_version",
    catalog_digest="3:",
    catalog=(),
    rows={},
)

REPORT = BackupReport("", "", 4, "", (), "", "")


def named(day):
    return f"shop-{day}-202611{day:02d}T000000Z"


def backup(day, *, restorable=True, revisions=(), catalog_digest="3:"):
    return dataclasses.replace(
        MANIFEST,
        name=named(day),
        file=f"{named(day)}.sqlite",
        taken_at=f"2026-11-{day:02d}T00:00:00Z",
        restorable=restorable,
        revisions=revisions,
        catalog_digest=catalog_digest,
    )


# Days on which backups were taken by their own clocks, - before one that did not restore, ? before one that could not be
# tried, ! before the one just made where another clock is ahead of its.
@pytest.mark.parametrize(
    ("taken", "keep_last", "gone"),
    [
        pytest.param("1 2 3", 5, "", id="fewer than are kept stay"),
        pytest.param("1 2 3 4", 2, "1 2", id="the oldest go first"),
        pytest.param("3 1 2", 1, "1 2", id="age counts and not order"),
        pytest.param("1", 1, "", id="the last one stays"),
        pytest.param("1 2", 0, "1", id="nobody can ask for none"),
        pytest.param("1 -2 -3", 1, "", id="what does not restore replaces nothing"),
        pytest.param("-1 -2", 1, "", id="where none restores all stay for a look"),
        pytest.param("1 -2 3", 5, "2", id="what did not restore goes when a younger one does"),
        pytest.param("1 ?2 ?3", 2, "1", id="what could not be tried is a backup"),
        pytest.param("!1 2 3", 1, "2 3", id="what was just made is the newest, whatever its clock says"),
        pytest.param("!1 2 3 4", 2, "2 3", id="the others go by their clocks"),
        pytest.param("", 3, "", id="nothing"),
    ],
)
def test_the_newest_that_a_run_may_rely_on_are_kept(taken, keep_last, gone):
    states = {"-": False, "?": None}
    found = [backup(int(day.strip("-?!")), restorable=states.get(day[0], True)) for day in taken.split()]
    marked = [named(int(day[1:])) for day in taken.split() if day[0] == "!"]
    made = marked or [max((manifest.name for manifest in found), default="")]
    assert [manifest.name for manifest in superfluous(found, keep_last, made=made[0])] == [
        named(int(day)) for day in gone.split()
    ]


# Revision and schema of the database on day 1, 2, …; - before one that did not restore.
@pytest.mark.parametrize(
    ("states", "keep_last", "gone"),
    [
        pytest.param("a1 a1 b1 b1 b1", 2, (1, 3), id="the last state before several failed generations stays"),
        pytest.param("a1 a2 a2 a2", 1, (2, 3), id="another schema at the same revision is another state"),
        pytest.param("a1 b1 c1 c1", 1, (1, 3), id="only the newest of another state"),
        pytest.param("a1 b1 a1", 1, (1,), id="not the oldest of another state"),
        pytest.param("a1 -b1 c1", 1, (2,), id="what does not restore is no state to go back to"),
        pytest.param("a1 b1 b1", 2, (), id="it is kept beside those that are counted"),
    ],
)
def test_the_newest_of_another_state_is_never_removed(states, keep_last, gone):
    found = [
        dataclasses.replace(
            backup(day, restorable=state[0] != "-", revisions=(state[-2],)), catalog=(f"table of_{state[-1]}",)
        )
        for day, state in enumerate(states.split(), 1)
    ]
    removed = superfluous(found, keep_last, made=found[-1].name)
    assert [manifest.name for manifest in removed] == [named(day) for day in gone]


def stored(directory, day, **changes):
    manifest = dataclasses.replace(backup(day), **changes)
    (directory / manifest.file).write_bytes(b"dump")
    write_manifest(directory, manifest)
    return manifest


def names(directory):
    return {path.name for path in directory.iterdir()}


def test_dump_and_manifest_go_together(tmp_path):
    for day in (1, 2, 3):
        stored(tmp_path, day)
    assert prune(tmp_path, 2, made=named(3)) == (named(1),)
    assert names(tmp_path) == {f"{named(day)}{suffix}" for day in (2, 3) for suffix in (".sqlite", ".manifest.json")}


def test_what_made_room_before_a_backup_is_told_after_it(tmp_path):
    """The attempt between may fail, and its result tell nothing: the manifests remember."""
    for day in (1, 2, 3):
        stored(tmp_path, day)
    give_up(tmp_path, 1)
    assert [manifest.name for manifest in read_manifests(tmp_path)] == [named(3)]
    stored(tmp_path, 4)
    assert prune(tmp_path, 1, made=named(4)) == (named(1), named(2), named(3))
    assert names(tmp_path) == {f"{named(4)}.sqlite", f"{named(4)}.manifest.json"}


def test_a_dump_that_somebody_removed_is_told_as_gone(tmp_path):
    for day in (1, 2):
        stored(tmp_path, day)
    (tmp_path / f"{named(1)}.sqlite").unlink()
    assert prune(tmp_path, 5, made=named(2)) == (named(1),)


def test_the_backup_just_made_is_kept_where_another_clock_is_ahead(tmp_path):
    for day in (1, 2):
        stored(tmp_path, day)
    assert prune(tmp_path, 1, made=named(1)) == (named(2),)
    assert names(tmp_path) == {f"{named(1)}.sqlite", f"{named(1)}.manifest.json"}


@pytest.mark.parametrize(
    "name",
    [
        "before-hotfix.dump",
        "shop-2026-11-01.dump.zst",
        "app.sqlite",
        "app.sqlite.partial",
        "mine.dump.zst.corrupt",
        "download.partial",
        f"{named(1)}.dump.zst.copy",
        "notes.txt",
    ],
)
def test_what_bears_no_name_of_ours_is_never_removed(tmp_path, name):
    stored(tmp_path, 2)
    (tmp_path / name).write_bytes(b"somebody's")
    remove_left_overs(tmp_path)
    prune(tmp_path, 1, made=named(2))
    assert name in names(tmp_path)


def test_a_manifest_that_names_somebody_elses_file_removes_nothing(tmp_path):
    stored(tmp_path, 1, file="app.sqlite")
    stored(tmp_path, 2)
    assert prune(tmp_path, 1, made=named(2)) == ()
    assert "app.sqlite" in names(tmp_path)


def test_a_dump_whose_manifest_is_of_a_newer_version_is_not_ours_to_remove(tmp_path):
    stored(tmp_path, 1, version=2)
    stored(tmp_path, 2)
    remove_left_overs(tmp_path)
    prune(tmp_path, 1, made=named(2))
    assert [manifest.name for manifest in read_manifests(tmp_path)] == [named(2)]
    assert f"{named(1)}.sqlite" in names(tmp_path)


@pytest.mark.parametrize(
    "suffix",
    [".sqlite.partial", ".manifest.json.partial", ".dump.zst.corrupt", ".sqlite", ".dump", ".dump.zst"],
)
def test_only_what_is_no_backup_is_removed_before_one(tmp_path, suffix):
    stored(tmp_path, 1)
    (tmp_path / f"{named(2)}{suffix}").write_bytes(b"left")
    remove_left_overs(tmp_path)
    assert names(tmp_path) == {f"{named(1)}.sqlite", f"{named(1)}.manifest.json"}


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    manifest = stored(tmp_path, 1, rows={'public."odd ""name"': 3}, notes=("ä",), revisions=("a", "b"))
    assert read_manifests(tmp_path) == (manifest,)


@pytest.mark.parametrize("file", ["../day-1.sqlite", "/etc/passwd", "none.sqlite"])
def test_a_manifest_of_a_dump_elsewhere_is_no_backup(tmp_path, file):
    stored(tmp_path, 1)
    write_manifest(tmp_path, dataclasses.replace(backup(1), file=file))
    assert read_manifests(tmp_path) == ()


def test_a_backup_of_an_older_release_whose_schema_cannot_be_read_is_kept_as_of_another_state():
    """Whether its schema is today's nobody knows any more, and a backup too many is no harm."""
    lines = ("column alembic_version.version_num text", "table alembic_version", "table orders")
    older, newer = (
        dataclasses.replace(backup(day, revisions=("a2",), catalog_digest=form), catalog=lines)
        for day, form in ((2, "2:0"), (3, "3:0"))
    )
    assert superfluous([older, newer], 1) == ()


def test_what_was_written_about_lost_rows_goes_with_its_backup_and_the_database_that_has_the_values(tmp_path):
    database = tmp_path / "shop.db"
    engine = engine_for(f"sqlite:///{database}")
    directory = tmp_path / "backups"
    directory.mkdir()
    write_manifest(directory, backup(3))
    words = [
        f"{named(day)}.{what}-before_{day}.{form}"
        for day in (1, 2, 3)
        for what, form in (("lost", "jsonl"), ("restore", "json"))
    ]
    foreign = ["notes.lost-by-us.jsonl.bak", "customers.json", "lost-1.jsonl"]
    for name in (*words, *foreign, f"{named(1)}.lost-before_1.jsonl.partial"):
        (directory / name).write_text("{}")
    kept = database.with_name("shop.db.replaced-before_2")
    kept.write_text("kept")
    report, warnings = forget(BackupOrder(str(directory), named(3), keep_replaced=(kept.name,)), REPORT, engine, None)
    assert (report, warnings) == (REPORT, ())
    assert {path.name for path in directory.iterdir()} == {*words[2:], *foreign, named(3) + SUFFIX}
    report, _ = forget(
        BackupOrder(str(directory), named(3), drop_replaced=(kept.name, "shop.db")), REPORT, engine, None
    )
    assert (report.dropped, report.missing) == ((kept.name,), ("shop.db",))
    assert {path.name for path in directory.iterdir()} == {*words[4:], *foreign, named(3) + SUFFIX}
    assert not kept.exists()
