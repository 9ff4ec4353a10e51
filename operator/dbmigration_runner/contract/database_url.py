"""Where a database URL's user and password end, read as SQLAlchemy reads it, so that what is shown of it is never a part of them.

Pure. Nothing here may quote a URL.
"""

from __future__ import annotations

import re

_URL = re.compile(r"(?P<scheme>[\w+]+://)(?:[^:/]*(?::[^@]*)?@)?(?P<place>.*)", re.DOTALL)
_REMEDY = "in a password write @ as %40 and / as %2F; an @ of any other part is written %40 too."


def fault(url: str) -> str:
    """Why nobody can tell what of this URL is the password; "" where it is plain.

    SQLAlchemy ends a password at the first @: what follows it up to the next one would be taken for the host, and shown.
    """
    found = _URL.match(url.strip())
    if found is None or "@" not in found["place"] or _is_file(found):
        return ""
    begin = "The URL has more than one @" if url.count("@") > 1 else "The URL has an @ behind the name of its host"
    return f"{begin}: {_REMEDY}"


def without_user(url: str) -> str | None:
    """The same URL without user and password; None where it is no URL, or has a fault."""
    found = _URL.match(url.strip())
    return None if found is None or fault(url) else found["scheme"] + found["place"]


def _is_file(found: re.Match[str]) -> bool:
    """A path may hold an @, and a SQLite URL that begins with it has no user."""
    return found["scheme"].startswith("sqlite") and found[0].startswith(found["scheme"] + "/")
