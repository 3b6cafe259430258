"""Tables of numbers with bars, and answers as CSV: how the commands that ask questions print."""

from __future__ import annotations

import csv
import io
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click
import msgspec

from falcon_events.cli.common import escape, format_cells
from falcon_events.query.formats import (
    describe_warning,
    format_change as format_change,
    format_numbers as format_numbers,
    format_seconds as format_seconds,
    format_share as format_share,
    show_value as show_value,
)

BLOCKS = "▏▎▍▌▋▊▉█"
MAX_BAR, MIN_BAR = 30, 4
"""The most characters of a bar, and the fewest for which there are bars at all."""
GAP = "  "
_BOLD, _DIM, _END = "\x1b[1m", "\x1b[2m", "\x1b[0m"


class Grid(msgspec.Struct):
    """A table of text. Columns of numbers are aligned to the right.

    Args:
        headings: of the columns; all empty: the table has none.
        rows: the cells.
        numeric: whether each column has numbers.
        bars: the length of the bar behind each row, in any unit; None: it has no bar.
        last: a row below the others, such as totals.
    """

    headings: list[str]
    rows: list[list[str]]
    numeric: list[bool]
    bars: list[float | None] = []
    last: list[str] | None = None


class Records(msgspec.Struct):
    """An answer as the rows of a CSV file."""

    headings: list[str]
    rows: list[list[Any]]


class _Terminal(msgspec.Struct):
    """Standard output: its width, whether it can show bars, and whether it can show bold and dim text."""

    width: int
    has_bars: bool
    has_styles: bool


def print_answer(
    form: str | None,
    raw: bytes,
    make_grids: Callable[[Any], Sequence[Grid]],
    make_records: Callable[[Any], Records],
) -> None:
    """Print an answer.

    Args:
        form: `json`, `csv`, or a table.
        raw: the answer in JSON.
        make_grids: makes the tables.
        make_records: makes the rows of CSV.
    """
    if form == "json":
        click.echo(raw)
        return
    answer = msgspec.json.decode(raw)
    if form == "csv":
        _print_csv(make_records(answer))
    else:
        for number, grid in enumerate(make_grids(answer)):
            if number:
                click.echo()
            print_grid(grid)
    for warning in answer.get("Meta", {}).get("Warnings", ()):
        click.echo(describe_warning(warning), err=True)


def print_grid(grid: Grid) -> None:
    """Print a table, on a terminal with bars."""
    from rich.cells import cell_len  # knows which characters are two columns wide; not needed for CSV and JSON

    terminal = _find_terminal()
    headings = [escape(heading) for heading in grid.headings]
    rows = [[escape(cell) for cell in row] for row in [*grid.rows, *([grid.last] if grid.last is not None else [])]]
    if not terminal.has_bars:
        headings, rows = [_encodable(cell) for cell in headings], [[_encodable(cell) for cell in row] for row in rows]
    lengths = [[cell_len(cell) for cell in row] for row in [headings, *rows]]
    widths = [max(column) for column in zip(*lengths, strict=True)]
    room = min(MAX_BAR, terminal.width - sum(widths) - len(GAP) * len(widths) - 1)
    bars = _draw_bars(grid.bars, room) if terminal.has_bars and room >= MIN_BAR else []
    for number, cells in enumerate([headings, *rows]):
        if number == 0 and not any(headings):
            continue
        padding = [" " * (width - length) for width, length in zip(widths, lengths[number], strict=True)]
        line = GAP.join(
            pad + cell if is_number else cell + pad for cell, pad, is_number in zip(cells, padding, grid.numeric, strict=True)
        )
        bar = bars[number - 1] if 0 < number <= len(bars) else ""
        is_bold = terminal.has_styles and (number == 0 or number > len(grid.rows))
        if is_bold:
            line = f"{_BOLD}{line.rstrip()}{_END}"
        elif bar:
            line = f"{line}{GAP}{_DIM}{bar}{_END}" if terminal.has_styles else f"{line}{GAP}{bar}"
        click.echo(line.rstrip())


def format_moment(text: str | None) -> str:
    """Format a moment of an answer to the second."""
    return "" if text is None else text[:19].replace("T", " ")


def _draw_bars(lengths: Sequence[float | None], room: int) -> list[str]:
    longest = max((length for length in lengths if length is not None), default=0)
    return [_draw_bar(length / longest, room) if length is not None and length > 0 else "" for length in lengths]


def _draw_bar(share: float, room: int) -> str:
    eighths = max(1, round(share * room * 8))
    return BLOCKS[-1] * (eighths // 8) + (BLOCKS[eighths % 8 - 1] if eighths % 8 else "")


def _find_terminal() -> _Terminal:
    stream = sys.stdout
    is_terminal = stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    has_blocks = is_terminal and _encodable(BLOCKS) == BLOCKS
    return _Terminal(shutil.get_terminal_size().columns, has_blocks, is_terminal and not os.environ.get("NO_COLOR"))


def _encodable(text: str) -> str:
    """Return the text with escapes in place of characters that the encoding of standard output does not have."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _print_csv(records: Records) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(records.headings)
    writer.writerows(format_cells(row) for row in records.rows)
    click.echo(text.getvalue().encode(), nl=False)
