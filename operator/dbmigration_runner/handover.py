"""The ways in which an application's env.py gets the database URL.

The manifest names them; several at once are common. Nothing is guessed, and nothing is written to disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbmigration_runner.contract.task import UrlPart

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from dbmigration_runner.contract.task import UrlHandover


def url_parts(url: URL) -> dict[str, str]:
    """Every part by its name; "" where the URL does not have it."""
    return {
        UrlPart.URL.value: url.render_as_string(hide_password=False),
        UrlPart.DRIVER.value: url.drivername,
        UrlPart.HOST.value: url.host or "",
        UrlPart.PORT.value: str(url.port or ""),
        UrlPart.USER.value: url.username or "",
        UrlPart.PASSWORD.value: str(url.password or ""),
        UrlPart.DATABASE.value: url.database or "",
    }


def environment(url: URL, handover: UrlHandover) -> dict[str, str]:
    """The environment variables that the manifest names."""
    known = url_parts(url)
    return {name: known[part.value] for name, part in handover.environment.items()}


def x_arguments(url: URL, handover: UrlHandover) -> list[str]:
    """Alembic's `-x` arguments: a bare `name` becomes `name=URL`, `{url}`, `{host}` … are filled in elsewhere."""
    known = url_parts(url)
    arguments = []
    for argument in handover.x_arguments:
        name, given, value = argument.partition("=")
        for part, text in known.items():
            value = value.replace("{" + part + "}", text)
        arguments.append(f"{name}={value}" if given else f"{name}={known[UrlPart.URL.value]}")
    return arguments


def ini_value(url: URL) -> str:
    """The URL for an ini option, where a percent sign starts an interpolation."""
    return url_parts(url)[UrlPart.URL.value].replace("%", "%%")
