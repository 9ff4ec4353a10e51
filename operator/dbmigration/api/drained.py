"""What was scaled to zero for a run, and how it goes back: a part of the status.

It must not know what is drained for, and decide nothing.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dbmigration.api.model import Time, status_model


@status_model
class DrainedWorkload:
    """A workload that was scaled to zero, and to how many replicas it goes back."""

    kind: Annotated[str, Field(max_length=64, description="Deployment or StatefulSet.")]
    name: Annotated[str, Field(max_length=253, description="Its name.")]
    replicas: Annotated[
        int | None, Field(description="What it had before; absent until it was seen, and as long as it is not there.")
    ] = None


@status_model
class Drain:
    """What is drained. Belongs to the resource, is written before anything is scaled, and is gone when all are back.

    Which workloads these are is decided once, whatever becomes of the spec meanwhile.
    """

    workloads: Annotated[
        tuple[DrainedWorkload, ...], Field(max_length=32, description="What was scaled down, and from how many.")
    ] = ()
    started_at: Annotated[Time, Field(description="When it began.")]
    drained_at: Annotated[Time | None, Field(description="When no Pod of them was left.")] = None
    given_up: Annotated[
        str, Field(max_length=1024, description="Why it did not come to its end in time; nothing is restored then.")
    ] = ""
    resumed_at: Annotated[Time | None, Field(description="When all had their replicas again.")] = None
    before_backup: Annotated[
        bool, Field(description="Whether it is drained for the whole run, since before its backup was begun.")
    ] = False
    contested_at: Annotated[
        Time | None,
        Field(
            description="When one of them was first seen with replicas or Pods although it was drained: it may have written."
        ),
    ] = None
