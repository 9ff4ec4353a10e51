"""Streams between a dump's program and the disk: hashed, compressed and written while they flow.

Reading, hashing and compressing release the interpreter's lock, so each has a thread of its own and the program is never
kept waiting: the whole takes as long as the program alone. Knows no engine and no format.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import select
import threading
from typing import IO, TYPE_CHECKING, Any, cast

from dbmigration_runner.engines.dump import Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Self

CHUNK = 1 << 20
ENOUGH = CHUNK // 4
WAITING_CHUNKS = 16  # between two threads; one that is full makes the one before it wait
SYNC_EVERY = 64 << 20  # written back while the dump runs, or the last fsync would have to write everything
POLL_SECONDS = 0.5
PRIVATE = 0o600


class Pipeline:
    """Stages in threads; what `put` was given comes out of each stage into the next, in order."""

    def __init__(self, *stages: Callable[[bytes | None], bytes]) -> None:
        """`stages` take a chunk, None at the end, and give what the next one gets."""
        self._queues: list[queue.Queue[bytes | None]] = [queue.Queue(WAITING_CHUNKS) for _ in stages]
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._run, args=(number, stage), daemon=True) for number, stage in enumerate(stages)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, chunk: bytes) -> None:
        """Hand a chunk in; raises what a stage raised."""
        self._queues[0].put(chunk)
        self._raise()

    def finish(self) -> None:
        """Tell that nothing more comes, and wait for the last stage; raises what a stage raised."""
        self._queues[0].put(None)
        for thread in self._threads:
            thread.join()
        self._raise()

    def abandon(self) -> None:
        """Let the threads end without another effect."""
        self._error = self._error or InterruptedError()
        self._queues[0].put(None)
        for thread in self._threads:
            thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self, number: int, stage: Callable[[bytes | None], bytes]) -> None:
        after = self._queues[number + 1] if number + 1 < len(self._queues) else None
        chunk: bytes | None = b""
        while chunk is not None:
            chunk = self._queues[number].get()
            if self._error is None:  # afterwards only drain, or the stage before would wait for ever
                try:
                    out = stage(chunk)
                except BaseException as error:  # noqa: BLE001  # it is raised in the thread that can act
                    self._error = error
                else:
                    if after is not None and out:
                        after.put(out)
        if after is not None:
            after.put(None)


class NewFile:
    """The last stage: a new private file, and the hash of what is in it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
        self._hash = hashlib.sha256()
        self._size = 0
        self._synced = 0

    def __call__(self, chunk: bytes | None) -> bytes:
        """Write it; at the end sync the file."""
        if chunk is None:
            os.fsync(self._descriptor)
            return b""
        self._hash.update(chunk)
        view = memoryview(chunk)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self._size += len(chunk)
        if self._size - self._synced >= SYNC_EVERY:
            os.fdatasync(self._descriptor)
            self._synced = self._size
        return b""

    def stored(self) -> Stored:
        """What was written so far."""
        return Stored(self._size, self._hash.hexdigest())

    def close(self) -> None:
        """Once, whatever became of it."""
        os.close(self._descriptor)


def zstd_compression() -> Callable[[bytes | None], bytes]:
    """A stage that compresses with zstd, level 1, in two threads of its own; the frame has a checksum."""
    import zstandard

    compressor: Any = zstandard.ZstdCompressor(level=1, threads=2, write_checksum=True).compressobj()

    def compress(chunk: bytes | None) -> bytes:
        out: bytes = compressor.flush() if chunk is None else compressor.compress(chunk)
        return out

    return compress


def store(source: int, path: Path, *, compress: bool, alive: Callable[[], None], begun: Callable[[], None]) -> Stored:
    """Write everything that a pipe gives to a new file, and sync it.

    `alive` is called at least twice a second and may raise; `begun` once, at the first byte. Raises OSError.
    """
    file = NewFile(path)
    try:
        pipeline = Pipeline(zstd_compression(), file) if compress else Pipeline(file)
        try:
            for number, chunk in enumerate(chunks(source, alive)):
                if number == 0:
                    begun()
                pipeline.put(chunk)
            pipeline.finish()
        except BaseException:
            pipeline.abandon()
            raise
        return file.stored()
    finally:
        file.close()


def chunks(source: int, alive: Callable[[], None]) -> Iterator[bytes]:
    """What a pipe gives until its end, in pieces of ENOUGH bytes and more: small ones would cost a switch of threads each."""
    pieces: list[bytes] = []
    size = 0
    while True:
        ready, _, _ = select.select([source], [], [], POLL_SECONDS)
        alive()
        if not ready:
            continue
        piece = os.read(source, CHUNK)
        pieces.append(piece)
        size += len(piece)
        if size and (size >= ENOUGH or not piece):
            yield b"".join(pieces)
            pieces, size = [], 0
        if not piece:
            return


class StoredFile:
    """A stored file's content, from the disk itself: what memory holds of it is dropped first. Hashed to its end."""

    def __init__(self, path: Path, *, compressed: bool = False) -> None:
        self.size_bytes = 0
        self._compressed = compressed
        self._hash = hashlib.sha256()
        self._stopped = False
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        forget(self._descriptor)

    @property
    def sha256(self) -> str:
        """Of what was read so far."""
        return self._hash.hexdigest()

    def read(self, size: int = CHUNK) -> bytes:
        """The next bytes as they are stored; b"" at the end."""
        chunk = b"" if self._stopped else os.read(self._descriptor, size)
        self._hash.update(chunk)
        self.size_bytes += len(chunk)
        return chunk

    def stop(self) -> None:
        """From now on the file seems to be at its end: whoever reads it, in whatever thread, has done."""
        self._stopped = True

    def chunks(self) -> Iterator[bytes]:
        """The content, decompressed where it is compressed; the file is read to its end also where that fails.

        Raises ValueError where it cannot be decompressed. Whoever stops asking is not kept until the end of the file.
        """
        try:
            yield from self._decompressed() if self._compressed else iter(self.read, b"")
        except ValueError:
            self.exhaust()
            raise
        self.exhaust()

    def exhaust(self) -> None:
        """Hash what is left; who reads then is at the end."""
        while self.read():
            pass

    def _decompressed(self) -> Iterator[bytes]:
        import zstandard

        # Pulled, not pushed: a megabyte of a repetitive table may be gigabytes when it is decompressed.
        reader = zstandard.ZstdDecompressor().stream_reader(cast("IO[bytes]", self), read_size=CHUNK)
        try:
            while chunk := reader.read(CHUNK):
                yield chunk
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._descriptor)


def forget(descriptor: int) -> None:
    """Drop a file's clean pages from memory where the system can; a verdict on the disk must come from the disk."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def widen(descriptor: int) -> None:
    """Let a pipe hold a whole chunk; the default of 64 KiB costs sixteen times as many switches between processes."""
    import fcntl

    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # an unprivileged user may be at his limit
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, CHUNK)
