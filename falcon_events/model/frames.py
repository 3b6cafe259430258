"""Results as tables of typed columns: for Arrow, pandas and polars, which are loaded on first use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from falcon_events.errors import EventsError

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

TEXT, TEXTS, COUNT, NUMBER, DAY, MOMENT = "text", "texts", "count", "number", "day", "moment"
"""Types of columns: text, lists of text, int64, double, a date, and an instant with microseconds in UTC."""


class Column(NamedTuple):
    """A column of a table: its name, its type and its values. An instant is shown in the time zone `zone`."""

    name: str
    type: str
    values: Sequence[Any]
    zone: str = "UTC"


class Tabular:
    """A result that is also a table of typed columns."""

    __slots__ = ()

    def to_arrow(self) -> pyarrow.Table:
        """Return the rows as a table of Arrow. This needs the extra `arrow`.

        Raises:
            EventsError: pyarrow is not installed.
        """
        raise NotImplementedError

    def to_pandas(self) -> pandas.DataFrame:
        """Return the rows as a data frame of pandas. This needs the extra `pandas`.

        Integers and booleans have pandas' types that can be missing, such as `Int64`; days and instants have `datetime64`.

        Raises:
            EventsError: pandas or pyarrow is not installed.
        """
        pd = load_library("pandas", "to_pandas()", "pandas")
        pa = load_library("pyarrow", "to_pandas()", "pandas")
        types: dict[Any, Any] = {pa.bool_(): pd.BooleanDtype()}
        for width in (8, 16, 32, 64):
            types[getattr(pa, f"int{width}")()] = getattr(pd, f"Int{width}Dtype")()
            types[getattr(pa, f"uint{width}")()] = getattr(pd, f"UInt{width}Dtype")()
        table = self.to_arrow()
        numbered = table.rename_columns([str(number) for number in range(table.num_columns)])  # names may be the same
        frame: pandas.DataFrame = numbered.to_pandas(date_as_object=False, types_mapper=types.get)
        frame.columns = table.column_names
        return frame

    def to_polars(self) -> polars.DataFrame:
        """Return the rows as a data frame of polars. This needs the extra `polars`.

        Raises:
            EventsError: polars or pyarrow is not installed, two columns have the same name, or one has intervals.
        """
        pl = load_library("polars", "to_polars()", "polars")
        load_library("pyarrow", "to_polars()", "polars")
        table = self.to_arrow()
        if twice := sorted(name for name in set(table.column_names) if table.column_names.count(name) > 1):
            raise EventsError(f"to_polars(): two columns are named {twice[0]!r}; name them apart, such as: select ... as other")
        if interval := next((one.name for one in table.schema if "month_day_nano_interval" in str(one.type)), None):
            raise EventsError(f"to_polars(): column {interval!r} has intervals, which polars lacks; select epoch(...) of it")
        frame: polars.DataFrame = pl.from_arrow(table)
        return frame


class Columnar(Tabular):
    """A result whose columns are made of its rows."""

    __slots__ = ()

    def list_columns(self) -> list[Column]:
        """Return the columns, which are the same whether there are rows or not."""
        raise NotImplementedError

    def to_arrow(self) -> pyarrow.Table:
        """Return the rows as a table of Arrow. This needs the extra `arrow`.

        Raises:
            EventsError: pyarrow is not installed.
        """
        return build_table(self.list_columns())


def build_table(columns: Iterable[Column]) -> pyarrow.Table:
    """Build a table of Arrow. Raises EventsError if pyarrow is not installed."""
    pyarrow = load_library("pyarrow", "to_arrow()", "arrow")
    types = {
        TEXT: pyarrow.string(),
        TEXTS: pyarrow.list_(pyarrow.string()),
        COUNT: pyarrow.int64(),
        NUMBER: pyarrow.float64(),
        DAY: pyarrow.date32(),
    }
    columns = list(columns)
    arrays = [
        pyarrow.array(column.values, pyarrow.timestamp("us", column.zone) if column.type == MOMENT else types[column.type])
        for column in columns
    ]
    return pyarrow.table(arrays, names=[column.name for column in columns])


def load_library(name: str, call: str, extra: str) -> Any:
    """Import a library of an extra.

    Raises:
        EventsError: it is not installed; the message names the extra.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise EventsError(f"{call} needs {name}: pip install 'falcon-events[{extra}]' ({error})") from None
