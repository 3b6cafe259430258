"""The command import: store events from lines of request bodies."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from functools import partial
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

import click
import msgspec

from falcon_events.cli.common import db_option, json_option, open_tracking, print_json
from falcon_events.cli.ndjson import Lines, check_readable, get_size, read_lines
from falcon_events.cli.output import check_output
from falcon_events.contract.schemas import common_error
from falcon_events.errors import EventsError, InvalidRequest, RequestRefused, StoreUnavailable
from falcon_events.ingest.batch import TrackResult
from falcon_events.ingest.stream import store_blocks
from falcon_events.tracking import EventTracking

if TYPE_CHECKING:
    from rich.progress import Progress


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--rejects",
    metavar="PATH",
    default="rejects.ndjson",
    show_default=True,
    help="The file for refused lines, with file name, line number and codes; an earlier file is kept as PATH.1, PATH.2, ...",
)
@db_option
@json_option
def import_(files: Sequence[str], rejects: str, db: str, as_json: bool) -> None:
    """Store events from files of request bodies.

    Each FILE has one request body per line (NDJSON), plain or gzip; - is standard input. A line whose EventID is stored already
    is not stored again, so an interrupted import can be repeated.
    """
    for name in files:
        check_readable(name)
    with (
        open_tracking(db) as tracking,
        RejectFile(rejects, db) as reject_file,
        ProgressBar(files) as bar,
        Interrupts() as interrupts,
    ):
        run = Import(tracking, reject_file, bar, interrupts)
        run.run(files)
    counts = dict(run.counts) | ({"rejects": rejects} if run.counts["rejected"] else {})
    if as_json:
        print_json(counts)
    else:
        click.echo(f"{counts['stored']} stored, {counts['duplicates']} stored before, {counts['rejected']} rejected")
        if run.counts["rejected"]:
            click.echo(f"the rejected lines are in {rejects}", err=True)
    if interrupts.signal is not None:
        click.echo(f"falcon-events: stopped by {interrupts.signal.name} {run.place}; {_REPEAT}", err=True)
        raise click.exceptions.Exit(128 + interrupts.signal)
    if run.failure is not None:
        raise EventsError(f"stopped {run.place}: {run.failure.rstrip('.')}; {_REPEAT}")


_REPEAT = "repeat the import to store the rest: a line whose EventID is stored is not stored again."


class Interrupts:
    """Handlers of Ctrl-C and SIGTERM: the first signal stops reading, the second one ends the command at once."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._reading = False

    def read_next(self, blocks: Iterator[Lines]) -> Lines | None:
        """Return the next lines, or None at the end and after a signal."""
        try:
            self._reading = True
            return None if self.signal is not None else next(blocks, None)
        except KeyboardInterrupt:
            return None
        finally:
            self._reading = False

    def __enter__(self) -> Self:
        self._before = {sign: signal.signal(sign, self._handle) for sign in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for sign, handler in self._before.items():
            signal.signal(sign, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self.signal = self.signal is not None, signal.Signals(number)
        if again or self._reading:  # a read from a pipe may never end by itself
            raise KeyboardInterrupt


class RejectFile:
    """The file for refused lines. It is created with the first of them; an earlier file of that name is renamed.

    Args:
        name: the file's path.
        db: the path of the store.

    Raises:
        EventsError: the file cannot be written, or belongs to a store.
    """

    def __init__(self, name: str, db: str) -> None:
        self._path = check_output("--rejects", name, db, force=True)
        self._file: BinaryIO | None = None
        if not os.access(self._path if self._path.exists() else self._path.parent, os.W_OK):
            raise EventsError(f"--rejects {name} cannot be written: permission denied for this user.")

    def add(self, file: str, number: int, body: bytes | None, refused: RequestRefused) -> None:
        """Write a line and the reason for its refusal."""
        if self._file is None:
            self._keep_earlier()
            self._file = self._path.open("wb")
        entry = {
            "file": file,
            "line": number,
            "codes": refused.codes,
            "errors": [{"Code": failure.code, "Message": failure.message} for failure in refused.failures],
            "body": None if body is None else body.decode(errors="backslashreplace"),
        }
        self._file.write(msgspec.json.encode(entry) + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def _keep_earlier(self) -> None:
        if not self._path.is_file() or self._path.stat().st_size == 0:  # devices and pipes are not renamed
            return
        number = 1
        while (kept := self._path.with_name(f"{self._path.name}.{number}")).exists():
            number += 1
        self._path.rename(kept)


class ProgressBar:
    """A progress bar over the files' bytes, shown only if standard error is a terminal."""

    def __init__(self, files: Sequence[str]) -> None:
        self._progress: Progress | None = None
        if sys.stderr is None or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True))
        sizes = [get_size(name) for name in files]
        known = [size for size in sizes if size is not None]
        self._task = self._progress.add_task("import", total=sum(known) if len(known) == len(sizes) else None)

    def move_to(self, done: int) -> None:
        """Show how many bytes have been read."""
        if self._progress is not None:
            self._progress.update(self._task, completed=done)

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()


class Import:
    """One run of the command: reads lines, stores them, and counts the results.

    Args:
        tracking: stores the events.
        rejects: takes refused lines.
        bar: shows the progress.
        interrupts: tells when to stop.
    """

    def __init__(self, tracking: EventTracking, rejects: RejectFile, bar: ProgressBar, interrupts: Interrupts) -> None:
        self.counts: Counter[str] = Counter(stored=0, duplicates=0, rejected=0)
        self.failure: str | None = None
        """The reason why the run stopped before the end; None: it did not."""
        self.place = "before the first line"
        self._tracking = tracking
        self._rejects = rejects
        self._bar = bar
        self._interrupts = interrupts
        self._max_bytes = tracking.settings.max_body_bytes
        self._sent: deque[tuple[str, Sequence[int], Sequence[bytes]]] = deque()

    def run(self, files: Sequence[str]) -> None:
        """Store the lines of the files. When it returns, every line that was read is stored or refused."""
        tracking = self._tracking
        try:
            for results in store_blocks(
                tracking.pipeline.import_bodies, tracking.waiter, tracking.settings, self._read_bodies(files)
            ):
                self._settle(*self._sent.popleft(), results)
        except (EventsError, OSError) as error:
            self._stop(str(error))

    def _read_bodies(self, files: Sequence[str]) -> Iterator[Sequence[bytes]]:
        done = 0
        for name in files:
            blocks = read_lines(name, self._max_bytes, self._tracking.settings.batch_events, partial(self._move_bar, done))
            while self.failure is None:
                try:
                    lines = self._interrupts.read_next(blocks)
                except EventsError as error:  # reported after the lines that were sent have their results
                    self._stop(str(error))
                    return
                if lines is None:
                    break
                self.place = f"after {lines.file} line {lines.numbers[-1]}"
                if bodies := self._prepare(lines):
                    yield bodies
            done += get_size(name) or 0
            self._move_bar(done, 0)

    def _prepare(self, lines: Lines) -> Sequence[bytes]:
        """Refuse lines that are too long; note the others as sent and return their bodies."""
        numbers, bodies = lines.numbers, lines.bodies
        if None in bodies:
            status, failure = common_error(413)
            for number, body in zip(numbers, bodies, strict=True):
                if body is None:
                    self._refuse(lines.file, number, None, InvalidRequest(status, [failure]))
            numbers = [number for number, body in zip(numbers, bodies, strict=True) if body is not None]
        sendable = [body for body in bodies if body is not None]
        if sendable:
            self._sent.append((lines.file, numbers, sendable))
        return sendable

    def _move_bar(self, before: int, position: int) -> None:
        self._bar.move_to(before + position)

    def _settle(self, file: str, numbers: Sequence[int], bodies: Sequence[bytes], results: Sequence[TrackResult]) -> None:
        stored = duplicates = 0
        for place, result in enumerate(results):
            if isinstance(result, RequestRefused):
                self._refuse(file, numbers[place], bodies[place], result)
            elif result.duplicate:
                duplicates += 1
            else:
                stored += 1
        self.counts["stored"] += stored
        self.counts["duplicates"] += duplicates

    def _refuse(self, file: str, number: int, body: bytes | None, refused: RequestRefused) -> None:
        if isinstance(refused, StoreUnavailable):
            self._stop(str(refused))
        else:
            self._rejects.add(file, number, body, refused)
            self.counts["rejected"] += 1

    def _stop(self, why: str) -> None:
        self.failure = self.failure or why
