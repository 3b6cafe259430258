"""import and export: events as lines of request bodies, and as Parquet."""

from __future__ import annotations

import gzip
import shutil
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from falcon_events.cli.common import db_option, json_option, print_json, tracking_of
from falcon_events.errors import EventsError, RequestRefused, StoreUnavailable
from falcon_events.store.reads import Selection
from falcon_events.timestamps import parse_timestamp

STDIN = "-"


class Line(msgspec.Struct, frozen=True):
    """A line of an imported file."""

    file: str
    number: int
    body: bytes


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--rejects",
    metavar="PATH",
    default="rejects.ndjson",
    show_default=True,
    help="Where refused lines go, with file, line number and codes.",
)
@db_option
@json_option
def import_(files: Sequence[str], rejects: str, db: str, as_json: bool) -> None:
    """Store events from FILEs of request bodies, one a line (NDJSON), plain or gzip; - is standard input.

    Lines with an EventID that is stored already are not stored again, so an import that was cut off can be repeated.
    """
    counts: Counter[str] = Counter(stored=0, duplicates=0, rejected=0)
    with tracking_of(db) as tracking, ExitStack() as stack:
        sources = [(name, stack.enter_context(_opened(name))) for name in files]
        progress = stack.enter_context(_progress(files))
        sent: deque[Line] = deque()

        def bodies() -> Iterator[bytes]:
            for line in _lines(sources, progress):
                sent.append(line)
                yield line.body

        reject_file: IO[bytes] | None = None
        for outcome in tracking.track_many(bodies()):
            line = sent.popleft()
            if isinstance(outcome, StoreUnavailable):
                raise EventsError(f"stopped at {line.file} line {line.number}: {outcome}")
            if isinstance(outcome, RequestRefused):
                counts["rejected"] += 1
                if reject_file is None:
                    reject_file = stack.enter_context(_written(rejects))
                reject_file.write(_reject(line, outcome))
            else:
                counts["duplicates" if outcome.duplicate else "stored"] += 1
    if as_json:
        print_json(dict(counts) | ({"rejects": rejects} if counts["rejected"] else {}))
        return
    click.echo(f"{counts['stored']} stored, {counts['duplicates']} stored before, {counts['rejected']} rejected")
    if counts["rejected"]:
        click.echo(f"the rejected lines are in {rejects}", err=True)


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "ndjson"]),
    required=True,
    help="Columns of the table, or request bodies that `import` takes.",
)
@click.option("--since", metavar="TIME", help="Only events that happened then or later (RFC 3339, or a date in UTC).")
@click.option("--until", metavar="TIME", help="Only events that happened before then.")
@click.option("--list", "list_id", type=click.IntRange(1), help="Only events of this list.")
@click.option(
    "--output", "-o", metavar="FILE", default="-", help="Where to write, gzip for a name in .gz; standard output by default."
)
@db_option
@json_option
def export(form: str, since: str | None, until: str | None, list_id: int | None, output: str, db: str, as_json: bool) -> None:
    """Write events to a file, or to standard output."""
    if output == STDIN and (as_json or (form == "parquet" and sys.stdout.isatty())):
        raise click.UsageError("give --output FILE: standard output cannot take the events here.")
    selection = Selection(list_id, _moment("--since", since), _moment("--until", until))
    with tracking_of(db) as tracking, tempfile.TemporaryDirectory(dir=_folder_of(output)) as folder:
        written = Path(folder) / "events"
        count = tracking.store.export(selection, written, form).result()
        if output == STDIN:
            with written.open("rb") as source:
                shutil.copyfileobj(source, sys.stdout.buffer)
        elif output.endswith(".gz"):
            with written.open("rb") as source, gzip.open(output, "wb") as target:
                shutil.copyfileobj(source, target)
        else:
            written.replace(output)
    if as_json:
        print_json({"events": count, "file": output})
    elif output != STDIN:
        click.echo(f"{count} events written to {output}")


def _opened(name: str) -> IO[bytes]:
    """The file's raw bytes; gzip is told by its first two bytes."""
    if name == STDIN:
        return sys.stdin.buffer
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise EventsError(f"{name} cannot be read: {error.strerror}.") from None


def _written(name: str) -> IO[bytes]:
    try:
        return Path(name).open("wb")
    except OSError as error:
        raise EventsError(f"--rejects {name} cannot be written: {error.strerror}.") from None


def _lines(sources: Sequence[tuple[str, IO[bytes]]], progress: Progress) -> Iterator[Line]:
    """The lines that are not blank, with their numbers from 1 on."""
    (task,) = progress.task_ids
    done = 0
    for name, raw in sources:
        buffered = raw if hasattr(raw, "peek") else open(raw.fileno(), "rb", closefd=False)
        plain = cast("IO[bytes]", gzip.open(buffered)) if buffered.peek(2)[:2] == b"\x1f\x8b" else buffered
        try:
            for number, text in enumerate(plain, 1):
                if number % 1000 == 0 and name != STDIN:
                    progress.update(task, completed=done + raw.tell())
                if body := text.strip():
                    yield Line(name, number, body)
        except (EOFError, gzip.BadGzipFile) as error:
            raise EventsError(f"{name} is cut off or damaged: {error}") from None
        done += 0 if name == STDIN else raw.tell()


def _reject(line: Line, refused: RequestRefused) -> bytes:
    entry = {
        "file": line.file,
        "line": line.number,
        "codes": refused.codes,
        "errors": [{"Code": failure.code, "Message": failure.message} for failure in refused.failures],
        "body": line.body.decode(errors="backslashreplace"),
    }
    return msgspec.json.encode(entry) + b"\n"


def _progress(files: Sequence[str]) -> Progress:
    """A bar over the files' bytes, on a terminal's standard error only."""
    columns = (TextColumn("importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
    progress.add_task("import", total=None if STDIN in files else sum(Path(name).stat().st_size for name in files))
    return progress


def _moment(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    moment = parse_timestamp(text if len(text) > 10 else f"{text}T00:00:00Z")
    if moment is None:
        raise click.UsageError(f"{option} {text}: a date (2026-01-31) or an RFC 3339 time with an offset is needed.")
    return moment


def _folder_of(output: str) -> Path | None:
    """Beside the output, so that it appears whole or not at all."""
    if output == STDIN:
        return None
    folder = Path(output).resolve().parent
    if not folder.is_dir():
        raise EventsError(f"--output {output}: there is no folder {folder}.")
    return folder
