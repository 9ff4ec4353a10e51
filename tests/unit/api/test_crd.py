"""The rendered CRDs: current, structural, bounded."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from dbmigration.api.crd import custom_resource_definition, restore_definition

ROOT = Path(__file__).resolve().parents[3]


def generated() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "scripts" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.documents()


@pytest.fixture(params=[custom_resource_definition, restore_definition], ids=["migration", "restore"])
def version(request) -> dict[str, Any]:
    (found,) = request.param()["spec"]["versions"]
    return found


@pytest.fixture
def schema(version) -> dict[str, Any]:
    return version["schema"]["openAPIV3Schema"]


def nodes(node: dict[str, Any], path: str = "$"):
    yield path, node
    for name, item in node.get("properties", {}).items():
        yield from nodes(item, f"{path}.{name}")
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")
    if "additionalProperties" in node:
        yield from nodes(node["additionalProperties"], f"{path}.*")


def test_what_is_generated_is_current():
    for path, text in generated().items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, f"{path} is stale: run make generate"


@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_field_is_described_and_bounded(part, schema):
    for path, node in nodes(schema["properties"][part], f"$.{part}"):
        if path.endswith(("[]", ".*")):
            continue
        assert node.get("description"), path
        if node["type"] == "string":
            assert {"maxLength", "enum"} & set(node) or "Time" in path or path.endswith("At"), f"{path} is not bounded"
        if node["type"] == "array":
            assert "maxItems" in node, f"{path} is not bounded"


def test_nothing_stands_in_it_that_kubernetes_refuses(schema):
    text = yaml.safe_dump(schema)
    assert not [word for word in ("$ref", "anyOf", "$defs", "patternProperties", "propertyNames") if word in text]


def test_a_new_object_is_not_taken_for_a_finished_one(schema):
    assert schema["properties"]["status"]["default"] == {"observedGeneration": -1}


def test_no_column_says_what_the_api_server_would_drop_again(version):
    """A second manager that applies the same definition would be told of a conflict, and a GitOps controller of drift."""
    assert all(column.get("priority") != 0 for column in version["additionalPrinterColumns"])
