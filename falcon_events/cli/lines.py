"""Lines of NDJSON: from files or standard input, plain or gzip, of a bounded length."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from falcon_events.errors import EventsError

STDIN = "-"
_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_REST = 1 << 16


class Line(msgspec.Struct, frozen=True):
    """A line that is not blank; `body` is None where it is longer than the limit."""

    file: str
    number: int
    body: bytes | None


def check_readable(name: str) -> None:
    """Raises EventsError where a file cannot be read, before anything is done."""
    if name == STDIN:
        if sys.stdin is None:
            raise EventsError("-: standard input is closed.")
        return
    path = Path(name)
    if path.is_dir():
        raise EventsError(f"{name} is a folder; files are needed.")
    if not path.exists():
        raise EventsError(f"{name} does not exist.")
    if not os.access(path, os.R_OK):
        raise EventsError(f"{name} cannot be read: permission denied for this user.")


def size_of(name: str) -> int | None:
    """The file's bytes, or None where they cannot be known before they are read."""
    path = Path(name)
    return path.stat().st_size if name != STDIN and path.is_file() else None


def read_lines(name: str, max_bytes: int, progressed: Callable[[int], None]) -> Iterator[Line]:
    """The lines that are not blank, with their numbers from 1 on.

    Args:
        name: a file's path, or - for standard input; gzip is told by its first two bytes.
        max_bytes: the longest line that is read whole.
        progressed: gets how many bytes of the file have been read, every now and then.

    Raises:
        EventsError: the file is cut off, damaged or cannot be read to its end.
    """
    with ExitStack() as stack:
        try:
            raw = sys.stdin.buffer if name == STDIN else stack.enter_context(Path(name).open("rb"))
            # cast: both are BufferedReaders, which their declared types do not say
            zipped = cast("BufferedReader", raw).peek(2)[:2] == _GZIP
            plain = cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=raw)) if zipped else raw)
            tells = raw.seekable()
            number = 0
            while taken := _take(plain, max_bytes):
                text, whole = taken
                number += 1
                if number == 1:
                    text = text.removeprefix(_BYTE_ORDER_MARK)
                body = text.strip()
                if tells and number % 1000 == 0:
                    progressed(raw.tell())
                if body or not whole:
                    yield Line(name, number, body if whole and len(body) <= max_bytes else None)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise EventsError(f"{name} is cut off or damaged: {error}") from None
        except OSError as error:
            raise EventsError(f"{name} cannot be read: {error.strerror or error}.") from None


def _take(plain: BinaryIO, max_bytes: int) -> tuple[bytes, bool] | None:
    """The next line, and whether it is all of it; of a longer one the rest is skipped. None at the end."""
    text = plain.readline(max_bytes + 2)
    if not text:
        return None
    whole, rest = True, text
    while rest and not rest.endswith(b"\n"):
        rest = plain.readline(_REST)
        whole = whole and not rest.strip()
    return text, whole
