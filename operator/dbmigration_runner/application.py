"""The application's env.py in a process of its own: started, watched, stopped, and its story told.

Drivers block in C and env.py may exit, mute, fork or crash: so nothing that must happen depends on that process. Knows
nothing of plans and revisions beyond the events' names; what the story means is the steps' business.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dbmigration_runner import process
from dbmigration_runner.contract.codec import encode
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.interface import Guest, GuestOrder
from dbmigration_runner.errors import RunnerError, Stopped
from dbmigration_runner.events import (
    Aimed,
    Applied,
    ChildOrder,
    Committed,
    Event,
    Failed,
    Finished,
    Granted,
    Looked,
    Opened,
    Planned,
    Rendered,
    Settled,
    Started,
    Stayed,
    Waited,
    read_event,
)
from dbmigration_runner.heartbeat import Heartbeat

if TYPE_CHECKING:
    from dbmigration_runner.engines.interface import Lock
    from dbmigration_runner.step import Seen, Step

TICK_SECONDS = 0.2
PATIENCE_SECONDS = 10  # for a child that told its end, and does not end
CANCEL_SECONDS = 5  # for a child whose statement was cancelled, then for one whose session was terminated
DRAIN_SECONDS = 1
LINE_BYTES = 1 << 20
MOST_STATEMENTS = 10_000  # of one revision; one that is repeated on end is one


@dataclass
class Story:
    """What a child told, and how it ended. Filled while it runs, read afterwards."""

    aimed: Aimed | None = None
    planned: Planned | None = None
    looked: Looked | None = None
    rendered: list[Rendered] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)
    sessions: list[int] = field(default_factory=list)
    stayed: list[Stayed] = field(default_factory=list)  # statements of the revision that began last
    waits: int = 0  # statements that did not get a lock in time and were tried again by themselves
    committed: bool = False  # since the last place that the heads answer for
    settled: Seen | None = None  # what was read at the last of those places that others follow
    finished: bool = False
    failed: Failed | None = None
    stopped: Stopped | None = None
    works_on: bool = False  # a session of it, which could not be ended: what is read now may not last
    end: str = ""  # how the process ended, where it told nothing

    @property
    def error(self) -> RunnerError | None:
        """Why the child did not do what it was told, None where it did."""
        if self.stopped is not None:
            return self.stopped
        if self.failed is not None:
            return RunnerError(self.failed.reason, self.failed.message)
        if self.finished:
            return None
        return RunnerError(
            RunnerReason.ENVIRONMENT_EXITED, f"The process that ran env.py ended without a word: {self.end}."
        )

    @property
    def failed_revision(self) -> str | None:
        """The revision that was running when it ended."""
        if self.failed is not None:
            return self.failed.failed_revision
        running = [revision for revision in self.started if revision not in self.applied]
        return running[-1] if running and not self.finished else None


def run(
    step: Step,
    lock: Lock,
    *,
    read_only: bool,
    limit_locks: bool,
    rendering_seconds: float | None = None,
    again: bool = False,
) -> Story:
    """Run env.py once, to its end or until the step must stop. Raises nothing that env.py could cause.

    `rendering_seconds` is given where the child is superfluous once the plan is told: how long it may take from there on.
    `again` says that this attempt has run it before, so that it may find some of the revisions applied.
    """
    guests = GuestOrder(
        engine=step.engine.name,
        application_name=step.application_name,
        read_only=read_only,
        lock_timeout_milliseconds=step.engine.lock_timeout_of(step.task.locks) if limit_locks else None,
        retry_for_seconds=step.task.locks.retry_for_seconds if limit_locks else 0,
        proof=lock.proof,
    )
    child = _Child(step, lock, ChildOrder(step.task.to_json(), guests, again), rendering_seconds)
    with Heartbeat(lock) as heartbeat:
        child.watch(heartbeat)
    child.settle()
    return child.story


class _Child:
    """The process, its three pipes to us and the one from us."""

    def __init__(self, step: Step, lock: Lock, order: ChildOrder, rendering_seconds: float | None) -> None:
        self.story = Story()
        self._step = step
        self._rendering_seconds = rendering_seconds
        self._rendered_by: float | None = None
        self._ended_at: float | None = None
        # Where locks are the engine's own affair (SQLite) a revision also commits unseen, and a later reading proves nothing.
        self._limits_locks = order.guests.lock_timeout_milliseconds is not None
        self._has_settled = False
        self._process = step.take_child() or process.start()
        self._buffers = dict.fromkeys((self._process.events, self._process.stdout, self._process.stderr), b"")
        self._streams = {self._process.stdout: sys.stdout, self._process.stderr: sys.stderr}
        self._selector = selectors.DefaultSelector()
        for file in self._buffers:
            os.set_blocking(file, False)
            self._selector.register(file, selectors.EVENT_READ)
        with contextlib.suppress(OSError):  # a child that died at once is noticed by watching it
            self._process.tell(json.dumps(encode(order)), lock.files)

    def watch(self, heartbeat: Heartbeat) -> None:
        """Until the child has ended."""
        try:
            while self._is_running():
                self._step.check()
                heartbeat.check()
        except Stopped as error:
            self.story.stopped = error
            self._stop()
        self._drain()

    def settle(self) -> None:
        """Close everything, and see that no session of the child's works on."""
        self._selector.close()
        end = self._process.close()
        self.story.end = self.story.end or end
        if self._guests():
            self._end_sessions()

    def _is_running(self) -> bool:
        self._read(TICK_SECONDS)
        if self._has_settled:
            # The next revision may have begun by now: what it commits of itself is told too, and makes this worth nothing.
            self._has_settled = False
            planned = self.story.planned
            self.story.settled = self._step.quick_look(planned.version_table if planned is not None else None)
        if self._has_ended():
            return False
        if self.story.finished or self.story.failed is not None:
            self._ended_at = self._ended_at or time.monotonic()
            if time.monotonic() - self._ended_at > PATIENCE_SECONDS:
                self._process.kill()
                return False
        if self._is_rendering_for_too_long():
            self._process.kill()
            return False
        return True

    def _is_rendering_for_too_long(self) -> bool:
        if self._rendering_seconds is None or self.story.planned is None:
            return False
        if self._rendered_by is None:
            self._rendering_seconds = min(self._rendering_seconds, self._step.seconds_left / 2)
            self._rendered_by = time.monotonic() + self._rendering_seconds
        if time.monotonic() < self._rendered_by:
            return False
        self.story.end = f"which was not done within {self._rendering_seconds:.0f} s"
        return True

    def _stop(self) -> None:
        """First the server's work, then the process: a killed client's statement would run on."""
        with contextlib.suppress(OSError):
            self._process.tell("stop")
        for end in (self._step.engine.cancel, self._step.engine.terminate):
            guests = self._guests()
            with contextlib.suppress(RunnerError), self._step.engine.connect() as session:
                end(session, guests)
            if self._wait(CANCEL_SECONDS if guests else 1):
                return
        self._process.kill()

    def _wait(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._read(TICK_SECONDS)
            if self._has_ended():
                return True
        return False

    def _has_ended(self) -> bool:
        """With all its pipes closed there is nothing to read, and so nothing to wait for but the end itself."""
        return self._process.has_ended(0 if self._selector.get_map() else TICK_SECONDS)

    def _guests(self) -> tuple[Guest, ...]:
        return tuple(Guest(session, self._step.application_name) for session in self.story.sessions if session)

    def _end_sessions(self) -> None:
        """A look at the database is only true when nobody of ours works there any more."""
        ours = set(self.story.sessions)
        until = time.monotonic() + CANCEL_SECONDS
        asked, pause = False, 0.005  # a server needs a moment to see that its client is gone
        try:
            with self._step.engine.connect() as session:
                while left := tuple(guest for guest in self._step.engine.guests(session) if guest.session in ours):
                    if time.monotonic() >= until:
                        if asked:
                            self.story.works_on = True
                            return
                        self._step.engine.terminate(session, left)
                        asked, until = True, time.monotonic() + CANCEL_SECONDS
                    time.sleep(pause)
                    pause = min(2 * pause, TICK_SECONDS)
        except RunnerError:
            self.story.works_on = True  # as far as anybody knows

    def _drain(self) -> None:
        """The last words; what env.py started may hold the pipes open, so not for ever."""
        until = time.monotonic() + DRAIN_SECONDS
        while self._selector.get_map() and time.monotonic() < until and self._read(TICK_SECONDS):
            pass
        for file, rest in self._buffers.items():
            if rest:
                self._line(file, rest)

    def _read(self, seconds: float) -> bool:
        """Read what is there; False where nothing was."""
        ready = self._selector.select(seconds) if self._selector.get_map() else []
        for key, _ in ready:
            data = os.read(key.fd, 1 << 16)
            if not data:
                self._selector.unregister(key.fd)
                continue
            *lines, rest = (self._buffers[key.fd] + data).split(b"\n")
            self._buffers[key.fd] = rest if len(rest) < LINE_BYTES else b""
            for line in lines:
                self._line(key.fd, line)
        return bool(ready)

    def _line(self, file: int, line: bytes) -> None:
        if file in self._streams:
            self._step.log.pass_on(line.decode(errors="replace").rstrip("\r"), self._streams[file])
            return
        event = read_event(line)
        if event is not None:
            self._note(event)

    def _note(self, event: Event) -> None:
        story, say = self.story, self._step.log.say
        match event:
            case Opened(session=session):
                story.sessions.append(session)
            case Aimed():
                story.aimed = event
            case Planned():
                story.planned = event
            case Looked():
                story.looked = event
            case Rendered():
                story.rendered.append(event)
                if event.unrenderable:
                    say("not-renderable", revision=event.revision, why=event.unrenderable)
                else:
                    say("sql", revision=event.revision, statements=event.statements, sql=event.sql)
            case Started(revision=revision):
                story.started.append(revision)
                story.stayed.clear()
                say("revision-started", revision=revision)
            case Applied(revision=revision):
                story.applied.append(revision)
                say("revision-applied", revision=revision, done=self._done(), of=len(self._whole_way()) or None)
            case Committed() | Stayed() | Settled() | Waited() | Granted():
                self._note_commit(event)
            case Finished():
                story.finished = True
            case Failed():
                story.failed = event
                say("failed", reason=event.reason.value, message=event.message, detail=event.detail)

    def _note_commit(self, event: Committed | Stayed | Settled | Waited | Granted) -> None:
        story = self.story
        match event:
            case Waited():
                story.waits += 1
                self._step.say_lock_timeout(story.failed_revision, event.statement, story.waits)
            case Granted():
                self._step.log.say("lock-granted", revision=story.failed_revision)
            case Committed():
                story.committed = True
            case Stayed(revision=revision):
                if story.started[-1:] == [revision] and len(story.stayed) < MOST_STATEMENTS:
                    story.stayed.append(event)
            case Settled():
                story.committed, story.settled = False, None
                self._has_settled = self._limits_locks and story.applied[-1:] != self._whole_way()[-1:]

    def _whole_way(self) -> list[str]:
        return [revision.id for revision in self.story.planned.revisions] if self.story.planned is not None else []

    def _done(self) -> int:
        """How much of the whole way is behind the last applied revision, also by those who ran before."""
        way, last = self._whole_way(), self.story.applied[-1]
        return way.index(last) + 1 if last in way else len(self.story.applied)
