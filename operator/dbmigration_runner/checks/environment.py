"""Runs the application's Alembic environment as it is, and believes only what its own migration context shows.

What is overridden is one attribute of one instance (`EnvironmentContext.configure`): a subclass breaks the proxies of
`alembic.context`, and arguments given beforehand are silently overwritten by env.py's own. Runs in the child alone.
"""

from __future__ import annotations

import argparse
import configparser
import inspect
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.config import CommandLine, Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from dbmigration_runner import handover
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.errors import Refusal, RunnerError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from dbmigration_runner.checks.connections import Connections
    from dbmigration_runner.contract.task import Migrations

Work = Callable[[tuple[str, ...], MigrationContext, ScriptDirectory], Iterable[Any]]


class Environment:
    """One application's Alembic project."""

    def __init__(self, migrations: Migrations, url: URL, connections: Connections) -> None:
        """Read the configuration. Raises Refusal (ConfigNotFound, ConfigInvalid)."""
        self._migrations = migrations
        self._url = url
        self._connections = connections
        os.environ.update(handover.environment(url, migrations.url_to))
        try:
            self.config = _config(migrations, url)
        except configparser.Error as error:
            raise Refusal(
                RunnerReason.CONFIG_INVALID, f"{migrations.config} is no ini file: {_fault(error)}."
            ) from None
        if migrations.url_to.connection:
            self.config.attributes["connection"] = _fresh_connection(url)
        try:
            self.script = ScriptDirectory.from_config(self.config)
        except CommandError as error:
            raise Refusal(
                RunnerReason.CONFIG_INVALID, f"{migrations.config} does not lead to a script directory: {error}"
            ) from None
        except configparser.Error as error:
            raise Refusal(
                RunnerReason.CONFIG_INVALID, f"{migrations.config} cannot be used: {_fault(error)}."
            ) from None
        except Exception as error:  # noqa: BLE001  # tomllib and the template engine each have their own
            raise Refusal(RunnerReason.CONFIG_INVALID, f"{migrations.config} cannot be used: {error}") from None

    @property
    def config_path(self) -> str:
        """The file that the plan's hash covers."""
        return self._migrations.config

    def run(self, work: Work) -> None:
        """Run env.py; `work` is called with the heads, the context and the script directory, and yields the steps.

        Raises Refusal (WrongDatabase, EnvironmentDidNothing), whatever else env.py raises, and SystemExit.
        """
        visit = _Visit(self.script, self._connections, work)
        visit.run(
            EnvironmentContext(
                self.config,
                self.script,
                fn=visit.steps,
                as_sql=False,
                starting_rev=None,
                destination_rev=self._migrations.target,
                tag=None,
                dont_mutate=True,  # otherwise a look at an empty database would leave a version table behind
            )
        )

    def render(self, work: Work, start: tuple[str, ...], buffer: Any) -> None:
        """Run env.py in Alembic's offline mode: what it would execute is written to `buffer`."""
        self.config.output_buffer = buffer
        context: EnvironmentContext = EnvironmentContext(
            self.config,
            self.script,
            fn=lambda heads, migration: work(tuple(heads), migration, context.script),
            as_sql=True,
            starting_rev=start or None,
            destination_rev=self._migrations.target,
            tag=None,
        )
        with context:
            self.script.run_env()


class _Visit:
    """One run of env.py: what it configures is checked before anything of ours is given to it."""

    def __init__(self, script: ScriptDirectory, connections: Connections, work: Work) -> None:
        self._script = script
        self._connections = connections
        self._work = work
        self._context: EnvironmentContext | None = None
        self._refusal: RunnerError | None = None
        self._version_tables: set[tuple[str | None, str]] = set()
        self._reached = False

    def run(self, context: EnvironmentContext) -> None:
        """Let env.py run within this context."""
        original = context.configure

        def configure(*arguments: Any, **options: Any) -> None:
            original(*arguments, **options)
            self._check(context.get_context())

        context.configure = configure  # type: ignore[method-assign]  # the seam that survives env.py's own arguments
        self._context = context
        try:
            with context:
                self._script.run_env()
        except BaseException:
            # env.py may have wrapped our refusal into an error of its own, or answered it with sys.exit.
            if self._refusal is not None:
                raise self._refusal from None
            raise
        if self._refusal is not None:
            raise self._refusal
        if not self._reached:
            raise Refusal(
                RunnerReason.ENVIRONMENT_DID_NOTHING,
                "env.py ended without calling context.run_migrations(): nothing was looked at and nothing was run.",
            )

    def steps(self, heads: Any, migration: MigrationContext) -> Iterable[Any]:
        """Alembic's `fn`. `context.script` is asked again: some env.py files choose the version folder."""
        self._check(migration)
        self._reached = True
        try:
            script = self._context.script if self._context is not None else self._script
            yield from self._work(tuple(sorted(heads)), migration, script)
        except RunnerError as error:
            self._refusal = self._refusal or error
            raise

    def _check(self, migration: MigrationContext) -> None:
        try:
            self._refuse_foreign(migration)
        except Refusal as error:
            self._refusal = self._refusal or error
            raise

    def _refuse_foreign(self, migration: MigrationContext) -> None:
        if migration.as_sql or migration.connection is None:
            raise Refusal(
                RunnerReason.ENVIRONMENT_DID_NOTHING,
                "env.py configured Alembic's offline mode although a migration was asked for: it gave no connection.",
            )
        if not self._connections.are_of_the_manifest(migration.connection):
            raise Refusal(
                RunnerReason.WRONG_DATABASE,
                "env.py connects to another database than the manifest names (or to a copy of it): what would be migrated is not "
                "what would be backed up. Say in migrations.urlTo how env.py gets the URL.",
            )
        self._version_tables.add((migration.version_table_schema, migration.version_table))
        if len(self._version_tables) > 1:
            names = ", ".join(sorted(".".join(filter(None, names)) for names in self._version_tables))
            raise Refusal(
                RunnerReason.CONFIG_INVALID,
                f"env.py migrates several version tables in one run ({names}): make one DatabaseMigration for each, "
                "told apart by an -x argument or an environment variable.",
            )


def _config(migrations: Migrations, url: URL) -> Config:
    file = Path(migrations.config)
    if not file.is_file():
        raise Refusal(
            RunnerReason.CONFIG_NOT_FOUND,
            f"There is no {migrations.config} in {Path.cwd()}: set migrations.path and migrations.config to where the image has it.",
        )
    reads_toml = "toml_file" in inspect.signature(Config.__init__).parameters
    if file.suffix == ".toml" and not reads_toml:
        raise Refusal(RunnerReason.CONFIG_INVALID, "This Alembic reads no pyproject.toml; 1.16 and newer do.")
    # Alembic's own command line reads both files where both are there.
    ini = file if file.suffix != ".toml" else Path("alembic.ini")
    toml = file if file.suffix == ".toml" else Path("pyproject.toml")
    files: dict[str, Any] = {"file_": str(ini) if ini.is_file() else None}
    if reads_toml:
        files["toml_file"] = str(toml) if toml.is_file() else None
    config = Config(**files)
    option = migrations.url_to.ini_option
    if option:
        config.set_main_option(option, handover.ini_value(url))
    arguments = handover.x_arguments(url, migrations.url_to)
    if arguments:
        config.cmd_opts = _command_line(arguments, migrations.target)
    return config


def _fault(error: configparser.Error) -> str:
    """What kind of fault, and its line or option; never what stands there, which may be a URL with its password."""
    first = next(iter(getattr(error, "errors", ())), (None,))[0]
    places = {"line": getattr(error, "lineno", first), "option": getattr(error, "option", None)}
    return ", ".join([type(error).__name__, *(f"{kind} {place}" for kind, place in places.items() if place)])


def _command_line(x_arguments: list[str], target: str) -> argparse.Namespace:
    """The options as Alembic's own command line would give them: env.py may look at any of them."""
    words = [word for argument in x_arguments for word in ("-x", argument)]
    return CommandLine().parser.parse_args([*words, "upgrade", target])


def _fresh_connection(url: URL) -> Any:
    """A connection on which nothing was executed: otherwise Alembic sees a transaction that is not its own."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    engine = create_engine(url, poolclass=NullPool)
    if getattr(engine.dialect, "is_async", False):
        raise Refusal(
            RunnerReason.CONFIG_INVALID,
            f"A connection cannot be handed over with the asynchronous driver of {url.drivername}: give another in the URL.",
        )
    return engine.connect()
