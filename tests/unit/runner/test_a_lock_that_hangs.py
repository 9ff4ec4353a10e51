"""A lock's session may hang: a server that is stopped, a proxy that answers for nobody. Whoever lets go must not hang too."""

from __future__ import annotations

import threading

from dbmigration_runner.engines.postgresql import PostgreSQLLock


class HangingSession:
    """It takes a question and never answers."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.freed = threading.Event()

    def value(self, _statement: str) -> int:
        self.asked.set()
        self.freed.wait()
        return 1

    def close(self) -> None:
        self.freed.wait()


def test_a_lock_whose_heartbeat_hangs_is_let_go_at_once():
    session = HangingSession()
    lock = PostgreSQLLock(session)  # type: ignore[arg-type]
    beat = threading.Thread(target=lock.check, daemon=True)
    beat.start()
    session.asked.wait()
    release = threading.Thread(target=lock.release, daemon=True)
    release.start()
    release.join(10)
    assert not release.is_alive()
    session.freed.set()
    beat.join()
