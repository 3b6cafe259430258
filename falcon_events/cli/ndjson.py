"""Reading NDJSON lines of bounded length from files or standard input, plain or gzip."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path
from typing import cast

import msgspec

from falcon_events.errors import EventsError

STDIN = "-"
_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLOCK = 1 << 17


class Lines(msgspec.Struct, frozen=True):
    """Consecutive lines without the blank ones. The body of a line that is longer than the limit is None."""

    file: str
    numbers: Sequence[int]
    bodies: Sequence[bytes | None]


def check_readable(name: str) -> None:
    """Raise EventsError if a file cannot be read, before any line is stored."""
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


def get_size(name: str) -> int | None:
    """Return the file's size in bytes, or None if it is only known after reading."""
    path = Path(name)
    return path.stat().st_size if name != STDIN and path.is_file() else None


def read_lines(name: str, max_bytes: int, most: int, on_progress: Callable[[int], None]) -> Iterator[Lines]:
    """Yield the lines that are not blank, with their numbers, from 1. Lines of a pipe are yielded as they arrive.

    Args:
        name: a file's path, or - for standard input. gzip is recognized by its first two bytes.
        max_bytes: the longest line that is read whole.
        most: how many lines are yielded at once, at most.
        on_progress: called with the number of bytes of the file that have been read.

    Raises:
        EventsError: the file is cut off, damaged or cannot be read to its end.
    """
    with ExitStack() as stack:
        try:
            raw = sys.stdin.buffer if name == STDIN else stack.enter_context(Path(name).open("rb"))
            # cast: both are BufferedReaders, which their declared types do not say
            zipped = cast("BufferedReader", raw).peek(2)[:2] == _GZIP
            plain = cast("BufferedReader", stack.enter_context(gzip.GzipFile(fileobj=raw)) if zipped else raw)
            tells = raw.seekable()
            number = 1
            for texts in _read_texts(plain, max_bytes):
                if tells:
                    on_progress(raw.tell())
                for start in range(0, len(texts), most):
                    lines = _drop_blanks(name, number + start, texts[start : start + most])
                    if lines.bodies:
                        yield lines
                number += len(texts)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise EventsError(f"{name} is cut off or damaged: {error}") from None
        except OSError as error:
            raise EventsError(f"{name} cannot be read: {error.strerror or error}.") from None


def _read_texts(plain: BufferedReader, max_bytes: int) -> Iterator[list[bytes | None]]:
    """Yield the lines that each read completes. A line that is too long by more than white space is None."""
    begun, at_start = b"", True
    while True:
        read = plain.read1(_BLOCK)
        begun += read
        if at_start:
            if read and len(begun) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(begun):
                continue
            begun, at_start = begun.removeprefix(_BYTE_ORDER_MARK), False
        *whole, begun = begun.split(b"\n")
        texts: list[bytes | None] = [*whole]
        if max(map(len, whole), default=0) > max_bytes:
            texts = [_trim(text, max_bytes) for text in whole]
        if len(begun) > max_bytes + 2:  # a line's end may have two bytes
            rest_is_blank = _skip_line(plain)
            texts.append(_trim(begun, max_bytes) if rest_is_blank else None)
            begun = b""
        if not read and begun:
            texts.append(_trim(begun, max_bytes))
        if texts:
            yield texts
        if not read:
            return


def _trim(text: bytes, max_bytes: int) -> bytes | None:
    """Strip a line, and return None if it is too long by more than white space."""
    if text[max_bytes + 2 :].strip():
        return None
    body = text[: max_bytes + 2].strip()
    return body if len(body) <= max_bytes else None


def _skip_line(plain: BufferedReader) -> bool:
    """Skip the rest of a line; return whether it is only white space."""
    blank, rest = True, b""
    while not rest.endswith(b"\n") and (rest := plain.readline(_BLOCK)):
        blank = blank and not rest.strip()
    return blank


def _drop_blanks(name: str, first: int, texts: list[bytes | None]) -> Lines:
    bodies = [text and text.strip() for text in texts]
    numbers: Sequence[int] = range(first, first + len(texts))
    if b"" in bodies:
        kept = [(number, body) for number, body in zip(numbers, bodies, strict=True) if body != b""]
        numbers, bodies = [number for number, _ in kept], [body for _, body in kept]
    return Lines(name, numbers, bodies)
