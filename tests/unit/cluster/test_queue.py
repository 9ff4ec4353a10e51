"""The queue gives every key out that was added, never to two workers at once, and never forgets what came meanwhile."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbmigration.controller.queue import KeyedQueue, QueueClosed


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def taken(queue: KeyedQueue[str]) -> str | None:
    """The next key, or None where there is none at this moment."""
    try:
        async with asyncio.timeout(0.01):
            return await queue.get()
    except TimeoutError:
        return None


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("abc")),
        st.tuples(st.just("take"), st.just("")),
        st.tuples(st.just("done"), st.sampled_from("abc")),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_nothing_that_was_added_is_missed_and_nothing_is_given_out_twice(steps):
    async def play() -> None:
        queue: KeyedQueue[str] = KeyedQueue(Clock())
        busy: set[str] = set()
        owed: set[str] = set()  # added, and not given out since
        for what, key in steps:
            if what == "add":
                queue.add(key)
                owed.add(key)
            elif what == "done" and key in busy:
                busy.discard(key)
                queue.done(key)
            elif what == "take" and owed - busy:
                given_out = await queue.get()
                assert given_out not in busy
                assert given_out in owed
                busy.add(given_out)
                owed.discard(given_out)
        for key in tuple(busy):
            queue.done(key)
        rest = {await queue.get() for _ in owed}
        assert rest == owed

    asyncio.run(play())


async def test_a_key_is_in_the_queue_once_however_often_it_is_added():
    queue: KeyedQueue[str] = KeyedQueue()
    for _ in range(5):
        queue.add("a")

    assert await taken(queue) == "a"
    queue.done("a")
    assert await taken(queue) is None


async def test_a_timer_rings_at_its_time_and_the_earliest_counts():
    clock = Clock()
    queue: KeyedQueue[str] = KeyedQueue(clock)
    queue.add_at("a", 10)
    queue.add_at("a", 5)
    queue.add_at("a", 20)

    assert await taken(queue) is None
    clock.now = 5
    assert await taken(queue) == "a"
    queue.done("a")
    clock.now = 30
    assert await taken(queue) is None


async def test_a_look_that_comes_before_the_timer_makes_it_void():
    clock = Clock()
    queue: KeyedQueue[str] = KeyedQueue(clock)
    queue.add_at("a", 10)
    queue.add("a")
    assert await taken(queue) == "a"
    queue.done("a")

    clock.now = 11
    assert await taken(queue) is None


async def test_a_timer_wakes_a_worker_that_is_already_waiting():
    queue: KeyedQueue[str] = KeyedQueue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add_at("a", asyncio.get_running_loop().time() + 0.02)

    assert await asyncio.wait_for(waiting, 2) == "a"


async def test_a_failing_key_waits_longer_each_time_up_to_a_bound_and_starts_afresh_after_a_success():
    clock = Clock()
    queue: KeyedQueue[str] = KeyedQueue(clock)

    delays = [queue.failed("a") for _ in range(12)]

    assert delays[0] < 1
    assert all(later > earlier for earlier, later in pairwise(delays[:7]))
    assert max(delays) <= 72
    queue.succeeded("a")
    assert queue.failed("a") < 1


async def test_a_closed_queue_gives_nothing_out_and_wakes_who_waits():
    queue: KeyedQueue[str] = KeyedQueue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    queue.close()
    queue.add("b")

    with pytest.raises(QueueClosed):
        await queue.get()
    # The one that waited took what came before the end, or nothing.
    done, _ = await asyncio.wait({waiting}, timeout=2)
    assert done
    assert waiting.exception() is None or isinstance(waiting.exception(), QueueClosed)
