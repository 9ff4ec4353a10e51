"""Keeps the database's secrets out of every line and every report, in all the forms in which they turn up.

A value is told apart from nothing else: a password that is an ordinary word disappears from ordinary sentences too.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.engine import URL

T = TypeVar("T")
MASK = "***"
SHORTEST = 4  # shorter values are masked within a URL only: one letter would mask the whole log
_IN_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(?=@)", re.IGNORECASE)


class Redactor:
    """Replaces what must not be seen by `***`."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add_url(self, text: str, url: URL) -> None:
        """A database URL, as it came and as it was read."""
        self.add(text.strip())
        self.add(url.render_as_string(hide_password=False))
        password = str(url.password) if url.password is not None else ""
        if password:
            self.add(password)
            self._remember(base64.b64encode(f"{url.username}:{password}".encode()).decode())
        for name, value in url.query.items():
            if "password" in name.lower() and isinstance(value, str):
                self.add(value)

    def add(self, secret: str) -> None:
        """One value, in the ways in which programs write values."""
        if len(secret) < SHORTEST:
            return
        plain = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), quote(secret, safe=" +")}
        written = {
            form
            for value in plain
            for form in (value, repr(value)[1:-1], json.dumps(value)[1:-1], value.replace("%", "%%"))
        }
        written.add(secret.replace("'", "''"))
        encoded = secret.encode()
        for data in (encoded, encoded + b"\n"):
            written.add(base64.b64encode(data).decode().rstrip("="))
            written.add(base64.urlsafe_b64encode(data).decode().rstrip("="))
        for form in written:
            self._remember(form)

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        text = _IN_URL.sub(rf"\1{MASK}", text)
        if self._pattern is None and self._forms:
            # The longest first: a URL goes as a whole, not as a URL with a hole.
            longest_first = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(re.escape(form) for form in longest_first))
        return self._pattern.sub(MASK, text) if self._pattern is not None else text

    def lines(self, texts: Iterable[str]) -> tuple[str, ...]:
        """The same for several."""
        return tuple(self(text) for text in texts)

    def _remember(self, form: str) -> None:
        if len(form) < SHORTEST:
            return
        self._forms.add(form)
        self._pattern = None  # made when it is needed: for forty forms, forty patterns took a tenth of a plan's time


def without_secrets(value: T, redact: Redactor, *, keep: tuple[str, ...] = ()) -> T:
    """The same frozen dataclass, every sentence in it redacted; the fields in `keep` are left as they are."""
    cleaned: T = _clean(value, redact, keep)
    return cleaned


def _clean(value: Any, redact: Redactor, keep: tuple[str, ...]) -> Any:
    if type(value) is str:  # an enumeration's member is a word of the contract
        return redact(value)
    if isinstance(value, tuple):
        return tuple(_clean(item, redact, keep) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (field.name for field in dataclasses.fields(value) if field.name not in keep)
        return dataclasses.replace(value, **{name: _clean(getattr(value, name), redact, keep) for name in fields})
    return value
