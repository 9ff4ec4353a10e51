"""A backup counts only when it was read back from the disk; whatever happened to it in between is found."""

from __future__ import annotations

import dataclasses
import random

import psutil
import pytest
import zstandard

from dbmigration_runner.checks.backup import verify_dump
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines import engine_for
from dbmigration_runner.engines.dump import dump_for
from dbmigration_runner.errors import RunnerError, Stopped
from tests.integration.backups import Backups, drop

FLIPS = 10
HUGE = 64 << 30  # sparse: it takes no room


@pytest.fixture(params=["postgresql", "mariadb"])
def shop(request, tmp_path):
    if request.param == "mariadb":
        there = request.getfixturevalue("mariadb_database")
        there.ask("CREATE TABLE orders (id int, note text)")
        there.ask("INSERT INTO orders SELECT seq, md5(seq) FROM seq_1_to_20000")
        return Backups(there.url, tmp_path / "backups")
    return in_postgresql(request.getfixturevalue("database"), tmp_path)


@pytest.fixture
def postgresql_shop(database, tmp_path):
    return in_postgresql(database, tmp_path)


def in_postgresql(database, tmp_path):
    database.ask(
        "CREATE TABLE orders (id int, note text);"
        "INSERT INTO orders SELECT i, md5(i::text) FROM generate_series(1, 20000) i; GRANT ALL ON orders TO shop"
    )
    return Backups(database.url, tmp_path / "backups")


def refusal(dump, written):
    with pytest.raises(RunnerError) as caught:
        verify_dump(dump, written, lambda: None)
    return caught.value


def damaged(written, name, content):
    """The same dump under another name, with another content on the disk."""
    path = written.path.with_name(f"{name}.partial")
    path.write_bytes(content)
    return dataclasses.replace(written, path=path)


def flipped(content, position):
    changed = bytearray(content)
    changed[position] ^= 0x10
    return bytes(changed)


def test_a_byte_that_flipped_anywhere_is_found(shop):
    chance = random.Random(20261123)
    with shop.written() as (dump, written):
        content = written.path.read_bytes()
        verify_dump(dump, written, lambda: None)
        for number in range(FLIPS):
            error = refusal(dump, damaged(written, f"flip-{number}", flipped(content, chance.randrange(len(content)))))
            assert error.reason is RunnerReason.BACKUP_CORRUPT


def test_a_dump_that_was_cut_anywhere_is_found(shop):
    with shop.written() as (dump, written):
        content = written.path.read_bytes()
        for number, length in enumerate((0, 1, len(content) // 2, len(content) * 9 // 10, len(content) - 1)):
            error = refusal(dump, damaged(written, f"cut-{number}", content[:length]))
            assert error.reason is RunnerReason.BACKUP_CORRUPT
            assert f"{length} are there" in error.message


def test_what_was_damaged_before_it_was_hashed_is_found_by_decoding(shop):
    """The hash of broken memory is right for the broken file; only reading every row tells."""
    chance = random.Random(20261123)
    with shop.written() as (dump, written):
        content = written.path.read_bytes()
        positions = [chance.randrange(16, len(content)) for _ in range(FLIPS)]
        broken = [flipped(content, position) for position in positions] + [content[: len(content) * 9 // 10]]
        for number, bad in enumerate(broken):
            there = damaged(written, f"early-{number}", bad)
            decoded = dump.decode(there.path, lambda: None)
            stored = dataclasses.replace(written.stored, size_bytes=len(bad), sha256=decoded.sha256)
            error = refusal(dump, dataclasses.replace(there, stored=stored))
            assert error.reason is RunnerReason.BACKUP_CORRUPT


def test_a_table_whose_rows_are_not_in_the_dump_is_found(shop):
    with shop.written() as (dump, written):
        more = dataclasses.replace(written.snapshot, tables=written.snapshot.tables | {"customers"})
        error = refusal(dump, dataclasses.replace(written, snapshot=more))
    assert "no rows of customers" in error.message


@pytest.mark.parametrize("name", ["huge.dump.zst", "huge.sqlite", "huge.sql.tar"])
def test_a_stop_while_a_dump_is_read_back_does_not_wait_for_its_end(request, tmp_path, name):
    """A terabyte is read for hours; a Pod that was told to stop is killed, and its report with it, after two minutes."""

    def stop():
        raise Stopped(RunnerReason.TIMED_OUT, "enough")

    path = tmp_path / name
    with path.open("wb") as file:
        if name.endswith(".zst"):
            file.write(zstandard.ZstdCompressor().compress(b"no archive"))
        file.truncate(HUGE)
    urls = {
        ".zst": lambda: request.getfixturevalue("database").url,
        ".tar": lambda: request.getfixturevalue("mariadb_database").url,
        ".sqlite": lambda: f"sqlite:///{tmp_path}/shop.db",
    }
    dump = dump_of(urls[path.suffix]())
    before = psutil.Process().io_counters().read_chars
    with pytest.raises(Stopped):
        dump.decode(path, stop)
    assert psutil.Process().io_counters().read_chars - before < HUGE // 2


def dump_of(url):
    """What reads a dump of that database."""
    engine = engine_for(url)
    lock = engine.lock(exclusive=False, should_stop=lambda: None, wait_seconds=1)
    try:
        return dump_for(engine, None, lock)
    finally:
        lock.release()


def test_a_corrupt_dump_is_kept_for_a_look_until_the_next_backup(shop):
    with shop.written("shop-1-20261123T000000Z") as (dump, written):
        corrupt = f"shop-1-20261123T000000Z{dump.suffix}.corrupt"
        written.path.write_bytes(flipped(written.path.read_bytes(), 4000))
        assert corrupt in refusal(dump, written).message
    assert shop.files == {corrupt}
    assert shop.manifests == ()
    shop.take("second")
    assert shop.files == {f"second{dump.suffix}", "second.manifest.json"}


def test_partitions_whose_rows_are_dumped_as_their_parents_are_not_missed(postgresql_shop, database):
    """A hash of an enum differs between servers, so pg_dump lets a restore find the partition anew."""
    database.ask(
        "CREATE TYPE state AS ENUM ('open', 'paid'); CREATE TABLE bills (id int, state state) PARTITION BY HASH (state);"
        "CREATE TABLE bills_0 PARTITION OF bills FOR VALUES WITH (MODULUS 2, REMAINDER 0) PARTITION BY LIST (id);"
        "CREATE TABLE bills_0_1 PARTITION OF bills_0 DEFAULT;"
        "CREATE TABLE bills_1 PARTITION OF bills FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
        "INSERT INTO bills SELECT i, (ARRAY['open', 'paid'])[i % 2 + 1]::state FROM generate_series(1, 100) i;"
        "GRANT ALL ON bills, bills_0, bills_0_1, bills_1 TO shop; GRANT ALL ON TYPE state TO shop"
    )
    postgresql_shop.take()
    (manifest,) = postgresql_shop.manifests
    assert manifest.rows == {"public.orders": 20000, "public.bills": 100}


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "KOI8R", "LATIN1"])
def test_a_table_whose_name_cannot_be_compared_is_not_missed(postgres, tmp_path, encoding):
    """Python knows not all of the encodings that a server may have."""
    letter = "щ" if encoding == "KOI8R" else "ö"
    with postgres.superuser() as connection:
        connection.execute(
            f"CREATE DATABASE elsewhere OWNER shop ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        )
    try:
        with postgres.superuser("elsewhere") as connection:
            connection.execute("SET client_encoding = 'UTF8'")
            connection.execute(f"CREATE TABLE {letter} (id int); GRANT ALL ON {letter} TO shop")
        shop = Backups(postgres.url("elsewhere"), tmp_path / "backups")
        shop.take()
        assert len(shop.manifests) == 1
    finally:
        drop(postgres, "elsewhere")
