"""What a downgrade() would take away, told from its text. Every module here is loaded as Alembic loads it."""

from __future__ import annotations

import pytest

from dbmigration_runner.checks.reversal import Drop, Reversal, Reversible, reversal, taken_away
from dbmigration_runner.checks.script_operations import convert_is_safe
from dbmigration_runner.checks.script_values import Made
from tests.unit.runner.revisions import revision


@pytest.fixture
def load(tmp_path):
    """Load a module: `load("downgrade's body", "module's text")`."""
    return lambda *texts, **more: revision(tmp_path, *texts, **more)


def told(found: Reversal) -> tuple[list[str], list[str]]:
    return [str(drop) for drop in found.drops], list(found.unclear)


TABLE = """
from sqlalchemy.orm import declarative_base
Base = declarative_base()
class Order(Base):
    __tablename__ = "orders"
    __table_args__ = {"schema": "shop"}
    id = sa.Column(sa.Integer, primary_key=True)
    note = sa.Column(sa.Text)
plain = sa.table("plain", sa.column("a"))
"""


TOOL = """
import contextlib, functools
class Tool:
    suffix = "_x"
    def forget(self, table):
        self.really(table)
    def really(self, table):
        op.drop_table(table)
    @staticmethod
    def empty(table):
        op.execute(f"TRUNCATE {table}")
    @classmethod
    def of(cls, table):
        op.drop_table(table + cls.suffix)
bound = Tool().forget
@functools.lru_cache
def cached(table):
    op.drop_table(table)
def of_schema(schema, table):
    op.drop_table(table, schema=schema)
part = functools.partial(of_schema, None)
@contextlib.contextmanager
def managed(table):
    yield
    op.drop_table(table)
"""


@pytest.mark.parametrize(
    ("body", "more", "expected"),
    [
        ("op.drop_table('orders')", "", ["orders"]),
        ("op.drop_table(table_name='orders', schema='shop')", "", ["shop.orders"]),
        ("op.drop_column('orders', 'note')", "", ["orders.note"]),
        ("op.drop_column('orders', 'note', schema='shop')", "", ["shop.orders.note"]),
        ("op.drop_column('orders', sa.Column('note'))", "", ["orders.note"]),
        ("op.drop_column(TABLE, f'{PREFIX}_note')", "TABLE = 'orders'\nPREFIX = 'x'", ["orders.x_note"]),
        ("table = 'a' + 'b'\nop.drop_table(table)", "", ["ab"]),
        ("op.drop_table('%s_%s' % ('a', 1))\nop.drop_table('{}-{x}'.format('b', x=2))", "", ["a_1", "b-2"]),
        ("with op.batch_alter_table('t') as batch:\n    batch.drop_column('c')", "", ["t.c"]),
        ("with op.batch_alter_table('t', schema='s') as batch:\n    batch.drop_column('c')", "", ["s.t.c"]),
        (
            """
            if op.get_bind().dialect.name == 'sqlite':
                with op.batch_alter_table('t') as batch:
                    if sys.argv:
                        batch.drop_column('c')
            else:
                op.drop_column('t', 'd')
            """,
            "",
            ["t.c", "t.d"],
        ),
        ("for name in ('a', 'b'):\n    op.drop_table(name)", "", ["a", "b"]),
        ("for t, c in [('a', 'x'), ('b', 'y')]:\n    op.drop_column(t, c)", "", ["a.x", "b.y"]),
        (
            "for t, cs in CS.items():\n    for c in cs:\n        op.drop_column(t, c)",
            "CS = {'a': ['x', 'y']}",
            ["a.x", "a.y"],
        ),
        (
            "for c in COLUMNS:\n    op.drop_column('t', c['name'])",
            "COLUMNS = [{'name': 'a'}, {'name': 'b'}]",
            ["t.a", "t.b"],
        ),
        ("[op.drop_table(name) for name in reversed(NAMES)]", "NAMES = ['a', 'b']", ["b", "a"]),
        (
            "for t in ('a', 'b'):\n    if t not in sa.inspect(op.get_bind()).get_table_names():\n        continue\n    op.drop_table(t)",
            "",
            ["a", "b"],
        ),
        (
            "try:\n    op.drop_table('a')\nexcept Exception:\n    op.drop_table('b')\nfinally:\n    op.drop_table('c')",
            "",
            ["a", "b", "c"],
        ),
        ("if not sa.inspect(op.get_bind()).has_table('a'):\n    return\nop.drop_table('a')", "", ["a"]),
        ("op.execute('DROP TABLE orders')", "", ["orders"]),
        ("op.execute(sa.text('DROP TABLE orders'))", "", ["orders"]),
        ("op.get_bind().execute(sa.text(SQL))", "SQL = 'DROP TABLE a; DROP TABLE b'", ["a", "b"]),
        ("op.get_bind().exec_driver_sql('TRUNCATE a')", "", ["a"]),
        ("for s in STATEMENTS:\n    op.execute(s)", "STATEMENTS = ['DROP TABLE a', 'SELECT 1']", ["a"]),
        ("sa.Table('orders', sa.MetaData(), schema='s').drop(op.get_bind())", "", ["s.orders"]),
        ("Order.__table__.drop(op.get_bind())", TABLE, ["shop.orders"]),
        ("op.drop_table(Order.__tablename__)", TABLE, ["orders"]),
        ("Base.metadata.drop_all(op.get_bind())", TABLE, ["shop.orders"]),
        ("Base.metadata.drop_all(op.get_bind(), tables=[Order.__table__])", TABLE, ["shop.orders"]),
        ("op.execute(plain.delete())", TABLE, ["plain"]),
        ("op.execute(sa.delete(Order))", TABLE, ["shop.orders"]),
        ("orm.Session(op.get_bind()).query(Order).delete()", TABLE, ["shop.orders"]),
        ("helper('orders')", "def helper(table, column='note'):\n    op.drop_column(table, column)\n", ["orders.note"]),
        (
            "helper()",
            "def helper():\n    deeper('a')\ndef deeper(*names):\n    for name in names:\n        op.drop_table(name)\n",
            ["a"],
        ),
        ("def inner(t):\n    op.drop_table(t)\ninner('a')\n(lambda t: op.drop_table(t))('b')", "", ["a", "b"]),
        ("drop_table('a')", "from alembic.op import drop_table", ["a"]),
        ("from alembic import op as o\no.drop_table('a')", "", ["a"]),
        ("getattr(op, 'drop_table')('a')", "", ["a"]),
        (
            "Tool(op).clean()",
            "class Tool:\n    def __init__(self, o): self.o = o\n    def clean(self):\n        op.drop_table('a')\n",
            ["a"],
        ),
        ("Tool().forget('a')\nTool.empty('b')\nTool.of('c')", TOOL, ["a", "b", "c_x"]),
        ("bound('a')\ncached('b')\npart('c')\nwith managed('d'):\n    pass", TOOL, ["a", "b", "c", "d"]),
        ("list(map(op.drop_table, ('a', 'b')))", "", ["a", "b"]),
        (
            "sys.modules['x'].retry(lambda: op.drop_table('a'))\nsys.modules['y'](helper)",
            "def helper():\n    op.drop_table('b')\n",
            ["a", "b"],
        ),
        ("op.drop_column('t', 'c')\nop.drop_table('t')", "", ["t"]),
        ("op.create_table('new')\nop.drop_table('new')", "", []),
        ("if sa.func.now():\n    op.create_table('t')\nop.drop_table('t')", "", ["t"]),
        ("op.rename_table('a', 'b')\nop.drop_table('b')", "", ["a"]),
        ("op.alter_column('t', 'a', new_column_name='b')\nop.drop_column('t', 'b')", "", ["t.a"]),
        ("op.add_column('t', sa.Column('c'))\nop.drop_column('t', 'c')", "", []),
        ("some = [n for n in ('a', 'b') if sa.inspect(n)]\nfor n in some:\n    op.drop_table(n)", "", ["a", "b"]),
        (
            "some = []\nfor n in ('a', 'b'):\n    if sa.inspect(n):\n        some.append(n)\nfor n in some:\n    op.drop_table(n)",
            "",
            ["a", "b"],
        ),
        ("for n in sorted({'a', 'b'} - set(sys.argv)):\n    op.drop_table(n)", "", ["a", "b"]),
        (
            "some = list(filter(str, ['a']))\nif some:\n    for n in some:\n        op.drop_table(n)\nelse:\n    op.drop_table('b')",
            "",
            ["a", "b"],
        ),
        ("names = []\nnames.append('a')\nfor name in names:\n    op.drop_table(name)", "", ["a"]),
        (
            "match sys.argv:\n    case []:\n        op.drop_table('a')\n    case _:\n        op.drop_table('b')",
            "",
            ["a", "b"],
        ),
    ],
)
def test_a_drop_is_told_by_its_name(load, body, more, expected):
    found = reversal(load(body, more))
    assert (found.kind, *told(found)) == (Reversible.WORKS, expected, [])


@pytest.mark.parametrize(
    ("body", "more", "said"),
    [
        ("for name in sa.inspect(op.get_bind()).get_table_names():\n    op.drop_table(name)", "", "drops a table whose name"),
        ("op.drop_table(sys.argv[0])", "", "drops a table whose name"),
        ("op.drop_column('t', sys.argv[0])", "", "drops a column of t whose name"),
        ("op.execute(f'DROP TABLE {sys.argv[0]}')", "", "drops a table whose name"),
        ("op.execute(sys.argv[0])", "", "only known when it runs"),
        ("op.execute('DROP TABLE ' + ', '.join([n for n in ('a', 'b') if sa.inspect(n)]))", "", "drops a table whose name"),
        ("op.drop_table(*[n for n in ('a', 'b') if sa.inspect(n)])", "", "drops a table whose name"),
        ("op.execute('ALTER TABLE t ' + sys.argv[0])", "", "alters t in a way that is only known"),
        ("op.execute('UPDATE t SET a = 1')", "", "overwrites values of t.a"),
        ("op.execute('DELETE FROM t WHERE a = 1')", "", "deletes rows of t"),
        ("op.execute(sa.update(plain).values(a=1))", TABLE, "overwrites values of plain.a"),
        ("op.execute(plain.update().where(sa.true()).values({'a': 1}))", TABLE, "overwrites values of plain.a"),
        ("op.execute(sa.delete(plain).where(sa.true()))", TABLE, "deletes rows of plain"),
        ("orm.Session(op.get_bind()).query(Order).filter(True).delete()", TABLE, "deletes rows of shop.orders"),
        ("session = orm.Session(op.get_bind())\nfor o in session.query(Order):\n    o.note = ''\nsession.commit()", TABLE, "through an ORM session"),
        ("session = orm.Session(op.get_bind())\nsession.delete(session.get(Order, 1))", TABLE, "deletes rows through an ORM session"),
        ("sys.modules['db'].session.delete(Order())", TABLE, "deletes rows through an ORM session"),
        ("orm.Session(op.get_bind()).merge(Order(id=1))", TABLE, "overwrites values through an ORM session"),
        ("s = sys.modules['db'].session\nfor o in s.query(Order):\n    setattr(o, 'note', '')\ns.commit()", TABLE, "overwrites values through"),
        ("s = sys.modules['db'].session\nfor o in s.query(Order):\n    o.data['note'] = ''\ns.flush()", TABLE, "overwrites values through"),
        ("op.alter_column('t', 'c', type_=sa.String(10))", "", "changes the type of t.c"),
        ("with op.batch_alter_table('t') as b:\n    b.alter_column('c', type_=sa.Integer())", "", "changes the type of t.c"),
        ("meta = sa.MetaData()\nmeta.reflect(op.get_bind())\nmeta.drop_all(op.get_bind())", "", "drops every table of its metadata"),
        ("sys.modules['x'].tables['y'].drop(op.get_bind())", "", "drops an object"),
        ("sys.modules['x'].drop_everything(op)", "", "calls sys.modules['x'].drop_everything()"),
        ("op.drop_geospatial_column('t', 'c')", "op.drop_geospatial_column = print", "none of Alembic's own"),
        ("op.execute('DROP SCHEMA shop CASCADE')", "", "drops the schema shop with everything in it"),
        ("from later import down\ndown()", "", "calls down() of a module that is loaded only when it runs"),
        ("import later.deeds\nlater.deeds.down()", "", "calls later.deeds.down() of a module"),
        ("op.invoke(ops.DropTableOp('t'))", "from alembic.operations import ops", "invokes DropTableOp"),
        ("op.invoke(sys.argv)", "", "invokes an operation that is only known"),
        ("down()", "down = lambda: op.drop_table('t')", "calls down(), which could not be read"),
        ("op.execute('SELECT lo_unlink(oid) FROM pg_largeobject_metadata')", "", "calls the function lo_unlink"),
        ("op.execute('SELECT drop_everything()')", "", "calls the function drop_everything"),
        ("loop()", "def loop():\n    loop()\n", "deeper than can be followed"),
        ("while True:\n    op.execute(str(sys.argv))", "", "only known when it runs"),
        ("for a in range(500):\n    for b in range(500):\n        op.get_bind()", "", "does more than can be followed"),
    ],
)  # fmt: skip
def test_what_destroys_and_cannot_be_named_is_unclear(load, body, more, said):
    found = reversal(load(body, more))
    assert found.kind is Reversible.WORKS
    assert len(found.unclear) == 1, found
    assert said in found.unclear[0]
    assert found.drops == ()


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ("op.drop_index('i')\nop.drop_constraint('c', 't')\nop.create_index('i', 't', ['a'])", ""),
        ("sa.Enum(name='mood').drop(op.get_bind())", ""),
        ("mood.drop(op.get_bind(), checkfirst=True)", "mood = sa.Enum('a', name='mood')"),
        ("session = orm.Session(op.get_bind())\nsession.add(Order(id=1))\nsession.commit()", TABLE),
        ("op.execute('DROP TYPE mood')\nop.execute('DROP VIEW v; DROP INDEX i')", ""),
        ("op.execute(f'DROP INDEX {sys.argv[0]}')", ""),
        ("op.add_column('t', sa.Column('old'))\nop.execute('UPDATE t SET old = new')", ""),
        ("op.create_table('t')\nop.execute('INSERT INTO t SELECT 1')", ""),
        ("op.alter_column('t', 'c', nullable=True, server_default=None)", ""),
        ("op.alter_column('t', 'c', type_=sa.String(20), existing_type=sa.String(length=10))", ""),
        ("op.alter_column('t', 'c', type_=sa.Text())", ""),
        ("op.get_bind().execute(sa.select(plain)).fetchall()", TABLE),
        (
            "from sqlalchemy.engine.reflection import Inspector\nInspector.from_engine(op.get_bind()).get_columns('t')",
            "",
        ),
        ("{}.update(a=1)\nnames = {'a'}\nnames.remove('a')", ""),
        ("op.execute('COMMENT ON TABLE t IS $$DROP TABLE t$$')", ""),
        ("op.execute(\"INSERT INTO log VALUES ('x; DROP TABLE t') -- DROP TABLE t\")", ""),
        ("if False:\n    op.drop_table('t')\nop.drop_index('i')", ""),
        ("op.invoke(ops.DropIndexOp('i'))", "from alembic.operations import ops"),
        ("op.execute('SELECT deleted, count(*) FROM t')", ""),
        ("from later import NAME\nop.create_index(NAME, 't', ['a'])", ""),
    ],
)
def test_what_takes_no_data_is_not_spoken_of(load, body, more):
    found = reversal(load(body, more))
    assert told(found) == ([], [])


def test_a_condition_on_the_database_is_known_where_the_database_is(load):
    script = load("if op.get_bind().dialect.name == 'sqlite':\n    op.drop_table('a')\nelse:\n    op.drop_table('b')")
    assert told(reversal(script))[0] == ["a", "b"]
    assert told(reversal(script, "sqlite"))[0] == ["a"]
    assert told(reversal(script, "postgresql"))[0] == ["b"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (None, Reversible.MISSING),
        ("raise NotImplementedError", Reversible.RAISES),
        ("'''Cannot.'''\nlogging.warning('no')\nbind = op.get_bind()\nraise RuntimeError('irreversible')", Reversible.RAISES),
        ("assert False, 'no way back'", Reversible.RAISES),
        ("refuse()", Reversible.RAISES),
        ("if op.get_bind():\n    raise ValueError\nelse:\n    raise KeyError", Reversible.RAISES),
        ("sys.exit(1)", Reversible.RAISES),
        ("op.drop_table('t')\nraise RuntimeError", Reversible.RAISES),
        ("pass", Reversible.EMPTY),
        ("...", Reversible.EMPTY),
        ("'''Nothing to do.'''", Reversible.EMPTY),
        ("return", Reversible.EMPTY),
        ("return None\nop.drop_table('t')", Reversible.EMPTY),
        ("logging.getLogger(__name__).info('nothing')\nprint('no')", Reversible.EMPTY),
        ("bind = op.get_bind()\ninspector = sa.inspect(bind)\nif inspector.has_table('x'):\n    pass", Reversible.EMPTY),
        ("if op.get_bind():\n    raise ValueError\nop.drop_index('i')", Reversible.WORKS),
        ("op.drop_index('i')", Reversible.WORKS),
        ("anything()", Reversible.WORKS),
    ],
)  # fmt: skip
def test_how_far_a_revision_can_be_undone(load, body, kind):
    more = "def refuse():\n    raise NotImplementedError\ndef anything():\n    op.execute('SELECT 1')\n"
    assert reversal(load(body, more)).kind is kind


@pytest.mark.parametrize("upgrade", ["pass", "'''Merge.'''", "logging.info('merged')"])
def test_an_empty_downgrade_of_an_empty_upgrade_works(load, upgrade):
    assert reversal(load("pass", upgrade=upgrade)).kind is Reversible.WORKS


def test_a_downgrade_that_is_no_function_is_missing(load):
    assert reversal(load(None, "downgrade = None")).kind is Reversible.MISSING
    assert told(reversal(load(None, "def undo():\n    op.drop_table('a')\ndowngrade = undo")))[0] == ["a"]
    assert reversal(load(None, "downgrade = print")).unclear == ("its source cannot be read",)


def test_a_function_of_the_application_is_read_where_it_was_written(load, tmp_path, monkeypatch):
    (tmp_path / "shop_ddl.py").write_text(
        "from alembic import op\nSUFFIX = '_old'\ndef forget(name):\n    op.drop_table(name + SUFFIX)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert told(reversal(load("forget('orders')", "from shop_ddl import forget"))) == (["orders_old"], [])
    assert told(reversal(load("shop_ddl.forget('orders')", "import shop_ddl"))) == (["orders_old"], [])


def test_nothing_of_the_script_is_run(load):
    more = """
        class Bomb:
            def __getattr__(self, name): raise SystemExit
            def __eq__(self, other): raise SystemExit
            def __bool__(self): raise SystemExit
            def __iter__(self): raise SystemExit
            def __str__(self): raise SystemExit
            @property
            def table(self): raise SystemExit
        bomb = Bomb()
        class Holder:
            table = bomb
        """
    body = """
        if bomb: pass
        if bomb == bomb: pass
        for x in bomb: pass
        op.drop_table(f"{bomb}")
        op.drop_table(bomb.table)
        op.drop_table(Holder.table.name)
        op.execute(bomb)
        op.drop_column(*bomb, **{"a": bomb})
        """
    assert reversal(load(body, more)).drops == ()


def test_what_is_taken_away_is_said_in_todays_names(load):
    """`job_name` was called `function` once: the revision that made `function` drops what is called `job_name` today."""
    way = [
        ("a4", "op.alter_column('jobs', 'job_name', new_column_name='function')"),
        ("a3", "op.create_table('tokens')\nop.rename_table('people', 'users')"),
        ("a2", "op.drop_column('jobs', 'function')\nop.drop_table('tokens')\nop.drop_column('users', 'mail')"),
        ("a1", "op.drop_table('users')\nop.drop_table('jobs')\nop.drop_table('jobs')"),
    ]
    taken = taken_away((revision, reversal(load(body))) for revision, body in way)
    assert {revision: [str(drop) for drop in drops] for revision, drops in taken.items()} == {
        "a4": [],
        "a3": [],
        "a2": ["jobs.job_name", "people.mail"],
        "a1": ["people", "jobs"],
    }


@pytest.mark.parametrize(
    ("old", "new", "safe"),
    [
        (Made("String", arguments=(10,)), Made("String", arguments=(20,)), True),
        (Made("String", arguments=(20,)), Made("String", arguments=(10,)), False),
        (Made("String", arguments=(20,)), Made("VARCHAR", arguments=(("length", 20),)), True),
        (Made("Integer"), Made("BigInteger"), True),
        (Made("BigInteger"), Made("Integer"), False),
        (Made("Enum", arguments=("a", "b")), Made("Enum", arguments=("a", "b", "c")), True),
        (Made("Enum", arguments=("a", "b")), Made("Enum", arguments=("a",)), False),
        (Made("Numeric", arguments=(10, 2)), Made("Numeric", arguments=(10, 2)), True),
        (Made("Numeric", arguments=(10, 2)), Made("Numeric", arguments=(8, 2)), False),
        (None, Made("String", arguments=(20,)), False),
        (None, Made("Text"), True),
        (Made("LONGTEXT"), Made("Text"), False),
    ],
)
def test_a_type_that_holds_every_value_of_the_old_one_cuts_none(old, new, safe):
    assert convert_is_safe(old, new) is safe


def test_a_drop_says_what_it_takes():
    assert (str(Drop("shop.orders")), str(Drop("shop.orders", "note"))) == ("shop.orders", "shop.orders.note")
