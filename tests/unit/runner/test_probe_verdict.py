"""What pg_restore's complaints tell of a dump: a failed restore is final, one that could not be tried is not."""

from __future__ import annotations

import pytest

from dbmigration_runner.engines.postgresql_probe import verdict

MISSING = (
    'could not execute query: ERROR:  could not open extension control file "/usr/share/isn.control": No such file'
)
SERVER = 'connection to server at "10.0.0.7", port 5432 failed: '


def complaints(*errors):
    lines = "".join(f"pg_restore: error: {error}\nCommand was: CREATE …;\n\n" for error in errors)
    return f"{lines}pg_restore: warning: errors ignored on restore: {len(errors)}\n"


@pytest.mark.parametrize(
    "error",
    [
        SERVER + "Connection refused",
        SERVER + "FATAL:  sorry, too many clients already",
        SERVER + 'FATAL:  too many connections for role "shop"',
        SERVER
        + 'FATAL:  no pg_hba.conf entry for host "10.0.0.9", user "shop", database "dbmigration_probe_1", no encryption',
        'connection to database "dbmigration_probe_1" failed: FATAL:  the database system is starting up',
        "could not execute query: FATAL:  terminating connection due to administrator command",
        "could not execute query: server closed the connection unexpectedly",
        "could not execute query: SSL connection has been closed unexpectedly",
        "could not execute query: no connection to the server",
        'could not execute query: ERROR:  could not extend file "base/5/2608": No space left on device',
        "could not execute query: ERROR:  out of shared memory",
        "could not execute query: ERROR:  canceling statement due to statement timeout",
        "could not execute query: ERROR:  cannot execute CREATE TABLE in a read-only transaction",
        "could not execute query: ERROR:  can only create extension in database postgres",
        "pg_restore ended with -9",
    ],
)
@pytest.mark.parametrize("after", [(), ('could not execute query: ERROR:  schema "cron" does not exist',)])
def test_what_kept_a_restore_from_being_tried_is_no_failed_restore(error, after):
    found = verdict(complaints(error, *after), in_english=True)
    assert found is not None
    assert found.restorable is None
    assert error.removeprefix("could not execute query: ").removeprefix("ERROR:  ") in found.note


def test_what_a_role_may_not_restore_is_no_failed_restore():
    found = verdict(
        complaints('could not execute query: ERROR:  permission denied to create extension "x"'), in_english=True
    )
    assert found is not None
    assert found.restorable is None


@pytest.mark.parametrize(
    "error",
    [
        MISSING,
        "could not execute query: ERROR:  function now_utc() does not exist",
        'could not execute query: ERROR:  type "vector" does not exist',
        'could not execute query: ERROR:  syntax error at or near "VIRTUAL"',
    ],
)
def test_an_object_that_does_not_restore_is_named(error):
    found = verdict(complaints(error), in_english=True)
    assert found is not None
    assert found.restorable is False
    assert error.removeprefix("could not execute query: ERROR:  ") in found.note


def test_what_is_said_in_another_language_is_not_judged():
    found = verdict(complaints("could not execute query: FEHLER:  Typ »vector« existiert nicht"), in_english=False)
    assert found is not None
    assert found.restorable is None


def test_a_pg_restore_that_never_began_tells_nothing_of_the_dump():
    found = verdict("pg_restore: symbol lookup error: undefined symbol: PQfinish\n", in_english=True)
    assert found is not None
    assert found.restorable is None
    assert "PQfinish" in found.note


@pytest.mark.parametrize(
    "said",
    ["", complaints('could not execute query: ERROR:  unrecognized configuration parameter "transaction_timeout"')],
)
def test_a_setting_that_an_older_server_does_not_know_is_nothing(said):
    assert verdict(said, in_english=True) is None
