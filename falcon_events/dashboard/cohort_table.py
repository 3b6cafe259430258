"""The table of a retention: a row for each cohort, a shaded cell for each period, and the row of all cohorts together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from falcon_events.dashboard.context import Context
from falcon_events.dashboard.tables import link_to_people
from falcon_events.model.answers import RetentionResult

SHADES = 10
"""The darkest shade of a cell, for everybody; 0 is for nobody."""
MAX_CELLS = 1_500
"""How many cells the page shows. The CSV file has all of them."""
MIN_ROWS = 10


class CohortCell(msgspec.Struct, frozen=True):
    """A period of a cohort.

    Attributes:
        count: how many came back; None: nobody knows, as the period is not over or its events were deleted.
        share: the same as a share of the cohort.
        shade: how dark the cell is, from 0 to SHADES.
        people: the page with the persons; None: they cannot be listed.
        is_deleted: whether events of the period were deleted because of their age.
    """

    count: int | None
    share: float | None
    shade: int
    people: str | None = None
    is_deleted: bool = False


class CohortRow(msgspec.Struct, frozen=True):
    """A cohort: its label, its size, the page with its persons (None: they cannot be listed), and its periods."""

    label: str
    size: int
    people: str | None
    cells: list[CohortCell]


class CohortTable(msgspec.Struct, frozen=True):
    """The table of a retention.

    Attributes:
        columns: how many periods have a column: those that are over for some cohort.
        periods: how many were asked for.
        size: how many started in all cohorts.
        totals: the periods of all cohorts for which they are over.
        rows: the cohorts, the newest last.
        hidden: how many older cohorts are left out.
        has_gaps: whether a period of a shown cohort is not over.
    """

    columns: int
    periods: int
    size: int
    totals: list[CohortCell]
    rows: list[CohortRow]
    hidden: int
    has_gaps: bool


def build_cohorts(context: Context, arguments: Mapping[str, Any], result: RetentionResult) -> CohortTable:
    """Build the table.

    Args:
        context: the page.
        arguments: the arguments of the question.
        result: the answer.
    """
    known = [place for row in result.rows for place, count in enumerate(row.returned) if count is not None]
    columns = max(known, default=0) + 1
    can_list = arguments.get("by", "people") == "people"
    shown = result.rows[-max(MAX_CELLS // columns, MIN_ROWS) :]
    rows = []
    for row in shown:
        last = max((place for place, count in enumerate(row.returned) if count is not None), default=-1)
        cells = [
            _build_cell(
                count,
                row.size,
                link_to_people(context.links, arguments, Cohort=row.cohort, Period=place) if can_list and count else None,
                is_deleted=count is None and place < last,
            )
            for place, count in enumerate(row.returned[:columns])
        ]
        people = link_to_people(context.links, arguments, Cohort=row.cohort) if can_list and row.size else None
        rows.append(CohortRow(row.cohort, row.size, people, cells))
    totals = []
    for place in range(columns):
        over = [(row.returned[place], row.size) for row in result.rows if row.returned[place] is not None]
        count = sum(returned or 0 for returned, _ in over) if over else None
        totals.append(_build_cell(count, sum(size for _, size in over), None))
    return CohortTable(
        columns,
        len(result.rows[0].returned) if result.rows else columns,
        sum(row.size for row in result.rows),
        totals,
        rows,
        len(result.rows) - len(shown),
        any(cell.count is None and not cell.is_deleted for row in rows for cell in row.cells),
    )


def _build_cell(count: int | None, size: int, people: str | None, *, is_deleted: bool = False) -> CohortCell:
    share = count / size if count is not None and size else None
    return CohortCell(count, share, round((share or 0) * SHADES), people, is_deleted)
