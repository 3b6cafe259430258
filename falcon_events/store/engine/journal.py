"""Journal: acknowledged entries that may not be in the database yet. Each entry is one write and one sync."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from falcon_events.errors import StoreError
from falcon_events.files.paths import FileState, WatchedFile, journals_of, log_of, sync

logger = logging.getLogger(__name__)

# A file begins with HEAD, the store's mark, and the number of the last entry that the database had when the file was created.
# Records follow, each with its length, its CRC-32 and the entry's number. The
# file ends at the first record that does not have the next number, or whose checksum is wrong. The bytes after that are from
# an earlier use of the file: files are overwritten, because a sync takes half as long if the file does not grow.
HEAD = b"falcon-events journal 2\n"
_FIRST_HEAD = b"falcon-events journal 1\n"
"""The beginning of files without the number of the last entry that the database had."""
MARK_BYTES = 8
_NUMBER = struct.Struct("!Q")
_RECORD = struct.Struct("!4sIIQ")
_MAGIC = b"\xfeFEJ"
_START = len(HEAD) + MARK_BYTES + _NUMBER.size
_GROWTH = bytes(1 << 18)
OTHER_ADVICE = "Move it back to that store, and put the journal of this store in its place if there is one."
RECOVERY_ADVICE = (
    "Copy all files of the store to another disk first, so that nothing is lost. Then put back the file and the log that belong"
    " to this journal if others are in their place, or restore a backup."
)
OLDER_ADVICE = (
    "Nothing was changed. Put back the file or the log that belongs to this journal (a log that was mended is kept as"
    " {log}.torn-*), and leave the journal in place."
)
ROTATED_BYTES = 1 << 22
"""A file of this size is replaced by the other one, as soon as the database has all entries of the other one."""


class Journal:
    """Numbered entries on disk, kept until the database has them.

    Args:
        path: the store's database file.
        mark: MARK_BYTES bytes that identify the store; all copies of one store have the same mark.
    """

    def __init__(self, path: Path, mark: bytes) -> None:
        self._db = path
        self._paths = journals_of(path)
        self._mark = mark
        self._files: list[_File] = []
        self._applied = 0
        self._cut: list[Path] = []
        """Files that another program has cut or overwritten."""

    def read(self, after: int) -> list[bytes]:
        """Return the entries after this number, as they were appended. Call it before start().

        Raises:
            StoreError: an entry is damaged or missing.
        """
        found: dict[int, bytes] = {}
        there = [path for path in self._paths if path.exists()]
        names = " and ".join(path.name for path in there)
        newest = 0
        for path in there:
            content = path.read_bytes()
            had = self._read_head(path, content)
            if had is None:
                self._cut.append(path)  # a file gets its name after its head has been synced
                had = 0
            if had > after:
                raise StoreError(
                    f"{self._db} has the entries of its journal up to {after}, but {path.name} follows entry {had}: the file or"
                    f" its log is older. {OLDER_ADVICE.format(log=log_of(self._db))}"
                )
            records = list(_read_records(content))
            found.update((number, entry) for number, entry in records if number > after)
            newest = max(newest, had, *(number for number, _ in records))
        if there and not self._cut and newest < after:  # the last entry is overwritten by later ones only
            self._cut = there
        last = max(found, default=after)
        if missing := next((number for number in range(after + 1, last) if number not in found), None):
            raise StoreError(f"{names}: entry {missing} is damaged or missing, but later entries exist. {RECOVERY_ADVICE}")
        return [found[number] for number in range(after + 1, last + 1)]

    def start(self, applied: int) -> None:
        """Create the files again. Call it only when the database has all their entries.

        Args:
            applied: the number of the last entry that the database has.

        Raises:
            StoreError: the files cannot be created.
        """
        self._close_files()
        folder = self._paths[0].parent
        try:
            self._set_aside_cut()
            sync(folder)  # the database's own log may be new: its name must be on the disk before the entries are gone
            for path in self._paths:
                self._set_aside_foreign(path)
                self._files.append(_File(path, HEAD + self._mark + _NUMBER.pack(applied)))
            sync(folder)
        except OSError as error:
            raise StoreError(f"The journal {self._paths[0].name} cannot be created in {folder}: {error.strerror}.") from error

    def check(self) -> None:
        """Check that both files are still in their places. Otherwise the next process would not find their entries.

        Raises:
            OSError: a file was deleted, moved, replaced or cut.
        """
        for file in self._files:
            file.check()

    def append(self, number: int, entry: bytes) -> None:
        """Write an entry and sync it to disk.

        Raises:
            OSError: writing or syncing failed. The entry may be on disk or not; call start() before appending again.
        """
        current, other = self._files
        if current.end >= ROTATED_BYTES and other.last <= self._applied:
            other.restart()
            self._files = [current, other] = [other, current]
        current.append(number, entry)

    def mark_applied(self, number: int) -> None:
        """Note that the database has every entry up to this one, synced."""
        self._applied = number

    def close(self) -> None:
        """Close the files, and remove them if the database has all their entries."""
        done = [file for file in self._files if file.is_in_place()]
        done = done if all(file.last <= self._applied for file in self._files) else []
        self._close_files()
        for file in done:
            file.path.unlink(missing_ok=True)

    def _read_head(self, path: Path, content: bytes) -> int | None:
        """Return the number of the last entry that the database had when the file was created; None: the head is missing."""
        if content.startswith(HEAD + self._mark) and len(content) >= _START:
            (number,) = _NUMBER.unpack_from(content, len(HEAD) + MARK_BYTES)
            return int(number)
        if content.startswith(_FIRST_HEAD + self._mark):
            return 0
        if any(content[:_START]) and len(content) >= _START:
            raise StoreError(f"{path} belongs to another store. {OTHER_ADVICE}")
        return None

    def _set_aside_cut(self) -> None:
        """Rename the files that were cut, so that `doctor` reports them, and say what they lack."""
        for path in self._cut:
            kept = path.with_name(f"{path.name}.cut-{time.time_ns()}")
            path.rename(kept)
            logger.critical(
                "%s was cut or overwritten by another program: acknowledged events may be missing. Its rest is kept as %s",
                path,
                kept,
            )
        self._cut = []

    def _set_aside_foreign(self, path: Path) -> None:
        """Rename a file that is not a journal of this store, so that it is not overwritten."""
        with contextlib.suppress(FileNotFoundError):
            with path.open("rb") as file:
                start = file.read(len(HEAD) + MARK_BYTES)
            if start not in (HEAD + self._mark, _FIRST_HEAD + self._mark) and any(start):
                path.rename(path.with_name(f"{path.name}.replaced-{time.time_ns()}"))

    def _close_files(self) -> None:
        while self._files:
            self._files.pop().close()


class _File:
    """One of the two files of a journal.

    Args:
        path: the file to create.
        head: the bytes that it begins with.
    """

    def __init__(self, path: Path, head: bytes) -> None:
        self.path = path
        unfinished = path.with_name(f"{path.name}.new")
        unfinished.unlink(missing_ok=True)
        self._descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self.end = _START
        """The offset of the next record."""
        self.size = 0
        """The size up to which records fit without growing the file."""
        self.last = 0
        """The number of the last entry."""
        try:
            os.pwrite(self._descriptor, head, 0)
            _sync(self._descriptor)
            unfinished.rename(path)  # so that there is always a journal while there are entries
            self._watched = WatchedFile(path)
        except BaseException:
            os.close(self._descriptor)
            raise

    def restart(self) -> None:
        """Write the next record at the beginning of the file."""
        self.end = _START

    def is_in_place(self) -> bool:
        """Return whether the path still leads to this file."""
        return self._watched.check() is FileState.UNCHANGED

    def check(self) -> None:
        """Raise OSError if the file was deleted, moved, replaced or cut."""
        if not self.is_in_place():
            raise FileNotFoundError(f"{self.path} was deleted, moved or replaced while it was in use")
        if self._watched.size < self.size:
            raise OSError(f"{self.path} was cut while it was in use")

    def append(self, number: int, entry: bytes) -> None:
        self.check()
        start, end = self.end, self.end + _RECORD.size + len(entry)
        self.last = number
        try:
            if end > self.size:
                self._grow(end)
            _write(self._descriptor, _RECORD.pack(_MAGIC, len(entry), _sum(entry, number), number) + entry, start)
            _sync(self._descriptor)
        except BaseException:
            with contextlib.suppress(OSError):  # the entry is not acknowledged, so it should not be found later
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


def _read_records(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the complete entries in a file's bytes, at any offset, with their numbers."""
    at, previous = len(HEAD), None
    while (at := content.find(_MAGIC, at)) >= 0:
        head = content[at : at + _RECORD.size]
        if len(head) < _RECORD.size:
            break
        _, length, summed, number = _RECORD.unpack(head)
        entry = content[at + _RECORD.size : at + _RECORD.size + length]
        if len(entry) == length and _sum(entry, number) == summed:
            yield number, entry
            previous = number
            at += _RECORD.size + length
            continue
        if previous is not None and number == previous + 1:
            logger.warning("The last journal entry is incomplete and is ignored; its events were not acknowledged")
        at += 1


def _sum(entry: bytes, number: int) -> int:
    return zlib.crc32(entry, number & 0xFFFFFFFF)


def _write(descriptor: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written


def _sync(descriptor: int) -> None:
    if hasattr(fcntl, "F_FULLFSYNC"):  # on macOS, fsync() leaves the data in the disk's own cache
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(descriptor)
