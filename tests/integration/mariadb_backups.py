"""Backups of real MariaDB databases: filled by the client, restored by the commands that lie in each archive."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from dbmigration_runner.engines import engine_for
from dbmigration_runner.engines.mysql_catalog import catalog
from dbmigration_runner.engines.mysql_tools import option_file
from tests.integration.backups import Backups
from tests.integration.mariadb_server import MariaDatabase, MariaDB, quoted, said

RICH = Path(__file__).parent / "schemas" / "rich_mariadb.sql"
LOADING = "mariadb --defaults-file={options} --default-character-set=utf8mb4 --max-allowed-packet=1G"
ROWS = (
    "CREATE TABLE orders (id int PRIMARY KEY, note text); INSERT INTO orders SELECT seq, md5(seq) FROM seq_1_to_{rows}"
)


def of(database: MariaDatabase, directory: Path, *, admin: bool = True) -> Backups:
    """The backups of a database by the user `shop`, beside whom there is an administrator."""
    return Backups(database.url, directory, database.server.url(database.name, user="root") if admin else None)


def load(database: MariaDatabase, text: bytes) -> None:
    """Have the client run a script as root."""
    with root_options(database.server) as options:
        command = [*LOADING.format(options=options).split(), database.name]
        subprocess.run(command, input=text, check=True, capture_output=True)


def restore(server: MariaDB, dump: Path, database: str) -> None:
    """As a person would: tar, zstd, the client, and nothing of ours."""
    with root_options(server) as options:
        taken_apart = 'tar --extract --to-stdout --file="$1" --wildcards "*.sql.zst" | zstd --decompress --stdout'
        command = f'set -o pipefail; {taken_apart} | {LOADING.format(options=options)} "$2"'
        subprocess.run(["bash", "-c", command, "bash", dump, database], check=True, capture_output=True)


def restore_in_parallel(server: MariaDB, dump: Path, database: str, folder: Path) -> None:
    """The tables, then all pieces of their rows at the same time and in any order, then the rest."""
    folder.mkdir()
    subprocess.run(["tar", "--extract", f"--file={dump}", f"--directory={folder}"], check=True)
    with root_options(server) as options:

        def loading(file: Path) -> subprocess.Popen[bytes]:
            command = f'set -o pipefail; zstd --decompress --stdout "$1" | {LOADING.format(options=options)} "$2"'
            return subprocess.Popen(["bash", "-c", command, "bash", file, database])

        assert loading(folder / "1-tables.sql.zst").wait() == 0
        pieces = [loading(file) for file in sorted((folder / "2-rows").iterdir(), reverse=True)]
        assert [piece.wait() for piece in pieces] == [0] * len(pieces)
        for name in ("3-keys.sql.zst", "4-programs.sql.zst", "5-events.sql.zst"):
            assert loading(folder / name).wait() == 0


@contextlib.contextmanager
def root_options(server: MariaDB) -> Iterator[str]:
    with option_file(engine_for(server.url("mysql", user="root")).url) as options:
        yield options


@contextlib.contextmanager
def copy_of(database: MariaDatabase) -> Iterator[str]:
    """A fresh database of the same character set and collation."""
    name = f"{database.name}_copy"
    (like,) = database.ask("SELECT @@character_set_database, @@collation_database")
    with database.server.superuser() as connection:
        said(connection, f"CREATE DATABASE {quoted(name)} CHARACTER SET {like[0]} COLLATE {like[1]}")
        try:
            yield name
        finally:
            said(connection, f"DROP DATABASE {quoted(name)}")


def schema(server: MariaDB, database: str) -> tuple[str, ...]:
    """The catalog's lines."""
    with engine_for(server.url(database, user="root")).connect() as session:
        return catalog(session).items


def written(server: MariaDB, database: str) -> dict[str, str]:
    """Each table as the server writes it, its columns and keys in their order."""
    with server.superuser(database) as connection:
        return {
            str(name): str(said(connection, f"SHOW CREATE TABLE {quoted(name)}")[0][1]).replace(
                f"{quoted(database)}.", ""
            )
            for (name,) in said(connection, "SHOW TABLES")
        }


def contents(server: MariaDB, database: str) -> dict[str, object]:
    """The server's own checksum over every row of each table, with a versioned one's past."""
    with server.superuser(database) as connection:
        tables = said(
            connection,
            "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
            " AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')",
        )
        found: dict[str, object] = {}
        for name, kind in tables:
            found[name] = said(connection, f"CHECKSUM TABLE {quoted(name)} EXTENDED")[0][1]
            if kind == "SYSTEM VERSIONED":
                found[f"{name}, all times"] = said(
                    connection, f"SELECT * FROM {quoted(name)} FOR SYSTEM_TIME ALL ORDER BY 1, 2"
                )
        return found


def probes(server: MariaDB) -> list[str]:
    """Probe databases that are there."""
    with server.superuser() as connection:
        return [str(name) for (name,) in said(connection, r"SHOW DATABASES LIKE 'dbmigration\_probe\_%'")]
