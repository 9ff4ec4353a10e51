"""The rows of two PostgreSQL databases, compared on the server: no row leaves it that is the same in both.

Each table is read once for one checksum, which for most of them is all; where it differs, once more for those of some thousand
buckets of keys. Only the rows of buckets that differ are sorted and merged, by cursors on the server, so neither memory here
nor the size of a table limits it. Checksums are no cursors, for those are never read by several processes at once. A mark
has 64 bits, made of a row's text: that is most of what a comparison costs, and 2 rows in 10^19 share one by accident.
"""
# ruff: noqa: S608  # statements are made of numbers, quoted names and literals of our own

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dbmigration_runner.contract.result import TableLoss
from dbmigration_runner.engines.postgresql_copy import qualified
from dbmigration_runner.engines.postgresql_names import parts, quoted, text_literal
from dbmigration_runner.engines.restore import LostRow
from dbmigration_runner.engines.row_comparison import Shape, common_columns
from dbmigration_runner.errors import StatementRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dbmigration_runner.engines.interface import AskingSession

T = TypeVar("T")
BUCKETS = 4096  # a power of two
FETCHED = 2000
LARGE_OBJECTS = "large objects"
# Text must be the same for the same value in both sessions, whatever the two databases are set to.
_SETTINGS = {
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "lc_monetary": "C",
    "row_security": "off",  # rather an error than fewer rows
}
# The tables of extensions too: of some the rows are in no dump, and what stands in them now would be gone. The last but one
# column is what rows have that are older than the column, as an array of one.
_COLUMNS = """
SELECT n.nspname::text, c.relname::text, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attgenerated <> '',
       a.attmissingval::text, pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND pg_catalog.left(n.nspname, 3) <> 'pg_'
  AND n.nspname <> 'information_schema'
ORDER BY 1, 2, a.attnum
"""
_SEQUENCES = "SELECT schemaname::text, sequencename::text, last_value FROM pg_catalog.pg_sequences"
_KEYS = """
SELECT n.nspname::text, c.relname::text, i.indexrelid, a.attname::text
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL pg_catalog.generate_series(0, i.indnkeyatts - 1) AS place
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[place]
WHERE i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
  AND NOT EXISTS (SELECT FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) AS p
                  JOIN pg_catalog.pg_attribute other ON other.attrelid = c.oid AND other.attnum = i.indkey[p]
                  WHERE NOT other.attnotnull)
ORDER BY i.indisprimary DESC, i.indexrelid, place
"""


class AtOnce(Protocol):
    """Do works at the same time, each on a session of its own, and give what they gave."""

    def __call__(self, *works: Callable[[], T]) -> list[T]:
        """Of all of them, in order."""
        ...


class Rows:
    """See row_comparison.Tables."""

    def __init__(self, before: Side, now: Side, version_table: str, at_once: AtOnce) -> None:
        self._sides = (before, now)
        self._version_table = version_table
        self._at_once = at_once
        self.before, self.now = self._sides[0].shapes, self._sides[1].shapes

    def count(self, table: str, *, before: bool) -> int:
        """See row_comparison.Tables."""
        side = self._sides[0 if before else 1]
        return self._at_once(lambda: int(side.value(f"SELECT count(*) FROM {side.source(table)}")))[0]

    def differing(
        self, table: str, key: tuple[str, ...], columns: tuple[str, ...], lost: Callable[[LostRow], None]
    ) -> tuple[int, int, int]:
        """See row_comparison.Tables."""
        if self.same(table, columns):
            return 0, 0, 0
        was, has = self._both(lambda side: side.buckets(table, key, columns))
        different = sorted({bucket for bucket, _ in set(was.items()) ^ set(has.items())})

        def merge() -> tuple[int, int, int]:
            was, has = (side.sorted_rows(table, key, columns, different) for side in self._sides)
            return _merge(table, key, was, has, lost)

        return self._at_once(merge)[0]

    def same(self, table: str, columns: tuple[str, ...]) -> bool:
        """See row_comparison.Tables."""
        was, has = self._both(lambda side: side.checksum(table, columns))
        return was == has

    def untouched(self, table: str, column: str) -> bool:
        """See row_comparison.Tables."""
        side, name = self._sides[1], quoted(column)
        made_with = side.made_with.get((table, column))
        another = "" if made_with is None else f" AND ARRAY[{name}]::text <> {text_literal(made_with)}"
        question = f"SELECT NOT EXISTS (SELECT FROM {side.source(table)} WHERE {name} IS NOT NULL{another})"
        return self._at_once(lambda: bool(side.value(question)))[0]

    def written_by_migrations(self) -> frozenset[str]:
        """See row_comparison.Tables. Where the schema is not known, the one that its heads are read from."""
        return frozenset(name for side in self._sides if (name := side.named(*parts(self._version_table))))

    def others(self) -> Iterator[TableLoss]:
        """See row_comparison.Tables. Large objects lie in a table of the system's, which may be closed to us."""
        for table in sorted(self._sides[0].closed | self._sides[1].closed):
            yield TableLoss(table, untold="this role may not read it, so it was not compared")
        yield from self._counted_on()
        counts = self._both(lambda side: int(side.value("SELECT count(*) FROM pg_catalog.pg_largeobject_metadata")))
        if counts == [0, 0]:
            return
        was, has = counts
        try:
            sums = self._both(lambda side: side.large_objects())
        except StatementRefused:
            sums = ["", " "]
        if sums[0] != sums[1]:
            yield TableLoss(LARGE_OBJECTS, max(has - was, 0), 0, max(was - has, 0), "they were only counted")

    def _counted_on(self) -> Iterator[TableLoss]:
        """Sequences that gave numbers since: the restored ones would give the same again."""
        was, has = (side.sequences() for side in self._sides)
        for name in sorted(was.keys() & has.keys()):
            if was[name] != has[name]:
                yield TableLoss(f"sequence {name}", untold="it has given numbers since, and will give them again")

    def _both(self, ask: Callable[[Side], T]) -> list[T]:
        return self._at_once(*(lambda side=side: ask(side) for side in self._sides))


class Side:
    """One of the two databases, at one instant: from its making on until `leave`."""

    def __init__(self, session: AskingSession) -> None:
        self._session = session
        for name, value in _SETTINGS.items():
            session.run(f"SET {name} = '{value}'")
        session.run("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        columns: dict[str, dict[str, str]] = {}
        keys: dict[str, dict[int, list[str]]] = {}
        self._sources: dict[str, str] = {}
        self._checksums: dict[tuple[str, tuple[str, ...]], str] = {}
        self._names: dict[str, set[str]] = {}  # the schemas of a table
        self.made_with: dict[tuple[str, str], str] = {}  # what a column has in rows that are older than it
        self.closed: set[str] = set()  # tables that this role may not read
        for schema, table, column, kind, computed, made_with, is_readable in session.rows(_COLUMNS):
            name = qualified(schema, table)
            if not is_readable:
                self.closed.add(name)
                continue
            if made_with is not None:
                self.made_with[name, column] = made_with
            self._sources[name] = f"ONLY {quoted(schema)}.{quoted(table)}"
            self._names.setdefault(table, set()).add(schema)
            held = columns.setdefault(name, {})
            if column is not None and not computed:
                held[column] = kind
        for schema, table, index, column in session.rows(_KEYS):
            keys.setdefault(qualified(schema, table), {}).setdefault(index, []).append(column)
        self.shapes: Mapping[str, Shape] = {
            name: Shape(held, tuple(tuple(key) for key in keys.get(name, {}).values()))
            for name, held in columns.items()
        }

    def named(self, schema: str | None, table: str) -> str | None:
        """As it is called here; in `public` first where the schema is not given."""
        found = [name for name in self._names.get(table, ()) if schema in {None, name}]
        ordered = sorted(found, key=lambda name: (name != "public", name))
        return qualified(ordered[0], table) if ordered else None

    def source(self, table: str) -> str:
        """For FROM."""
        return self._sources[table]

    def value(self, statement: str) -> Any:
        """One value of a statement with names of others in it."""
        return self._session.first_value(statement)

    def foresee(self, now: Mapping[str, Shape]) -> None:
        """Take the checksums that will be asked for, while nobody waits for them. What was foreseen amiss is taken then."""
        for table, shape in self.shapes.items():
            if table in now and (columns := common_columns(shape, now[table])):
                self.checksum(table, columns)

    def leave(self) -> None:
        """End the transaction."""
        self._session.run("ROLLBACK")

    def buckets(self, table: str, key: tuple[str, ...], columns: tuple[str, ...]) -> dict[int, str]:
        """How many rows, and a checksum of them, by bucket of the key."""
        found = self.value(
            "SELECT string_agg(bucket || ':' || rows || ' ' || mark, ',') FROM (SELECT bucket, count(*) AS rows, sum(mark) AS mark"
            f" FROM ({self._marked(table, key, columns)}) AS marked GROUP BY bucket) AS found"
        )
        told = (part.partition(":") for part in str(found or "").split(",") if part)
        return {int(bucket): mark for bucket, _, mark in told}

    def sorted_rows(
        self, table: str, key: tuple[str, ...], columns: tuple[str, ...], buckets: list[int]
    ) -> Iterator[tuple[Any, ...]]:
        """Sortable key, mark, and the key's columns as text, of the rows in these buckets, in order."""
        named = ", ".join(f"key_{number}" for number in range(len(key)))
        wanted = ", ".join(str(bucket) for bucket in buckets)
        self._session.run(
            f"DECLARE found NO SCROLL CURSOR FOR SELECT sortable, mark, {named}"
            f" FROM ({self._marked(table, key, columns)}) AS marked WHERE bucket IN ({wanted})"
            ' ORDER BY sortable COLLATE "C"'
        )
        yield from self._fetched("found")
        self._session.run("CLOSE found")

    def checksum(self, table: str, columns: tuple[str, ...]) -> str:
        """Of all rows, in whatever order."""
        if (table, columns) not in self._checksums:
            self._checksums[table, columns] = self._summed(_row(columns), self.source(table))
        return self._checksums[table, columns]

    def sequences(self) -> dict[str, int | None]:
        """The last number of each, None where it has given none or may not be read."""
        return {qualified(schema, name): last for schema, name, last in self._session.rows(_SEQUENCES)}

    def large_objects(self) -> str:
        """A checksum of their pages."""
        page = "loid::text || ' ' || pageno::text || ' ' || pg_catalog.encode(data, 'hex')"
        return self._summed(page, "pg_catalog.pg_largeobject")

    def _summed(self, text: str, source: str) -> str:
        return str(self.value(f"SELECT count(*) || ' ' || coalesce(sum({_mark(text)}), 0) FROM {source}"))

    def _marked(self, table: str, key: tuple[str, ...], columns: tuple[str, ...]) -> str:
        keys = "".join(f", {quoted(column)}::text AS key_{number}" for number, column in enumerate(key))
        return (
            f"SELECT pg_catalog.encode(pg_catalog.textsend({_row(key)}), 'hex') AS sortable, {_mark(_row(columns))} AS mark,"
            f' pg_catalog.hashtextextended({_row(key)} COLLATE "C", 0) & {BUCKETS - 1:d} AS bucket{keys}'
            f" FROM {self.source(table)}"
        )

    def _fetched(self, cursor: str) -> Iterator[tuple[Any, ...]]:
        while rows := self._session.rows(f"FETCH {FETCHED:d} FROM {cursor}"):
            yield from rows


def _row(columns: tuple[str, ...]) -> str:
    """The columns as one text that is never NULL."""
    return f"ROW({', '.join(quoted(column) for column in columns)})::text"


def _mark(text: str) -> str:
    return f'pg_catalog.hashtextextended(({text}) COLLATE "C", 1)'


def _merge(
    table: str,
    key: tuple[str, ...],
    before: Iterator[tuple[Any, ...]],
    now: Iterator[tuple[Any, ...]],
    lost: Callable[[LostRow], None],
) -> tuple[int, int, int]:
    """Walk both in step."""
    counts = {"inserted": 0, "updated": 0, "deleted": 0}

    def tell(kind: str, row: tuple[Any, ...]) -> None:
        counts[kind] += 1
        lost(LostRow(table, kind, dict(zip(key, row[2:], strict=True))))

    was, has = next(before, None), next(now, None)
    while was is not None or has is not None:
        if was is None or (has is not None and has[0] < was[0]):
            assert has is not None  # noqa: S101  # or the loop would have ended
            tell("inserted", has)
            has = next(now, None)
        elif has is None or was[0] < has[0]:
            tell("deleted", was)
            was = next(before, None)
        else:
            if was[1] != has[1]:
                tell("updated", has)
            was, has = next(before, None), next(now, None)
    return counts["inserted"], counts["updated"], counts["deleted"]
