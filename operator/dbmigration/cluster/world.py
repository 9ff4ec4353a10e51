"""A DatabaseMigration's surroundings in a cluster: how it is looked at, and how a decision about it is carried out.

Looks come from the caches; that something is not there is believed only after a fresh look. The status is written first, on
top of exactly the version that was looked at, then the actions are done in order. It must not decide.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from dbmigration.api import names
from dbmigration.api.merging import merge_patch
from dbmigration.api.status import Status, Step, StepState
from dbmigration.cluster.actions import Actions
from dbmigration.cluster.admission import open_run
from dbmigration.cluster.errors import ClusterError, NotFound, Unavailable
from dbmigration.cluster.gateway import Kind
from dbmigration.cluster.hindrances import refused
from dbmigration.cluster.manifests.pod import RUNNER, step_labels
from dbmigration.cluster.manifests.volumes import places
from dbmigration.cluster.objects import Document, Key, labels_of, owner_uid_of, uid_of
from dbmigration.cluster.reading import Sight, events_that_may_tell, program_runs_in, read_step
from dbmigration.cluster.redaction import short
from dbmigration.cluster.resource import Resource
from dbmigration.cluster.site import Site
from dbmigration.cluster.workloads import look
from dbmigration.lifecycle.decision import Decision
from dbmigration.lifecycle.draining import wanted
from dbmigration.lifecycle.observed import Ended, Observed, OrderView, Running, StepRef, StepView, Waiting
from dbmigration.lifecycle.progress import CHARACTERS, progress
from dbmigration.lifecycle.tasks import nonce
from dbmigration_runner.contract.task import CHANGING, StepKind

logger = logging.getLogger(__name__)

_PROGRESS_SECONDS = 5.0
_EVENTS_SECONDS = 10.0
_LOOK_AGAIN_STARTING = timedelta(seconds=5)
_LONG = CHANGING | {StepKind.BACKUP}  # these say how far they are
_LOOK_AGAIN_WAITING = timedelta(seconds=30)


class ClusterWorld:
    """One look at one resource, and what is done about it. `look_again` is when a look is due that no event would cause."""

    def __init__(self, site: Site, resource: Resource) -> None:
        self._site = site
        self._resource = resource
        self._memory = site.memory(resource.uid)
        self.look_again: datetime | None = None

    async def observe(self) -> Observed:
        """Look; raises ClusterError where a fresh look was needed and could not be had."""
        resource, site = self._resource, self._site
        spec, status = resource.spec, resource.status
        assert spec is not None  # noqa: S101  # only what can be read has a world
        assert status is not None  # noqa: S101  # the same
        now = site.now()
        run = open_run(status)
        steps: dict[StepRef, StepView] = {}
        for step in status.steps if run is not None else ():
            if run is not None and step.state is StepState.STARTED:
                ref = StepRef(run.number, StepKind(step.name), step.attempt)
                steps[ref] = await self._look_at(ref, step, now)
        others = tuple(site.store.open_runs())
        return Observed(
            now=now,
            namespace=resource.key.namespace,
            name=resource.key.name,
            uid=resource.uid,
            generation=resource.generation,
            spec=spec,
            status=status,
            places=places(spec, resource.key.name),
            pace=site.pace,
            steps=steps,
            deleting=resource.deleting,
            has_finalizer=resource.has_finalizer,
            retry=resource.retry,
            cancel=resource.cancel,
            turn_held_by=site.admission.turn_held_by(_fingerprint(status, steps), resource.key, others),
            orders=orders_of(site, resource.key),
            has_room=site.admission.has_room(resource.key, others),
            kept_runs=frozenset(
                _run_of(job) for job in site.store.jobs_for(resource.key) if owner_uid_of(job) == resource.uid
            ),
            workloads=await look(site.gateway, resource.key.namespace, wanted(spec, status)),
        )

    async def apply(self, seen: Observed, decision: Decision) -> None:
        """Write the status, then act. Raises Conflict where the resource is not what was seen."""
        if decision.status != seen.status:
            self._resource = await write_status(self._site, self._resource, decision.status)
        actions = Actions(self._site, self._resource)
        for action in decision.actions:
            await actions.do(action)
        await actions.repeat_refused_orders(decision.status)
        if self._memory.refused:
            self._look_at_latest(seen.now + _LOOK_AGAIN_STARTING)

    async def _look_at(self, ref: StepRef, step: Step, now: datetime) -> StepView:
        """See one attempt that the status calls started."""
        key = Key(self._resource.key.namespace, step.job)
        sight = self._cached(ref, key)
        told = nonce(self._resource.uid, ref)
        if sight.job is None and not sight.pods and not isinstance(read_step(sight, nonce=told), Ended):
            sight = await self._fresh(ref, key, sight)
        if sight.job is not None and owner_uid_of(sight.job) != self._resource.uid:
            return refused(f'The Job "{step.job}" is there and belongs to something else; delete it')
        order = self._memory.refused.get(key)
        if sight.is_empty and order is not None:
            return self._memory.steady(refused(order.message))
        sight = replace(sight, events=await self._events(sight, now), progress=await self._progress(ref, sight))
        view = read_step(sight, nonce=told)
        if isinstance(view, Waiting):
            self._look_at_latest(now + _LOOK_AGAIN_WAITING)
            return self._memory.steady(view)
        if isinstance(view, Running) and (program_runs_in(sight) is None or ref.kind in _LONG):
            self._look_at_latest(now + _LOOK_AGAIN_STARTING)
        self._memory.hindrance = None
        return view

    def _cached(self, ref: StepRef, key: Key) -> Sight:
        store, wanted = self._site.store, self._labels(ref)
        return Sight(
            job=store.job(key),
            pods=_matching(store.pods_for(self._resource.key), wanted),
            remains=_matching(store.remains_for(self._resource.key), wanted),
        )

    async def _fresh(self, ref: StepRef, key: Key, cached: Sight) -> Sight:
        """A missed event must not make us believe that nothing is there."""
        gateway, store = self._site.gateway, self._site.store
        job: Document | None = None
        try:
            job = await gateway.read_job(*key)
        except NotFound:
            store.drop(Kind.JOBS, key)
        else:
            store.put(Kind.JOBS, job)
        selector = ",".join(f"{name}={value}" for name, value in self._labels(ref).items())
        pods = await gateway.pods_of(key.namespace, selector)
        for pod in pods:
            store.put(Kind.PODS, pod)
        return replace(cached, job=job, pods=pods)

    async def _events(self, sight: Sight, now: datetime) -> Sequence[Document]:
        """Events of what does not start; asked for rarely, and only where nothing else tells. They may be kept from us."""
        subject = events_that_may_tell(sight, now)
        if subject is None:
            return ()
        uid = uid_of(subject)
        if self._memory.may_read(f"events/{uid}", _EVENTS_SECONDS):
            try:
                self._memory.events[uid] = await self._site.gateway.events_about(self._resource.key.namespace, uid)
            except ClusterError as error:
                logger.warning("Why %s does not start could not be asked for: %s", subject["metadata"]["name"], error)
        return self._memory.events.get(uid, ())

    async def _progress(self, ref: StepRef, sight: Sight) -> str:
        """How far a long step is, from its log. That a log cannot be read is no reason to stop looking."""
        pod = program_runs_in(sight) if ref.kind in _LONG else None
        if pod is None:
            return ""
        if self._memory.may_read(f"log/{pod}", _PROGRESS_SECONDS):
            try:
                log = await self._site.gateway.log_tail(self._resource.key.namespace, pod, RUNNER)
            except ClusterError as error:
                logger.debug("The log of Pod %s could not be read: %s", pod, error)
            else:
                if told := progress(log.splitlines()):
                    self._memory.progress[pod] = short(str(told), CHARACTERS)
        return self._memory.progress.get(pod, "")

    def _labels(self, ref: StepRef) -> dict[str, str]:
        labels = step_labels(self._resource.key.name, self._resource.uid, ref.run, ref.kind, ref.attempt)
        return {name: value for name, value in labels.items() if name != names.LABEL_MIGRATION}

    def _look_at_latest(self, when: datetime) -> None:
        self.look_again = when if self.look_again is None else min(when, self.look_again)


def orders_of(site: Site, key: Key) -> tuple[OrderView, ...]:
    """The DatabaseRestores that name this resource and have not ended."""
    return tuple(view for order in site.store.orders_for(key) if (view := order.view) is not None)


async def write_status(site: Site, resource: Resource, after: Status) -> Resource:
    """Put a status in the place of the one that was seen; what that takes away from others is claimed first."""
    before = resource.status
    assert before is not None  # noqa: S101  # only what can be read is written
    patch = merge_patch(before.document(), after.document())
    if not patch:
        return resource
    site.admission.claim(resource.key, before, after, site.store.open_runs())
    # Where the answer is lost the claim stays until the resource was read again: nobody else may be told "free" meanwhile.
    try:
        document = await site.gateway.patch_status(*resource.key, str(resource.version), patch)
    except Unavailable:
        document = await site.gateway.read_resource(*resource.key)
        if not _holds(document, resource.uid, after):
            raise
    site.store.put(Kind.RESOURCES, document)
    site.admission.settle(resource.key)
    site.changed(resource.key, before, after)
    return Resource.parse(document)


def _holds(document: Document, uid: str, status: Status) -> bool:
    """Was the write done whose answer was lost? What follows it is then done now: a started migration without a Job is a lost one."""
    found = Resource.parse(document)
    return (found.uid, found.status) == (uid, status)


def _fingerprint(status: Status, steps: dict[StepRef, StepView]) -> str:
    """The database of the run: as its first step has just told it, else as it was recorded."""
    for ref, view in steps.items():
        if ref.kind in {StepKind.PLAN, StepKind.FIND} and isinstance(view, Ended) and view.result.database is not None:
            return view.result.database.fingerprint
    run = open_run(status)
    return run.fingerprint if run is not None else ""


def _matching(documents: Sequence[Document], wanted: dict[str, str]) -> tuple[Document, ...]:
    return tuple(document for document in documents if wanted.items() <= labels_of(document).items())


def _run_of(job: Document) -> int:
    text = labels_of(job).get(names.LABEL_RUN, "")
    return int(text) if text.isdecimal() else 0
