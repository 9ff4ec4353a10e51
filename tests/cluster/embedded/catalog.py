"""The images that the cluster tests run, as data: where each is built from, and which files may get into it."""

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.embedded.cache import PROJECT

_TEST_IMAGES = PROJECT / "tests" / "cluster" / "images"
_SHOP = PROJECT / "examples" / "shop"


@dataclass(frozen=True, slots=True)
class Image:
    """An image to build. Only `sources` are sent to the engine, so that its key can never miss an input."""

    reference: str  # as manifests name it
    context: Path  # the folder that the Dockerfile's COPY starts from; the Dockerfile is in it
    sources: tuple[str, ...]  # files and folders of the context
    target: str | None = None
    arguments: tuple[tuple[str, str], ...] = ()  # of the build, name and value


# The classic builder runs every stage above the target, so both images are sent what either copies.
_OPERATOR_SOURCES = (
    "requirements/operator.txt",
    "requirements/tools.txt",
    "operator/dbmigration",
    "operator/dbmigration_runner",
)
CONTROLLER = Image("dbmigration-operator/controller:dev", PROJECT, _OPERATOR_SOURCES, target="controller")
TOOLS = Image("dbmigration-operator/tools:dev", PROJECT, _OPERATOR_SOURCES, target="tools")


def shop(release: str) -> Image:
    """The example application as of one of its releases."""
    sources = (
        "requirements.txt",
        "shop",
        "seed.py",
        "migrations",
        *(path.name for path in _SHOP.glob("alembic-*.ini")),
    )
    return Image(f"dbmigration-test/shop:{release}", _SHOP, sources, arguments=(("RELEASE", release),))


def application(name: str) -> Image:
    """One of the tests' own applications, wilder than the example."""
    context = _TEST_IMAGES / "applications"
    return Image(f"dbmigration-test/{name}:1", context, (name,), arguments=(("APPLICATION", name),))


MARIADB = Image("dbmigration-test/mariadb:11", _TEST_IMAGES / "mariadb", ("start-server",))
POSTGRESQL = Image("dbmigration-test/postgresql:17", _TEST_IMAGES / "postgresql", ("start-server",))

ALL = (
    *(CONTROLLER, TOOLS, POSTGRESQL, MARIADB),
    *(shop(release) for release in ("1.0", "1.1", "1.2")),
    *(application(name) for name in ("oldest", "asyncpg", "optuna", "pymysql")),
)
