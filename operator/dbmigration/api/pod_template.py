"""What a user may add to the Pods of the steps: a closed list, so that nothing here widens what a Pod may do.

The parts are Kubernetes' own, handed through as they are; it must not interpret them.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from dbmigration.api.model import SpecModel

# Kubernetes' own objects, checked by the API server when the Job is created; a closed schema here would age.
Part = dict[str, Any]
UserId = Annotated[int, Field(ge=1, le=2147483647)]


class PodMetadata(SpecModel):
    """Labels and annotations for the Pods, for meshes, cost reports and identity."""

    labels: dict[str, str] = Field(default_factory=dict, max_length=32, description="Labels of the Pods; ours win.")
    annotations: dict[str, str] = Field(default_factory=dict, max_length=32, description="Annotations of the Pods.")


class PodTemplate(SpecModel):
    """What the steps' Pods need beside what the operator gives them."""

    metadata: PodMetadata = Field(default_factory=PodMetadata, description="Labels and annotations of the Pods.")
    service_account_name: Annotated[str, Field(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")] | None = (
        Field(default=None, description="For identity at the database's cloud; its API token is never mounted.")
    )
    env: tuple[Part, ...] = Field(default=(), max_length=64, description="Environment of the application's container.")
    env_from: tuple[Part, ...] = Field(
        default=(), max_length=16, description="Environment of the application's container, from objects."
    )
    volumes: tuple[Part, ...] = Field(default=(), max_length=16, description="Volumes for the application's container.")
    volume_mounts: tuple[Part, ...] = Field(default=(), max_length=16, description="Where they are mounted.")
    resources: Part = Field(default_factory=dict, description="Requests and limits of each step's container.")
    run_as_user: UserId | None = Field(
        default=None, description="For images that name no numeric user other than root."
    )
    run_as_group: UserId | None = Field(default=None, description="Group of the containers.")
    fs_group: UserId | None = Field(default=None, description="Group that owns the mounted volumes.")
    node_selector: dict[str, str] = Field(default_factory=dict, max_length=32, description="Where the Pods may run.")
    tolerations: tuple[Part, ...] = Field(default=(), max_length=16, description="Taints that the Pods tolerate.")
    affinity: Part = Field(default_factory=dict, description="Where the Pods would rather run.")
    priority_class_name: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="Priority of the Pods."
    )
    image_pull_secrets: tuple[Part, ...] = Field(
        default=(), max_length=8, description="Secrets for pulling the application's image."
    )
    host_aliases: tuple[Part, ...] = Field(default=(), max_length=16, description="Lines for the Pods' hosts file.")
