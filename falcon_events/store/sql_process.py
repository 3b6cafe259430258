"""Queries in a process of their own, which reads the store's file beside its owner."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from falcon_events.errors import EventsError, StoreUnavailable
from falcon_events.model.events import CANNOT_NOW
from falcon_events.runtime.environment import mark
from falcon_events.settings import Settings
from falcon_events.store.database import duckdb
from falcon_events.store.engine.open_read import OpenRead, ReadInterrupted
from falcon_events.store.engine.writer import Writer
from falcon_events.store.queries.sql import ADVICE, NO_MEMORY, TOO_LONG, Limits
from falcon_events.store.sql_messages import OPEN, Frame, Kind, QueryStart, read_frame

_BOOTSTRAP = """
import json, sys
start = json.loads(sys.stdin.buffer.readline())
sys.path[:] = start.pop("sys_path")
import msgspec
from falcon_events.store.sql_main import main
from falcon_events.store.sql_messages import QueryStart
main(msgspec.convert(start, QueryStart))
"""
OPENING_S = 10.0
"""How long the process may take to open the file, in seconds. Nothing is written to the tables meanwhile."""
GRACE_S = 2.0
"""How long after its time limit the process may take to say so, in seconds."""
MOST_SPILLED_MB = 4096
"""The most that a query spills to disk: this, or half of the free space if that is less."""


def limits_of(settings: Settings) -> Limits:
    """Return the limits of a query."""
    return Limits(settings.sql_time_s, settings.sql_rows, settings.sql_bytes, settings.sql_memory_mb)


def run_beside(path: Path, query: str, settings: Settings, writer: Writer, read: OpenRead, *, arrow: bool = False) -> bytes:
    """Run one SELECT in a process of its own.

    Args:
        path: the store's file.
        query: the SELECT.
        settings: its limits.
        writer: the open writer.
        read: ends the process when it is interrupted.
        arrow: whether the result is an Arrow stream.

    Returns:
        A Table as MessagePack, or an Arrow stream.

    Raises:
        EventsError: the query is no SELECT, exceeds a limit, or the database refuses it.
    """
    with _launch() as child:
        spill = path.with_name(f"{path.name}.sql-{child.pid}.tmp")
        free_mb = shutil.disk_usage(path.parent).free >> 20
        start = QueryStart(
            query,
            limits_of(settings),
            str(path),
            str(spill),
            min(MOST_SPILLED_MB, free_mb // 2),
            settings.threads,
            arrow,
        )
        process = _QueryProcess(child, settings)
        try:
            with read.running(child.kill), process.limited(settings.sql_time_s + GRACE_S):
                process.send(json.dumps({"sys_path": sys.path, **msgspec.to_builtins(start)}).encode() + b"\n")
                process.expect(Kind.READY)
                token = writer.run(lambda _: _let_open(writer, process)).result()
                try:
                    return process.expect(Kind.TABLE)
                finally:
                    child.kill()
                    child.wait()
                    writer.run(lambda _: writer.shared_file.release(token))
        except EventsError:
            if read.interrupted:
                raise ReadInterrupted from None
            raise
        finally:
            child.kill()
            child.wait()
            shutil.rmtree(spill, ignore_errors=True)


def _let_open(writer: Writer, process: _QueryProcess) -> object:
    """Let a process open the file while nothing is written, in the writer thread. Return the token to release."""
    try:
        token = writer.shared_file.share()
    except (duckdb.Error, OSError) as error:
        raise StoreUnavailable(CANNOT_NOW) from error
    try:
        with process.limited(OPENING_S):
            process.send(OPEN)
            process.expect(Kind.OPENED)
    except BaseException:
        process.kill()
        writer.shared_file.release(token)
        raise
    return token


@contextlib.contextmanager
def _launch() -> Iterator[subprocess.Popen[bytes]]:
    try:
        child = subprocess.Popen(
            [sys.executable, "-c", mark(_BOOTSTRAP)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
    except OSError as error:
        raise EventsError(f"The query cannot be run, because no process can be started for it: {error.strerror}.") from error
    with child:
        yield child


class _QueryProcess:
    """The process that runs a query."""

    def __init__(self, child: subprocess.Popen[bytes], settings: Settings) -> None:
        self._child = child
        self._settings = settings
        self._expired = False

    @contextlib.contextmanager
    def limited(self, time_s: float) -> Iterator[None]:
        """Kill the process if the block takes longer."""

        def expire() -> None:
            self._expired = True
            self._child.kill()

        timer = threading.Timer(time_s, expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def send(self, order: bytes) -> None:
        """Send the process what it waits for."""
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):  # if the process has ended, expect() notices
            self._child.stdin.write(order)
            self._child.stdin.flush()

    def expect(self, kind: Kind) -> bytes:
        """Return the content of the next frame. Raises EventsError if it is another frame, or the process has ended."""
        assert self._child.stdout is not None
        frame: Frame | None = read_frame(self._child.stdout)  # type: ignore[arg-type]
        if frame is not None and frame.kind is kind:
            return frame.content
        if frame is not None:
            raise EventsError(frame.content.decode(errors="replace"))
        if self._expired:
            raise EventsError(TOO_LONG.format(self._settings.sql_time_s, ADVICE))
        raise EventsError(NO_MEMORY.format(self._settings.sql_memory_mb, ADVICE))

    def kill(self) -> None:
        """End the process, and wait until it has ended."""
        self._child.kill()
        self._child.wait()
