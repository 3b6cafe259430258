"""The parts of DuckDB that the store uses, from its compiled module: the package takes longer to import than a store to open.

Most of the package `duckdb` is its relational API, in Python. Whoever needs that imports the package, which has the same classes.
"""

from __future__ import annotations

import sys

from _duckdb import (
    CatalogException as CatalogException,
    ConnectionException as ConnectionException,
    DuckDBPyConnection as DuckDBPyConnection,
    Error as Error,
    FatalException as FatalException,
    InternalException as InternalException,
    InterruptException as InterruptException,
    InvalidInputException as InvalidInputException,
    IOException as IOException,
    OutOfMemoryException as OutOfMemoryException,
    SerializationException as SerializationException,
    Statement as Statement,
    TransactionException as TransactionException,
    __version__ as __version__,
    connect as connect,
)


def leave_out_pandas() -> None:
    """Keep DuckDB 1.5 from importing pandas, where it is installed, for a statement's first parameter: that takes half a second.

    For a process that runs nothing but the store.
    """
    sys.modules.setdefault("pandas", None)  # type: ignore[arg-type]
