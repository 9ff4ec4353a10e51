"""Known histories: revisions, and how a run of them ends.

Each revision leaves a row in a ledger within its own transaction, so that the database itself tells how often it was
applied, and how often it was undone. Must not know a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.cluster.operator.history import ADD_TOTAL, CREATE_ORDERS, FAIL, INDEX_NOTE, Revision, chain

# The first release, as its own run left it: its revision stands in the ledger.
_FIRST_RELEASE = """
CREATE TABLE applied (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), revision text NOT NULL);
INSERT INTO applied (revision) VALUES ('r1');
CREATE TABLE orders (id integer PRIMARY KEY, note text);
INSERT INTO orders SELECT number, 'order ' || number FROM generate_series(1, 500) AS number;
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('r1')
"""
_LEDGER = (
    'op.execute("CREATE TABLE IF NOT EXISTS applied '
    '(id uuid PRIMARY KEY DEFAULT gen_random_uuid(), revision text NOT NULL)")\n'
)
_SLOW_INDEX = """
CREATE FUNCTION public.slow(text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT $1 $$;
CREATE INDEX ix_slow ON orders (public.slow(note)) WHERE id = 1;
CREATE OR REPLACE FUNCTION public.slow(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_sleep(6); RETURN $1; END $$
"""


def _in_ledger(entry: str) -> str:
    """The line of a revision that writes what it did into the ledger."""
    return f"op.execute(\"INSERT INTO applied (revision) VALUES ('{entry}')\")\n"


@dataclass(frozen=True, slots=True)
class History:
    """Revisions, and how a run of them ends.

    `applied` is what the run applied, `left` what the ledger holds in the end, and `head` where the database is then. With a
    `first_release`, as SQL, the first of them is there before, and the run leads back to it. With `drained` there is an
    application that is drained meanwhile and comes back; `drained_before` the backup, it needs no leave for a restore. A restore
    throws so many rows away as are `lost`. An `ordered` one is wished by hand, once a run before it has applied the revisions.
    """

    name: str
    revisions: tuple[Revision, ...]
    phase: str
    reason: str
    applied: tuple[str, ...]
    left: tuple[str, ...]
    head: str
    steps: tuple[str, ...] = ("plan", "backup", "migrate")
    first_release: str = ""
    on_failure: str = ""
    drained: bool = False
    drained_before: bool = False
    lost: int = 0
    ordered: bool = False

    @property
    def before(self) -> tuple[str, ...]:
        """Where the database is before the run, and so what its backup is of."""
        return ("r1",) if self.first_release else ()

    @property
    def number(self) -> int:
        """Of the run that is looked at."""
        return 2 if self.ordered else 1


def history(name: str, *bodies: str) -> History:
    """Revisions r1, r2, … with a ledger; all of them are applied."""
    revisions = chain(*(_LEDGER + _in_ledger(f"r{number}") + body for number, body in enumerate(bodies, 1)))
    all_of_them = tuple(revision.id for revision in revisions)
    return History(name, revisions, "Succeeded", "Succeeded", all_of_them, all_of_them, all_of_them[-1])


GOOD = history("good", CREATE_ORDERS, ADD_TOTAL, INDEX_NOTE)
SLOW = history("slow", CREATE_ORDERS, 'op.execute("SELECT pg_sleep(8)")', INDEX_NOTE)
BROKEN = replace(
    history("broken", CREATE_ORDERS, FAIL, INDEX_NOTE),
    phase="Failed",
    reason="MigrationFailed",
    applied=("r1",),
    left=("r1",),
    head="r1",
)


def emergency() -> History:
    """A release whose third revision fails, and whose first cannot be undone: drained, restored, resumed."""
    plain = history("urgent", CREATE_ORDERS, ADD_TOTAL, INDEX_NOTE, FAIL)
    first, second, *others = plain.revisions
    cannot = replace(second, undo='raise RuntimeError("nobody wrote it")')
    return replace(
        plain,
        revisions=(first, cannot, *others),
        phase="RolledBack",
        reason="RolledBack",
        applied=("r2", "r3"),
        left=("r1",),
        head="r1",
        steps=("plan", "backup", "migrate", "downgrade", "restore"),
        first_release=_FIRST_RELEASE,
        on_failure="DowngradeOrRestore",
        drained=True,
        lost=2,
    )


def still() -> History:
    """A release whose second revision fails, drained since before the backup: restored, and nobody is asked."""
    return replace(
        history("still", CREATE_ORDERS, ADD_TOTAL, FAIL),
        phase="RolledBack",
        reason="RolledBack",
        applied=("r2",),
        left=("r1",),
        head="r1",
        steps=("plan", "backup", "migrate", "restore"),
        first_release=_FIRST_RELEASE,
        on_failure="Restore",
        drained=True,
        drained_before=True,
    )


def undone() -> History:
    """A release whose third revision fails, and whose others are undone; each leaves a row in the ledger for that too."""
    plain = history("undone", CREATE_ORDERS, ADD_TOTAL, INDEX_NOTE, FAIL)
    first, second, third, fails = plain.revisions
    no_total = replace(second, undo=_in_ledger("r2 undone") + 'op.drop_column("orders", "total")')
    no_index = replace(third, undo=_in_ledger("r3 undone") + 'op.drop_index("ix_orders_note")')
    return replace(
        plain,
        revisions=(first, no_total, no_index, fails),
        phase="RolledBack",
        reason="RolledBack",
        applied=("r2", "r3"),
        left=("r1", "r2", "r2 undone", "r3", "r3 undone"),
        head="r1",
        steps=("plan", "backup", "migrate", "downgrade"),
        first_release=_FIRST_RELEASE,
        on_failure="Downgrade",
    )


def ordered() -> History:
    """A good release that somebody takes back by hand: drained, restored, resumed."""
    return replace(
        history("ordered", CREATE_ORDERS, ADD_TOTAL),
        phase="Restored",
        reason="Restored",
        applied=(),
        left=("r1",),
        head="r1",
        steps=("plan", "backup", "migrate", "find", "restore"),
        first_release=_FIRST_RELEASE,
        drained=True,
        lost=1,
        ordered=True,
    )


def slow(quick: History) -> History:
    """The same, whose downgrade of r3 takes its time, and after it the restore, by an index."""
    revisions = tuple(
        replace(revision, undo='op.execute("SELECT pg_sleep(8)")') if revision.id == "r3" else revision
        for revision in quick.revisions
    )
    return replace(quick, revisions=revisions, first_release=f"{quick.first_release}; {_SLOW_INDEX}")


EMERGENCY = emergency()
STILL = still()
UNDONE = undone()
ORDERED = ordered()
SLOW_EMERGENCY = slow(EMERGENCY)
