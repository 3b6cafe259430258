"""The database's write-ahead log: finds an end that a kill or a power loss has torn, and cuts the log at its last commit.

DuckDB writes the entries of a transaction, then a commit entry, and syncs. So a power loss can damage at most what follows the
last commit that was synced. What is cut off was not acknowledged, or is in the journal, too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
import time
from array import array
from pathlib import Path
from typing import BinaryIO

from falcon_events.errors import StoreError
from falcon_events.files.paths import hold_database_lock, list_endings, sync, wals_of

logger = logging.getLogger(__name__)
NO_JOURNAL = "there is no journal to read those events from: acknowledged events may be missing"

# The log begins with its version, the database's identifier and the number of the last checkpoint, as fields that a number of
# two bytes announces. Entries follow, each with its length and its checksum (src/storage/write_ahead_log.cpp of DuckDB).
_ENTRY = struct.Struct("<QQ")
_KIND, _VERSION, _IDENTIFIER, _CHECKPOINT, _END = 100, 101, 102, 103, 0xFFFF
_NO_FIELD = 0
_KIND_VERSION, _KNOWN_VERSION = 98, 2
_COMMIT = b"\x64\x00\x64\xff\xff"
LEAST_ENTRY_BYTES = len(_COMMIT)
HEADER_BYTES = 64
"""More than the header has."""
_NOWHERE = _MASK = (1 << 64) - 1


class _Unknown(Exception):
    """The log has a format that this module does not know, so nothing is changed."""


def mend(db: Path, *, thoroughly: bool = False) -> bool:
    """Cut the logs of a closed database at their last commits, if what follows is torn. A copy of each is kept.

    Args:
        db: the store's file.
        thoroughly: whether to compare all checksums; otherwise only the lengths of the entries are followed.

    Returns:
        Whether a log was cut.

    Raises:
        StoreError: the damage is not at the log's end, so no power loss explains it; or the copy cannot be written.
    """
    cut = False
    for log in wals_of(db):
        with contextlib.suppress(FileNotFoundError, _Unknown):
            cut = _mend_log(db, log, thoroughly) or cut
    return cut


def _mend_log(db: Path, log: Path, thoroughly: bool) -> bool:
    with log.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if _find_last_commit(file, size, thoroughly=thoroughly) == size:
            return False
        with hold_database_lock(db) as is_held:
            if not is_held:
                raise _Unknown  # a program that has the file open may be writing the log
            size = os.fstat(file.fileno()).st_size
            # A wrong length misleads; only the checksums tell which entry is wrong.
            if (whole := _find_last_commit(file, size, thoroughly=True)) == size:
                return False
            file.seek(whole)
            tail = file.read()
    if (another := tail.find(_COMMIT_WITH_HEAD)) >= 0 and another + len(_COMMIT_WITH_HEAD) < len(tail):
        raise StoreError(explain_damage(db, log, f"an entry after byte {whole} is wrong, but commits follow it"))
    copy = log.with_name(f"{log.name}.torn-{time.time_ns()}")
    try:
        _cut(log, copy, whole)
    except OSError as error:
        raise StoreError(
            f"{log} is torn, and cannot be mended: a copy of it cannot be written ({error.strerror}). Free disk space, then start"
            " again; nothing was changed."
        ) from error
    return True


def find_copies(db: Path, since_ns: int) -> list[tuple[Path, Path]]:
    """Return the logs that mend() has cut since a time (in nanoseconds since 1970), each with the copy of it as it was."""
    found = []
    for log in wals_of(db):
        for ending in list_endings(log):
            made = ending.removeprefix(".torn-")
            if made != ending and made.isdigit() and int(made) >= since_ns:
                found.append((log, log.with_name(log.name + ending)))
    return found


def report_copies(db: Path, since_ns: int, *, has_journal: bool) -> None:
    """Log what mend() has done since a time, and whether the store may lack acknowledged events because there was no journal."""
    for log, copy in find_copies(db, since_ns):
        logger.log(
            logging.WARNING if has_journal else logging.CRITICAL,
            "%s ends in the middle of a write, as after a kill or a power loss: what followed its last commit is cut off, and %s."
            " The log as it was is kept as %s",
            log,
            "acknowledged events were read from the journal" if has_journal else NO_JOURNAL,
            copy,
        )


def put_back(db: Path, since_ns: int) -> list[Path]:
    """Undo what mend() has done since a time, in a closed database to which nothing was written. Return the logs."""
    found = find_copies(db, since_ns)
    for log, copy in found:
        copy.replace(log)
        sync(log.parent)
    return [log for log, _ in found]


def explain_damage(db: Path, log: Path, what: str) -> str:
    """Return what to do about a log that cannot be read. No advice loses an event that the journal has."""
    return (
        f"{log} is damaged and cannot be replayed: {what}. Copy all files {db.name}* to another disk first. Then rename only"
        f" {log.name}, and leave the journal in place: the store opens if the journal has every event that the log had, without"
        " other changes since the last checkpoint. Otherwise restore a backup."
    )


def read_identity(log: Path) -> tuple[int, int, bytes] | None:
    """Return what tells a log from another one at the same path: device, inode and header. None: there is none."""
    try:
        with log.open("rb", buffering=0) as file:
            found = os.fstat(file.fileno())
            start = file.read(HEADER_BYTES)
    except FileNotFoundError:
        return None
    try:
        return found.st_dev, found.st_ino, start[: min(_read_header(start, thoroughly=True), HEADER_BYTES)]
    except _Unknown:
        return found.st_dev, found.st_ino, b""


def _cut(log: Path, copy: Path, whole: int) -> None:
    if whole == 0:
        log.rename(copy)
        sync(copy.parent)
        return
    try:
        descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as target, log.open("rb") as source:
            while block := source.read(1 << 20):
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
        sync(copy.parent)
    except OSError:
        copy.unlink(missing_ok=True)
        raise
    with log.open("r+b") as file:
        file.truncate(whole)
        os.fsync(file.fileno())


def _find_last_commit(file: BinaryIO, size: int, *, thoroughly: bool) -> int:
    """Return the offset behind the last commit; 0: there is none."""
    file.seek(0)
    at = _read_header(file.read(HEADER_BYTES), thoroughly=thoroughly)
    last = 0
    while at + _ENTRY.size <= size:
        file.seek(at)
        length, checksum = _ENTRY.unpack(file.read(_ENTRY.size))
        at += _ENTRY.size + length
        if length < LEAST_ENTRY_BYTES or at > size:
            break
        if thoroughly or length == LEAST_ENTRY_BYTES:
            entry = file.read(length)
            if _sum(entry) != checksum:
                break
            if entry == _COMMIT:
                last = at
    return last


def _read_header(start: bytes, *, thoroughly: bool) -> int:
    """Return the offset of the first entry; _NOWHERE: the header is torn.

    Raises:
        _Unknown: another version of DuckDB may have written the log.
    """
    fields: dict[int, int] = {}
    at = 0
    try:
        while (field := int.from_bytes(start[at : at + 2], "little")) != _END:
            at += 2
            value, at = _read_number(start, at)
            if field == _IDENTIFIER:
                for _ in range(value):
                    _, at = _read_number(start, at)
            elif field not in (_KIND, _VERSION, _CHECKPOINT):
                if field == _NO_FIELD or thoroughly:
                    break
                raise _Unknown
            fields[field] = value
    except IndexError:
        return _NOWHERE
    if fields.get(_VERSION, _KNOWN_VERSION) not in (0, _KNOWN_VERSION):
        raise _Unknown
    is_whole = field == _END and fields.get(_KIND) == _KIND_VERSION and _VERSION in fields
    return at + 2 if is_whole else _NOWHERE


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of seven bits a byte, the lowest first, and return it with the offset behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _sum(entry: bytes) -> int:
    """Return DuckDB's checksum of an entry (src/common/checksum.cpp)."""
    result = 5381
    whole = len(entry) & ~7
    words = array("Q", entry[:whole])
    for word in words:
        result ^= word * 0xBF58476D1CE4E5B9
    result &= _MASK
    if rest := entry[whole:]:
        factor = 0xC6A4A7935BD1E995
        mixed = (0xE17A1465 ^ (len(rest) * factor & _MASK) ^ int.from_bytes(rest, "little")) * factor & _MASK
        mixed = (mixed ^ mixed >> 47) * factor & _MASK
        result ^= mixed ^ mixed >> 47
    return result


_COMMIT_WITH_HEAD = _ENTRY.pack(len(_COMMIT), _sum(_COMMIT)) + _COMMIT
