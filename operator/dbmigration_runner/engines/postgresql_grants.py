"""Rights on a PostgreSQL table go with the table: one that is made again has none but those of default privileges.

Reads the catalogs only. Which rights there were nobody knows any more; the table's neighbours show who should have some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbmigration_runner.engines.postgresql_names import parts

if TYPE_CHECKING:
    from dbmigration_runner.engines.interface import Session

_STRANGERS = """
WITH those AS (
  SELECT c.oid, c.relnamespace, c.relowner FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relname = :table AND c.relkind IN ('r', 'p')
    AND (n.nspname = :schema OR (:schema = '' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'))
), rights AS (
  SELECT c.oid, c.relnamespace, x.grantee FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) x
  WHERE c.relkind IN ('r', 'p', 'v', 'm') AND x.grantee <> c.relowner AND c.relnamespace IN (SELECT relnamespace FROM those)
)
SELECT DISTINCT coalesce(r.rolname::text, 'public')
FROM those t JOIN rights g ON g.relnamespace = t.relnamespace AND g.oid <> t.oid AND g.grantee <> t.relowner
LEFT JOIN pg_catalog.pg_roles r ON r.oid = g.grantee
WHERE NOT EXISTS (SELECT FROM rights h WHERE h.oid = t.oid AND h.grantee IN (g.grantee, 0)) ORDER BY 1
"""


def strangers(session: Session, table: str) -> tuple[str, ...]:
    """See engines.grants.strangers."""
    schema, name = parts(table)
    return tuple(str(role) for (role,) in session.rows(_STRANGERS, table=name, schema=schema or ""))
