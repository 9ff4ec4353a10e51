"""At every moment at most one process believes that it holds the Lease, whatever the API server does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dbmigration.cluster.errors import AlreadyExists, Conflict, LeadershipLost, NotFound, Unavailable
from dbmigration.cluster.lease import Leadership, Terms

TERMS = Terms(duration=0.3, deadline=0.2, retry=0.03)


class Server:
    """Keeps one Lease as the API server does: by version. It can be made not to answer, or to answer too late."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.answers = True
        self.loses_answers = False

    async def read(self) -> dict[str, Any]:
        await self._think()
        if self.lease is None:
            raise NotFound("get leases")
        return self.lease

    async def create(self, spec: dict[str, Any]) -> dict[str, Any]:
        await self._think()
        if self.lease is not None:
            raise AlreadyExists("create leases")
        return self._store({"metadata": {"name": "l"}, "spec": spec})

    async def replace(self, lease: dict[str, Any]) -> dict[str, Any]:
        await self._think()
        assert self.lease is not None
        if lease["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise Conflict("update leases")
        stored = self._store(lease)
        if self.loses_answers:
            raise Unavailable("update leases")
        return stored

    async def _think(self) -> None:
        await asyncio.sleep(0.001)
        if not self.answers:
            raise Unavailable("leases")

    def _store(self, lease: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.lease = lease | {"metadata": {**lease["metadata"], "resourceVersion": str(self.version)}}
        return self.lease


async def test_only_one_of_two_acts_and_the_other_follows_when_it_is_gone():
    server = Server()
    first, second = Leadership(server, "first", TERMS), Leadership(server, "second", TERMS)
    await first.acquire()
    kept = asyncio.create_task(first.keep())
    waiting = asyncio.create_task(second.acquire())
    await asyncio.sleep(0.5)
    assert first.is_held
    assert not second.is_held

    kept.cancel()  # the process was killed: nobody renews and nobody releases
    await asyncio.wait_for(waiting, 2)
    assert second.is_held
    assert not first.is_held
    assert server.lease is not None
    assert server.lease["spec"]["leaseTransitions"] == 1


async def test_a_released_lease_is_taken_at_once():
    server = Server()
    first, second = Leadership(server, "first", TERMS), Leadership(server, "second", TERMS)
    await first.acquire()
    await first.release()

    await asyncio.wait_for(second.acquire(), 0.1)
    assert second.is_held
    with pytest.raises(LeadershipLost):
        first.check()


async def test_who_cannot_renew_stops_before_another_may_begin():
    server = Server()
    holder = Leadership(server, "first", TERMS)
    await holder.acquire()
    server.answers = False
    await asyncio.wait_for(holder.keep(), 2)

    with pytest.raises(LeadershipLost):
        holder.check()
    assert TERMS.deadline < TERMS.duration


async def test_a_hold_ends_by_the_clock_even_if_nobody_looks():
    now = [100.0]
    holder = Leadership(Server(), "first", Terms(), clock=lambda: now[0])
    await holder.acquire()
    holder.check()

    now[0] += 10.0
    with pytest.raises(LeadershipLost):
        holder.check()


async def test_a_renewal_whose_answer_was_lost_is_no_loss():
    server = Server()
    holder = Leadership(server, "first", TERMS)
    await holder.acquire()
    kept = asyncio.create_task(holder.keep())
    server.loses_answers = True
    await asyncio.sleep(0.05)
    server.loses_answers = False
    await asyncio.sleep(0.4)

    assert holder.is_held
    kept.cancel()


async def test_reading_that_an_old_renewal_was_done_is_no_new_hold():
    server = Server()
    now = [100.0]
    holder = Leadership(server, "first", Terms(retry=0), clock=lambda: now[0])
    await holder.acquire()
    server.loses_answers = True  # others saw the Lease change at 100 and may take it from 115 on
    kept = asyncio.create_task(holder.keep())
    await asyncio.sleep(0.05)
    now[0] = 109.0
    await asyncio.sleep(0.05)

    assert server.version > 1
    now[0] = 110.0
    with pytest.raises(LeadershipLost):
        holder.check()
    kept.cancel()


async def test_a_lease_that_another_took_is_lost_at_the_next_renewal():
    server = Server()
    holder = Leadership(server, "first", TERMS)
    await holder.acquire()
    assert server.lease is not None
    await server.replace(server.lease | {"spec": server.lease["spec"] | {"holderIdentity": "other"}})

    await asyncio.wait_for(holder.keep(), 1)
    assert not holder.is_held
