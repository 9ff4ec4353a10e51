"""What was heard of the cluster: resources parsed, Jobs and Pods slimmed, each as new as it was ever seen.

Fed by watches, lists and our own calls; an older version never replaces a newer one, nor brings back what was deleted since. A
Pod that is deleted is remembered for a while, for its last words may be a migration's only answer. It must not call anything
but its two listeners.
"""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from dbmigration.cluster.admission import is_at_work, open_run, turn_of
from dbmigration.cluster.gateway import Kind, Listing
from dbmigration.cluster.objects import Document, Key, key_of, owner_key_of, slim, uid_of, version_of
from dbmigration.cluster.order import Order, migration_of
from dbmigration.cluster.resource import Resource

_REMEMBERED_SECONDS = 15 * 60


@dataclass(slots=True)
class Shelf:
    """Jobs or Pods, found by their own name and by the resource they were made for."""

    documents: dict[Key, Document] = field(default_factory=dict)
    by_owner: dict[Key, set[Key]] = field(default_factory=lambda: defaultdict(set))

    def put(self, document: Document) -> None:
        """Keep it, unless what is kept is as new."""
        key = key_of(document)
        known = self.documents.get(key)
        if known is not None and version_of(known) >= version_of(document) > 0:
            return
        self.documents[key] = slim(document)
        self.by_owner[owner_key_of(document)].add(key)

    def drop(self, key: Key) -> Document | None:
        """Forget it, and return it."""
        known = self.documents.pop(key, None)
        if known is not None:
            owner = owner_key_of(known)
            self.by_owner[owner].discard(key)
            if not self.by_owner[owner]:
                del self.by_owner[owner]
        return known

    def of(self, owner: Key) -> tuple[Document, ...]:
        """What was made for a resource, newest first."""
        found = [self.documents[key] for key in self.by_owner.get(owner, ())]
        return tuple(
            sorted(found, key=lambda document: str(document["metadata"].get("creationTimestamp", "")), reverse=True)
        )


class Cache:
    """The store that all workers look at. `touched` hears whom a change concerns, `freed` that a place to work became free."""

    def __init__(
        self,
        touched: Callable[[Key], None] = lambda _key: None,
        freed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._touched = touched
        self._freed = freed
        self._clock = clock
        self._resources: dict[Key, Resource] = {}
        self._open: dict[Key, Resource] = {}  # of these, those with a run that has not ended: few among thousands
        self._orders: dict[Key, Order] = {}  # few: people give them by hand
        self._shelves = {Kind.JOBS: Shelf(), Kind.PODS: Shelf()}
        self._remains: dict[str, tuple[float, Document]] = {}  # Pods that were deleted, by uid, and when
        self._heard: dict[str, int] = {}  # versions that came by watch, by uid
        self._gone: dict[str, tuple[float, int]] = {}  # by uid, when it was deleted and at which version, oldest first

    def resource(self, key: Key) -> Resource | None:
        """A resource as last seen."""
        return self._resources.get(key)

    def resources(self) -> Iterable[Resource]:
        """All of them."""
        return self._resources.values()

    def open_runs(self) -> Iterable[Resource]:
        """Those whose run has not ended."""
        return self._open.values()

    def order(self, key: Key) -> Order | None:
        """A DatabaseRestore as last seen."""
        return self._orders.get(key)

    def orders(self) -> Iterable[Order]:
        """All of them."""
        return self._orders.values()

    def orders_for(self, key: Key) -> tuple[Order, ...]:
        """DatabaseRestores that name a resource, oldest first."""
        found = [order for order in self._orders.values() if order.migration == key]
        return tuple(sorted(found, key=lambda order: (order.created_at, order.key.name)))

    def job(self, key: Key) -> Document | None:
        """A Job as last seen."""
        return self._shelves[Kind.JOBS].documents.get(key)

    def jobs(self) -> Iterator[Document]:
        """All of them."""
        yield from tuple(self._shelves[Kind.JOBS].documents.values())

    def jobs_for(self, key: Key) -> tuple[Document, ...]:
        """Jobs that were made for a resource of that name, whatever its uid."""
        return self._shelves[Kind.JOBS].of(key)

    def pods_for(self, key: Key) -> tuple[Document, ...]:
        """Pods that were made for a resource of that name."""
        return self._shelves[Kind.PODS].of(key)

    def remains_for(self, key: Key) -> tuple[Document, ...]:
        """Pods that were deleted not long ago, as last seen."""
        oldest = self._clock() - _REMEMBERED_SECONDS
        self._remains = {uid: kept for uid, kept in self._remains.items() if kept[0] >= oldest}
        return tuple(document for _, document in self._remains.values() if owner_key_of(document) == key)

    def hear(self, kind: Kind, happened: str | None, document: Document) -> None:
        """A watch told something; `happened` is None for what was there when it began."""
        if happened == "DELETED":
            self._remove(kind, document)
            self._bury(uid_of(document), version_of(document))
        else:
            self._heard[uid_of(document)] = version_of(document)
            self.put(kind, document)
        self._touched(_whose(kind, document))

    def put(self, kind: Kind, document: Document) -> None:
        """Something was seen. An answer of ours may have been overtaken by the news that it is deleted."""
        _, buried_at = self._gone.get(uid_of(document), (0.0, -1))
        if version_of(document) <= buried_at:
            return
        if kind is Kind.RESOURCES:
            self._put_resource(Resource.parse(document))
        elif kind is Kind.ORDERS:
            self._put_order(Order.parse(document))
        else:
            self._shelves[kind].put(document)

    def drop(self, kind: Kind, key: Key) -> None:
        """It is not there any more."""
        if kind is Kind.RESOURCES:
            self._resources.pop(key, None)
            if self._open.pop(key, None) is not None:
                self._freed()
            return
        if kind is Kind.ORDERS:
            self._orders.pop(key, None)
            return
        document = self._shelves[kind].drop(key)
        if document is not None and kind is Kind.PODS:
            self._remains[uid_of(document)] = (self._clock(), document)

    def reconcile(self, kind: Kind, listing: Listing, namespace: str | None) -> None:
        """Put right what a watch missed: a watch that begins anew tells nothing of what was deleted meanwhile."""
        listed = {uid_of(document) for document in listing.items}
        at = int(listing.version) if listing.version.isdecimal() else 0
        for key, uid, version in tuple(self._entries(kind)):
            if (namespace is None or key.namespace == namespace) and uid not in listed and version <= at:
                self.drop(kind, key)
                self._bury(uid, at)
        for document in listing.items:
            self.put(kind, document)

    def unheard(self, listing: Listing) -> dict[str, int]:
        """What a list shows and no watch has told yet: uid and version."""
        shown = {uid_of(document): version_of(document) for document in listing.items}
        return {uid: version for uid, version in shown.items() if self._heard.get(uid, 0) < version}

    def still_unheard(self, kind: Kind, shown: dict[str, int]) -> frozenset[str]:
        """Which of these are there, and no watch has told them yet: its ears are shut."""
        there = {uid for _, uid, _ in self._entries(kind)}
        return frozenset(uid for uid, version in shown.items() if uid in there and self._heard.get(uid, 0) < version)

    def uids(self) -> frozenset[str]:
        """Of the resources that are there."""
        return frozenset(resource.uid for resource in self._resources.values())

    def _put_resource(self, resource: Resource) -> None:
        known = self._resources.get(resource.key)
        if known is not None and known.uid == resource.uid and known.version >= resource.version > 0:
            return
        self._resources[resource.key] = resource
        self._open.pop(resource.key, None)
        if open_run(resource.status) is not None:
            self._open[resource.key] = resource
        if known is None:
            return
        # A run that begins to wait for something outside takes no room while it waits.
        left = is_at_work(known.status) and not is_at_work(resource.status)
        ended = open_run(known.status) is not None and open_run(resource.status) is None
        if left or ended or (turn_of(known.status) and turn_of(known.status) != turn_of(resource.status)):
            self._freed()

    def _put_order(self, order: Order) -> None:
        known = self._orders.get(order.key)
        if known is None or known.uid != order.uid or known.version < order.version:
            self._orders[order.key] = order

    def _bury(self, uid: str, version: int) -> None:
        """It is gone since this version; nothing older than that is believed of it."""
        now = self._clock()
        for old in tuple(itertools.takewhile(lambda uid: self._gone[uid][0] < now - _REMEMBERED_SECONDS, self._gone)):
            del self._gone[old]
        self._heard.pop(uid, None)
        self._gone.pop(uid, None)
        self._gone[uid] = (now, version)

    def _remove(self, kind: Kind, document: Document) -> None:
        key, uid = key_of(document), uid_of(document)
        if kind is Kind.RESOURCES:
            known = self._resources.get(key)
            if known is not None and known.uid == uid:
                self.drop(kind, key)
            return
        if kind is Kind.ORDERS:
            if (order := self._orders.get(key)) is not None and order.uid == uid:
                self.drop(kind, key)
            return
        shelf = self._shelves[kind]
        shelf.put(document)  # the event carries the object as it was at its end, last words included
        held = shelf.documents.get(key)
        if held is not None and uid_of(held) == uid:
            self.drop(kind, key)

    def _entries(self, kind: Kind) -> Iterator[tuple[Key, str, int]]:
        if kind is Kind.RESOURCES:
            for resource in self._resources.values():
                yield resource.key, resource.uid, resource.version
            return
        if kind is Kind.ORDERS:
            for order in self._orders.values():
                yield order.key, order.uid, order.version
            return
        for key, document in self._shelves[kind].documents.items():
            yield key, uid_of(document), version_of(document)


def _whose(kind: Kind, document: Document) -> Key:
    """The resource that it concerns."""
    match kind:
        case Kind.RESOURCES:
            return key_of(document)
        case Kind.ORDERS:
            return migration_of(document)
        case Kind.JOBS | Kind.PODS:
            return owner_key_of(document)
