"""A process that is killed while it deletes old events loses none and counts none twice: each is left, or is in the totals."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date
from pathlib import Path

import pytest

from falcon_events import EventTracking
from falcon_events.query.ranges import start_of_day
from falcon_events.settings import Settings
from falcon_events.store.database import catalogue, columns, pruning
from falcon_events.store.database.connect import open_database
from falcon_events.store.database.pruning import Cut
from tests.faults.common import kill_owner
from tests.harness import make_store, owner_of, wait_until
from tests.shortcuts import command

pytestmark = pytest.mark.database

EVENTS, DAYS = 1_200, 30
FILL = """
insert into events select range, uuid(), 'a', 94, case when range % 3 = 0 then 'conversion' else 'pageView' end,
    md5((range % 50)::varchar)::uuid, 'x', case when range % 3 = 0 then 'A' || (range % 7) || '@x.com' end,
    make_timestamp($since + range * 2_160_000_000), make_timestamp($since + range * 2_160_000_000),
    '{"conversion-id": "o' || (range // 4) || '", "conversion-value": 1}', null, null, null
from range(1, $events + 1)
"""
SINCE = 1_770_000_000_000_000
DAY = date(2026, 2, 22)
PRUNE = """
import os, signal, sys, threading
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo
from falcon_events.query.ranges import start_of_day
from falcon_events.settings import Settings
from falcon_events.store.database import pruning
from falcon_events.store.database.connect import open_database
from falcon_events.store.engine.pruner import list_days

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

    def commit(self):
        self.execute("select 1")
        connection.commit()

day = date.fromisoformat(sys.argv[3])
cut = pruning.Cut(94, "UTC", start_of_day(day, ZoneInfo("UTC")), day)
while True:
    oldest, limit = pruning.find_oldest(connection, cut, 2**62)
    if oldest is None:
        break
    pruning.prune(Dying(), cut, list_days(oldest, cut), limit, 37, 0)
os.kill(os.getpid(), signal.SIGKILL)
"""
COUNTED = """
select count(*) + (select coalesce(sum(events), 0) from daily_totals where event is null),
    count(*) filter (where event = 'pageView') + (select coalesce(sum(views), 0) from daily_totals where event is null),
    (select count(distinct properties->>'conversion-id') from events where event = 'conversion'
        and md5(properties->>'conversion-id') not in (select digest from counted_orders))
    + (select coalesce(sum(conversions), 0) from daily_totals where event is null)
from events
"""


def fill(db: Path, since: int) -> tuple[int, int, int]:
    """Stores and folds events; how many there are of them, of views and of orders."""
    with open_database(db, Settings()) as connection:
        connection.execute(FILL, {"events": EVENTS, "since": since})
        catalogue.fold(connection, EVENTS)
        columns.fold(connection, EVENTS)
        (counted,) = connection.execute(COUNTED).fetchall()
    assert counted[0] == EVENTS
    return counted


def test_a_kill_in_the_middle_loses_and_doubles_nothing(db: Path) -> None:
    """At any statement of any portion, again and again, until all are deleted."""
    counted = fill(db, SINCE)
    for statement in (1, 2, 7, 13, 17, 22, 45, 60, 101, 1_000_000):
        died = subprocess.run([sys.executable, "-c", PRUNE, str(db), str(statement), str(DAY)], check=False)
        assert died.returncode == -9
        with open_database(db, Settings()) as connection:
            assert connection.execute(COUNTED).fetchall() == [counted]
            assert not columns.differs(connection)
            assert connection.execute(pruning.COUNT_WRONG).fetchall()[0][1] == 0
    with open_database(db, Settings()) as connection:
        border = start_of_day(DAY, UTC)
        cut = Cut(94, "UTC", border, DAY)
        assert pruning.count_due(connection, cut)[:2] == (0, 0)
        assert connection.execute("select count(*) from events").fetchone() < (EVENTS,)


def test_a_killed_owner_goes_on_after_its_restart(db: Path) -> None:
    """The command fails or not; the next owner deletes what is left, and the totals are those of all events."""
    make_store(db)
    counted = fill(db, SINCE)
    with EventTracking(db) as tracking:
        tracking.directory.set_rules(94, keep_days=1)
        owner = owner_of(db)
        kill_owner(db)
        wait_until(lambda: tracking.stats() is not None and owner_of(db) != owner, "no other owner")
        tracking.admin.prune()
        days = tracking.query(94, date_range="all", metrics=["events", "views", "conversions"], dimensions=["time:day"])
        assert [sum(row.metrics[number] for row in days.rows) for number in range(3)] == list(counted)  # type: ignore[misc]
        assert [warning["Code"] for warning in days.meta["Warnings"]] == ["daily_totals"]
    assert json.loads(command("stats", "--json", "--db", str(db)).stdout)["events"] == 0
    assert command("doctor", "--db", str(db)).returncode == 0
