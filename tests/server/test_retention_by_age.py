"""Lists whose old events are deleted: the rule, the commands, and what goes on as if the events were still there."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from falcon_events import EventsError, EventTracking, NotFound
from tests.harness import Credentials, command as command_alone, serving, wait_until
from tests.receiver import receiving
from tests.shortcuts import command, make_store, write_store

pytestmark = pytest.mark.database

LIST = 94
VISITOR = str(uuid.UUID(int=1, version=4))
OTHER = str(uuid.UUID(int=2, version=4))


def ago(days: float) -> str:
    """A Timestamp that is so many days ago."""
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def today() -> date:
    """The day in UTC."""
    return datetime.now(UTC).date()


def track(tracking: EventTracking, days: float, event: str = "pageView", **given: Any) -> Any:
    """Tracks an event of some days ago."""
    return tracking.track(LIST, event, timestamp=ago(days), **{"uuid": VISITOR, **given})


def buy(tracking: EventTracking, days: float, order: str, value: float = 10) -> None:
    """Tracks an order of some days ago."""
    properties = {"conversion-id": order, "conversion-name": "sale", "conversion-value": value}
    track(tracking, days, "conversion", email="ada@example.com", properties=properties)


def done(*words: str, db: Path, code: int = 0) -> Any:
    """What a command prints as JSON."""
    ended = command(*words, "--json", "--db", str(db))
    assert ended.returncode == code, ended.stderr.decode()
    return json.loads(ended.stdout)


def refusal(*words: str, db: Path) -> str:
    """The one line of a command that fails."""
    ended = command(*words, "--db", str(db))
    assert (ended.returncode, ended.stdout) == (2, b"")
    line = ended.stderr.decode()
    assert line.count("\n") == 1
    return line


def left(tracking: EventTracking) -> int:
    """How many events of the list are in the table."""
    return int(tracking.admin.sql(f"select count(*) from events where list_id = {LIST}").rows[0][0])


def deleted(tracking: EventTracking) -> int:
    """How many events of the list were deleted: by a call, or by the store itself, if it was first."""
    return sum(count.deleted for count in tracking.stats().by_type if count.list_id == LIST)


def test_the_rule_is_set_shown_and_taken_back(db: Path, credentials: Credentials, tracking: EventTracking) -> None:
    """By the command and in Python, beside the other rules; wrong numbers are refused by name."""
    assert done("lists", "rules", "94", db=db)["keep_days"] is None
    assert done("lists", "rules", "94", "--keep-days", "90", "--time-zone", "Europe/Berlin", db=db)["keep_days"] == 90
    assert done("lists", "rules", "94", "--deny", "secret", db=db)["keep_days"] == 90
    assert b"keep days 90" in command("lists", "rules", "94", "--db", str(db)).stdout
    assert done("lists", "rules", "94", "--keep-for-ever", db=db)["keep_days"] is None
    assert done("lists", "rules", "94", "--keep-days", "7", db=db)["denied"] == ["secret"]
    assert done("lists", "rules", "94", "--clear", db=db)["keep_days"] is None
    for wrong in ("0", "-1", "1.5", "x", "36501"):
        assert "--keep-days" in refusal("lists", "rules", "94", "--keep-days", wrong, db=db)
    assert "--keep-for-ever" in refusal("lists", "rules", "94", "--keep-days", "3", "--keep-for-ever", db=db)
    assert tracking.directory.set_rules(LIST, keep_days=36_500).keep_days == 36_500
    assert [rule.keep_days for rule in tracking.directory.rules()] == [36_500]
    for number in (0, -1, True, 1.5, "7", 36_501):
        with pytest.raises(EventsError, match="keep_days="):
            tracking.directory.set_rules(LIST, keep_days=number)  # type: ignore[arg-type]


def test_a_dry_run_says_what_the_run_then_does(db: Path, credentials: Credentials, tracking: EventTracking) -> None:
    """For a list and for all; also for a rule that is not set yet. What it says is left, is left."""
    for number in range(40):
        track(tracking, number)
    tracking.track(95, "pageView", uuid=VISITOR, timestamp=ago(50))
    tracking.track(96, "pageView", uuid=VISITOR, timestamp=ago(50))
    first = today() - timedelta(days=10)
    expected = {
        "list_id": 94,
        "keep_days": 10,
        "time_zone": "UTC",
        "keeps_from": str(first),
        "awaited": 0,
        "oldest_left": str(first),
    }
    (tried,) = done("prune", "--list", "94", "--keep-days", "10", "--dry-run", db=db)
    assert tried == {**expected, "events": 29}
    assert "for ever" in refusal("prune", "--list", "94", db=db)
    assert "for ever" in refusal("prune", "--list", "94", "--dry-run", db=db)
    assert "there is no such list" in refusal("prune", "--list", "7", db=db)
    assert "--dry-run" in refusal("prune", "--list", "94", "--keep-days", "10", db=db)
    assert done("prune", db=db) == []
    for list_id in ("94", "95"):
        done("lists", "rules", list_id, "--keep-days", "10", db=db)
    said = done("prune", "--dry-run", db=db)
    assert said[0] == tried
    assert (said[1]["list_id"], said[1]["events"], said[1]["oldest_left"]) == (95, 1, None)
    assert done("prune", db=db) == said
    assert [one["events"] for one in done("prune", db=db)] == [0, 0]
    assert b"oldest left" in command("prune", "--dry-run", "--db", str(db)).stdout
    stats = done("stats", db=db)
    assert stats["events"] == 12
    assert [(one["list_id"], one["events"], one["deleted"]) for one in stats["by_type"]] == [(94, 11, 29), (95, 0, 1), (96, 1, 0)]
    assert command("doctor", "--db", str(db)).returncode == 0
    assert command("properties", "--recount", "--list", "94", "--db", str(db)).returncode == 0
    assert tracking.sql("select list_id, count(*) from events group by all order by all").rows == [[94, 11], [96, 1]]


def test_the_store_deletes_by_itself(db: Path) -> None:
    """While a server runs, also what arrives too old, which is accepted; the answer over HTTP says what it is made of."""
    credentials = make_store(db)
    with serving(db, "asgi") as served, serving(db, "wsgi") as other, EventTracking(db) as tracking:
        for number in range(20):
            body = {"id": ..., "email": ..., "UUID": VISITOR, "event": "pageView", "Timestamp": ago(number)}
            assert served.client.track(**credentials.event(**body)).status_code == 200
        assert command_alone("lists", "rules", "94", "--keep-days", "5", "--db", str(db)).returncode == 0
        wait_until(lambda: deleted(tracking) == 14, "old events stay", served, pause_s=0.2)
        late = credentials.event(id=..., email=..., UUID=VISITOR, event="pageView", Timestamp=ago(12), EventID=str(uuid.uuid4()))
        assert served.client.track(**late).status_code == 200
        wait_until(lambda: deleted(tracking) == 15, "a late event stays", served, pause_s=0.2)
        again = served.client.track(**late)
        assert again.status_code == 200
        asked = {"APIKey": credentials.read, "ListID": LIST, "DateRange": "30d", "Metrics": ["events", "views"]}
        first = str(today() - timedelta(days=5))
        for client in (served.client, other.client):
            answered = client.post("/api/v1/website_events.query", json={**asked, "Dimensions": ["time:day"]}).json()
            assert sum(row["Metrics"][0] for row in answered["Results"]) == 21
            assert answered["Meta"]["Warnings"] == [{"Code": "daily_totals", "EventsFrom": first}]
            answered = client.post("/api/v1/website_events.query", json={**asked, "Dimensions": ["path"]}).json()
            assert answered["Results"] == [{"Dimensions": [None], "Metrics": [6, 6]}]
            assert answered["Meta"]["Warnings"] == [{"Code": "events_deleted", "EventsFrom": first}]
            for name in ("retention", "funnel", "values"):
                more = {"funnel": {"Steps": [{}, {}]}, "values": {"Dimension": "path"}}.get(name, {})
                body = {"APIKey": credentials.read, "ListID": LIST, "DateRange": "30d", **more}
                found = client.post(f"/api/v1/website_events.{name}", json=body).json()
                assert found["Meta"]["Warnings"] == [{"Code": "events_deleted", "EventsFrom": first}]
        text = command("query", "--list", "94", "--range", "30d", "--by", "time:week", "--metric", "events", "--db", str(db))
        assert f"before {first}" in text.stderr.decode()


@pytest.fixture(scope="module")
def pruned_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A store with what happened 20 days ago, which is deleted by the rule, and 2 days ago."""
    db = tmp_path_factory.mktemp("pruned") / "events.duckdb"
    make_store(db)
    with EventTracking(db) as tracking:
        track(tracking, 20, email="Ada@example.com", properties={"old": 1})
        buy(tracking, 20, "o1", 100)
        track(tracking, 19, uuid=OTHER, event="identify", email="bob@example.com")
        track(tracking, 2)
        buy(tracking, 2, "o1", 100)
        buy(tracking, 2, "o2", 7)
        tracking.directory.set_rules(LIST, keep_days=10)
        (report,) = tracking.admin.prune(LIST)
        assert (deleted(tracking), report.oldest_left) == (4, str(today() - timedelta(days=2)))
    return db.read_bytes()


@pytest.fixture
def pruned(db: Path, pruned_file: bytes) -> Iterator[EventTracking]:
    """A copy of that store, open."""
    write_store(db, pruned_file)
    with EventTracking(db) as tracking:
        yield tracking


def test_orders_count_once_across_the_border(pruned: EventTracking) -> None:
    """An order that was counted in the totals counts no second time, whenever it is sent again."""
    buy(pruned, 0, "o1", 100)
    by_day = pruned.query(LIST, date_range="30d", metrics=["conversions", "revenue"], dimensions=["time:day"])
    assert [row.metrics for row in by_day.rows if row.metrics[0]] == [[1, 100.0], [1, 7.0]]
    week = pruned.query(LIST, date_range="7d", metrics=["conversions", "revenue"])
    assert (week.rows[0].metrics, week.meta["Warnings"]) == ([1, 7.0], [])


def test_a_visitor_stays_the_same_person(pruned: EventTracking) -> None:
    """An event without an address belongs to that of a deleted event; the person is found by it, and starts once."""
    track(pruned, 1, uuid=OTHER)
    by_person = pruned.query(LIST, date_range="7d", metrics=["events"], dimensions=["person"])
    assert {row.dimensions[0]: row.metrics[0] for row in by_person.rows} == {"ada@example.com": 3, "bob@example.com": 1}
    assert len(pruned.timeline(LIST, email="Bob@example.com").rows) == 1
    assert [row.email for row in pruned.people(LIST).rows] == ["bob@example.com", "ada@example.com"]
    data = pruned.personal_data(LIST, email="bob@example.com")
    assert (data.visitors, len(data.events)) == ([OTHER], 1)
    cohorts = pruned.retention(LIST, date_range="30d", unit="day", periods=1)
    assert [row.size for row in cohorts.rows if row.size] == [1, 1]
    assert [row.size for row in pruned.retention(LIST, date_range="7d", unit="day", periods=1).rows if row.size] == []
    assert all(check.ok for check in pruned.admin.check())


def test_bindings_event_ids_and_names_are_not_deleted(pruned: EventTracking) -> None:
    """A known address sends no second identify event, a repeat is stored once, and names count as ever seen."""
    assert pruned.track(LIST, "pageView", uuid=VISITOR, email="ada@example.com").identify_event_sent is False
    event_id = str(uuid.uuid4())
    assert not track(pruned, 30, event_id=event_id).duplicate
    pruned.admin.prune(LIST)
    assert deleted(pruned) == 5
    assert track(pruned, 30, event_id=event_id).duplicate
    assert "old" in pruned.properties(LIST)["pageView"]
    assert pruned.admin.recount(LIST).differs is False
    assert [seq for seq, _ in pruned.admin.latest(LIST, after=0)] == sorted(seq for seq, _ in pruned.admin.latest(LIST, after=0))


def test_old_events_that_arrive_later_count_once(pruned: EventTracking) -> None:
    """They are accepted; a new person counts, one of the same day does not again while the day is known."""
    track(pruned, 20)
    track(pruned, 20, uuid=OTHER)
    day = str(today() - timedelta(days=20))
    asked = {"date_range": [day, day], "metrics": ["events", "people", "visitors", "views"]}
    before = pruned.query(LIST, **asked)
    assert before.rows[0].metrics == [4, 2, 2, 3]
    pruned.admin.prune(LIST)
    assert deleted(pruned) == 6
    after = pruned.query(LIST, **asked)
    assert (after.rows, after.meta["Warnings"]) == (before.rows, before.meta["Warnings"])
    assert after.meta["AsOf"] >= before.meta["AsOf"]


def test_erasure_forgets_what_was_kept(pruned: EventTracking) -> None:
    """By address and by visitor, though the events are gone; totals stay."""
    with pytest.raises(NotFound):
        pruned.erase(LIST, email="eve@example.com")
    assert pruned.erase(LIST, email="bob@example.com").visitors == [OTHER]
    track(pruned, 30, uuid=str(uuid.UUID(int=3, version=4)))
    pruned.admin.prune(LIST)
    assert pruned.erase(LIST, uuid=str(uuid.UUID(int=3, version=4))).events == 0
    kept = pruned.admin.sql(
        "select count(distinct visitor_key), count(distinct address_key), (select list(visitor) from visitor_keys),"
        " (select sum(events) from daily_totals where event is null) from first_events"
    )
    assert kept.rows == [[1, 1, [VISITOR], 4]]
    assert all(check.ok for check in pruned.admin.check())


def test_copies_and_compacted_files_have_the_totals(pruned: EventTracking, tmp_path: Path) -> None:
    """A backup answers as the store does; so does the store after compact(). An export has what is left."""
    asked: dict[str, Any] = {"date_range": "all", "metrics": ["events", "people"], "dimensions": ["time:day"]}
    before = pruned.query(LIST, **asked).rows
    pruned.compact()
    assert pruned.query(LIST, **asked).rows == before
    pruned.backup(tmp_path / "copy.duckdb")
    with EventTracking(tmp_path / "copy.duckdb") as copy:
        assert copy.query(LIST, **asked).rows == before
    assert pruned.export(tmp_path / "events.ndjson", "ndjson") == left(pruned)


def test_a_deleted_list_leaves_nothing(pruned: EventTracking) -> None:
    """A list that is created again begins without totals."""
    pruned.directory.delete_list(LIST)
    tables = ("prunings", "daily_totals", "daily_units", "first_events", "kept_addresses", "counted_orders")
    counts = ", ".join(f"(select count(*) from {table})" for table in tables)
    assert pruned.admin.sql(f"select {counts}").rows == [[0] * len(tables)]


def test_an_event_stays_until_webhooks_have_got_it(db: Path) -> None:
    """While a receiver is down, its events are not deleted; after that they are. A disabled webhook keeps nothing."""
    make_store(db)
    up = False
    with (
        receiving(lambda post: 204 if up else 503) as receiver,
        EventTracking(db, delivery_backoff_s=0.02) as tracking,
    ):
        tracking.deliver(receiver.url)
        tracking.directory.set_rules(LIST, keep_days=10)
        receipt = track(tracking, 20)
        wait_until(lambda: receiver.posts, "nothing is posted")
        (said,) = tracking.admin.prune(LIST, dry_run=True)
        assert (said.events, said.awaited) == (0, 1)
        assert tracking.admin.prune(LIST) == [said]
        up = True
        wait_until(lambda: receiver.taken, "it is not posted again")
        assert receiver.taken[0].id == receipt.event_id
        wait_until(lambda: tracking.admin.prune(LIST, dry_run=True)[0].awaited == 0, "it is still awaited")
        tracking.admin.prune(LIST)
        assert (deleted(tracking), left(tracking)) == (1, 0)


def test_a_failed_delivery_keeps_no_event(db: Path) -> None:
    """Nor does a webhook whose receiver has gone for good: the rule wins."""
    make_store(db)
    with receiving(lambda post: 410) as receiver, EventTracking(db, delivery_backoff_s=0.02) as tracking:
        tracking.deliver(receiver.url)
        track(tracking, 20)
        wait_until(lambda: tracking.webhooks.states()[0].state == "disabled", "the webhook is not disabled")
        tracking.directory.set_rules(LIST, keep_days=10)
        tracking.admin.prune(LIST)
        assert (deleted(tracking), left(tracking)) == (1, 0)
        assert tracking.webhooks.deliveries() == []
