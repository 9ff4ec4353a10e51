"""A PostgreSQL schema as normalised lines: equal for a database and for what a dump of it restores.

One query, for it is asked before and after every attempt. It pins search_path to pg_catalog for its own duration: the
server's deparser then qualifies every name and operator of the user's, and no object of the user's can stand in for a
system one. Left out is what a dump does not carry or a restore may rightly change: positions, owners, grants, comments,
extensions' own objects and versions, values of sequences, tablespaces, storage, names of PostgreSQL 18's NOT NULLs.
Needs PostgreSQL 12 or newer. It must not write, and reads nothing but the catalogs.
"""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from dbmigration_runner.engines.catalog import DEFINED_AS, Catalog
from dbmigration_runner.engines.postgresql_copy import qualified, unquoted
from dbmigration_runner.engines.postgresql_expressions import canonical
from dbmigration_runner.errors import StatementRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbmigration_runner.engines.interface import Session

_IN_NO_DUMP = re.compile(r'index (?:"(?:[^"]|"")*"|[^" ]+) invalid(?: |$)|unenforced ')

_NAME = r'(?:"(?:[^"]|"")*"|[^" .(]+)'
_COLUMNS = r"\([^()]*\)"
_PLAIN_INDEX = re.compile(
    rf"index ({_NAME})(?: [a-z ]+)?{DEFINED_AS}CREATE (?:UNIQUE )?INDEX {_NAME} ON ({_NAME})\.({_NAME}) USING btree {_COLUMNS}"
    rf"(?: INCLUDE {_COLUMNS})?(?: NULLS NOT DISTINCT)?(?: WITH {_COLUMNS})?"
)

_PINNED = {
    "search_path": "pg_catalog, pg_temp",
    "jit": "off",  # a long plan for few rows: compiling it takes longer than running it
    "quote_all_identifiers": "off",
}

_SEEN = """
WITH extension_owned AS MATERIALIZED (
  SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass
), derived AS MATERIALIZED (  -- made by the server for another object: a table's row type, a range's constructors
  SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'i' AND objsubid = 0
), spaces AS MATERIALIZED (
  SELECT oid, nspname FROM pg_catalog.pg_namespace
  WHERE left(nspname, 3) <> 'pg_' AND nspname <> 'information_schema'
), classes AS MATERIALIZED (
  SELECT c.*, quote_ident(s.nspname) || '.' || quote_ident(c.relname) AS name
  FROM pg_catalog.pg_class c JOIN spaces s ON s.oid = c.relnamespace
  WHERE c.relpersistence <> 't' AND ('pg_class'::regclass, c.oid) NOT IN (TABLE extension_owned)
), types AS MATERIALIZED (
  SELECT t.*, quote_ident(s.nspname) || '.' || quote_ident(t.typname) AS name
  FROM pg_catalog.pg_type t JOIN spaces s ON s.oid = t.typnamespace
  WHERE ('pg_type'::regclass, t.oid) NOT IN (TABLE extension_owned)
    AND ('pg_type'::regclass, t.oid) NOT IN (TABLE derived)
)
"""

# Each part gives (line, expression): the expression is deparsed SQL and still to be brought into its canonical form.
# to_jsonb() reads columns that older servers lack.
_PARTS = (
    # Schemas; `public` is everywhere, and a dump cannot say that it is not.
    """
    SELECT 'schema ' || quote_ident(s.nspname), NULL::text FROM spaces s
    WHERE s.nspname <> 'public' AND ('pg_namespace'::regclass, s.oid) NOT IN (TABLE extension_owned)
    """,
    """
    SELECT 'extension ' || quote_ident(e.extname) || ' in ' || quote_ident(n.nspname), NULL
    FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
    """,
    # Tables and views.
    """
    SELECT concat_ws(' ', CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
                              WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' END,
                     c.name, CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
                     CASE WHEN c.relrowsecurity THEN 'row security' END,
                     CASE WHEN c.relforcerowsecurity THEN 'forced row security' END,
                     CASE c.relreplident WHEN 'f' THEN 'replica identity full'
                          WHEN 'n' THEN CASE WHEN c.relkind <> 'v' THEN 'replica identity nothing' END END,
                     CASE WHEN c.relkind = 'p' THEN 'partition by ' || pg_get_partkeydef(c.oid) END,
                     'with ' || (SELECT string_agg(o, ',' ORDER BY o) FROM unnest(c.reloptions) o)),
           CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid)
                WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END
    FROM classes c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
    """,
    """
    SELECT 'inherits ' || c.name || ' from ' || p.name, NULL
    FROM pg_catalog.pg_inherits i JOIN classes c ON c.oid = i.inhrelid JOIN classes p ON p.oid = i.inhparent
    """,
    """
    SELECT concat_ws(' ', 'column', c.name || '.' || quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
                     CASE WHEN a.attcollation <> t.typcollation
                          THEN 'collate ' || quote_ident(ln.nspname) || '.' || quote_ident(l.collname) END,
                     CASE WHEN a.attnotnull THEN 'not null' END,
                     CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = a.attrelid
                                       AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated)
                          THEN 'not valid' END,
                     CASE a.attidentity WHEN 'a' THEN 'generated always as identity'
                                        WHEN 'd' THEN 'generated by default as identity' END,
                     CASE a.attgenerated WHEN 's' THEN 'generated stored' WHEN 'v' THEN 'generated virtual'
                                         ELSE CASE WHEN d.oid IS NOT NULL THEN 'default' END END),
           pg_get_expr(d.adbin, d.adrelid)
    FROM classes c
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
    LEFT JOIN pg_catalog.pg_namespace ln ON ln.oid = l.collnamespace
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind IN ('r', 'p', 'f', 'c', 'm')
    """,
    # A partition's copy of a foreign key is made by the server, under a name of its choice.
    """
    SELECT 'constraint ' || coalesce(c.name, d.name) || '.' || quote_ident(k.conname), pg_get_constraintdef(k.oid)
    FROM pg_catalog.pg_constraint k
    LEFT JOIN classes c ON c.oid = k.conrelid LEFT JOIN types d ON d.oid = k.contypid
    WHERE coalesce(c.name, d.name) IS NOT NULL AND k.contype IN ('c', 'f', 'p', 'u', 'x')
      AND NOT (k.contype = 'f' AND k.conparentid <> 0)
    """,
    """
    SELECT concat_ws(' ', 'index', quote_ident(x.relname), CASE WHEN NOT i.indisvalid THEN 'invalid' END,
                     CASE WHEN i.indisclustered THEN 'clustered' END,
                     CASE WHEN i.indisreplident THEN 'replica identity' END),
           pg_get_indexdef(i.indexrelid)
    FROM classes c JOIN pg_catalog.pg_index i ON i.indrelid = c.oid
    JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid WHERE c.relkind IN ('r', 'p', 'm')
    """,
    """
    SELECT concat_ws(' ', 'sequence', c.name, 'as', format_type(s.seqtypid, NULL), 'start', s.seqstart,
                     'increment', s.seqincrement, 'min', s.seqmin, 'max', s.seqmax, 'cache', s.seqcache,
                     CASE WHEN s.seqcycle THEN 'cycle' END,
                     (SELECT concat_ws('.', 'owned by ' || quote_ident(n.nspname), quote_ident(o.relname),
                                       quote_ident(a.attname))
                      FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class o ON o.oid = d.refobjid
                      JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace
                      JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = d.classid
                        AND d.deptype IN ('a', 'i') LIMIT 1)), NULL
    FROM classes c JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid
    """,
    """
    SELECT 'trigger ' || c.name || '.' || quote_ident(g.tgname)
           || CASE g.tgenabled WHEN 'D' THEN ' disabled' WHEN 'R' THEN ' replica' WHEN 'A' THEN ' always' ELSE '' END,
           pg_get_triggerdef(g.oid)
    FROM classes c JOIN pg_catalog.pg_trigger g ON g.tgrelid = c.oid
    WHERE NOT g.tgisinternal AND coalesce(to_jsonb(g) ->> 'tgparentid', '0') = '0'
    """,
    # What holds a foreign key up are triggers of the server's: DISABLE TRIGGER ALL takes them too, and no dump tells of it.
    """
    SELECT DISTINCT 'unenforced ' || c.name || '.' || quote_ident(k.conname), NULL
    FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_constraint k ON k.oid = g.tgconstraint AND k.contype = 'f'
    JOIN classes c ON c.oid = k.conrelid WHERE g.tgisinternal AND g.tgenabled = 'D'
    """,
    """
    SELECT 'rule ' || c.name || '.' || quote_ident(r.rulename)
           || CASE r.ev_enabled WHEN 'D' THEN ' disabled' WHEN 'R' THEN ' replica' WHEN 'A' THEN ' always' ELSE '' END,
           pg_get_ruledef(r.oid)
    FROM classes c JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid WHERE r.rulename <> '_RETURN'
    """,
    """
    SELECT concat_ws(' ', 'policy', c.name || '.' || quote_ident(p.polname),
                     CASE WHEN NOT p.polpermissive THEN 'restrictive' END, 'for', p.polcmd::text, 'to',
                     (SELECT string_agg(coalesce(quote_ident(r.rolname), 'public'), ',' ORDER BY r.rolname)
                      FROM unnest(p.polroles) o LEFT JOIN pg_catalog.pg_roles r ON r.oid = o)),
           concat_ws(' ', 'using', pg_get_expr(p.polqual, c.oid), 'check', pg_get_expr(p.polwithcheck, c.oid))
    FROM classes c JOIN pg_catalog.pg_policy p ON p.polrelid = c.oid
    """,
    """
    SELECT 'statistics ' || quote_ident(x.stxname), pg_get_statisticsobjdef(x.oid)
    FROM classes c JOIN pg_catalog.pg_statistic_ext x ON x.stxrelid = c.oid
    """,
    # Types.
    """
    SELECT CASE t.typtype
             WHEN 'e' THEN 'enum ' || t.name || ' ' || coalesce((
               SELECT string_agg(quote_literal(e.enumlabel), ',' ORDER BY e.enumsortorder)
               FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid), '')
             WHEN 'd' THEN concat_ws(' ', 'domain', t.name, format_type(t.typbasetype, t.typtypmod),
                                     (SELECT 'collate ' || quote_ident(n.nspname) || '.' || quote_ident(l.collname)
                                      FROM pg_catalog.pg_type b JOIN pg_catalog.pg_collation l ON l.oid = t.typcollation
                                      JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace
                                      WHERE b.oid = t.typbasetype AND b.typcollation <> t.typcollation),
                                     CASE WHEN t.typnotnull THEN 'not null' END, 'default ' || t.typdefault)
             WHEN 'r' THEN 'range ' || t.name || ' of ' || (
               SELECT format_type(r.rngsubtype, NULL) FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid)
             ELSE CASE t.typtype WHEN 'c' THEN 'composite ' ELSE 'type ' END || t.name END, NULL
    FROM types t
    WHERE t.typtype IN ('e', 'd', 'r', 'b')
       OR (t.typtype = 'c' AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
    """,
    # Functions: the whole definition's hash, for a body is long and may be anything.
    """
    SELECT CASE f.prokind WHEN 'p' THEN 'procedure ' WHEN 'w' THEN 'window function ' ELSE 'function ' END
           || quote_ident(s.nspname) || '.' || quote_ident(f.proname)
           || '(' || pg_get_function_identity_arguments(f.oid) || ') '
           || encode(sha256(convert_to(pg_get_functiondef(f.oid), 'UTF8')), 'hex'), NULL
    FROM pg_catalog.pg_proc f JOIN spaces s ON s.oid = f.pronamespace
    WHERE f.prokind <> 'a' AND ('pg_proc'::regclass, f.oid) NOT IN (TABLE extension_owned) AND ('pg_proc'::regclass, f.oid) NOT IN (TABLE derived)
    """,
    """
    SELECT concat_ws(' ', 'aggregate', quote_ident(s.nspname) || '.' || quote_ident(f.proname)
                     || '(' || pg_get_function_identity_arguments(f.oid) || ')', a.aggtransfn::regprocedure,
                     format_type(a.aggtranstype, NULL), nullif(a.aggfinalfn, 0)::regprocedure, quote_literal(a.agginitval)),
           NULL
    FROM pg_catalog.pg_proc f JOIN spaces s ON s.oid = f.pronamespace
    JOIN pg_catalog.pg_aggregate a ON a.aggfnoid = f.oid WHERE ('pg_proc'::regclass, f.oid) NOT IN (TABLE extension_owned)
    """,
    """
    SELECT 'operator ' || o.oid::regoperator || ' ' || o.oprcode::regprocedure, NULL
    FROM pg_catalog.pg_operator o JOIN spaces s ON s.oid = o.oprnamespace WHERE ('pg_operator'::regclass, o.oid) NOT IN (TABLE extension_owned)
    """,
    """
    SELECT 'collation ' || quote_ident(s.nspname) || '.' || quote_ident(l.collname), NULL
    FROM pg_catalog.pg_collation l JOIN spaces s ON s.oid = l.collnamespace WHERE ('pg_collation'::regclass, l.oid) NOT IN (TABLE extension_owned)
    """,
    """
    SELECT concat_ws(' ', 'text search dictionary', quote_ident(s.nspname) || '.' || quote_ident(y.dictname),
                     quote_ident(ys.nspname) || '.' || quote_ident(y2.tmplname), y.dictinitoption), NULL
    FROM pg_catalog.pg_ts_dict y JOIN spaces s ON s.oid = y.dictnamespace JOIN pg_catalog.pg_ts_template y2 ON y2.oid = y.dicttemplate
    JOIN pg_catalog.pg_namespace ys ON ys.oid = y2.tmplnamespace
    WHERE ('pg_ts_dict'::regclass, y.oid) NOT IN (TABLE extension_owned)
    """,
    """
    SELECT concat_ws(' ', 'text search configuration', quote_ident(s.nspname) || '.' || quote_ident(y.cfgname),
                     (SELECT string_agg(m.maptokentype || ' ' || m.mapdict::regdictionary, ', '
                                        ORDER BY m.maptokentype, m.mapseqno)
                      FROM pg_catalog.pg_ts_config_map m WHERE m.mapcfg = y.oid)), NULL
    FROM pg_catalog.pg_ts_config y JOIN spaces s ON s.oid = y.cfgnamespace
    WHERE ('pg_ts_config'::regclass, y.oid) NOT IN (TABLE extension_owned)
    """,
    """
    SELECT 'cast from ' || format_type(k.castsource, NULL) || ' to ' || format_type(k.casttarget, NULL)
           || ' ' || k.castcontext::text, NULL
    FROM pg_catalog.pg_cast k WHERE k.oid >= 16384 AND ('pg_cast'::regclass, k.oid) NOT IN (TABLE extension_owned) AND ('pg_cast'::regclass, k.oid) NOT IN (TABLE derived)
    """,
    # What belongs to the database, not to a schema of it.
    """
    SELECT concat_ws(' ', 'event trigger', quote_ident(v.evtname), v.evtevent, v.evtfoid::regprocedure,
                     v.evtenabled::text, v.evttags::text), NULL
    FROM pg_catalog.pg_event_trigger v WHERE ('pg_event_trigger'::regclass, v.oid) NOT IN (TABLE extension_owned)
    """,
    """
    SELECT 'publication ' || quote_ident(p.pubname) || CASE WHEN p.puballtables THEN ' of all tables' ELSE '' END, NULL
    FROM pg_catalog.pg_publication p
    """,
    """
    SELECT 'published ' || quote_ident(p.pubname) || ' ' || c.name, NULL
    FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
    JOIN classes c ON c.oid = r.prrelid
    """,
    """
    SELECT 'foreign server ' || quote_ident(v.srvname) || ' ' || quote_ident(w.fdwname), NULL
    FROM pg_catalog.pg_foreign_server v JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = v.srvfdw
    WHERE ('pg_foreign_server'::regclass, v.oid) NOT IN (TABLE extension_owned)
    """,
)

_QUERY = _SEEN + "UNION ALL".join(_PARTS)


def catalog(session: Session) -> Catalog:
    """Read the schema of the session's database.

    Raises StatementRefused and SessionLost, as any question of a session does.
    """
    with _pinned(session):
        found = session.rows(_QUERY)
    return Catalog(tuple(sorted(line if sql is None else f"{line}{DEFINED_AS}{canonical(sql)}" for line, sql in found)))


def dumped(found: Catalog) -> Catalog:
    """What of a schema a restored copy of it must have: pg_dump leaves invalid indexes and unenforced keys out."""
    return Catalog(tuple(item for item in found.items if not _IN_NO_DUMP.match(item)))


def superfluous(wanted: Catalog) -> tuple[str, ...]:
    """Statements that take out of a database made of template0 what the wanted one has not, for pg_restore only adds. Pure."""
    has_plpgsql = any(item.startswith("extension plpgsql in ") for item in wanted.items)
    return () if has_plpgsql else ("DROP EXTENSION IF EXISTS plpgsql",)


def plain_indexes(found: Catalog) -> dict[str, str]:
    """The table of each B-tree on columns as they are, of all rows, both by qualified names. Pure.

    To build one hardly ever calls a function of the user's, which may need rights that are given later, and takes less time
    than to fill its table.
    """
    matches = (match for item in found.items if (match := _PLAIN_INDEX.fullmatch(item)))
    return {
        qualified(schema, index): qualified(schema, table)
        for index, schema, table in (map(unquoted, match.groups()) for match in matches)
    }


@contextmanager
def _pinned(session: Session) -> Iterator[None]:
    names = tuple(_PINNED)
    before = session.rows("SELECT " + ", ".join(f"pg_catalog.current_setting('{name}')" for name in names))[0]
    _set(session, _PINNED)
    try:
        yield
    except StatementRefused:
        with suppress(StatementRefused):  # an open transaction is now aborted, and takes the settings back itself
            _set(session, dict(zip(names, before, strict=True)))
        raise
    _set(session, dict(zip(names, before, strict=True)))


def _set(session: Session, settings: dict[str, str]) -> None:
    told = ", ".join(f"pg_catalog.set_config('{name}', :{name}, false)" for name in settings)
    session.rows(f"SELECT {told}", **settings)
