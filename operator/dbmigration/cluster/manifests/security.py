"""What a step's containers may do: nothing that Pod Security `restricted` forbids, and no API token.

It must not know what runs in them.
"""

from __future__ import annotations

from typing import Any

from dbmigration.api.pod_template import PodTemplate

# Mounted files belong to root; without a group of the Pod's own nobody else could read them.
DEFAULT_GROUP = 65532


def pod_security(template: PodTemplate) -> dict[str, Any]:
    """Who the containers are. A user's ids hold for the tools too, so that what one step writes another one reads."""
    security: dict[str, Any] = {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
        "fsGroup": template.fs_group or DEFAULT_GROUP,
        # Changing the owner of every file of a large volume at every step would take minutes.
        "fsGroupChangePolicy": "OnRootMismatch",
    }
    if template.run_as_user is not None:
        security["runAsUser"] = template.run_as_user
    if template.run_as_group is not None:
        security["runAsGroup"] = template.run_as_group
    return security


def container_security(*, read_only_root: bool) -> dict[str, Any]:
    """What a container may do; an application's keeps a writable root, for nobody knows where it writes."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": read_only_root,
    }
