"""How each action of a decision is done in a cluster: idempotent by name or by version, so that doing it twice does it once.

It must not decide which actions there are, nor write a status.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import assert_never

from dbmigration.api import names
from dbmigration.api.merging import merge_patch
from dbmigration.api.status import Status, StepState
from dbmigration.cluster.errors import (
    AlreadyExists,
    ClusterError,
    Conflict,
    LeadershipLost,
    NotFound,
    Refused,
    Unavailable,
)
from dbmigration.cluster.gateway import Kind
from dbmigration.cluster.manifests.job import job
from dbmigration.cluster.objects import Key, labels_of, owner_uid_of, uid_of
from dbmigration.cluster.order import Order
from dbmigration.cluster.resource import Resource
from dbmigration.cluster.site import RefusedOrder, Site
from dbmigration.cluster.workloads import PLURALS
from dbmigration.lifecycle.decision import (
    Action,
    AddFinalizer,
    Emit,
    ForgetRuns,
    RemoveFinalizer,
    Scale,
    StartStep,
    StopStep,
    TellOrder,
)
from dbmigration.lifecycle.observed import StepRef, WorkloadRef
from dbmigration.lifecycle.workload_names import job_name
from dbmigration_runner.contract.task import StepKind

logger = logging.getLogger(__name__)

# An order that is not carried out at once costs a migrate step a look at the database; a moment's outage is waited for here.
_TRIES = 3
_PAUSE_SECONDS = 1.0
_FIRST_REPEAT_SECONDS = 5.0
_LONGEST_REPEAT_SECONDS = 300.0


class Actions:
    """The actions of one decision about one resource, whose newest version they carry on."""

    def __init__(self, site: Site, resource: Resource) -> None:
        self._site = site
        self._resource = resource
        self._decided = resource  # with the spec that was decided on: what is ordered is made of that one
        self._events = 0

    async def do(self, action: Action) -> None:
        """Do it; that it is done already is success."""
        match action:
            case StartStep():
                await self._start(action)
            case StopStep(ref):
                await self._stop(ref)
            case ForgetRuns(up_to):
                await self._forget(up_to)
            case Scale(workload, replicas):
                await self._scale(workload, replicas)
            case Emit():
                await self._emit(action)
            case AddFinalizer():
                await self._set_finalizer(present=True)
            case RemoveFinalizer():
                await self._set_finalizer(present=False)
            case TellOrder():
                await tell_order(self._site, Key(self._resource.key.namespace, action.name), action)
            case _:
                assert_never(action)

    async def repeat_refused_orders(self, status: Status) -> None:
        """Try again what the API server did not take, as long as the status still says that it was started."""
        refused = self._site.memory(self._resource.uid).refused
        started = {step.job for step in status.steps if step.state is StepState.STARTED}
        for key, known in tuple(refused.items()):
            if key.name not in started or status.run is None or status.run.number != known.order.ref.run:
                del refused[key]
            elif known.due <= time.monotonic():
                await self._start(known.order)

    async def _start(self, order: StartStep) -> None:
        manifest = job(order, self._decided, self._site.tools)
        key = self._job_key(order.ref)
        refused = self._site.memory(self._resource.uid).refused
        try:
            made = await self._create(manifest, key)
        except (Refused, NotFound, Conflict) as error:
            # Nothing was made, that is certain, and somebody else must mend it: a quota, a policy, the template.
            before = refused.get(key)
            tries = before.tries + 1 if before else 1
            pause = min(_FIRST_REPEAT_SECONDS * 2 ** min(tries - 1, 16), _LONGEST_REPEAT_SECONDS)
            refused[key] = RefusedOrder(order, str(error), time.monotonic() + pause, tries)
            return
        refused.pop(key, None)
        if made is not None:
            self._site.store.put(Kind.JOBS, made)

    async def _create(self, manifest: dict[str, object], key: Key) -> dict[str, object] | None:
        for remaining in reversed(range(_TRIES)):
            try:
                return await self._site.gateway.create_job(manifest)
            except AlreadyExists:
                known = await self._site.gateway.read_job(*key)
                if owner_uid_of(known) == self._resource.uid:
                    return known
                return None  # somebody else's: the next look says so
            except (Conflict, Unavailable):  # a quota that several count on at once is such a conflict
                if not remaining:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)
        return None

    async def _stop(self, ref: StepRef) -> None:
        key = self._job_key(ref)
        self._site.memory(self._resource.uid).refused.pop(key, None)
        known = self._site.store.job(key)
        if known is None:
            try:
                known = await self._site.gateway.read_job(*key)
            except NotFound:
                return
        if owner_uid_of(known) == self._resource.uid:
            await self._delete(key, uid_of(known))

    async def _forget(self, up_to: int) -> None:
        for known in self._site.store.jobs_for(self._resource.key):
            labels = labels_of(known)
            run = labels.get(names.LABEL_RUN, "")
            if owner_uid_of(known) == self._resource.uid and run.isdecimal() and int(run) <= up_to:
                await self._delete(Key(self._resource.key.namespace, known["metadata"]["name"]), uid_of(known))

    async def _delete(self, key: Key, uid: str) -> None:
        try:
            await self._site.gateway.delete_job(*key, uid)
        except (NotFound, Conflict):  # a conflict says that another Job has that name now
            self._site.store.drop(Kind.JOBS, key)

    async def _scale(self, workload: WorkloadRef, replicas: int) -> None:
        with contextlib.suppress(NotFound):
            await self._site.gateway.scale(
                self._resource.key.namespace, PLURALS[workload.kind], workload.name, replicas
            )

    async def _emit(self, told: Emit) -> None:
        resource = self._resource
        self._events += 1
        # What is told of one version is told once, whoever tells it; another reason is another thing to tell.
        reason = told.reason.value.lower()
        name = f"{resource.key.name[:190].rstrip('-.')}.{resource.version:016x}.{reason}.{self._events}"
        regarding = {
            **resource.reference,
            "namespace": resource.key.namespace,
            "resourceVersion": str(resource.version),
        }
        await _event(self._site, regarding, name=name, told=told, action="Migrate")

    async def _set_finalizer(self, *, present: bool) -> None:
        """Hold the resource, or let it go. What somebody else changed meanwhile does not matter, only that it is this one."""
        for remaining in reversed(range(_TRIES)):
            resource = self._resource
            if resource.has_finalizer is present:
                return
            others = [name for name in resource.finalizers if name != names.FINALIZER]
            wanted = [*others, names.FINALIZER] if present else others
            try:
                document = await self._site.gateway.patch_finalizers(*resource.key, str(resource.version), wanted)
            except NotFound:
                if present:
                    raise  # nothing may be started for it any more
                return
            except (Conflict, Unavailable) as error:
                if not remaining:
                    raise
                if isinstance(error, Unavailable):
                    await asyncio.sleep(_PAUSE_SECONDS)
                self._resource = await self._read_again()
                continue
            self._resource = Resource.parse(document)
            if not (self._resource.deleting and not self._resource.finalizers):
                self._site.store.put(Kind.RESOURCES, document)
            return

    async def _read_again(self) -> Resource:
        document = await self._site.gateway.read_resource(*self._resource.key)
        again = Resource.parse(document)
        if again.uid != self._resource.uid:
            raise Conflict("another resource has that name now")
        return again

    def _job_key(self, ref: StepRef) -> Key:
        kind = StepKind(ref.kind)
        name = job_name(self._resource.key.name, self._resource.uid, ref.run, kind, ref.attempt)
        return Key(self._resource.key.namespace, name)


async def tell_order(site: Site, key: Key, told: TellOrder) -> None:
    """Write into a DatabaseRestore what became of it, and an Event about it. One that is gone needs no word."""
    known = site.store.order(key)
    if known is None or known.uid != told.uid or known.status is None:
        return
    patch = merge_patch(known.status.document(), told.status.document())
    if not patch:
        return
    try:
        document = await site.gateway.patch_order_status(*key, str(known.version), patch)
    except NotFound:
        site.store.drop(Kind.ORDERS, key)
        return
    site.store.put(Kind.ORDERS, document)
    if told.news is not None:
        after = Order.parse(document)
        await _event(
            site,
            after.reference,
            name=f"{key.name}.{after.version:016x}.{told.news.reason.value.lower()}",
            told=told.news,
            action="Restore",
        )


async def _event(site: Site, regarding: dict[str, object], *, name: str, told: Emit, action: str) -> None:
    """An Event that is lost is no reason to stop: the status says the same."""
    try:
        await site.gateway.create_event(
            regarding, name=name, reason=told.reason.value, action=action, note=told.message, warning=told.warning
        )
    except (AlreadyExists, NotFound):
        return
    except LeadershipLost:
        raise
    except ClusterError as error:
        logger.warning("An Event could not be written: %s", error)
