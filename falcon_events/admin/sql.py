"""The result of a query in SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from falcon_events.model.frames import Tabular, load_library
from falcon_events.model.reports import Table

if TYPE_CHECKING:
    import pyarrow


class SqlResult(Table, Tabular, frozen=True):
    """The result of tracking.sql(): `columns` and `rows`, in types that JSON has. The methods give DuckDB's types.

    The first of them runs the query again, and so sees what was stored meanwhile.
    """

    _run_again: Callable[[], pyarrow.Table]
    _exported: list[pyarrow.Table] = msgspec.field(default_factory=list)

    @property
    def meta(self) -> dict[str, Any]:
        """Empty, because the result has nothing beside its rows."""
        return {}

    def to_arrow(self) -> pyarrow.Table:
        """Return the result as a table of Arrow; the first call runs the query again. This needs the extra `arrow`.

        Raises:
            EventsError: as tracking.sql_arrow().
        """
        load_library("pyarrow", "to_arrow()", "arrow")
        if not self._exported:
            self._exported.append(self._run_again())
        return self._exported[0]

    def __repr__(self) -> str:
        return f"SqlResult(columns={self.columns!r}, rows={self.rows!r})"
