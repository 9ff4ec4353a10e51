"""What belongs to a PostgreSQL database and stands in no dump of it: owner, locale, grants, settings, comment, versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbmigration_runner.engines.dump import Setting, Surroundings

if TYPE_CHECKING:
    from dbmigration_runner.engines.interface import Session

# The locale's column has had three names; to_jsonb() reads whichever this server has.
_DATABASE = """
SELECT pg_catalog.pg_get_userbyid(d.datdba), pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate::text, d.datctype::text,
       coalesce(pg_catalog.to_jsonb(d) ->> 'datlocprovider', 'c'),
       coalesce(pg_catalog.to_jsonb(d) ->> 'datlocale', pg_catalog.to_jsonb(d) ->> 'daticulocale'),
       s.spcname::text, d.datconnlimit, pg_catalog.shobj_description(d.oid, 'pg_database'), d.datacl::text[]
FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace s ON s.oid = d.dattablespace
WHERE d.datname = pg_catalog.current_database()
"""
_SETTINGS = """
SELECT r.rolname::text, pg_catalog.unnest(s.setconfig)
FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
WHERE d.datname = pg_catalog.current_database() ORDER BY 1 NULLS FIRST, 2
"""
_EXTENSIONS = "SELECT extname::text, extversion FROM pg_catalog.pg_extension ORDER BY 1"
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}


def read(session: Session) -> Surroundings:
    """Of the session's database; anybody may read this."""
    owner, encoding, collate, ctype, provider, locale, space, limit, comment, grants = session.rows(_DATABASE)[0]
    return Surroundings(
        owner=str(owner),
        encoding=str(encoding),
        collate=str(collate),
        ctype=str(ctype),
        locale_provider=_PROVIDERS[str(provider)],
        locale=locale,
        tablespace=str(space),
        connection_limit=int(limit),
        comment=comment,
        grants=tuple(str(grant) for grant in grants or ()),
        settings=tuple(Setting(str(setting), role) for role, setting in session.rows(_SETTINGS)),
        extensions={str(name): str(version) for name, version in session.rows(_EXTENSIONS)},
    )
