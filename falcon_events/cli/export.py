"""The command export: events as request bodies that `import` accepts, or as Parquet."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import cast

import click
import msgspec

from falcon_events.cli.common import LIST_ID, db_option, json_option, open_tracking, print_json, require_list
from falcon_events.cli.output import check_output, force_option, is_stream, put_in_place
from falcon_events.cli.persons import check_person, person_options, warn_of_shared
from falcon_events.errors import EventsError
from falcon_events.model.reports import Selection
from falcon_events.model.timestamps import parse_timestamp
from falcon_events.tracking import EventTracking

STDOUT = "-"
PREFIX = ".falcon-events-export-"
"""The beginning of the names of folders in which exports are written."""
ENDINGS = {".parquet": "parquet", ".ndjson": "ndjson", ".ndjson.gz": "ndjson", ".jsonl": "ndjson", ".jsonl.gz": "ndjson"}
"""Which format the end of a file's name stands for."""


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "ndjson"]),
    help="The columns of the table (parquet), or request bodies that `import` accepts (ndjson); by default what the name of"
    " --output ends in.",
)
@click.option("--since", metavar="TIME", help="Only events that happened at this time or later (RFC 3339, or a date in UTC).")
@click.option("--until", metavar="TIME", help="Only events that happened before this time.")
@click.option("--list", "list_id", type=LIST_ID, metavar="N", help="Only events of this list.")
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    default=STDOUT,
    help="The file to write, by default standard output (-). A name that ends in .gz is compressed by gzip.",
)
@click.option(
    "--visitor",
    is_flag=True,
    help="Everything that a list has about one person, as JSON; needs --list and one of --email, --id, --uuid.",
)
@person_options
@force_option(what="FILE")
@db_option
@json_option
def export(
    form: str | None,
    since: str | None,
    until: str | None,
    list_id: int | None,
    output: str,
    visitor: bool,
    force: bool,
    db: str,
    as_json: bool,
    **person: str | None,
) -> None:
    """Write events to a file or to standard output. With --visitor, write everything about one person."""
    if output == STDOUT and as_json:
        raise click.UsageError("--json needs --output FILE, because the events go to standard output.")
    if output == STDOUT and sys.stdout is None:
        raise click.UsageError("--output FILE is needed, because standard output is closed.")
    if output == STDOUT and form == "parquet" and sys.stdout.isatty():
        raise click.UsageError("--format parquet needs --output FILE, because a terminal cannot show Parquet.")
    if form is None and not visitor:
        form = _guess_format(output)
    selection = Selection(list_id, _parse_time("--since", since), _parse_time("--until", until))
    if visitor:
        if form is not None or since is not None or until is not None or list_id is None:
            raise click.UsageError("--visitor needs --list N and excludes --format, --since and --until.")
        check_person(person)
    elif form is None or any(person.values()):
        raise click.UsageError(
            "--format is needed, unless the name of --output FILE ends in .parquet, .ndjson or .jsonl; or --visitor with --email,"
            " --id or --uuid."
        )
    target = None if output == STDOUT else check_output("--output", output, db, force=force)
    # In the folder of the output, so that moving it there is one step.
    folder = None if target is None or is_stream(target) else target.parent
    with open_tracking(db) as tracking:
        if list_id is not None:
            require_list(tracking, list_id)
        try:
            with tempfile.TemporaryDirectory(prefix=PREFIX, dir=folder) as aside:
                written = Path(aside) / "events"
                if form is None:
                    data = tracking.personal_data(cast(int, list_id), **person)
                    warn_of_shared(data.shared_visitors)
                    written.write_bytes(msgspec.json.format(msgspec.json.encode(data)) + b"\n")
                    count = len(data.events)
                elif os.geteuid() == 0:
                    count = _export_as_owner(tracking, Path(db), written, form, selection)
                else:
                    count = tracking.export(written, form, selection)
                _move_to_output(written, target, force)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise EventsError(f"--output {output} cannot be written: {error.strerror}.") from None
    if as_json:
        print_json({"events": count, "file": output})
    elif output != STDOUT:
        click.echo(f"{count} events written to {output}")


def _export_as_owner(tracking: EventTracking, db: Path, written: Path, form: str, selection: Selection) -> int:
    """Export as root, although the owner process may run as the user of the store: have it write to a folder of this user."""
    user = db.stat()
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=written.parent.parent) as aside:
        os.chown(aside, user.st_uid, user.st_gid)
        made = Path(aside) / "events"
        count = tracking.export(made, form, selection)
        # The user may have put another file in its place.
        with os.fdopen(os.open(made, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as source:
            found = os.fstat(source.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_uid not in (0, user.st_uid) or found.st_nlink > 1:
                raise EventsError(f"The export has been replaced while it was written: {made}")
            with written.open("xb") as target:
                shutil.copyfileobj(source, target)
    return count


def _guess_format(output: str) -> str | None:
    """Return the format that a file's name stands for, or None."""
    name = output.lower()
    return next((form for ending, form in ENDINGS.items() if name.endswith(ending)), None)


def _move_to_output(written: Path, target: Path | None, force: bool) -> None:
    """Move the finished file to the output; None: standard output."""
    if target is None:
        with written.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    if target.name.endswith(".gz"):
        zipped = written.with_suffix(".gz")
        with written.open("rb") as source, gzip.open(zipped, "wb", compresslevel=6) as output:
            shutil.copyfileobj(source, output)
        written = zipped
    if is_stream(target):
        with written.open("rb") as source, target.open("wb") as output:
            shutil.copyfileobj(source, output)
        return
    put_in_place(written, target, force=force)


def _parse_time(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    moment = parse_timestamp(text if len(text) > 10 else f"{text}T00:00:00Z")
    if moment is None:
        raise click.UsageError(f"{option} {text}: a date (2026-01-31) or an RFC 3339 time with an offset is needed.")
    return moment
