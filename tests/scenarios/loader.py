"""Scenarios: folders that a user could have sent, read here and played elsewhere (without a cluster, or on one).

    README.md       three sentences: what happens, what must be seen, why it matters
    manifests/      one DatabaseMigration a file, applied in the order of their names; each but the last must succeed.
                    Its Secret, its ConfigMap (which is the project) and its claims are its player's to supply
    application/    what its Alembic project has else than library/, which all of them share; absent where that is nothing
    expect.yaml     what must be seen in the end; see `Expectation`

Whoever plays a scenario gives back what was seen, and `differences` tells what of it was not expected.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
SHARED = FOLDER / "library"


@dataclass(frozen=True)
class Query:
    """A statement that every engine understands, and all rows of its answer."""

    sql: str
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Expectation:
    """What must be seen in the end.

    `outcome` is the run's. `status` is a part of the status: a mapping holds at least these keys, a list is the whole
    list in its order, `~` means absent, and conditions are looked up by their type. Ready's message must hold all of
    `words`. `events` (their reasons, since the first manifest) must appear in this order, others may stand between them.
    """

    outcome: str
    status: dict[str, Any]
    words: tuple[str, ...]
    events: tuple[str, ...]
    queries: tuple[Query, ...]


@dataclass(frozen=True)
class Scenario:
    """One folder. It is the same on all of its `engines` and in all of its `worlds`.

    Where playing is dear, on a cluster, it is played on the first of its engines, and few scenarios are on all.
    """

    folder: Path
    engines: tuple[str, ...]
    worlds: tuple[str, ...]
    expected: Expectation

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def manifests(self) -> list[Path]:
        return sorted((self.folder / "manifests").iterdir())

    @property
    def application(self) -> dict[str, Path]:
        """The files of its project, by their place in it."""
        folders = (SHARED, self.folder / "application")
        files = ((folder, file) for folder in folders for file in sorted(folder.rglob("*")) if file.is_file())
        return {str(file.relative_to(folder)): file for folder, file in files if "__pycache__" not in file.parts}

    def lay_out(self, target: Path) -> Path:
        """Write its project to a folder that is not there yet."""
        for place, file in self.application.items():
            (target / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target / place)
        return target


@dataclass(frozen=True)
class Seen:
    """What was seen of a scenario that was played: the final status, the Events' reasons in order, the queries' answers."""

    status: dict[str, Any]
    events: tuple[str, ...]
    answers: tuple[tuple[tuple[Any, ...], ...], ...]


ENGINES = ("postgresql", "mariadb", "sqlite")
WORLDS = ("local", "cluster")


def scenarios(world: str | None = None) -> list[Scenario]:
    """Every scenario, or those that are played in this world, by name."""
    found = [read(path.parent) for path in sorted(FOLDER.glob("*/expect.yaml"))]
    return [scenario for scenario in found if world is None or world in scenario.worlds]


def read(folder: Path) -> Scenario:
    """Read one; a key that is not known is a mistake in the scenario."""
    document = yaml.safe_load((folder / "expect.yaml").read_text(encoding="utf-8"))
    engines = tuple(document.pop("engines", ENGINES))
    worlds = tuple(document.pop("worlds", WORLDS))
    queries = tuple(Query(item["sql"], tuple(map(tuple, item["rows"]))) for item in document.pop("database", ()))
    expected = Expectation(
        outcome=document.pop("outcome"),
        status=document.pop("status", {}),
        words=tuple(document.pop("words", ())),
        events=tuple(document.pop("events", ())),
        queries=queries,
    )
    assert not document, f"{folder.name}: unknown in expect.yaml: {', '.join(document)}"
    return Scenario(folder, engines, worlds, expected)


def differences(expected: Expectation, seen: Seen) -> list[str]:
    """What was not as expected, one line a fact; empty where all was."""
    outcome = seen.status.get("run", {}).get("outcome")
    found = [] if outcome == expected.outcome else [f"outcome: {outcome!r}, not {expected.outcome!r}"]
    found += _compare(expected.status, seen.status, "status")
    found += _missing(expected.words, seen.status)
    if not _in_order(expected.events, seen.events):
        found.append(f"events: {list(seen.events)} do not hold {list(expected.events)} in this order")
    for query, answer in zip(expected.queries, seen.answers, strict=True):
        if query.rows != answer:
            found.append(f"{query.sql}: {answer}, not {query.rows}")
    return found


def _compare(expected: Any, seen: Any, place: str) -> Iterator[str]:
    if place.endswith(".conditions"):
        seen = {condition["type"]: condition for condition in seen or ()}
    if isinstance(expected, dict) and isinstance(seen, dict):
        for key, value in expected.items():
            yield from _compare(value, seen.get(key), f"{place}.{key}")
    elif isinstance(expected, list) and isinstance(seen, list) and len(expected) == len(seen):
        for number, (value, given) in enumerate(zip(expected, seen, strict=True)):
            yield from _compare(value, given, f"{place}.{number}")
    elif expected != seen:
        yield f"{place}: {seen!r}, not {expected!r}"


def _missing(words: tuple[str, ...], status: dict[str, Any]) -> Iterator[str]:
    message = next((item["message"] for item in status.get("conditions", ()) if item["type"] == "Ready"), "")
    for word in words:
        if word not in message:
            yield f"message: {word!r} is not in {message!r}"


def _in_order(wanted: tuple[str, ...], given: tuple[str, ...]) -> bool:
    rest = iter(given)
    return all(word in rest for word in wanted)
