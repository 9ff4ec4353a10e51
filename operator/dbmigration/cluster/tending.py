"""What is done when a resource's turn to be looked at comes: the lifecycle, and what the lifecycle need not know of.

That is: a resource that is gone, one that cannot be read, and a write whose answer was lost. It must not know when it is called.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from dbmigration.api.conditions import Standing, conditions
from dbmigration.api.explanations import EXPLANATIONS
from dbmigration.api.reasons import Reason
from dbmigration.api.spec import MigrationSpec
from dbmigration.api.status import Phase
from dbmigration.cluster.actions import tell_order
from dbmigration.cluster.errors import Conflict, NotFound, Unavailable
from dbmigration.cluster.gateway import Kind
from dbmigration.cluster.objects import Document, Key, key_of, owner_key_of, owner_uid_of, uid_of
from dbmigration.cluster.reading import job_is_over
from dbmigration.cluster.resource import Resource
from dbmigration.cluster.site import Site
from dbmigration.cluster.world import ClusterWorld, orders_of, write_status
from dbmigration.lifecycle.orders import without_migration
from dbmigration.lifecycle.world import drive

logger = logging.getLogger(__name__)

# Stands in for a spec that cannot be read while its resource is deleted, which no field of a spec has a say in.
_NO_SPEC = MigrationSpec.parse(
    {
        "database": {"urlFrom": {"secretKeyRef": {"name": "none", "key": "none"}}},
        "migrations": {"source": {"image": {"reference": "none"}}},
        "backup": {"skip": {"reason": "The resource is being deleted."}},
    }
)


async def tend(site: Site, key: Key) -> datetime | None:
    """Look at a resource, decide and act, once; returns when to do it again if nothing happens before.

    Raises ClusterError; after Conflict, NotFound and Unavailable the next call begins with a fresh look.
    """
    if key in site.unsettled:
        await _read_again(site, key)
    try:
        return await _tend(site, key)
    except (Conflict, NotFound, Unavailable):
        site.unsettled.add(key)
        raise


async def _tend(site: Site, key: Key) -> datetime | None:
    resource = site.store.resource(key)
    # A resource of the same name may have been there before.
    uid = resource.uid if resource is not None else ""
    await remove_orphans(site, (job for job in site.store.jobs_for(key) if owner_uid_of(job) != uid))
    if resource is None:
        site.admission.settle(key)
        await _let_orders_wait(site, key, Reason.MIGRATION_NOT_FOUND, f"There is no DatabaseMigration {key.name}.")
        return None
    if resource.status is None:
        # Written by a newer operator, or by hand. Whoever does not understand it must not act on it.
        logger.error("The status of %s/%s cannot be read, so nothing is done: %s", *key, resource.fault)
        return None
    if resource.spec is None:
        if not resource.deleting:
            await _tell_fault(site, resource)
            message = f"DatabaseMigration {key.name} cannot be read: {resource.fault}."
            await _let_orders_wait(site, key, Reason.SPEC_INVALID, message)
            return None
        resource = replace(resource, spec=_NO_SPEC)
    world = ClusterWorld(site, resource)
    wake_at = await drive(world)
    return min((when for when in (wake_at, world.look_again) if when is not None), default=None)


async def remove_orphans(site: Site, jobs: Iterable[Document]) -> None:
    """Delete Jobs whose resource is gone for certain. One that still runs is left to its end: it may be a migration."""
    for job in jobs:
        owner = owner_key_of(job)
        known = site.store.resource(owner)
        if (known is not None and known.uid == owner_uid_of(job)) or not job_is_over(job):
            continue
        if job["metadata"].get("ownerReferences"):
            continue  # the garbage collector's
        try:
            if uid_of(await site.gateway.read_resource(*owner)) == owner_uid_of(job):
                continue
        except NotFound:
            pass
        key = key_of(job)
        try:
            await site.gateway.delete_job(*key, uid_of(job))
        except (NotFound, Conflict):
            site.store.drop(Kind.JOBS, key)


async def _tell_fault(site: Site, resource: Resource) -> None:
    """The API server's schema lets hardly any of these through; what a run had recorded stays as it is."""
    status = resource.status
    assert status is not None  # noqa: S101  # the caller looked
    told = conditions(
        status.conditions,
        Standing.STALLED,
        Reason.SPEC_INVALID,
        f"{resource.fault}. Mend that field.",
        generation=resource.generation,
        now=site.now(),
    )
    await write_status(
        site, resource, replace(status, conditions=told, phase=Phase.FAILED, observed_generation=resource.generation)
    )


async def _let_orders_wait(site: Site, key: Key, reason: Reason, message: str) -> None:
    """Nobody is there who could carry them out; they are looked at again when somebody comes."""
    for order in orders_of(site, key):
        told = without_migration(order, site.now(), reason, f"{message} {EXPLANATIONS[reason].remedy}")
        if told is not None:
            await tell_order(site, Key(key.namespace, order.name), told)


async def _read_again(site: Site, key: Key) -> None:
    """Find out what a write came to whose answer was lost, or what somebody else wrote."""
    try:
        site.store.put(Kind.RESOURCES, await site.gateway.read_resource(*key))
    except NotFound:
        site.store.drop(Kind.RESOURCES, key)
    site.admission.settle(key)
    site.unsettled.discard(key)
