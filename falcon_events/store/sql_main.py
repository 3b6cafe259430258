"""Process that runs one query, so that its memory use or a crash does not harm the store's owner."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
from pathlib import Path
from typing import BinaryIO

from falcon_events.errors import EventsError
from falcon_events.store.database import duckdb
from falcon_events.store.database.connect import open_parser, open_reader
from falcon_events.store.database.duckdb import leave_out_pandas
from falcon_events.store.queries.arrow import check_pyarrow, read_arrow
from falcon_events.store.queries.select_check import check_select
from falcon_events.store.queries.sql import ADVICE, NO_MEMORY, explain, read_table, run_select
from falcon_events.store.sql_messages import OPEN, Kind, QueryStart, write_frame

NICE = 10
"""The niceness of this process, since storing events matters more."""
FIXED_MB = 512
"""Memory for the interpreter, the stacks of threads and the result, beside twice the database's, in megabytes."""


def main(start: QueryStart) -> None:
    """Check the query, wait until the owner lets this process open the file, and write the result to standard output."""
    leave_out_pandas()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _limit(start)
    try:
        with open_parser() as parser:
            check_select(parser, start.query)
        if start.arrow:
            check_pyarrow(sys.executable)
        write_frame(out, Kind.READY)
        _wait_for_owner(sys.stdin.buffer)
        with open_reader(
            Path(start.db),
            memory_mb=start.limits.memory_mb,
            threads=start.threads,
            spill=Path(start.spill),
            spill_mb=start.spill_mb,
        ) as connection:
            write_frame(out, Kind.OPENED)
            read = read_arrow if start.arrow else read_table
            write_frame(out, Kind.TABLE, run_select(connection, start.query, start.limits, read))
    except (duckdb.OutOfMemoryException, MemoryError):
        write_frame(out, Kind.ERROR, NO_MEMORY.format(start.limits.memory_mb, ADVICE).encode())
    except duckdb.Error as error:
        write_frame(out, Kind.ERROR, str(explain(error)).encode(errors="replace"))
    except EventsError as error:
        write_frame(out, Kind.ERROR, str(error).encode(errors="replace"))
    out.flush()
    os._exit(0)  # there is nothing to tidy up, and a thread waits for standard input


def _limit(start: QueryStart) -> None:
    """Keep the process from harming others: by its memory, its share of the processor, or a core file."""
    os.nice(NICE)
    most = (2 * start.limits.memory_mb + FIXED_MB) << 20
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # where memory runs out, Linux ends this process first
        Path("/proc/self/oom_score_adj").write_text("1000")


def _wait_for_owner(orders: BinaryIO) -> None:
    """Wait for OPEN. From then on, end this process as soon as the owner has ended."""
    if orders.readline() != OPEN:
        os._exit(1)

    def end_with_owner() -> None:
        orders.read()
        os._exit(1)

    threading.Thread(target=end_with_owner, daemon=True).start()
