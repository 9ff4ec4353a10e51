"""What belongs to a PostgreSQL database and stands in no dump of it: owner, locale, grants, settings, comment, versions.

Read when a dump is made, put back where it is restored; the comment and the limit of connections are put back by who
exchanges the databases' names, for until then they say something else.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from dbmigration_runner.engines.dump import Setting, Surroundings
from dbmigration_runner.engines.postgresql_names import quoted, text_literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbmigration_runner.engines.interface import Session

# The locale's column has had three names; to_jsonb() reads whichever this server has.
_DATABASE = """
SELECT pg_catalog.pg_get_userbyid(d.datdba), pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate::text, d.datctype::text,
       coalesce(pg_catalog.to_jsonb(d) ->> 'datlocprovider', 'c'),
       coalesce(pg_catalog.to_jsonb(d) ->> 'datlocale', pg_catalog.to_jsonb(d) ->> 'daticulocale'),
       coalesce(pg_catalog.to_jsonb(d) ->> 'daticurules', ''), s.spcname::text, d.datconnlimit, d.datistemplate,
       pg_catalog.shobj_description(d.oid, 'pg_database'), d.datacl::text[]
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
_NOBODY = ("=/",)  # everything was revoked; an empty list says that nobody ever granted or revoked anything
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}


def read(session: Session) -> Surroundings:
    """Of the session's database; anybody may read this."""
    (found,) = session.rows(_DATABASE)
    owner, encoding, collate, ctype, provider, locale, rules, space, limit, is_template, comment, grants = found
    return Surroundings(
        owner=str(owner),
        encoding=str(encoding),
        collate=str(collate),
        ctype=str(ctype),
        locale_provider=_PROVIDERS[str(provider)],
        locale=locale,
        collation_rules=str(rules) or None,
        tablespace=str(space),
        connection_limit=int(limit),
        is_template=bool(is_template),
        comment=comment,
        grants=_NOBODY if grants == [] else tuple(str(grant) for grant in grants or ()),
        settings=tuple(Setting(str(setting), role) for role, setting in session.rows(_SETTINGS)),
        extensions={str(name): str(version) for name, version in session.rows(_EXTENSIONS)},
    )


_NAME = r'(?:"(?:[^"]|"")*"|[^"=/]*)'
_GRANT = re.compile(rf"({_NAME})=([A-Za-z*]*)/({_NAME})")
_PRIVILEGES = {"C": "CREATE", "T": "TEMPORARY", "c": "CONNECT"}
# Their values are lists that are stored as they were quoted; as one literal they would be one name with commas in it.
_LISTS = (
    *("local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries"),
    *("temp_tablespaces", "unix_socket_directories"),
)
_ITEM = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",]+?))\s*(?:,|$)')


def settings(name: str, wanted: Surroundings) -> Iterator[str]:
    """What gives the database `name` these settings: behind its restore, which some of them would forbid. Pure."""
    database = quoted(name)
    for entry in wanted.settings:
        variable, _, value = entry.setting.partition("=")
        parts = ".".join(quoted(part) for part in variable.split("."))
        whose = f"DATABASE {database}" if entry.role is None else f"ROLE {quoted(entry.role)} IN DATABASE {database}"
        yield f"ALTER {whose} SET {parts} TO {_value(variable, value)}"


def grants(name: str, wanted: Surroundings) -> Iterator[str]:
    """What gives it these grants: before a row is in it. Pure."""
    database = quoted(name)
    if wanted.grants:
        yield f"REVOKE ALL ON DATABASE {database} FROM PUBLIC"
        yield f"REVOKE ALL ON DATABASE {database} FROM {quoted(wanted.owner)}"
    for grant in wanted.grants:
        yield from _granted(database, grant)


def differences(was: Surroundings, has: Surroundings) -> tuple[str, ...]:
    """What of it is another one now; never a value, for a setting may hold anything. Pure."""
    pairs = {
        "owner": (was.owner, has.owner),
        "grants": (set(was.grants), set(has.grants)),
        "settings": (set(was.settings), set(has.settings)),
        "limit of connections": (was.connection_limit, has.connection_limit),
        "comment": (was.comment, has.comment),
        "being a template": (was.is_template, has.is_template),
    }
    return tuple(name for name, (one, other) in pairs.items() if one != other)


def other_extensions(was: Surroundings, has: Surroundings) -> tuple[str, ...]:
    """Extensions of which a restore made another version, for it makes the one that the server has now. Pure."""
    return tuple(
        f"{name} {has.extensions[name]} instead of {version}"
        for name, version in sorted(was.extensions.items())
        if has.extensions.get(name, version) != version
    )


def known_roles(session: Session) -> frozenset[str]:
    """Every role of the server."""
    return frozenset(str(name) for (name,) in session.rows("SELECT rolname::text FROM pg_catalog.pg_roles"))


def gone(wanted: Surroundings, known: frozenset[str]) -> tuple[str, ...]:
    """Roles that had grants or settings of their own and are not known any more. Pure."""
    concerned = (*map(_grantee, wanted.grants), *(entry.role for entry in wanted.settings))
    return tuple(sorted({role for role in concerned if role} - known))


def without(wanted: Surroundings, roles: tuple[str, ...]) -> Surroundings:
    """The same but for the grants and settings of these roles. Pure."""
    kept = tuple(grant for grant in wanted.grants if _grantee(grant) not in roles)
    return replace(
        wanted,
        # An empty list would say that nobody ever granted or revoked anything.
        grants=kept or (_NOBODY if wanted.grants else ()),
        settings=tuple(entry for entry in wanted.settings if entry.role not in roles),
    )


def _grantee(grant: str) -> str:
    """`""` is everybody."""
    return _parted(grant)[0]


def _parted(grant: str) -> tuple[str, str]:
    """Who was given what."""
    found = _GRANT.fullmatch(grant)
    if found is None:
        raise ValueError(grant)
    return _unquoted(found[1]), found[2]


def _granted(database: str, grant: str) -> Iterator[str]:
    grantee, letters = _parted(grant)
    role = quoted(grantee) if grantee else "PUBLIC"
    for letter, option in re.findall(r"([A-Za-z])(\*?)", letters):
        privilege = _PRIVILEGES.get(letter)
        if privilege is not None:
            yield f"GRANT {privilege} ON DATABASE {database} TO {role}" + (" WITH GRANT OPTION" if option else "")


def _value(variable: str, value: str) -> str:
    if variable.lower() not in _LISTS:
        return text_literal(value)
    items = [text_literal(whole.replace('""', '"') or plain) for whole, plain in _ITEM.findall(value) if value.strip()]
    return ", ".join(items) or "''"


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
