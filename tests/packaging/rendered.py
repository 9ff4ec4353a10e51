"""What a list of rendered manifests says, asked the way a cluster would read it. It must not know how they were made."""

from typing import Any

Documents = list[dict[str, Any]]


def of_kind(documents: Documents, kind: str) -> Documents:
    """Those of one kind."""
    return [document for document in documents if document["kind"] == kind]


def one(documents: Documents, kind: str, name: str | None = None) -> dict[str, Any]:
    """The only one of a kind, or of that name."""
    found = [document for document in of_kind(documents, kind) if name in (None, document["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} documents of kind {kind}"
    return found[0]


def rights(documents: Documents, account: str) -> set[tuple[str, str, str, str]]:
    """What bindings give a service account: where (`*` for everywhere), API group, resource, verb."""
    given = set()
    for binding in of_kind(documents, "RoleBinding") + of_kind(documents, "ClusterRoleBinding"):
        if account not in [f"{subject['namespace']}/{subject['name']}" for subject in binding["subjects"]]:
            continue
        where = binding["metadata"].get("namespace", "*")
        for role in of_kind(documents, binding["roleRef"]["kind"]):
            if role["metadata"]["name"] != binding["roleRef"]["name"]:
                continue
            if role["kind"] == "Role" and role["metadata"]["namespace"] != where:
                continue
            for rule in role["rules"]:
                assert "resourceNames" not in rule
                given |= {
                    (where, group, resource, verb)
                    for group in rule["apiGroups"]
                    for resource in rule["resources"]
                    for verb in rule["verbs"]
                }
    return given
