"""The journal: what was acknowledged and may not be in the database yet; a batch is one write and one sync."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from falcon_events.errors import StoreError
from falcon_events.files.paths import journals_of, sync

logger = logging.getLogger(__name__)

# A file begins with HEAD and the store's mark. Records follow, each with its length, its CRC-32 and the entry's number:
# the first one whose number is not its predecessor's next, or whose sum is wrong, is where the file ends. What may stand
# behind it is of an earlier use: files are written over, as a sync takes half as long where no file grows.
HEAD = b"falcon-events journal 1\n"
MARK_BYTES = 8
_RECORD = struct.Struct("!4sIIQ")
_MAGIC = b"\xfeFEJ"
_START = len(HEAD) + MARK_BYTES
_GROWTH = bytes(1 << 18)
WAYS_OUT = (
    "Restore the store from a backup, or set its journal aside by renaming it; then the store opens without the events that "
    "only the journal has."
)
ROTATED_BYTES = 1 << 22
"""From this size on the other file is written to, as soon as the database has all that it holds."""


class Journal:
    """Numbered entries on disk, until the database has them.

    Args:
        path: the store's database file.
        mark: says whose journal it is: MARK_BYTES bytes that all copies of one store share.
    """

    def __init__(self, path: Path, mark: bytes) -> None:
        self._paths = journals_of(path)
        self._mark = mark
        self._files: list[_File] = []
        self._stored = 0

    def read(self, after: int) -> list[bytes]:
        """The entries from the one after this number on, as they were appended; called before start().

        Raises:
            StoreError: an entry is damaged, or missing.
        """
        found: dict[int, bytes] = {}
        there = [path for path in self._paths if path.exists()]
        names = " and ".join(path.name for path in there)
        for path in there:
            content = path.read_bytes()
            if len(content) >= _START and not content.startswith(HEAD + self._mark):
                raise StoreError(f"{path} belongs to another store. {WAYS_OUT}")
            found.update(_records(content, after))
        last = max(found, default=after)
        if missing := next((number for number in range(after + 1, last) if number not in found), None):
            raise StoreError(f"{names}: entry {missing} is damaged or missing, and later ones are there. {WAYS_OUT}")
        return [found[number] for number in range(after + 1, last + 1)]

    def start(self) -> None:
        """Makes the files anew; the database has all that they held.

        Raises:
            StoreError: they cannot be made.
        """
        self._let_go()
        try:
            for path in self._paths:
                path.unlink(missing_ok=True)
                self._files.append(_File(path, HEAD + self._mark))
            sync(self._paths[0].parent)
        except OSError as error:
            raise StoreError(f"The journal of the store cannot be made in {self._paths[0].parent}: {error.strerror}.") from error

    def append(self, number: int, entry: bytes) -> None:
        """Writes an entry and syncs it to disk.

        Raises:
            OSError: it could not; whether the entry is there is not known. Nothing can be appended before start().
        """
        current, other = self._files
        if current.end >= ROTATED_BYTES and other.last <= self._stored:
            other.restart()
            self._files = [current, other] = [other, current]
        current.append(number, entry)

    def stored(self, number: int) -> None:
        """The database has every entry up to this one, synced."""
        self._stored = number

    def close(self) -> None:
        """Removes the files, where the database has all that they hold."""
        done = all(file.last <= self._stored for file in self._files)
        self._let_go()
        if done:
            for path in self._paths:
                path.unlink(missing_ok=True)

    def _let_go(self) -> None:
        while self._files:
            self._files.pop().close()


class _File:
    """One of the two files.

    Args:
        path: where it is made.
        head: what it begins with.
    """

    def __init__(self, path: Path, head: bytes) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self.end = _START
        """Where the next record goes."""
        self.size = 0
        """How far there is room without growing."""
        self.last = 0
        """The number of the last entry."""
        try:
            os.pwrite(self._descriptor, head, 0)
            _sync(self._descriptor)
        except BaseException:
            os.close(self._descriptor)
            raise

    def restart(self) -> None:
        """Goes back to its beginning."""
        self.end = _START

    def append(self, number: int, entry: bytes) -> None:
        if os.fstat(self._descriptor).st_nlink == 0:
            raise FileNotFoundError(f"{self._path} was deleted while it was in use")
        start, end = self.end, self.end + _RECORD.size + len(entry)
        self.last = number
        try:
            if end > self.size:
                self._grow(end)
            _write(self._descriptor, _RECORD.pack(_MAGIC, len(entry), _sum(entry, number), number) + entry, start)
            _sync(self._descriptor)
        except BaseException:
            with contextlib.suppress(OSError):  # nobody is told that it is stored: so it had better not be
                os.pwrite(self._descriptor, bytes(_RECORD.size), start)
            raise
        self.end = end

    def close(self) -> None:
        os.close(self._descriptor)

    def _grow(self, end: int) -> None:
        size = max(self.size, self.end)
        while size < end:
            _write(self._descriptor, _GROWTH, size)
            size += len(_GROWTH)
        self.size = size


def _records(content: bytes, after: int) -> Iterator[tuple[int, bytes]]:
    """The entries in a file's bytes that come after this number, whole ones only, wherever they stand."""
    at, previous = _START, None
    while (at := content.find(_MAGIC, at)) >= 0:
        head = content[at : at + _RECORD.size]
        if len(head) < _RECORD.size:
            break
        _, length, summed, number = _RECORD.unpack(head)
        entry = content[at + _RECORD.size : at + _RECORD.size + length]
        if len(entry) == length and _sum(entry, number) == summed:
            if number > after:
                yield number, entry
            previous = number
            at += _RECORD.size + length
            continue
        if previous is not None and number == previous + 1:
            logger.warning("the last entry of the journal was cut off while it was written; nobody was told that it is stored")
        at += 1


def _sum(entry: bytes, number: int) -> int:
    return zlib.crc32(entry, number & 0xFFFFFFFF)


def _write(descriptor: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written


def _sync(descriptor: int) -> None:
    if hasattr(fcntl, "F_FULLFSYNC"):  # macOS: fsync() leaves the data in the disk's own cache
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(descriptor)
