"""Several mariadb-dump at once, each with a thread that cuts its rows into pieces, compresses them and hands them on.

Knows nothing of locks or of how the tables were divided. What it starts is ended with it, whatever happens.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import time
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from threading import Event
from typing import IO, TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.dump_streams import CHUNK, ENOUGH, POLL_SECONDS, chunks, widen
from dbmigration_runner.engines.messages import short
from dbmigration_runner.engines.mysql_sql import HISTORY, Pieces
from dbmigration_runner.engines.mysql_tools import environment
from dbmigration_runner.errors import RunnerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Self

    from dbmigration_runner.engines.mysql_tables import Stream

ENDING_SECONDS = 5
COMPLAINTS_BYTES = 65536
BEGINNING_SECONDS = 0.01
FILLING_SECONDS = 0.002
# What every one of them is told. Nothing is dropped by what it writes, nothing of the server is asked for that a role with
# all rights on its own database alone has not, and a statement is as long as the default of a server that loads it allows.
_ALWAYS = (
    "--single-transaction",
    "--quick",
    "--skip-add-drop-table",
    "--skip-add-locks",
    "--skip-disable-keys",
    "--skip-dump-date",
    "--skip-lock-tables",
    "--no-tablespaces",
    "--max-allowed-packet=1G",
    "--net-buffer-length=1M",
    "--max-statement-time=0",
)
SCHEMA = ("--default-character-set=utf8mb4",)
_ROWS = ("--no-create-info", "--skip-triggers", "--dump-history")
# Rows of well-known types are handed over as they lie in their columns, and loaded in the same way: having each character
# looked at costs half of the program's time. But of a UUID or an INET6 such text would be loaded as NULL, for they take what
# has no character set for their inner form.
_AS_THEY_LIE = ("--default-character-set=binary",)
_AS_TEXT = ("--default-character-set=utf8mb4", "--hex-blob")
_REASONS = {
    RunnerReason.INSUFFICIENT_PRIVILEGE: ("1044", "1142", "1143", "1227", "1370"),
    RunnerReason.AUTHENTICATION_FAILED: ("1045", "1698"),
    RunnerReason.DATABASE_UNREACHABLE: ("1040", "1203", "1226", "2002", "2003", "2005", "2026"),
    RunnerReason.CONNECTION_LOST: ("1053", "1927", "2006", "2013", "2055"),
}
_CHANGED = ("1146", "1412", "1054", "1222")
_NUMBER = re.compile(r"\((\d{4})\)|[Ee]rror:? (\d{4})\b")


def arguments(program: str, options: str, database: str, more: Sequence[str], names: Iterable[str]) -> list[str]:
    """The file of options must be the first; behind `--` nothing is taken for an option."""
    return [program, f"--defaults-file={options}", *_ALWAYS, *more, "--", database, *names]


def of_rows(stream: Stream) -> tuple[str, ...]:
    """The options by which a program dumps a stream."""
    how = _AS_THEY_LIE if stream.is_plain else _AS_TEXT
    return (*_ROWS, *how, *([f"--where={stream.where}"] if stream.where else []))


def run(command: list[str], alive: Callable[[], None]) -> bytes:
    """What a program writes; its text is held in memory, so of rows it must write none.

    Raises RunnerError where it fails.
    """
    with _Program(command) as program:
        text = b"".join(chunks(program.output, alive))
        program.finish()
    return text


class Streams:
    """The rows of `streams`, dumped at once; `piece` is given each piece, compressed, from several threads."""

    def __init__(
        self, commands: Callable[[Stream], list[str]], streams: Sequence[Stream], piece: Callable[[bytes], None]
    ) -> None:
        self._commands = commands
        self._streams = streams
        self._piece = piece
        self._programs = contextlib.ExitStack()
        self._threads = ThreadPoolExecutor(max_workers=max(len(streams), 1))
        self._flows: dict[Future[None], Stream] = {}
        self._begun = [Event() for _ in streams]

    def start(self, alive: Callable[[], None]) -> None:
        """Start all of them; when this returns each has its snapshot."""
        for stream, begun in zip(self._streams, self._begun, strict=True):
            program = self._programs.enter_context(_Program(self._commands(stream)))
            self._flows[self._threads.submit(self._flow, stream, program, begun)] = stream
        for begun in self._begun:
            while not begun.wait(BEGINNING_SECONDS):
                alive()
                self._raise(flow for flow in self._flows if flow.done())

    def finish(self, alive: Callable[[], None], ended: Callable[[], None]) -> None:
        """Wait for their ends; `ended` is called often, and `are_over` then tells which have ended.

        Raises RunnerError where one of them failed, and OSError of the file.
        """
        while True:
            done, not_done = wait(self._flows, POLL_SECONDS, FIRST_EXCEPTION)
            alive()
            self._raise(done)
            ended()
            if not not_done:
                return

    def are_over(self, which: Callable[[Stream], bool]) -> bool:
        """Has each of those streams been read to its end?"""
        return all(flow.done() for flow, stream in self._flows.items() if which(stream))

    def _flow(self, stream: Stream, program: _Program, begun: Event) -> None:
        import zstandard

        compressor = zstandard.ZstdCompressor(level=1, write_checksum=True)
        frames = [compressor.compressobj()]
        made: list[bytes] = []

        def write(text: bytes) -> None:
            made.append(frames[-1].compress(text))

        def end() -> None:
            made.append(frames.pop().flush())
            frames.append(compressor.compressobj())
            self._piece(b"".join(made))
            made.clear()

        pieces = Pieces(write, end, HISTORY if any(table.is_versioned for table in stream.tables) else b"")
        try:
            for chunk in mouthfuls(program.output):
                pieces.feed(chunk)
                if pieces.has_begun:
                    begun.set()
            pieces.finish()
            program.finish()
        finally:
            begun.set()

    @staticmethod
    def _raise(flows: Iterable[Future[None]]) -> None:
        for flow in flows:
            flow.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._programs.close()
        self._threads.shutdown()


class _Program:
    """A mariadb-dump, ended whatever happens."""

    def __init__(self, command: list[str]) -> None:
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed with it
        self._process = subprocess.Popen(
            command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._complaints
        )
        assert self._process.stdout is not None  # noqa: S101  # asked for above
        self.output = self._process.stdout.fileno()
        widen(self.output)

    def finish(self) -> None:
        """Its output has ended: did it succeed? Raises RunnerError where it did not."""
        code = self._process.wait()
        if code != 0:
            self._complaints.seek(0)
            raise failed(self._complaints.read(COMPLAINTS_BYTES).decode(errors="replace"), code)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process.stdout is not None  # noqa: S101  # asked for above
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._complaints.close()


def mouthfuls(pipe: int) -> Iterator[bytes]:
    """What a pipe gives until its end.

    The program writes 4 KiB at a time. Whoever takes each of them at once is woken 50,000 times for 200 MB, and wakes; the
    pipe holds what comes meanwhile.
    """
    while piece := os.read(pipe, CHUNK):
        yield piece
        if len(piece) < ENOUGH:
            time.sleep(FILLING_SECONDS)


def failed(complaints: str, code: int) -> RunnerError:
    """mariadb-dump's words as ours; its messages hold names and never rows. Killed it has none. Pure."""
    if code < 0 and not complaints.strip():
        return RunnerError(
            RunnerReason.BACKUP_FAILED,
            f"mariadb-dump was killed by signal {-code}; where that is 9, its memory ran out: raise podTemplate.resources.",
        )
    lines = [line.removeprefix("mariadb-dump: ") for line in complaints.splitlines() if line.strip()]
    told = "; ".join(line for line in lines if not line.startswith(("Warning", "WARNING"))) or "it gave no reason"
    numbers = {one or other for one, other in _NUMBER.findall(complaints)}
    if numbers.intersection(_CHANGED):
        told += ". Somebody changed the schema while it was dumped, without the run's lock: no snapshot covers that"
    reason = next(
        (reason for reason, codes in _REASONS.items() if numbers.intersection(codes)),
        RunnerReason.INSUFFICIENT_PRIVILEGE if "insufficient privileges" in told else RunnerReason.BACKUP_FAILED,
    )
    return RunnerError(reason, short(f"mariadb-dump could not read the database: {told}"))
