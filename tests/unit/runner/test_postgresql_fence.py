"""Whom a fence turns out before rows are compared, and whom only before names are exchanged."""

from __future__ import annotations

import re

import pytest

from dbmigration_runner.engines.postgresql_fence import expel, scheduler_for_good

THERE = {
    11: ("shop", "web", "client backend"),
    12: ("agent", "watches", "client backend"),
    13: ("postgres", "pg_cron scheduler", "pg_cron launcher"),
    14: ("shop", "", "parallel worker"),
    15: ("replicator", "", "walsender"),
    16: (None, "", "autovacuum worker"),
    17: ("postgres", "ours", "client backend"),
}


class Desk:
    """A server on which whoever is told to leave does."""

    def __init__(self) -> None:
        self.there = dict(THERE)

    def rows(self, statement: str, **_values: object) -> list[tuple[object, ...]]:
        assert "pg_stat_activity" in statement
        return [(pid, *of) for pid, of in self.there.items()]

    def value(self, statement: str, **_values: object) -> object:
        if told := re.search(r"pg_terminate_backend\((\d+)\)", statement):
            return self.there.pop(int(told[1])) is not None
        return 0


@pytest.mark.parametrize(
    ("everybody", "stay"), [(False, {12, 14, 15, 16, 17}), (True, {16, 17})], ids=["to compare", "to exchange"]
)
def test_an_extensions_worker_may_write_as_any_client_may(everybody, stay):
    desk = Desk()
    expel(desk, 5, but=frozenset({17}), spared=("agent",), everybody=everybody, alive=lambda: None)
    assert set(desk.there) == stay


@pytest.mark.parametrize(
    ("version", "told"), [(None, ""), ("1.4-1", "1.4-1"), ("1.5", "1.5"), ("1.6", ""), ("1.10", ""), ("2.0", "")]
)
def test_a_scheduler_that_would_start_again_only_with_the_server_is_known_by_its_version(version, told):
    class Asked(Desk):
        def value(self, statement: str, **values: object) -> object:
            assert "pg_cron" in statement
            return version if values == {"name": "shop"} else None

    assert scheduler_for_good(Asked(), "shop") == told
