"""The backup of a half-applied database says so, and so does every later one of it, and a restore of such a backup."""

from __future__ import annotations

from tests.integration.projects import create

AROUND = ("--drain-command", "true", "--resume-command", "true")


def test_the_run_after_a_half_applied_one_tells_what_its_backup_is_of(piecemeal):
    shop = piecemeal.project
    shop.revision("a1", None, create("t1"))
    assert shop.run("migrate").result.heads == ("a1",)
    shop.revision("a2", "a1", create("half"), 'op.execute("ALTER TABLE nowhere ADD COLUMN x INTEGER")')
    for _ in range(3):
        said = piecemeal.run("run", *piecemeal.admin)
        assert said.code == 3, said.err
    third, second, first = piecemeal.status()["backups"]
    assert "schemaNote" not in first
    assert f"not the one that the backup {first['name']} of the same revision has" in second["schemaNote"]
    assert "half" in second["schemaNote"]
    assert third["schemaNote"] == second["schemaNote"]
    assert second["schemaNote"] in " ".join(said.out.split()), "the third run's report"
    wish = ("--restore", second["name"], "--accept-data-loss", *AROUND)
    said = piecemeal.run("run", *wish, *piecemeal.admin)
    assert said.code == 0, said.err
    told = piecemeal.status()["conditions"][0]["message"]
    assert f"Of that backup: {second['schemaNote'][:60]}" in told


def test_half_a_revision_behind_another_of_the_same_run_is_told_until_it_is_there_as_a_whole(piecemeal):
    shop = piecemeal.project
    shop.revision("a1", None, create("t1"))
    shop.revision("a2", "a1", create("half"), 'op.execute("ALTER TABLE nowhere ADD COLUMN x INTEGER")')
    assert piecemeal.run("run", *piecemeal.admin).code == 3
    assert piecemeal.status()["currentRevisions"] == ["a1"]
    note = piecemeal.status()["schemaNote"]
    assert note.startswith("Run 1 left a part of a revision behind.")
    said = piecemeal.run("run", *piecemeal.admin)
    assert said.code == 3, said.err
    assert said.out.count("SchemaNoted: Run 1 left a part") == 1, said.out
    assert piecemeal.status()["backups"][0]["schemaNote"] == note
