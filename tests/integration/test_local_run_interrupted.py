"""A run without a cluster that somebody interrupts, or that dies: nothing is lost, nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
from urllib.parse import quote, quote_plus

import pytest

from tests.integration.local_program import Program, is_alive, wait_for_end
from tests.integration.postgresql_server import CANARY
from tests.integration.projects import create, wait_for

AT_WORK = (  # in this database: a run that another test has killed may not be gone from the server yet
    "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(0.1)%' AND pid <> pg_backend_pid()"
    " AND datname = current_database()"
)
TRACES = "SELECT count(*) FROM traces"


@pytest.fixture
def gate(tmp_path):
    """The file that lets the second revision pass."""
    return tmp_path / "gate"


@pytest.fixture
def program(project, database, tmp_path, gate):
    """Three revisions, each for itself; the second one works on the server until the gate is open."""
    shop = project("url_in_the_ini", database.url)
    environment = shop.path / "migrations" / "env.py"
    text = environment.read_text(encoding="utf-8")
    environment.write_text(
        text.replace(
            "context.configure(connection=connection)",
            "context.configure(connection=connection, transaction_per_migration=True)",
        ),
        encoding="utf-8",
    )
    shop.revision("a1", None, create("traces"), 'op.execute("INSERT INTO traces DEFAULT VALUES")')
    shop.revision(
        "a2",
        "a1",
        f"import os\nwhile not context.is_offline_mode() and not os.path.exists({str(gate)!r}):\n    op.execute('SELECT pg_sleep(0.1)')",
        'op.execute("INSERT INTO traces DEFAULT VALUES")',
    )
    shop.revision("a3", "a2", 'op.execute("INSERT INTO traces DEFAULT VALUES")')
    program = Program(shop, tmp_path)
    yield program
    program.end()


def in_mid_migration(program, database):
    """Start, and come to where the second revision works on the server."""
    started = program.start()
    wait_for(lambda: database.ask(AT_WORK), 60)
    return started


def test_ctrl_c_stops_the_step_on_the_server_and_the_next_start_goes_on(program, database, gate):
    started = in_mid_migration(program, database)
    started.interrupt()
    said = started.wait()
    assert said.code == 5, said.err
    assert database.ask(AT_WORK) == []
    assert not is_alive(program.runner())
    assert "stands at   a1" in said.out
    assert "interrupted: the run is open" in said.out
    assert "to go on    start the same command again" in said.out
    assert "stopped  a2" in said.out
    assert "FAILED" not in said.out
    gate.touch()
    said = program.run()
    assert said.code == 0, said.err
    assert program.steps() == [
        ("plan", "Succeeded"),
        ("migrate", "Failed"),
        ("look", "Succeeded"),
        ("migrate", "Succeeded"),
    ]
    assert (program.status()["run"]["number"], database.ask(TRACES)) == (1, [(3,)])


def test_a_killed_program_leaves_the_step_at_work_and_the_next_start_adopts_it(program, database, gate):
    in_mid_migration(program, database).kill()
    runner = program.runner()
    assert is_alive(runner)
    second = program.start()
    wait_for(
        lambda: (next(program.state.iterdir()) / "lock").read_text(encoding="ascii").strip() == str(second.process.pid)
    )
    gate.touch()
    said = second.wait()
    assert said.code == 0, said.err
    assert program.steps() == [("plan", "Succeeded"), ("migrate", "Succeeded")]
    assert (program.runner(), database.ask(TRACES)) == (runner, [(3,)])


def test_a_step_that_ended_while_nobody_watched_is_read_and_not_repeated(program, database, gate):
    in_mid_migration(program, database).kill()
    runner = program.runner()
    gate.touch()
    wait_for_end(runner)
    said = program.run()
    assert said.code == 0, said.err
    assert program.steps() == [("plan", "Succeeded"), ("migrate", "Succeeded")]
    assert database.ask(TRACES) == [(3,)]


def test_a_machine_that_died_with_program_and_step_is_looked_at_first(program, database, gate):
    in_mid_migration(program, database).kill()
    os.killpg(program.runner(), signal.SIGKILL)
    gate.touch()
    said = program.run()
    assert said.code == 0, said.err
    assert [name for name, _ in program.steps()] == ["plan", "migrate", "look", "migrate"]
    assert database.ask(TRACES) == [(3,)]


def test_a_crash_between_the_start_of_a_step_and_the_note_of_it_starts_no_second_one(program, database, gate):
    in_mid_migration(program, database).kill()
    runner = program.runner()
    (note,) = program.state.glob("*/steps/*-migrate-*/pid")
    note.unlink()
    gate.touch()
    said = program.run()
    assert said.code == 0, said.err
    assert not is_alive(runner)
    assert program.steps() == [("plan", "Succeeded"), ("migrate", "Succeeded")]
    assert database.ask(TRACES) == [(3,)]


def test_a_second_program_on_the_same_resource_is_refused_by_the_pid_of_the_first(program, database, gate):
    first = in_mid_migration(program, database)
    second = program.run()
    assert second.code == 7
    assert f"pid {first.process.pid}" in second.err
    gate.touch()
    assert first.wait().code == 0
    assert database.ask(TRACES) == [(3,)]


def test_a_run_is_cancelled_without_saying_again_where_its_backups_go(program, database):
    program.spec["backup"] = {"storage": {"persistentVolumeClaim": {"claimName": "backups"}}}
    started = in_mid_migration(program, database)
    started.interrupt()
    assert started.wait().code == 5
    said = program.run("cancel")
    assert (said.code, program.status()["phase"]) == (4, "Cancelled"), said.err
    assert len(program.status()["backups"]) == 1


def test_an_interrupted_run_can_be_cancelled_and_the_report_says_where_the_database_stands(program, database, gate):
    started = in_mid_migration(program, database)
    started.interrupt()
    started.wait()
    said = program.run("cancel")
    assert said.code == 4, said.err
    assert "stands at   a1" in said.out
    assert program.status()["phase"] == "Cancelled"
    gate.touch()
    assert program.run().code == 0
    assert (program.status()["run"]["number"], database.ask(TRACES)) == (2, [(3,)])


def test_the_password_stands_nowhere_whatever_happens(program, database, gate):
    started = in_mid_migration(program, database)
    started.interrupt()
    said = [started.wait()]
    gate.touch()
    broken = f'raise RuntimeError("cannot connect to {CANARY!r}".replace("x", "y"), {program.project.url!r})'
    program.project.revision("a4", "a3", broken)
    program.spec["backup"] = {"storage": {"persistentVolumeClaim": {"claimName": "backups"}}}
    said += [program.run(), program.run(), program.run("run", "--plan-only", "--sql"), program.run("status")]
    forms = {CANARY, quote(CANARY, safe=" +"), quote_plus(CANARY), json.dumps(CANARY)[1:-1], repr(CANARY)[1:-1]}
    told = [part for start in said for part in (start.out, start.err)]
    kept = [content.decode(errors="replace") for content in program.written().values()]
    assert len(kept) > 10
    assert [form for form in forms for text in (*told, *kept) if form in text] == []


def test_what_a_killed_program_left_of_the_url_goes_with_the_next_start(program, database, gate):
    in_mid_migration(program, database).kill()
    assert any(path.name == "url" for path in program.written())
    gate.touch()
    assert program.run().code == 0
    assert not any(path.name == "url" for path in program.written())
