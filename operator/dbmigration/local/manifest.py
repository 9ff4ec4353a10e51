"""A DatabaseMigration from a file, held to what the API server would hold it to, before anything is started.

Schema, unknown fields and the CRD's rules are all taken from the classes that the CRD is rendered from. It must not
know where the things that the manifest names are on this machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dbmigration.api.crd import structural
from dbmigration.api.names import API_VERSION, KIND
from dbmigration.api.spec import CLONE_NEEDS, RESTORE_NEEDS, MigrationSpec
from dbmigration.api.units import WORDS
from dbmigration.local.errors import ManifestError

Node = dict[str, Any]

# The CRD's rules in CEL, which only an API server can evaluate, in Python. A test holds this table complete.
RULES: dict[str, Callable[[Node], bool]] = {
    "[has(self.image), has(self.configMap), has(self.persistentVolumeClaim)].filter(x, x).size() == 1": lambda node: (
        sum(key in node for key in ("image", "configMap", "persistentVolumeClaim")) == 1
    ),
    RESTORE_NEEDS: lambda node: (
        node.get("rollback", {}).get("onFailure") not in {"DowngradeOrRestore", "Restore"}
        or ("drain" in node and "storage" in node.get("backup", {}))
    ),
    CLONE_NEEDS: lambda node: (
        not node.get("backup", {}).get("clone")
        or ("storage" in node["backup"] and node.get("drain", {}).get("when") == "Always")
    ),
    "has(self.storage) != has(self.skip)": lambda node: ("storage" in node) != ("skip" in node),
    "self.all(name, name.matches('^[A-Za-z_][A-Za-z0-9_]{0,127}$'))": lambda node: all(
        re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", name) for name in node
    ),
}
_SHOWN = 8
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is wished, as it was written and as it was read."""

    namespace: str
    name: str
    document: Node  # the spec
    spec: MigrationSpec


def read_manifest(path: Path) -> Manifest:
    """Read the one DatabaseMigration of a YAML file; other kinds beside it are ignored. Raises ManifestError."""
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is no YAML: it is not a text in UTF-8.") from error
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ManifestError(f"{path} is no YAML: {place}{error.problem}.") from error
    except yaml.YAMLError as error:
        raise ManifestError(f"{path} is no YAML: {error}") from error
    found = [item for item in documents if isinstance(item, dict) and item.get("kind") == KIND]
    if len(found) != 1:
        raise ManifestError(f"{path} holds {len(found)} documents of kind {KIND}; exactly one is needed.")
    return parse_manifest(found[0], str(path))


def parse_manifest(document: Node, origin: str) -> Manifest:
    """Check a document; raises ManifestError, whose message names every field that is wrong."""
    if document.get("apiVersion") != API_VERSION:
        raise ManifestError(
            f"{origin}: apiVersion is {document.get('apiVersion')!r}, this program knows {API_VERSION}."
        )
    metadata, given = document.get("metadata"), document.get("spec")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        raise ManifestError(f"{origin}: metadata.name is missing.")
    if not _NAME.fullmatch(metadata["name"]):
        raise ManifestError(
            f"{origin}: metadata.name {metadata['name']!r} is none: lower-case letters, digits, '-' and '.' make one."
        )
    if not isinstance(given, dict):
        raise ManifestError(f"{origin}: spec is missing.")
    schema = structural(MigrationSpec.model_json_schema(by_alias=True))
    complaints = list(_unknown(given, schema, "spec"))
    try:
        spec = MigrationSpec.parse(given)
    except ValueError as error:
        complaints += _complaints(error, schema)
    else:
        complaints += _broken_rules(given, schema, "spec")
    if complaints:
        more = f"\n  … and {len(complaints) - _SHOWN} more" if len(complaints) > _SHOWN else ""
        raise ManifestError(f"{origin}: this is not valid:\n  " + "\n  ".join(complaints[:_SHOWN]) + more)
    return Manifest(str(metadata.get("namespace") or "default"), metadata["name"], given, spec)


def schema_rules(schema: Node) -> Iterator[Node]:
    """Every rule of a schema, wherever it stands."""
    yield from schema.get("x-kubernetes-validations", ())
    for item in schema.get("properties", {}).values():
        yield from schema_rules(item)
    if "items" in schema:
        yield from schema_rules(schema["items"])


def _complaints(error: ValueError, schema: Node) -> list[str]:
    """One line a field; what was given is not repeated, for it may be what should stand in a Secret."""
    details = error.errors() if hasattr(error, "errors") else [{"loc": (), "msg": str(error), "type": ""}]
    return [f"{'.'.join(map(str, ('spec', *item['loc'])))}: {_fault(item, schema)}" for item in details]


def _fault(item: Node, schema: Node) -> str:
    """What is wrong with a field and, where the bare rule would leave one guessing, what the field is."""
    match item["type"]:
        case "missing":
            return f"this is required: {_description(schema, item['loc'])}"
        case "string_pattern_mismatch":
            words = WORDS.get(item["ctx"]["pattern"], "")
            return f"{item['msg']}. {f'{words} ' if words else ''}It is: {_description(schema, item['loc'])}"
        case _:
            return str(item["msg"])


def _description(schema: Node, place: tuple[str | int, ...]) -> str:
    for key in place:
        inner = schema.get("items") if isinstance(key, int) else schema.get("properties", {}).get(key)
        schema = inner or schema.get("additionalProperties") or {}
    return str(schema.get("description", ""))


def _unknown(node: Any, schema: Node, place: str) -> Iterator[str]:
    properties = schema.get("properties")
    if isinstance(node, dict) and properties is not None:
        for key, value in node.items():
            if key in properties:
                yield from _unknown(value, properties[key], f"{place}.{key}")
            else:
                yield f"{place}.{key}: there is no such field; known are {', '.join(sorted(properties))}"
    elif isinstance(node, list) and "items" in schema:
        for number, item in enumerate(node):
            yield from _unknown(item, schema["items"], f"{place}.{number}")


def _broken_rules(node: Any, schema: Node, place: str) -> Iterator[str]:
    if isinstance(node, list) and "items" in schema:
        for number, item in enumerate(node):
            yield from _broken_rules(item, schema["items"], f"{place}.{number}")
    if not isinstance(node, dict):
        return
    for rule in schema.get("x-kubernetes-validations", ()):
        if not RULES[rule["rule"]](node):
            yield f"{place}: {rule['message']}"
    for key, item in schema.get("properties", {}).items():
        if key in node:
            yield from _broken_rules(node[key], item, f"{place}.{key}")
