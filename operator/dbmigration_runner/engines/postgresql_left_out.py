"""Tables whose rows no PostgreSQL dump holds, although they may be anybody's: those that belong to an extension.

pg_dump counts on CREATE EXTENSION to fill them again, unless the extension calls them its configuration. Whether it would,
or somebody wrote their rows, nothing tells. Reads only, within the snapshot of a dump.
"""
# ruff: noqa: S608  # statements are made of quoted names of our own

from __future__ import annotations

from typing import TYPE_CHECKING

from dbmigration_runner.engines.postgresql_copy import qualified
from dbmigration_runner.engines.postgresql_names import quoted

if TYPE_CHECKING:
    from dbmigration_runner.engines.interface import AskingSession

# The last column: may this role see every row? Where it may not, pages that were written to are taken for rows.
_OF_EXTENSIONS = """
SELECT n.nspname::text, c.relname::text,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
       AND NOT pg_catalog.row_security_active(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'
JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND pg_catalog.left(n.nspname, 3) <> 'pg_'
  AND n.nspname <> 'information_schema' AND c.oid <> ALL (coalesce(e.extconfig, '{}'))
  AND pg_catalog.pg_relation_size(c.oid) > 0
ORDER BY 1, 2
"""


def left_out(session: AskingSession) -> tuple[str, ...]:
    """Those that have rows."""
    return tuple(
        qualified(schema, table)
        for schema, table, is_readable in session.rows(_OF_EXTENSIONS)
        if not is_readable or session.first_value(f"SELECT EXISTS (SELECT FROM ONLY {quoted(schema)}.{quoted(table)})")
    )
