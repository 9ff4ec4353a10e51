"""The databases that we know, behind one interface. `engine_for(url)` is the only door."""

from __future__ import annotations

import importlib
from typing import Any

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from dbmigration_runner.contract import database_url
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.catalog import Catalog
from dbmigration_runner.engines.interface import Engine, Session
from dbmigration_runner.errors import Refusal

APPLICATION_NAME = "dbmigration"


def engine_for(url: str, *, application_name: str = APPLICATION_NAME) -> Engine:
    """The engine that an SQLAlchemy URL names.

    `application_name` is shown by the server for our sessions. Raises Refusal (UrlInvalid, EngineNotSupported).
    """
    text = url.strip()
    if text.startswith("postgres://"):  # what many Secrets hold; SQLAlchemy has refused it since 1.4
        text = "postgresql://" + text[len("postgres://") :]
    if wrong := database_url.fault(text):
        raise Refusal(RunnerReason.URL_INVALID, wrong)
    try:
        parsed = make_url(text)
    except (ArgumentError, ValueError):  # its message quotes the URL
        raise Refusal(
            RunnerReason.URL_INVALID,
            "The database URL cannot be read: it must look like postgresql://user:password@host:5432/name, "
            "with reserved characters of the password percent-encoded.",
        ) from None
    match parsed.get_backend_name():
        case "postgresql":
            from dbmigration_runner.engines.postgresql import PostgreSQL

            return PostgreSQL(parsed, application_name)
        case "sqlite":
            from dbmigration_runner.engines.sqlite import SQLite

            return SQLite(parsed, application_name)
        case "mysql" | "mariadb":
            from dbmigration_runner.engines.mysql import MySQL

            return MySQL(parsed, application_name)
        case other:
            raise Refusal(
                RunnerReason.ENGINE_NOT_SUPPORTED,
                f"Databases of the kind {other} are not supported; PostgreSQL, MariaDB and SQLite are.",
            )


def read_catalog(engine: Engine, session: Session) -> Catalog:
    """The schema, as `engines/<name>_catalog.py` reads it."""
    module: Any = importlib.import_module(f"dbmigration_runner.engines.{engine.name}_catalog")
    found: Catalog = module.catalog(session)
    return found
