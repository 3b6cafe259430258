"""import: events as lines of request bodies, into the store."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

import click
import msgspec

from falcon_events.cli.common import db_option, json_option, print_json, tracking_of
from falcon_events.cli.ndjson import Lines, check_readable, read_lines, size_of
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
    help="Where refused lines go, with file, line number and codes; an earlier file is kept as PATH.1, PATH.2, ...",
)
@db_option
@json_option
def import_(files: Sequence[str], rejects: str, db: str, as_json: bool) -> None:
    """Store events from FILEs of request bodies, one a line (NDJSON), plain or gzip; - is standard input.

    Lines with an EventID that is stored already are not stored again, so an import that was cut off can be repeated.
    """
    for name in files:
        check_readable(name)
    with (
        tracking_of(db) as tracking,
        RejectFile(rejects) as reject_file,
        Bar(files) as bar,
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
    """Ctrl-C and SIGTERM as a request to stop reading; the second one ends the command at once."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._reading = False

    def next_of(self, blocks: Iterator[Lines]) -> Lines | None:
        """The next lines; None at the end, or when it is time to stop."""
        try:
            self._reading = True
            return None if self.signal is not None else next(blocks, None)
        except KeyboardInterrupt:
            return None
        finally:
            self._reading = False

    def __enter__(self) -> Self:
        self._before = {sign: signal.signal(sign, self._note) for sign in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for sign, handler in self._before.items():
            signal.signal(sign, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        again, self.signal = self.signal is not None, signal.Signals(number)
        if again or self._reading:  # a read from a pipe may never end by itself
            raise KeyboardInterrupt


class RejectFile:
    """Refused lines; the file is made with the first one, and an earlier one of that name keeps its lines under another.

    Args:
        name: the file's path.

    Raises:
        EventsError: it cannot be written.
    """

    def __init__(self, name: str) -> None:
        self._path = Path(name)
        self._file: BinaryIO | None = None
        folder = self._path.resolve().parent
        if self._path.is_dir():
            raise EventsError(f"--rejects {name} is a folder; the path of a file is needed.")
        if not folder.is_dir():
            raise EventsError(f"--rejects {name}: there is no folder {folder}.")
        if not os.access(self._path if self._path.exists() else folder, os.W_OK):
            raise EventsError(f"--rejects {name} cannot be written: permission denied for this user.")

    def add(self, file: str, number: int, body: bytes | None, refused: RequestRefused) -> None:
        """Writes a line and why it was refused."""
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
        if not self._path.is_file() or self._path.stat().st_size == 0:  # not a device or a pipe either
            return
        number = 1
        while (kept := self._path.with_name(f"{self._path.name}.{number}")).exists():
            number += 1
        self._path.rename(kept)


class Bar:
    """A bar over the files' bytes, on a terminal's standard error only."""

    def __init__(self, files: Sequence[str]) -> None:
        self._progress: Progress | None = None
        if sys.stderr is None or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True))
        sizes = [size_of(name) for name in files]
        known = [size for size in sizes if size is not None]
        self._task = self._progress.add_task("import", total=sum(known) if len(known) == len(sizes) else None)

    def move_to(self, done: int) -> None:
        """Shows how many bytes have been read."""
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
    """One run: reads lines, stores them, and counts what became of them.

    Args:
        tracking: where events go.
        rejects: where refused lines go.
        bar: is moved on with the bytes that were read.
        interrupts: tell when to stop.
    """

    def __init__(self, tracking: EventTracking, rejects: RejectFile, bar: Bar, interrupts: Interrupts) -> None:
        self.counts: Counter[str] = Counter(stored=0, duplicates=0, rejected=0)
        self.failure: str | None = None
        """Why it stopped before the end, if it did."""
        self.place = "before the first line"
        self._tracking = tracking
        self._rejects = rejects
        self._bar = bar
        self._interrupts = interrupts
        self._max_bytes = tracking.settings.max_body_bytes
        self._sent: deque[tuple[str, Sequence[int], Sequence[bytes]]] = deque()

    def run(self, files: Sequence[str]) -> None:
        """Stores the lines of the files; whatever was read is stored or refused when it returns."""
        tracking = self._tracking
        try:
            for answers in store_blocks(tracking.pipeline.track_bodies, tracking.waiter, tracking.settings, self._bodies(files)):
                self._settle(*self._sent.popleft(), answers)
        except (EventsError, OSError) as error:
            self._stop(str(error))

    def _bodies(self, files: Sequence[str]) -> Iterator[Sequence[bytes]]:
        done = 0
        for name in files:
            blocks = read_lines(name, self._max_bytes, self._tracking.settings.batch_events, partial(self._progressed, done))
            while self.failure is None:
                try:
                    lines = self._interrupts.next_of(blocks)
                except EventsError as error:  # told once what was sent has been answered
                    self._stop(str(error))
                    return
                if lines is None:
                    break
                self.place = f"after {lines.file} line {lines.numbers[-1]}"
                if bodies := self._sendable(lines):
                    yield bodies
            done += size_of(name) or 0
            self._progressed(done, 0)

    def _sendable(self, lines: Lines) -> Sequence[bytes]:
        """The lines' bodies, which are noted as sent, but for those that are too long: these are refused."""
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

    def _progressed(self, before: int, position: int) -> None:
        self._bar.move_to(before + position)

    def _settle(self, file: str, numbers: Sequence[int], bodies: Sequence[bytes], answers: Sequence[TrackResult]) -> None:
        stored = duplicates = 0
        for place, answer in enumerate(answers):
            if isinstance(answer, RequestRefused):
                self._refuse(file, numbers[place], bodies[place], answer)
            elif answer.duplicate:
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
