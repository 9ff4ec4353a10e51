"""A dump as one file: a tar archive of SQL that zstd compressed piece by piece, in the order in which it is to be loaded.

    README.txt               how to restore it by hand
    1-tables.sql.zst         sequences and tables, with the keys that hold rows together
    2-rows/000001.sql.zst …  their rows; each piece can be loaded by itself, so several at the same time
    3-keys.sql.zst           the other keys, and what refers from one table to another
    4-programs.sql.zst       values of sequences, routines, views, triggers
    5-events.sql.zst         what the server would do by itself
    6-end.json               that this is the end, and the hash of all that stands before it

Any tar and any zstd read it. Nothing is compressed around it, so that a piece can be had without those before it.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import threading
from typing import TYPE_CHECKING

from dbmigration_runner.engines.dump_streams import NewFile, Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dbmigration_runner.engines.dump import Stored
    from dbmigration_runner.engines.dump_streams import StoredFile

README, TABLES, KEYS, PROGRAMS, EVENTS, END = (
    "README.txt",
    "1-tables.sql.zst",
    "3-keys.sql.zst",
    "4-programs.sql.zst",
    "5-events.sql.zst",
    "6-end.json",
)
ROWS = "2-rows/"
_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 20
_LONGEST_END = 1 << 16
_MOUTHFUL = 1 << 16  # compressed; of a repetitive table it may be fifty times as much in memory


class NewArchive:
    """A new archive; members may be added by several threads, `finish` writes its end."""

    def __init__(self, path: Path) -> None:
        self._file = NewFile(path)
        self._pipeline = Pipeline(self._store)
        self._numbers = 0
        self._members = 0
        self._turn = threading.Lock()

    def add(self, name: str, content: bytes) -> None:
        """A member. Raises OSError of the file."""
        with self._turn:
            self._members += 1
            self._pipeline.put(_member(name, content))

    def add_rows(self, content: bytes) -> None:
        """A piece of the rows."""
        with self._turn:
            self._numbers += 1
            number = self._numbers
        self.add(f"{ROWS}{number:06}.sql.zst", content)

    def finish(self) -> Stored:
        """Write the end and sync it. Raises OSError of the file."""
        self._pipeline.finish()
        return self._file.stored()

    def abandon(self) -> None:
        """Let it be: the file is of no use."""
        self._pipeline.abandon()

    def close(self) -> None:
        """After the one or the other."""
        self._file.close()

    def _store(self, chunk: bytes | None) -> bytes:
        if chunk is not None:
            return self._file(chunk)
        before = self._file.stored()
        end = {"version": 1, "members": self._members, "bytes": before.size_bytes, "sha256": before.sha256}
        self._file(_member(END, json.dumps(end).encode()) + b"\0" * (2 * _BLOCK))
        return self._file(None)


def _member(name: str, content: bytes) -> bytes:
    header = tarfile.TarInfo(name)
    header.size, header.mode = len(content), 0o600
    return header.tobuf(tarfile.PAX_FORMAT) + content + b"\0" * _padding(len(content))


def _padding(size: int) -> int:
    return -size % _BLOCK


class ArchiveError(ValueError):
    """The file is no whole archive of ours."""


class ArchiveReader:
    """What is in an archive, in its order; the file is read once, to its end."""

    def __init__(self, file: StoredFile) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0

    def members(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Name and content of each member; a content that was not asked for is read over.

        Raises ArchiveError where the archive is not whole: without its end it is not.
        """
        found = 0
        while True:
            before = (self._size, self._hash.hexdigest())
            header = self._header()
            if header.name == END:
                self._check_end(header.size, found, *before)
                return
            content = self._content(header.size)
            yield header.name, content
            for _ in content:
                pass
            found += 1

    def _header(self) -> tarfile.TarInfo:
        block = self._exactly(_BLOCK)
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError):
            raise ArchiveError(f"what stands at byte {self._size - _BLOCK} is no member of it") from None

    def _content(self, size: int) -> Iterator[bytes]:
        left = size
        while left:
            chunk = self._exactly(min(left, _CHUNK))
            left -= len(chunk)
            yield chunk
        if any(self._exactly(_padding(size))):
            raise ArchiveError(f"there is something between two members at byte {self._size}")

    def _check_end(self, size: int, members: int, before: int, digest: str) -> None:
        if size > _LONGEST_END:
            raise ArchiveError("its end is larger than an end can be")
        try:
            end = json.loads(b"".join(self._content(size)))
        except ValueError:
            raise ArchiveError("its end cannot be read") from None
        expected = {"version": 1, "members": members, "bytes": before, "sha256": digest}
        if end != expected:
            raise ArchiveError("what stands before its end is not what was written there")
        if any(self._exactly(2 * _BLOCK)) or self._file.read(1):
            raise ArchiveError("something stands behind its end")

    def _exactly(self, size: int) -> bytes:
        pieces, left = [], size
        while left:
            piece = self._file.read(left)
            if not piece:
                raise ArchiveError("it ends before its end")
            self._hash.update(piece)
            self._size += len(piece)
            left -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)


def decompressed(content: Iterator[bytes], wanted: Callable[[bytes], None]) -> None:
    """Give a member's text to `wanted`. Raises ArchiveError where it cannot be decompressed to its end."""
    import zstandard

    frame = zstandard.ZstdDecompressor().decompressobj()
    try:
        for chunk in content:
            for start in range(0, len(chunk), _MOUTHFUL):
                wanted(frame.decompress(chunk[start : start + _MOUTHFUL]))
    except zstandard.ZstdError as error:
        raise ArchiveError(f"it cannot be decompressed: {error}") from None
    if not frame.eof:
        raise ArchiveError("a member ends before its end")
