"""A process that is killed while it writes typed columns leaves them as complete as its watermark says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from falcon_events.settings import Settings
from falcon_events.store.database import columns
from falcon_events.store.database.connect import open_database

pytestmark = pytest.mark.database

EVENTS, AT_ONCE = 600, 20
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
