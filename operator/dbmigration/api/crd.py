"""The CustomResourceDefinitions, rendered from the spec's and the status' classes.

Pure: classes in, a document out. pydantic's JSON schema is turned into what Kubernetes calls structural: no references, no
`anyOf`, no titles. It must not hold a field of its own.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from dbmigration.api import names
from dbmigration.api.database_restore import RestoreSpec, RestoreStatus
from dbmigration.api.spec import MigrationSpec
from dbmigration.api.status import Status

Schema = dict[str, Any]

# A schema's keywords that Kubernetes takes as they are.
_KEPT = (
    "description", "type", "enum", "format", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems",
    "minProperties", "maxProperties", "required", "default", "x-kubernetes-validations",
)  # fmt: skip

_COLUMNS = (
    (
        "Ready",
        "string",
        '.status.conditions[?(@.type=="Ready")].status',
        "Whether the database is where the spec wants it.",
        0,
    ),
    ("Phase", "string", ".status.phase", "Where the resource stands.", 0),
    ("Revision", "string", ".status.revision", "The database's revision, as last read.", 0),
    ("Target", "string", ".spec.targetRevision", "The revision that is wanted.", 0),
    ("Progress", "string", ".status.progress", "How far the current step is.", 0),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', "Why.", 0),
    ("Age", "date", ".metadata.creationTimestamp", "", 0),
    ("Backup", "string", ".status.run.backup", "The verified backup of the last run.", 1),
    ("Message", "string", '.status.conditions[?(@.type=="Ready")].message', "The cause and the remedy.", 1),
)

_RESTORE_COLUMNS = (
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', "Whether it was carried out.", 0),
    ("Phase", "string", ".status.phase", "How far it is.", 0),
    ("Migration", "string", ".spec.migrationRef.name", "Whose database.", 0),
    ("Backup", "string", ".spec.backup", "What takes the database's place.", 0),
    ("Differing", "integer", ".status.lostRows", "Rows inserted, changed or deleted since the backup.", 0),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', "Why.", 0),
    ("Age", "date", ".metadata.creationTimestamp", "", 0),
    ("Revision", "string", ".status.revision", "The database's revision after it.", 1),
    ("Kept", "string", ".status.restored.keptAs", "Under which name the replaced database is kept.", 1),
    ("Message", "string", '.status.conditions[?(@.type=="Ready")].message', "The cause and the remedy.", 1),
)


def custom_resource_definition() -> dict[str, Any]:
    """Make the whole CRD of DatabaseMigration."""
    return _definition(
        (names.KIND, names.PLURAL, names.SINGULAR, names.SHORT_NAME),
        "This database belongs at this revision of this image.",
        structural(MigrationSpec.model_json_schema(by_alias=True)),
        structural(TypeAdapter(Status).json_schema(by_alias=True, mode="serialization")),
        _COLUMNS,
    )


def restore_definition() -> dict[str, Any]:
    """Make the whole CRD of DatabaseRestore."""
    return _definition(
        (names.RESTORE_KIND, names.RESTORE_PLURAL, names.RESTORE_SINGULAR, names.RESTORE_SHORT_NAME),
        "An order, given once: put this backup in the place of that database.",
        structural(RestoreSpec.model_json_schema(by_alias=True)),
        structural(TypeAdapter(RestoreStatus).json_schema(by_alias=True, mode="serialization")),
        _RESTORE_COLUMNS,
    )


def _definition(
    called: tuple[str, str, str, str],
    description: str,
    spec: Schema,
    status: Schema,
    columns: tuple[tuple[str, str, str, str, int], ...],
) -> dict[str, Any]:
    kind, plural, singular, short_name = called
    status = _without_defaults(status)
    status["properties"]["phase"]["default"] = "Pending"
    # Without a generation that was never observed, kstatus (Flux, Helm, Argo CD) takes a new object for a finished one.
    status["default"] = {"observedGeneration": -1}
    status["properties"]["conditions"] |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": singular,
                "shortNames": [short_name],
                "categories": [names.CATEGORY],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(*column) for column in columns],
                    "schema": {
                        "openAPIV3Schema": {
                            "description": description,
                            "type": "object",
                            "required": ["spec"],
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "kind": {"type": "string"},
                                # Job names, labels and files carry it, and a label's value ends at 63 characters.
                                "metadata": {
                                    "type": "object",
                                    "properties": {"name": {"type": "string", "maxLength": 63}},
                                },
                                "spec": spec,
                                "status": status,
                            },
                        }
                    },
                }
            ],
        },
    }


def _without_defaults(schema: Schema) -> Schema:
    """A status is written whole by us; a server that fills it in would only make it look changed."""
    plain = {key: value for key, value in schema.items() if key not in {"default", "properties", "items"}}
    if "properties" in schema:
        plain["properties"] = {name: _without_defaults(item) for name, item in schema["properties"].items()}
    if "items" in schema:
        plain["items"] = _without_defaults(schema["items"])
    return plain


def structural(document: Schema) -> Schema:
    """Turn a JSON schema with `$defs` into a structural one."""
    return _node(document, document.get("$defs", {}))


def _node(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    if "$ref" in schema:
        target = definitions[schema["$ref"].removeprefix("#/$defs/")]
        return _node({**target, **{key: value for key, value in schema.items() if key != "$ref"}}, definitions)
    if "anyOf" in schema:
        (given,) = (option for option in schema["anyOf"] if option.get("type") != "null")
        around = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
        return _node({**given, **around}, definitions)
    result = {key: schema[key] for key in _KEPT if key in schema}
    if result.get("default", ...) in ({}, [], "", None):
        del result[
            "default"
        ]  # an absent field and an empty one are the same to us; a default would only fill manifests
    if properties := schema.get("properties"):
        result["properties"] = {name: _node(item, definitions) for name, item in properties.items()}
    if "items" in schema:
        result["items"] = _node(schema["items"], definitions)
    if result.get("type") == "object" and "properties" not in result:
        values = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), None)
        if isinstance(values, dict) and values:
            result["additionalProperties"] = _node(values, definitions)
        else:
            result["x-kubernetes-preserve-unknown-fields"] = True
    if result.get("type") == "integer" and "maximum" not in result:
        result["format"] = "int64"
    return result


def _column(name: str, kind: str, path: str, description: str, priority: int) -> dict[str, Any]:
    """A printer column. What the API server would drop again is left out, or every second writer would see a difference."""
    optional = {"priority": priority, "description": description}
    return {"name": name, "type": kind, "jsonPath": path} | {key: value for key, value in optional.items() if value}
