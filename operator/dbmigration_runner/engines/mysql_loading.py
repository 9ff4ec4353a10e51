"""An archive loaded by several of the server's own clients at once: tables, then the pieces of their rows, then keys and programs.

The archive is read once, in its order; what is compressed in it is decompressed beside each client. Events are handed back and
not loaded: the server would run them. Every client that was started is ended, whatever happens.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines import mysql_archive as archive
from dbmigration_runner.engines.dump_streams import StoredFile
from dbmigration_runner.engines.messages import short
from dbmigration_runner.engines.mysql_messages import without_values
from dbmigration_runner.engines.mysql_probe import ERROR, OF_TRYING, RIGHTS, last_words
from dbmigration_runner.engines.mysql_tools import environment
from dbmigration_runner.errors import Refusal, RunnerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

    from dbmigration_runner.engines.mysql_tools import Tools

LEAST_WORKERS, MOST_WORKERS = 2, 4
AHEAD = 2  # pieces that are read for each client: a piece is some MiB
POLL_SECONDS = 0.2
_ALONE = (archive.TABLES, archive.KEYS, archive.PROGRAMS)
_FULL = ("1021", "1030", "1114")


@dataclass(frozen=True)
class Loaded:
    """`sha256` of the file that was read; `events` are as the program wrote them."""

    sha256: str
    events: bytes


class Clients:
    """The clients that load one database; each is given a text, and must take all of it."""

    def __init__(self, tools: Tools, options: str, database: str) -> None:
        self._command = [
            *(tools.client, f"--defaults-file={options}", "--batch", "--default-character-set=utf8mb4"),
            # Whatever limit the server sets to statements: an index of a large table takes its time.
            *("--init-command=SET SESSION max_statement_time = 0", "--max-allowed-packet=1G", "--", database),
        ]
        self._running: set[subprocess.Popen[bytes]] = set()
        self._turn = Lock()
        self._is_ended = False

    def feed(self, compressed: bytes) -> None:
        """Load a member. Raises RunnerError where the client complains."""
        with tempfile.TemporaryFile() as complaints:
            process = subprocess.Popen(
                self._command,
                env=environment(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=complaints,
            )  # fmt: skip
            assert process.stdin is not None  # noqa: S101  # asked for above
            try:
                with self._turn:
                    self._running.add(process)
                    if self._is_ended:
                        process.kill()
                with contextlib.suppress(BrokenPipeError):
                    archive.decompressed(iter((compressed,)), lambda text: _give(process, text))
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
                process.wait()
            finally:
                with contextlib.suppress(OSError):
                    process.stdin.close()
                process.kill()
                process.wait()
                with self._turn:
                    self._running.discard(process)
            said = last_words(complaints)
        if said.strip() or process.returncode:
            raise failed(said, process.returncode)

    def end(self) -> None:
        """End them all."""
        with self._turn:
            self._is_ended = True
            for process in self._running:
                process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.end()


def _give(process: subprocess.Popen[bytes], text: bytes) -> None:
    assert process.stdin is not None  # noqa: S101  # asked for above
    process.stdin.write(text)


def load(tools: Tools, options: str, database: str, path: Path, alive: Callable[[], None]) -> Loaded:
    """All of an archive but its events. Raises RunnerError, also where the archive is damaged."""
    workers = min(max(os.cpu_count() or 1, LEAST_WORKERS), MOST_WORKERS)
    events: list[bytes] = []
    with StoredFile(path) as file, ThreadPoolExecutor(workers) as threads, Clients(tools, options, database) as clients:
        flows: set[Future[None]] = set()

        def settle(most: int) -> None:
            while len(flows) > most:
                done, not_done = wait(flows, POLL_SECONDS, FIRST_EXCEPTION if most == 0 else "FIRST_COMPLETED")
                for flow in done:
                    flow.result()
                flows.intersection_update(not_done)
                alive()

        try:
            for name, content in archive.ArchiveReader(file).members():
                alive()
                if name == archive.EVENTS:
                    archive.decompressed(content, events.append)
                elif name in _ALONE or name.startswith(archive.ROWS):
                    settle(0 if name in _ALONE else workers * AHEAD)
                    flows.add(threads.submit(clients.feed, b"".join(content)))
                    if name in _ALONE:
                        settle(0)
            settle(0)
        except archive.ArchiveError as error:
            raise RunnerError(RunnerReason.BACKUP_CORRUPT, short(f"The dump is damaged: {error}.")) from None
    return Loaded(file.sha256, b"".join(events))


def failed(complaints: str, code: int) -> RunnerError:
    """The client's words as ours, without a value of a row. Pure."""
    errors = ERROR.findall(complaints)
    told = "; ".join(f"{number} {without_values(number, words.strip())}" for number, words in errors)
    numbers = {number for number, _ in errors}
    if numbers.intersection(_FULL):
        return Refusal(
            RunnerReason.DISK_SPACE_LOW,
            short(f"The server has no room for the database a second time, which a restore needs beside it: {told}"),
        )
    if numbers.intersection(OF_TRYING) or not errors:
        return RunnerError(
            RunnerReason.CONNECTION_LOST, short(f"The restore was cut short: {told or f'mariadb ended with {code}'}")
        )
    if numbers.intersection(RIGHTS):
        return RunnerError(
            RunnerReason.RESTORE_NOT_POSSIBLE,
            short(
                "This role may not restore everything, an administrator by adminUrlFrom might (of another's definer, SET USER "
                f"is needed): {told}"
            ),
        )
    return RunnerError(RunnerReason.RESTORE_FAILED, short(f"The backup does not restore: {told}"))
