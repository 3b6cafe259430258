"""A process that is killed while it writes typed columns, or those of promoted properties, leaves what its watermarks say."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from falcon_events import EventTracking
from falcon_events.settings import Settings
from falcon_events.store.database import columns, promoted
from falcon_events.store.database.connect import open_database
from tests.faults.common import kill_owner
from tests.harness import wait_until

pytestmark = pytest.mark.database

EVENTS, AT_ONCE = 300, 20
WATERMARK = "select columns_seq from meta"
FILL = """
insert into events select range, uuid(), 'a', 1 + range % 2, 'e', md5((range % 50)::varchar)::uuid, 'x',
    case when range % 3 = 0 then 'A' || (range % 7) || '@x.com' end, make_timestamp(range * 1_000_000),
    make_timestamp(range * 1_000_000), '{"url": "https://x.com/' || range || '"}', null, null, null
from range(1, $events + 1)
"""
WORK = f"""
import os, signal, sys, threading
from pathlib import Path
from falcon_events.settings import Settings
from falcon_events.store.database import columns, promoted
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

def set_indexed(names):
    connection.begin()
    promoted.set_indexed(Dying(), 1, names)
    connection.commit()

def fold():
    for seq in range({AT_ONCE}, {EVENTS} + 1, {AT_ONCE}):
        columns.fold(Dying(), seq)

def fill():
    while promoted.fill_portion(Dying(), {AT_ONCE}) is not None:
        if number % 7 == 0:
            connection.execute("checkpoint")

for work in sys.argv[3].split(";"):
    eval(work)
os.kill(os.getpid(), signal.SIGKILL)
"""


def work_and_die(db: Path, statement: int, work: str) -> None:
    """Works on a store in a process that is killed at this statement, or at the end."""
    died = subprocess.run([sys.executable, "-c", WORK, str(db), str(statement), work], check=False)
    assert died.returncode == -9


def test_columns_and_watermark_survive_a_kill_together(db: Path) -> None:
    """At any statement of any fold, again and again, until all events have their columns."""
    with open_database(db, Settings()) as connection:
        connection.execute(FILL, {"events": EVENTS})
    for statement in (1, 4, 15, 30, 1_000_000):
        work_and_die(db, statement, "fold()")
        with open_database(db, Settings()) as connection:
            assert not columns.differs(connection)
    with open_database(db, Settings()) as connection:
        assert columns.read_columns_seq(connection) == EVENTS


@pytest.mark.parametrize("work", ["set_indexed(['url', 'n']); fill()", "set_indexed(['n']); fill(); set_indexed([]); fill()"])
def test_columns_of_promoted_properties_survive_a_kill(db: Path, work: str) -> None:
    """At any statement of the promotion, of a portion or of the removal. Another process goes on where the first one died."""
    with open_database(db, Settings()) as connection:
        connection.execute(FILL, {"events": EVENTS})
        columns.fold(connection, EVENTS // 2)
        promoted.set_indexed(connection, 2, ["url"])
    for statement in (1, 6, 14, 40, 120):
        work_and_die(db, statement, work)
        with open_database(db, Settings()) as connection:
            assert not columns.differs(connection)
    work_and_die(db, 1_000_000, f"fold(); {work}")
    with open_database(db, Settings()) as connection:
        assert not columns.differs(connection)
        assert columns.read_columns_seq(connection) == EVENTS
        expected = {} if work.endswith("set_indexed([]); fill()") else {"url", "n"}
        assert set(promoted.read_full(connection, 1)) == set(expected)
        assert set(promoted.read_full(connection, 2)) == {"url"}


def test_a_rebuild_goes_on_when_the_owner_is_killed(db: Path) -> None:
    """The next owner rebuilds the columns; questions are right before, meanwhile and after."""
    with open_database(db, Settings()) as connection:
        connection.execute(FILL, {"events": 50_000})
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
        assert tracking.sql(WATERMARK).rows == [[50_000]]
        assert all(check.ok for check in tracking.check())
        assert tracking.query(1, **asked).rows == rows
