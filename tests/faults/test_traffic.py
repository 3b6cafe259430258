"""Tables that grow with traffic: EventIDs and bindings are known whatever their number, in bounded memory."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import duckdb
import pytest

from falcon_events.errors import StoreError
from falcon_events.model.events import NewEvent, Receipt
from falcon_events.settings import Settings
from falcon_events.store.database import migrations
from falcon_events.store.engine import filter as filters, tables, upkeep
from falcon_events.store.store import Store
from tests.harness import rows, wait_until
from tests.unit.test_store import new_event

pytestmark = pytest.mark.database

MEMORY_MB = 64
ROWS = 750_000
"""The indexes of two primary keys on as many rows take more than MEMORY_MB."""
FILL = (
    """
    insert into event_ids select 'account/1', md5('id' || n)::uuid, md5('of' || n)::uuid, 'owner', false,
        (now() at time zone 'utc')::timestamp - interval 1 hour from range($first, $last) as numbers(n)
    """,
    """
    insert into bindings select 1, md5('visitor' || n)::uuid, n || '@example.com', null,
        (now() at time zone 'utc')::timestamp - interval 1 day from range($first, $last) as numbers(n)
    """,
)

PRIMARY_KEYS = """
select count(*) from duckdb_constraints() where table_name in ('event_ids', 'bindings') and constraint_type = 'PRIMARY KEY'
"""


def fill(db: Path, count: int) -> None:
    """Insert EventIDs and bindings into a closed store."""
    with duckdb.connect(str(db), config={"memory_limit": "2GB"}) as connection:
        for sql in FILL:
            for first in range(0, count, 500_000):
                connection.execute(sql, {"first": first, "last": min(count, first + 500_000)})


def md5_uuid(word: str) -> str:
    """Return the UUID that fill() makes of a word."""
    ((made,),) = duckdb.execute("select md5($word)::uuid::varchar", {"word": word}).fetchall()
    return str(made)


def event_now(**changes: Any) -> NewEvent:
    """Make an event that arrives now, so that its EventID has not expired."""
    now = int(time.time() * 1e6)
    return new_event(received_at=now, occurred_at=now, **changes)


def send(store: Store, events: list[NewEvent]) -> list[Receipt]:
    """Store events and return their receipts."""
    outcomes = store.submit(events).result(60)
    assert all(isinstance(outcome, Receipt) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, Receipt)]


@pytest.fixture
def small_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Filters that are full after 64 keys, stored after 8, and built in a thread from 32 rows on."""
    monkeypatch.setattr(filters, "MIN_KEYS", 64)
    monkeypatch.setattr(filters, "READ_AT_OPENING", 32)
    monkeypatch.setattr(filters, "READ_AT_ONCE", 16)


def test_rows_whose_index_would_exceed_the_memory_limit(db: Path) -> None:
    """The store opens, knows the oldest and the newest keys, takes new ones, folds, answers and closes, and does so again."""
    new = Store(db, Settings())
    new.open()
    new.close()
    fill(db, ROWS)
    settings = Settings(memory_limit_mb=MEMORY_MB, fold_events=500, binding_cache=100)
    for opening in range(2):
        store = Store(db, settings)
        store.open()
        for number in (0, ROWS // 2, ROWS - 1):
            known = event_now(event_id=md5_uuid(f"id{number}"))
            bound = event_now(visitor=md5_uuid(f"visitor{number}"), email=f"{number}@example.com")
            assert [receipt.duplicate for receipt in send(store, [known, bound])] == [True, False]
            assert not send(store, [bound])[0].identify_event_sent
        for batch in range(5):
            events = [event_now(event_id=str(uuid.uuid4()), email=f"{opening}{batch}@b.cd") for _ in range(300)]
            assert not any(receipt.duplicate for receipt in send(store, events))
            assert all(receipt.duplicate for receipt in send(store, events))
        assert set(store.properties(1).result(60)) == {"test", "identify"}
        assert store.health().state.name == "OK"
        store.close()
    assert rows(db, "select count(*) from event_ids") == [(ROWS + 2 * 1500,)]
    assert rows(db, "select count(*), count(distinct visitor) from bindings") == [(ROWS + 2 * 1500,) * 2]
    assert rows(db, PRIMARY_KEYS) == [(0,)]


def test_keys_of_many_filters_are_known_across_openings(db: Path, small_filters: None) -> None:
    """Whether their filter was full, stored, or neither when the store was closed."""
    sent: list[NewEvent] = []
    for opening in range(5):
        store = Store(db, Settings(binding_cache=1))
        for _ in range(9):
            sent += [event_now(event_id=str(uuid.uuid4()), email="a@example.com") for _ in range(5 + opening)]
            assert not any(receipt.duplicate for receipt in send(store, sent[-5 - opening :]))
            store.stats().result(60)  # applies them
        assert all(receipt.duplicate for receipt in send(store, sent))
        again = [event_now(visitor=event.visitor, email="A@example.com") for event in sent]
        assert not any(receipt.identify_event_sent for receipt in send(store, again))
        store.close()
    assert rows(db, "select table_name, count(*) > 3 from key_filters group by 1 order by 1") == [
        ("bindings", True),
        ("event_ids", True),
    ]
    assert rows(db, "select count(*), count(distinct event_id) from event_ids") == [(len(sent), len(sent))]
    assert rows(db, "select count(*), count(distinct visitor) from bindings") == [(len(sent), len(sent))]


def test_keys_of_one_moment_are_known_whatever_filter_has_them(db: Path, small_filters: None) -> None:
    """Also those of filters that are not next to each other."""
    moment = int(time.time() * 1e6)
    events = [new_event(event_id=str(uuid.uuid4()), received_at=moment) for _ in range(640)]
    store = Store(db, Settings())
    for at in range(0, 640, 64):
        send(store, events[at : at + 64])
        store.stats().result(60)
    assert store.filters()["event_ids"].bytes > 5 * 64 * 22 / 8
    for places in ((0, 639), (0, 320, 639), range(0, 640, 7), range(640)):
        assert all(receipt.duplicate for receipt in send(store, [events[place] for place in places]))
    store.close()


def test_filters_are_built_anew_when_nothing_tells_what_they_have(db: Path, small_filters: None) -> None:
    """The marked row was deleted, or another release made them. Meanwhile and afterwards every key is known."""
    events = [event_now(event_id=str(uuid.uuid4())) for _ in range(300)]
    store = Store(db, Settings())
    for at in range(0, 300, 50):
        send(store, events[at : at + 50])
        store.stats().result(60)
    store.close()
    spoil = (
        "update key_filters set mark = mark + 1",
        "update key_filters set signature = 'x'::blob where number = 1",
        "delete from key_filters",
    )
    for sql in spoil:
        with duckdb.connect(str(db)) as connection:
            connection.execute(sql)
        store = Store(db, Settings())
        assert all(receipt.duplicate for receipt in send(store, events))
        wait_until(lambda of=store: not of.filters()["event_ids"].building, "the filters are not built")  # type: ignore[misc]
        assert all(receipt.duplicate for receipt in send(store, events))
        assert not any(receipt.duplicate for receipt in send(store, [event_now(event_id=str(uuid.uuid4()))]))
        assert store.filters()["event_ids"].keys >= 300
        store.close()


@pytest.mark.parametrize("bit", [0, 40, 64, 96])
def test_a_filter_takes_few_new_keys_for_known_ones(db: Path, monkeypatch: pytest.MonkeyPatch, bit: int) -> None:
    """Also if many filters were filled one after the other, and if the senders' UUIDs are consecutive numbers at some bit."""
    monkeypatch.setattr(filters, "MIN_KEYS", 2500)
    store = Store(db, Settings())
    for batch in range(10):
        send(store, [event_now(event_id=str(uuid.UUID(int=(batch * 1000 + n) << bit))) for n in range(1000)])
        store.stats().result(60)
    known = store._open_writer()._tables.event_ids
    new = [("account", str(uuid.UUID(int=(20_000 + n) << bit))) for n in range(20_000)]
    taken = {key for keys in known.group(new).values() for key in keys}
    assert len(taken) < 0.01 * len(new)
    assert 0 < store.filters()["event_ids"].false_positives < 0.01
    store.close()


def read_count(store: Store) -> int:
    """Count the EventIDs in the table of an open store."""
    ((count,),) = store.run(lambda connection: connection.execute("select count(*) from event_ids").fetchall()).result(60)
    return int(count)


def test_expired_event_ids_leave_table_and_filters(db: Path, small_filters: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many expire at once, they are deleted a portion at a time, with the filters that have no others."""
    monkeypatch.setattr(tables, "FORGOTTEN_AT_ONCE", 100)
    monkeypatch.setattr(upkeep, "EXPIRY_INTERVAL_S", 0.1)
    now = time.time()
    store = Store(db, Settings(event_id_window_s=100), clock=lambda: now)
    for batch in range(20):
        at = int((now - 1000 + batch) * 1e6)
        send(store, [new_event(event_id=str(uuid.uuid4()), received_at=at) for _ in range(50)])
        store.stats().result(60)
    kept = event_now(event_id=str(uuid.uuid4()))
    send(store, [kept])
    wait_until(lambda: read_count(store) == 1, "EventIDs are not deleted")
    assert store.filters()["event_ids"].keys <= 64 + 50
    assert send(store, [kept])[0].duplicate
    store.close()
    again = Store(db, Settings())
    assert send(again, [kept])[0].duplicate
    again.close()


def test_changing_traits_leaves_the_order_of_bindings(db: Path) -> None:
    """The mark of a filter relies on it: rows after the marked one were inserted later."""
    store = Store(db, Settings())
    visitors = [str(uuid.uuid4()) for _ in range(5)]
    for number, visitor in enumerate(visitors):
        send(store, [event_now(visitor=visitor, email=f"{number}@example.com", traits={"n": 0})])
        store.stats().result(60)
    send(store, [event_now(visitor=visitors[number], email=f"{number}@example.com", traits={"n": 1}) for number in (0, 4, 2)])
    store.close()
    kept = rows(db, "select visitor::varchar, traits from bindings order by rowid")
    assert kept == [(visitor, f'{{"n":{int(number in (0, 4, 2))}}}') for number, visitor in enumerate(visitors)]


def make_schema_4(db: Path) -> None:
    """Make a store of an earlier release, whose tables have primary keys, with two EventIDs and two bindings."""
    with duckdb.connect(str(db)) as connection:
        for step in migrations.MIGRATIONS[:4]:
            connection.execute(step.replace("{namespace}", str(uuid.uuid4())))
        connection.execute("update meta set schema_version = 4")
        for sql in FILL:
            connection.execute(sql, {"first": 0, "last": 2})


def test_a_store_with_primary_keys_is_migrated(db: Path) -> None:
    """Its EventIDs and bindings are known, and its tables have no primary keys any more."""
    make_schema_4(db)
    store = Store(db, Settings())
    assert send(store, [event_now(event_id=md5_uuid("id1"))])[0].duplicate
    assert not send(store, [event_now(visitor=md5_uuid("visitor1"), email="1@example.com")])[0].identify_event_sent
    store.close()
    assert rows(db, PRIMARY_KEYS) == [(0,)]


def test_an_interrupted_migration_begins_again(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that fails in its middle leaves the store as it was, and the next opening completes it."""
    make_schema_4(db)
    with monkeypatch.context() as patched:
        patched.setattr(
            migrations, "MIGRATIONS", (*migrations.MIGRATIONS[:4], migrations.MIGRATIONS[4] + "; select error('disk')")
        )
        with pytest.raises(StoreError):
            Store(db, Settings()).open()
    assert rows(db, "select schema_version from meta") == [(4,)]
    store = Store(db, Settings())
    assert send(store, [event_now(event_id=md5_uuid("id0"))])[0].duplicate
    store.close()


def test_doctor_reports_filters_before_their_memory_is_used_up(db: Path) -> None:
    """With the setting to raise."""
    for megabytes, ok in ((512, True), (2, False)):
        store = Store(db, Settings(filter_mb=megabytes))
        checks = {check.name: check for check in store.check().result(60)}
        assert checks["filters of event_ids"].ok is checks["filters of bindings"].ok is ok
        assert ("filter_mb" in checks["filters of bindings"].found) is not ok
        store.close()
