"""A manifest that an API server would refuse is refused, by the field that is wrong."""

from __future__ import annotations

import copy
import re

import pytest

from dbmigration.api.crd import structural
from dbmigration.api.spec import MigrationSpec
from dbmigration.local.errors import ManifestError
from dbmigration.local.manifest import RULES, parse_manifest, read_manifest, schema_rules

VALID = {
    "apiVersion": "dbmigration.io/v1alpha1",
    "kind": "DatabaseMigration",
    "metadata": {"name": "shop"},
    "spec": {
        "database": {"urlFrom": {"secretKeyRef": {"name": "shop-db", "key": "url"}}},
        "migrations": {"source": {"image": {"reference": "shop:1"}}},
        "backup": {"skip": {"reason": "a test"}},
    },
}


def changed(path, value):
    """The valid manifest with one place changed; an Ellipsis removes it."""
    document = copy.deepcopy(VALID)
    *folders, last = path.split(".")
    node = document
    for name in folders:
        node = node.setdefault(name, {})
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return document


def test_a_valid_manifest_is_read_as_it_was_written():
    manifest = parse_manifest(VALID, "shop.yaml")
    assert (manifest.namespace, manifest.name, manifest.document) == ("default", "shop", VALID["spec"])
    assert manifest.spec.target_revision == "head"


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("apiVersion", "dbmigration.io/v9", "apiVersion is 'dbmigration.io/v9'"),
        ("metadata", {}, "metadata.name is missing"),
        ("metadata", {"name": "Shop_1"}, "metadata.name 'Shop_1' is none: lower-case letters"),
        ("spec", ..., "spec is missing"),
        ("spec.database", ..., "spec.database: this is required: Which database."),
        ("spec.targetRevision", "+1", "Relative steps are not a target"),
        ("spec.targetRevison", "head", "spec.targetRevison: there is no such field; known are backup, "),
        (
            "spec.migrations.source.configMap",
            {"name": "x"},
            "spec.migrations.source: set exactly one of image, configMap",
        ),
        ("spec.migrations.source", {}, "spec.migrations.source: set exactly one of image, configMap"),
        ("spec.backup", {}, "spec.backup: set backup.storage, or state in backup.skip.reason"),
        (
            "spec.backup",
            {"storage": {"persistentVolumeClaim": {"claimName": "backups"}}, "clone": True},
            "spec: backup.clone needs backup.storage and drain.when: Always",
        ),
        ("spec.backup.retention", {"keepLast": 0}, "spec.backup.retention.keepLast: "),
        ("spec.migrations.urlTo", {"env": {"NOT A NAME": "url"}}, "spec.migrations.urlTo.env"),
        (
            "spec.checks",
            {"after": {"queries": [{"name": "q", "sql": "SELECT 1", "equal": "1"}]}},
            "spec.checks.after.queries.0.equal: there",
        ),
    ],
)
def test_a_complaint_names_the_field_and_what_may_stand_there(path, value, complaint):
    with pytest.raises(ManifestError) as caught:
        parse_manifest(changed(path, value), "shop.yaml")
    assert str(caught.value).startswith("shop.yaml")
    assert complaint in str(caught.value)


def test_every_field_that_is_wrong_is_named_at_once():
    document = changed("spec.backup", {})
    document["spec"]["tagetRevision"] = "head"
    document["spec"]["suspend"] = "perhaps"
    with pytest.raises(ManifestError) as caught:
        parse_manifest(document, "shop.yaml")
    assert {"spec.tagetRevision", "spec.suspend"} <= {
        line.strip().partition(":")[0] for line in str(caught.value).splitlines()
    }


def test_a_url_that_was_written_into_the_manifest_is_not_repeated():
    with pytest.raises(ManifestError) as caught:
        parse_manifest(changed("spec.database.urlFrom", "postgresql://shop:S3cret@db/shop"), "shop.yaml")
    assert "S3cret" not in str(caught.value)


def test_every_rule_of_the_crd_is_known_here():
    """A rule that only an API server checks would let a manifest run here that a cluster refuses."""
    rules = {rule["rule"] for rule in schema_rules(structural(MigrationSpec.model_json_schema(by_alias=True)))}
    assert rules == set(RULES)


def test_other_kinds_in_the_file_are_ignored(tmp_path):
    path = tmp_path / "all.yaml"
    path.write_text(
        "kind: Secret\n---\napiVersion: dbmigration.io/v1alpha1\nkind: DatabaseMigration\nmetadata: {name: shop, namespace: shops}\n"
        "spec:\n  database: {urlFrom: {secretKeyRef: {name: a, key: b}}}\n  migrations: {source: {configMap: {name: c}}}\n"
        "  backup: {skip: {reason: none}}\n---\n",
        encoding="utf-8",
    )
    manifest = read_manifest(path)
    assert (manifest.namespace, manifest.name) == ("shops", "shop")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("kind: Secret\n", "holds 0 documents"),
        ("kind: DatabaseMigration\n---\n" * 2, "holds 2"),
        ("a: [", "is no YAML: line 1: "),
        ("a: \x00", "is no YAML"),
    ],
)
def test_a_file_without_exactly_one_migration_is_refused(tmp_path, text, complaint):
    path = tmp_path / "all.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=complaint):
        read_manifest(path)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("spec.timeouts", {"migrate": "7d"}, "Durations are written 100ms, 30s, 5m, 168h or 1h30m; there is no d."),
        (
            "spec.checks",
            {"before": {"minFreeDisk": "5 GB"}},
            "Sizes are written 5Gi or 500M; without a unit they are bytes.",
        ),
    ],
)
def test_how_a_duration_or_a_size_is_written_is_said_where_one_is_not(path, value, words):
    with pytest.raises(ManifestError, match=re.escape(words)):
        parse_manifest(changed(path, value), "it")
