"""A process that is killed while it writes typed columns leaves them as complete as its watermark says."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from falcon_events import EventTracking
from falcon_events.settings import Settings
from falcon_events.store.database import columns
from falcon_events.store.database.connect import open_database
from tests.faults.common import kill_owner
from tests.harness import wait_until

pytestmark = pytest.mark.database

EVENTS, AT_ONCE = 600, 20
WATERMARK = "select columns_seq from meta"
FILL = """
insert into events select range, uuid(), 'a', 1 + range % 2, 'e', md5((range % 50)::varchar)::uuid, 'x',
    case when range % 3 = 0 then 'A' || (range % 7) || '@x.com' end, make_timestamp(range * 1_000_000),
    make_timestamp(range * 1_000_000), '{"url": "https://x.com/' || range || '"}', null, null, null
from range(1, $events + 1)
"""
FOLD = f"""
import os, signal, sys, threading
from pathlib import Path
from falcon_events.settings import Settings
from falcon_events.store.database import columns
from falcon_events.store.database.connect import open_database

connection, number, last = open_database(Path(sys.argv[1]), Settings()), 0, int(sys.argv[2])

class Dying:
    def __getattr__(self, name):
        return getattr(connection, name)

    def execute(self, *given):
        global number
        number += 1
        if number == last:
            threading.Timer(0.0, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return connection.execute(*given)

for seq in range({AT_ONCE}, {EVENTS} + 1, {AT_ONCE}):
    columns.fold(Dying(), seq)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_columns_and_watermark_survive_a_kill_together(db: Path) -> None:
    """At any statement of any fold, again and again, until all events have their columns."""
    with open_database(db, Settings()) as connection:
        connection.execute(FILL, {"events": EVENTS})
    for statement in (1, 4, 15, 30, 1_000_000):
        died = subprocess.run([sys.executable, "-c", FOLD, str(db), str(statement)], check=False)
        assert died.returncode == -9
        with open_database(db, Settings()) as connection:
            assert not columns.differs(connection)
    with open_database(db, Settings()) as connection:
        assert columns.read_columns_seq(connection) == EVENTS


def test_a_rebuild_goes_on_when_the_owner_is_killed(db: Path) -> None:
    """The next owner rebuilds the columns; questions are right before, meanwhile and after."""
    with open_database(db, Settings()) as connection:
        connection.execute(FILL, {"events": 90_000})
    asked: dict[str, Any] = {"date_range": ["1970-01-01", "1970-01-03"], "dimensions": ["person"], "metrics": ["events"]}
    with EventTracking(db) as tracking, ThreadPoolExecutor(1) as pool:
        tracking.directory.ensure_list(1, "news")
        rows = tracking.query(1, **asked).rows
        rebuilt = pool.submit(tracking.rebuild_columns)
        wait_until(lambda: len(tracking.store._calls) == 1, "the rebuild is not asked for")
        kill_owner(db)
        while not rebuilt.done():
            assert tracking.query(1, **asked).rows == rows
        rebuilt.result()
        assert tracking.sql(WATERMARK).rows == [[90_000]]
        assert all(check.ok for check in tracking.check())
        assert tracking.query(1, **asked).rows == rows
