"""The store: group commit, the culprit of a batch, the bounded queue, bindings, the catalogue, opening and closing."""

from __future__ import annotations

import contextlib
import hashlib
import random
import shutil
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from falcon_events import EventsError, EventTracking, StoreClosed, StoreError, StoreLocked, StoreMissing, StoreUnavailable
from falcon_events.model.events import NewEvent, Outcome, Receipt
from falcon_events.model.reports import HEALTHY
from falcon_events.runtime.pending import Pending, Turnstile
from falcon_events.settings import Settings
from falcon_events.store.database import catalogue
from falcon_events.store.database.connect import open_database
from falcon_events.store.database.migration_steps import MIGRATIONS, SCHEMA_VERSION
from falcon_events.store.engine import intake, recall
from falcon_events.store.engine.draft import Draft
from falcon_events.store.engine.entry import Entry, complete_entry, decode_entry
from falcon_events.store.engine.tables import Tables
from falcon_events.store.store import Store
from tests.harness import Credentials, rows, wait_until
from tests.shortcuts import make_store


class Submitted:
    """An event that was handed to a store alone, and what becomes of it."""

    def __init__(self, store: Store, event: NewEvent) -> None:
        self._future: Future[list[Outcome]] = store.submit([event])
        self.done = self._future.done

    def exception(self, timeout: float = 60) -> EventsError | None:
        """Why it was not stored, or None."""
        (outcome,) = self._future.result(timeout)
        return None if isinstance(outcome, Receipt) else outcome

    def result(self, timeout: float = 60) -> Receipt:
        """Its receipt."""
        (outcome,) = self._future.result(timeout)
        if not isinstance(outcome, Receipt):
            raise outcome
        return outcome


def submit(store: Store, event: NewEvent) -> Submitted:
    """Hands an event to a store alone."""
    return Submitted(store, event)


def wait(submitted: list[Submitted], timeout: float) -> None:
    """Until each has a receipt or an error."""
    for one in submitted:
        one.exception(timeout)


def new_event(**changes: Any) -> NewEvent:
    """An event of a visitor of its own."""
    values: dict[str, Any] = {
        "event_id": None,
        "account_id": "account",
        "list_id": 1,
        "event": "test",
        "visitor": str(uuid.uuid4()),
        "external_id": "owner",
        "email": None,
        "occurred_at": 1_700_000_000_000_000,
        "received_at": 1_700_000_000_000_000,
        "properties": {"a": 1},
        "traits": None,
        "size": 100,
    }
    values |= changes
    for name in ("properties", "traits"):
        if isinstance(values[name], dict):
            values[name] = msgspec.json.encode(values[name])
    return NewEvent(**values)


@pytest.fixture
def store(db: Path) -> Any:
    """An open store with a small queue."""
    store = Store(db, Settings(queue_events=50, queue_bytes=100_000, batch_events=20))
    store.open()
    yield store
    store.close()


def hold_intake(store: Store) -> threading.Event:
    """Keeps the store busy, so that events wait, until the event is set."""
    held, go = threading.Event(), threading.Event()

    def task(_: object) -> None:
        held.set()
        go.wait(60)

    store._open_writer().run_exclusively(task)
    held.wait(60)
    return go


@pytest.mark.database
def test_events_that_wait_together_are_committed_together(store: Store, db: Path) -> None:
    """Group commit: what has gathered while the writer was busy goes into as few transactions as fit."""
    go = hold_intake(store)
    futures = [submit(store, new_event()) for _ in range(40)]
    assert not any(future.done() for future in futures)
    go.set()
    wait(futures, 60)
    assert all(isinstance(future.result(), Receipt) for future in futures)
    store.close()
    assert rows(db, "select count(*), count(distinct seq), max(seq) from events") == [(40, 40, 40)]


@pytest.mark.database
@pytest.mark.parametrize(
    "poison",
    [
        {"visitor": "no uuid"},
        {"event_id": "no uuid"},
        {"occurred_at": 2**65},
        {"list_id": 2**70},
        {"properties": b"no json"},
        {"properties": b"[]"},
        {"client_timestamp": -(2**70)},
        {"email": "\ud800"},
        {"email": "a@example.com", "properties": b'{"emailAddress":}'},
        {"email": "a@example.com", "traits": b"no json"},
    ],
    ids=str,
)
def test_an_event_that_the_database_refuses_hurts_no_other(store: Store, db: Path, poison: dict[str, Any]) -> None:
    """It gets an error, and all others are stored, in one commit."""
    outcomes = store.submit([new_event(**(poison if number == 7 else {})) for number in range(15)]).result(60)
    assert [number for number, outcome in enumerate(outcomes) if not isinstance(outcome, Receipt)] == [7]
    assert type(outcomes[7]) is EventsError
    assert store.health() == HEALTHY
    measures, _, _ = store.measures()
    assert sum(measures.batches.counts) == 1
    store.close()
    assert rows(db, "select count(*) from events where event = 'test'") == [(14,)]


@pytest.mark.database
def test_events_that_fail_for_an_unknown_reason_are_told_apart_in_bounded_time(
    db: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A batch that fails though each event is sound alone is halved until a deadline; what is left may be sent again."""

    class Failing(Draft):
        def build_entry(self) -> Entry | None:
            if len(self.receipts) > 1 and any(isinstance(one, Receipt) and one.external_id == "poison" for one in self.receipts):
                raise ValueError("unforeseen")
            return super().build_entry()

    monkeypatch.setattr(recall, "Draft", Failing)
    with contextlib.closing(Store(db, Settings(batch_events=1_000))) as store:
        events = [new_event(external_id="poison" if number == 700 else "owner") for number in range(1_000)]
        assert all(isinstance(outcome, Receipt) for outcome in store.submit(events).result(60))
        before = len(caplog.records)
        monkeypatch.setattr(intake, "HALVING_S", 0.0)
        outcomes = store.submit(events).result(60)
        assert [type(outcome) for outcome in outcomes] == [Receipt] * 500 + [StoreUnavailable] * 500
        assert len(caplog.records) - before <= 1
        assert all(isinstance(outcome, Receipt) for outcome in store.submit([new_event()]).result(60))


def test_a_full_queue_refuses_at_once_and_keeps_what_it_has(store: Store, db: Path) -> None:
    """Past the limit of events the answer is StoreUnavailable with a time to retry; what waits is stored."""
    go = hold_intake(store)
    futures = [submit(store, new_event()) for _ in range(50)]
    with pytest.raises(StoreUnavailable) as refused:
        submit(store, new_event())
    assert refused.value.status == 503
    assert refused.value.retry_after_s >= 1
    assert "queue is full" in str(store.health().reason)
    go.set()
    wait(futures, 60)
    assert store.health() == HEALTHY
    submit(store, new_event()).result(60)
    store.close()
    assert rows(db, "select count(*) from events") == [(51,)]


def test_the_queue_is_bounded_in_bytes_too(store: Store) -> None:
    """A few large events fill the queue as many small ones do."""
    go = hold_intake(store)
    futures = [submit(store, new_event(size=60_000)) for _ in range(2)]
    with pytest.raises(StoreUnavailable):
        submit(store, new_event())
    go.set()
    wait(futures, 60)
    submit(store, new_event()).result(60)


def test_a_task_that_fails_tells_its_caller_and_nobody_else(store: Store) -> None:
    """What raises in a task comes out of its future; the writer lives on."""

    def task(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("select no_such_function()")

    with pytest.raises(duckdb.Error):
        store.run(task).result(60)
    submit(store, new_event()).result(60)


def test_of_two_events_with_a_new_binding_in_one_batch_one_sends_identify(store: Store, db: Path) -> None:
    """Of simultaneous requests with one new binding one gets true, whatever the address's case."""
    visitor = str(uuid.uuid4())
    go = hold_intake(store)
    futures = [
        submit(store, new_event(visitor=visitor, email=email)) for email in ("A@example.com", "a@Example.com", "b@example.com")
    ]
    go.set()
    assert [future.result(60).identify_event_sent for future in futures] == [True, False, True]
    store.close()
    assert rows(db, "select event, properties from events order by seq") == [
        ("identify", '{"a":1,"emailAddress":"A@example.com"}'),
        ("test", '{"a":1}'),
        ("test", '{"a":1}'),
        ("identify", '{"a":1,"emailAddress":"b@example.com"}'),
        ("test", '{"a":1}'),
    ]


@pytest.mark.database
def test_a_repeat_in_the_same_batch_is_stored_once(store: Store, db: Path) -> None:
    """Two events of one EventID that wait together are one event, and get one answer."""
    event = new_event(event_id=str(uuid.uuid4()), email="a@example.com")
    go = hold_intake(store)
    first, second = submit(store, event), submit(store, event)
    go.set()
    assert not first.result(60).duplicate
    assert second.result(60).duplicate
    assert second.result(60).identify_event_sent is first.result(60).identify_event_sent is True
    store.close()
    assert rows(db, "select count(*) from events where event = 'test'") == [(1,)]


def test_a_repeat_binds_nothing(store: Store, db: Path) -> None:
    """A repeat that comes with another address than the first leaves no binding, in the table or in memory."""
    event = new_event(event_id=str(uuid.uuid4()), email="a@example.com")
    submit(store, event).result(60)
    other = new_event(event_id=event.event_id, visitor=event.visitor, email="b@example.com")
    assert submit(store, other).result(60).duplicate
    assert submit(store, new_event(visitor=event.visitor, email="b@example.com")).result(60).identify_event_sent


def test_an_event_id_counts_as_new_when_its_window_is_over(db: Path) -> None:
    """After event_id_window_s a repeat is an event of its own, and is remembered anew."""
    store = Store(db, Settings(event_id_window_s=10))
    event = new_event(event_id=str(uuid.uuid4()))

    def later(seconds: int) -> Receipt:
        return submit(store, new_event(event_id=event.event_id, received_at=event.received_at + seconds * 1_000_000)).result(60)

    assert [later(seconds).duplicate for seconds in (0, 9, 11, 20, 22)] == [False, True, False, True, False]
    store.close()
    assert rows(db, "select count(*), (select count(distinct event_id) from event_ids) from events") == [(3, 1)]


def test_couriers_that_ask_for_work_keep_no_query_waiting(db: Path) -> None:
    """However many webhooks there are: while the reads of all of them take long, properties are answered."""
    answer = threading.Event()

    def clock() -> float:
        if threading.current_thread().name.startswith(("falcon-events-reader", "falcon-events-outbox")):
            answer.wait()  # in a read for a courier; what is read for a query asks for no time
        return time.time()

    store = Store(db, Settings(), clock=clock)
    submit(store, new_event()).result(60)
    works = [store.outbox.read_work(f"webhook-{number}", 0, 1, 1) for number in range(12)]
    try:
        assert list(store.properties(1).result(60)) == ["test"]
        assert not any(work.done() for work in works)
    finally:
        answer.set()
    assert [work.result(60) for work in works] == [None] * 12
    store.close()


@pytest.mark.database
def test_bindings_are_known_beyond_the_cache_and_across_openings(db: Path) -> None:
    """A binding that memory has forgotten is found in the table."""
    visitors = [str(uuid.uuid4()) for _ in range(30)]

    def track(store: Store) -> list[bool]:
        events = [new_event(visitor=visitor, email="a@example.com") for visitor in visitors]
        return [submit(store, event).result(60).identify_event_sent for event in events]

    store = Store(db, Settings(binding_cache=5))
    assert all(track(store))
    assert not any(track(store))
    store.close()
    again = Store(db, Settings())
    assert not any(track(again))
    again.close()


@pytest.mark.database
def test_bindings_are_known_before_they_are_in_their_table(db: Path) -> None:
    """Also where no fold came before a crash, where memory keeps none, and where a commit's outcome was unknown for a while."""
    store = Store(db, Settings(binding_cache=1))
    visitors = [str(uuid.uuid4()) for _ in range(5)]
    events = [new_event(visitor=visitor, email="Ä@example.com".lower()) for visitor in visitors]
    assert all(submit(store, event).result(60).identify_event_sent for event in events)
    assert not any(submit(store, event).result(60).identify_event_sent for event in events)
    tables = store._open_writer()._tables
    apply = tables.apply

    failed = threading.Event()

    def apply_and_fail(entries: Sequence[Entry]) -> None:
        tables.apply = apply  # type: ignore[method-assign]
        apply(entries)
        failed.set()
        raise duckdb.IOException("the commit's answer was lost")

    store.stats().result(60)
    tables.apply = apply_and_fail  # type: ignore[method-assign]
    late = new_event(visitor=str(uuid.uuid4()), email="late@example.com")
    assert submit(store, late).result(60).identify_event_sent
    assert failed.wait(60)
    wait_until(lambda: store.health() == HEALTHY, "the store is not mended")
    assert not submit(store, late).result(60).identify_event_sent
    for end in ("", ".wal", ".journal-a", ".journal-b"):
        shutil.copy(f"{db}{end}", db.with_name(f"copy.duckdb{end}"))
    after_crash = Store(db.with_name("copy.duckdb"), Settings(fold_events=1))  # so that a fold comes in between
    assert not any(submit(after_crash, event).result(60).identify_event_sent for event in [*events, late])
    for closing in (store, after_crash):
        closing.close()
        assert rows(closing.path, "select count(*), count(distinct visitor) from bindings") == [(6, 6)]
    assert rows(db, "select count(*) from events where event = 'identify'") == [(6,)]


def test_traits_are_kept_for_a_binding_that_is_not_in_its_table_yet(store: Store, db: Path) -> None:
    """The fold leaves the traits that came before it."""
    event = new_event(visitor=str(uuid.uuid4()), email="a@example.com")
    submit(store, event).result(60)
    submit(store, new_event(visitor=event.visitor, email="a@example.com", traits={"a": 1})).result(60)
    submit(store, new_event(visitor=event.visitor, email="a@example.com", traits={"b": 2})).result(60)
    store.close()
    assert rows(db, "select traits, bound_at = make_timestamp(1700000000000000) from bindings") == [('{"a":1,"b":2}', True)]


@pytest.mark.database
def test_traits_are_merged_name_by_name(store: Store, db: Path) -> None:
    """Later traits win, within a batch and across batches; a null is a value like any other."""
    visitor = str(uuid.uuid4())
    go = hold_intake(store)
    waiting = [
        submit(store, new_event(visitor=visitor, email="a@example.com", traits=traits)) for traits in ({"a": 1, "b": 1}, {"b": 2})
    ]
    go.set()
    wait(waiting, 60)
    submit(store, new_event(visitor=visitor, email="A@example.com", traits={"c": None, "a": {"x": [1]}})).result(60)
    submit(store, new_event(visitor=visitor, email="a@example.com")).result(60)
    store.close()
    assert rows(db, "select traits from bindings") == [('{"a":{"x":[1]},"b":2,"c":null}',)]


@pytest.mark.database
def test_what_the_database_refuses_after_all_is_kept_aside(store: Store, db: Path) -> None:
    """An acknowledged event that no table takes keeps no other back: its row is in a file beside the store, and it is told."""

    def refuse(connection: duckdb.DuckDBPyConnection) -> None:
        ((sql,),) = connection.execute("select sql from duckdb_tables() where table_name = 'events'").fetchall()
        connection.execute(f"drop table events; {sql.rstrip().rstrip(';').rstrip(')')}, check (external_id <> 'poison'))")

    store.run(refuse).result(60)
    events = [new_event(external_id="poison" if number == 3 else "owner") for number in range(6)]
    assert all(isinstance(outcome, Receipt) for outcome in store.submit(events).result(60))
    assert store.stats().result(60).events == 5
    assert store.health() == HEALTHY
    aside = db.with_name(f"{db.name}.refused.ndjson")
    (line,) = aside.read_text().splitlines()
    assert '"external_id":"poison"' in line
    assert aside.stat().st_mode & 0o777 == 0o600
    assert f"file {aside.name}" in {check.name for check in store.check().result(60) if not check.ok}
    store.close()
    assert rows(db, "select count(*), max(seq) from events") == [(5, 6)]


@pytest.mark.database
def test_event_ids_and_bindings_of_many_are_known_across_openings(db: Path) -> None:
    """More than the filters load at once: they are filled beside the first events, and nothing is taken for new meanwhile."""
    events = [new_event(event_id=str(uuid.uuid4()), visitor=str(uuid.uuid4()), email="a@example.com") for _ in range(5_100)]
    settings = Settings(binding_cache=10)
    for known in (False, True, True):
        store = Store(db, settings)
        outcomes = [outcome for at in range(0, len(events), 1000) for outcome in store.submit(events[at : at + 1000]).result(60)]
        assert {outcome.duplicate for outcome in outcomes if isinstance(outcome, Receipt)} == {known}
        again = [msgspec.structs.replace(event, event_id=None) for event in events[:100]]
        assert not any(outcome.identify_event_sent for outcome in store.submit(again).result(60))  # type: ignore[union-attr]
        store.close()
    assert rows(db, "select count(*) from bindings") == [(len(events),)]


@pytest.mark.database
def test_the_catalogue_is_exact_whatever_is_folded(db: Path) -> None:
    """Names are complete after every event, whether it is folded or not, and the kept counts equal a recount."""
    chance = random.Random(7)
    store = Store(db, Settings(fold_events=10))
    expected: dict[int, dict[str, set[str]]] = {1: {}, 2: {}}
    values: list[Any] = [1, -1, 1.5, True, None, "x", [], {}]
    for _ in range(120):
        list_id, event = chance.choice((1, 2)), chance.choice(("pageView", "test", "Ünï"))
        names = chance.sample(["", "$browser", "a/b", "~", 'quo"te', "nul\0l", "Ä", "😀", "a.b", "*"], chance.randrange(4))
        submit(store, new_event(list_id=list_id, event=event, properties={n: chance.choice(values) for n in names})).result(60)
        expected[list_id].setdefault(event, set()).update(names)
        assert store.properties(list_id).result(60) == {e: sorted(n) for e, n in sorted(expected[list_id].items())}
    for list_id in (1, 2):
        recount = store.recount(list_id).result(60)
        assert not recount.differs
        assert recount.properties == store.properties(list_id).result(60)
    assert sum(count.events for count in store.stats().result(60).by_type) == 120
    store.close()
    assert rows(db, "select sum(events) from event_types") == [(120,)]
    assert {kind for (kind,) in rows(db, "select distinct value_type from event_properties")} == {
        "UBIGINT", "BIGINT", "DOUBLE", "BOOLEAN", "NULL", "VARCHAR", "ARRAY", "OBJECT"
    }  # fmt: skip


@pytest.mark.database
def test_property_queries_are_exact_while_the_catalogue_is_folded(db: Path) -> None:
    """Whoever asks sees every event that is committed and no part of another, on every thread."""
    store = Store(db, Settings(fold_events=2))
    store.open()
    ended = threading.Event()
    answers: list[list[str]] = []

    def ask() -> None:
        while not ended.is_set():
            answers.append(store.properties(1).result(60).get("test", []))

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    names = [f"p{number:03d}" for number in range(150)]
    for number, name in enumerate(names, 1):
        submit(store, new_event(properties={name: 1})).result(60)
        assert store.properties(1).result(60) == {"test": names[:number]}
    ended.set()
    for asker in askers:
        asker.join(60)
    assert all(answer == names[: len(answer)] for answer in answers)
    store.close()


@pytest.mark.database
def test_a_recount_tells_when_the_catalogue_is_wrong(store: Store) -> None:
    """What somebody changed in the catalogue by hand shows."""
    submit(store, new_event()).result(60)
    store._open_writer().run_exclusively(lambda connection: catalogue.fold(connection, 1)).result(60)
    assert not store.recount(1).result(60).differs
    store.run(lambda connection: connection.execute("update event_properties set name = 'other'").fetchall()).result(60)
    recount = store.recount(1).result(60)
    assert recount.differs
    assert recount.properties == {"test": ["a"]}


@pytest.mark.database
def test_a_deleted_list_leaves_nothing_and_its_seqs_are_not_given_again(db: Path) -> None:
    """Events that come after a deletion and a reopening are folded like all others."""
    credentials = make_store(db)
    with EventTracking(db, fold_events=1) as tracking:
        for _ in range(5):
            tracking.track(credentials.list_id, "test", email="a@example.com", properties={"old": 1})
        tracking.directory.delete_list(credentials.list_id)
        assert tracking.stats().events == 0
    with EventTracking(db) as tracking:
        tracking.track(credentials.empty_list, "test", email="a@example.com", properties={"new": 1})
        assert tracking.properties(credentials.empty_list) == {"identify": ["emailAddress", "new"], "test": ["new"]}
        assert not tracking.recount(credentials.empty_list).differs
    assert rows(db, "select count(*) from events where seq <= (select folded_seq from meta)") == [(2,)]


def test_a_deleted_list_forgets_its_event_ids(db: Path) -> None:
    """A list that is created again takes the same events again; another list's EventIDs stay."""
    repeated = str(uuid.uuid4())
    with EventTracking(db) as tracking:
        for list_id in (4, 94):
            tracking.directory.ensure_list(list_id, "List")
            tracking.track(list_id, "test", email="a@example.com", event_id=repeated)
        tracking.directory.delete_list(4)
        tracking.directory.ensure_list(4, "List")
        for list_id in (4, 94):
            tracking.track(list_id, "test", email="a@example.com", event_id=repeated)
        assert {count.list_id: count.events for count in tracking.stats().by_type if count.event == "test"} == {4: 1, 94: 1}


def test_reads_that_wait_for_the_tables_keep_no_property_query_waiting(store: Store) -> None:
    """However many they are, such as those of `events --follow` while the writer is busy."""
    submit(store, new_event()).result(60)
    store.properties(1).result(60)
    ended = threading.Event()
    busy = store.run(lambda _: ended.wait(60))
    submit(store, new_event()).result(60)
    waiting = [store.latest(1, 0, 1) for _ in range(8)]
    try:
        assert store.properties(1).result(60) == {"test": ["a"]}
        assert not any(read.done() for read in waiting)
    finally:
        ended.set()
    assert busy.result(60)
    assert all(read.result(60) for read in waiting)


def test_constructing_a_store_touches_nothing(db: Path) -> None:
    """No file and no thread before the first use."""
    before = threading.active_count()
    Store(db, Settings())
    EventTracking(db)
    assert threading.active_count() == before
    assert list(db.parent.iterdir()) == []


def test_a_closed_store_says_so_and_closes_twice(db: Path) -> None:
    """close() is idempotent, and what comes after it gets a named error."""
    store = Store(db, Settings())
    store.open()
    store.close()
    store.close()
    for use in (lambda: store.submit([new_event()]), lambda: store.properties(1), store.open):
        with pytest.raises(StoreClosed):
            use()
    assert store.health() != HEALTHY
    never_opened = Store(db, Settings())
    never_opened.close()
    with pytest.raises(StoreClosed):
        never_opened.submit([new_event()])


@pytest.mark.database
def test_closing_commits_what_was_accepted_and_leaves_no_log(store: Store, db: Path) -> None:
    """Events that wait when close() is called are stored, folded and checkpointed."""
    go = hold_intake(store)
    futures = [submit(store, new_event()) for _ in range(30)]
    closer = threading.Thread(target=store.close)
    closer.start()
    go.set()
    closer.join(60)
    assert all(isinstance(future.result(0), Receipt) for future in futures)
    assert not db.with_name(db.name + ".wal").exists()
    assert rows(db, "select count(*) from events where seq <= (select folded_seq from meta)") == [(30,)]


def test_one_tracker_at_a_time_holds_a_file_also_within_a_process(store: Store, db: Path) -> None:
    """Two trackers in one process would give out the same seqs."""
    with pytest.raises(StoreLocked) as locked:
        Store(db, Settings(lock_wait_s=0.0)).open()
    assert locked.value.pid is not None


@pytest.mark.database
def test_the_database_is_a_modest_guest(store: Store) -> None:
    """Memory and threads are limited as the settings say."""
    sql = "select current_setting('memory_limit'), current_setting('threads')"
    limit, threads = store.run(lambda connection: connection.execute(sql).fetchone()).result(60)  # type: ignore[misc]
    assert limit == "366.2 MiB"
    assert threads == 2


def test_the_stores_files_can_be_read_by_their_owner_only(store: Store, db: Path) -> None:
    """The database and its lock are made with mode 0600."""
    for path in (db, db.with_name(db.name + ".lock")):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_missing_store_is_made_only_where_that_is_wanted(db: Path) -> None:
    """A command that looks at a store does not leave one behind."""
    with pytest.raises(StoreMissing, match=str(db)):
        Store(db, Settings(), create=False).open()
    assert list(db.parent.iterdir()) == []


@pytest.mark.database
def test_what_is_no_store_is_refused_untouched(db: Path) -> None:
    """A file that is no database, or somebody else's database, stays as it is."""
    db.write_bytes(b"something else" * 1000)
    with pytest.raises(StoreError, match="not a DuckDB database"):
        Store(db, Settings()).open()
    assert db.read_bytes() == b"something else" * 1000
    db.unlink()
    with duckdb.connect(str(db)) as connection:
        connection.execute("create table mine as select 1 as x")
    with pytest.raises(StoreError, match="not of falcon-events"):
        Store(db, Settings()).open()
    assert rows(db, "select table_name from duckdb_tables()") == [("mine",)]


def test_a_store_of_a_newer_release_is_refused(db: Path, credentials: Credentials, tracking: EventTracking) -> None:
    """The message says which version the file has and which this release knows."""
    tracking.close()
    with duckdb.connect(str(db)) as connection:
        connection.execute("update meta set schema_version = 99")
    with pytest.raises(StoreError, match=f"version 99.*{SCHEMA_VERSION}"):
        EventTracking(db).open()


@pytest.mark.database
def test_a_store_of_the_first_schema_is_brought_up_to_date(db: Path) -> None:
    """Nothing that it has is lost or changed: keys work, events are counted, found and erased, and new ones come to them."""
    key, visitor = "fe_full_first", str(uuid.uuid4())
    connection = duckdb.connect()
    connection.execute(f"attach '{db}' as first (storage_version 'v1.5.0'); use first")
    connection.execute(MIGRATIONS[0].replace("{namespace}", str(uuid.uuid4())))
    connection.execute("update meta set schema_version = 1")
    connection.execute("insert into accounts values ('a-1', 'alice', now()::timestamp)")
    connection.execute("insert into lists values (94, 'a-1', 'main', now()::timestamp)")
    key_hash = hashlib.sha256(key.encode()).digest()
    connection.execute("insert into api_keys values ('key_1', 'a-1', 'full', ?, now()::timestamp, null)", [key_hash])
    connection.execute(
        "insert into events select range, uuid(), 'a-1', 94, 'test', ?, 'x', null, now()::timestamp, now()::timestamp,"
        " '{\"old\": 1}' from range(1, 11)",
        [visitor],
    )
    connection.close()
    db.chmod(0o600)
    with EventTracking(db) as tracking:
        assert tracking.properties(94, api_key=key) == {"test": ["old"]}
        tracking.track(94, "test", uuid=visitor, properties={"new": 2}, api_key=key)
        assert tracking.properties(94, api_key=key) == {"test": ["new", "old"]}
        (known,) = tracking.directory.keys()
        assert (known.key_id, known.origins, known.list_ids) == ("key_1", None, None)
        assert tracking.stats().schema_version == SCHEMA_VERSION
        data = tracking.personal_data(94, uuid=visitor)
        assert [event.client_address for event in data.events] == [None] * 11
        assert [check for check in tracking.check() if not check.ok] == []
        assert tracking.erase(94, uuid=visitor).events == 11
    assert rows(db, "select count(*) from events") == [(0,)]


def test_an_interrupted_making_leaves_no_half_store(db: Path) -> None:
    """What a crash left of a store that was being made is removed; a file of the user with a like name stays."""
    unfinished = db.with_name(f"{db.name}.new-{'0' * 32}")
    unfinished.write_bytes(b"half")
    own = [db.with_name(f"{db.name}.new"), db.with_name(f"{db.name}.new-2026")]
    for path in own:
        path.write_bytes(b"own")
    with EventTracking(db):
        pass
    assert not unfinished.exists()
    assert [path.read_bytes() for path in own] == [b"own"] * 2
    assert rows(db, "select schema_version from meta") == [(SCHEMA_VERSION,)]


@pytest.mark.database
def test_the_file_is_written_for_every_supported_duckdb(db: Path) -> None:
    """The storage version is that of the oldest supported DuckDB, whatever the installed one would choose."""
    connection = open_database(db, Settings())
    ((tags,),) = connection.execute(
        "select tags['storage_version'] from duckdb_databases() where database_name = 'events'"
    ).fetchall()
    connection.close()
    assert tags.startswith("v1.5.0")


@pytest.mark.database
def test_properties_are_compressed_by_zstd_in_new_files_and_in_copies(db: Path, tmp_path: Path) -> None:
    """A third of the bytes; a file of before gets there with its next copy, whose schema is the same but for that."""
    columns = "select column_name, data_type, is_nullable from duckdb_columns() where table_name = 'events' order by column_index"
    used = """select distinct compression from pragma_storage_info('events')
        where column_name = 'properties' and segment_type <> 'VALIDITY'"""
    with duckdb.connect(str(db)) as connection:  # as every release has made it
        for step in MIGRATIONS:
            connection.execute(step.replace("{namespace}", str(uuid.uuid4())))
        connection.execute("update meta set schema_version = ?", [SCHEMA_VERSION])
        schema = connection.execute(columns).fetchall()
    store, fresh = Store(db, Settings()), Store(tmp_path / "fresh.duckdb", Settings())
    for one in (store, fresh):
        one.submit([new_event(properties={"number": number}) for number in range(1000)]).result(60)
    store.compact().result(60)
    for one in (store, fresh):
        one.close()
        assert rows(one.path, used) == [("ZSTD",)]
        assert rows(one.path, columns) == schema


@pytest.mark.database
def test_a_failed_database_is_opened_anew(store: Store, db: Path) -> None:
    """After a fatal error the writer opens the file again; events are taken, and nothing is doubled."""
    submit(store, new_event()).result(60)
    store.properties(1).result(60)
    writer = store._writer
    assert writer is not None
    writer._tables.close()
    writer.connection.close()
    writer.fail("database has been invalidated")
    wait_until(lambda: store.health() == HEALTHY, "the store is not mended")
    submit(store, new_event()).result(60)
    assert store.properties(1).result(60) == {"test": ["a"]}
    store.close()
    assert rows(db, "select count(*), max(seq) from events") == [(2, 2)]


def test_more_than_a_batch_is_answered_batch_by_batch(db: Path) -> None:
    """Threads that wait for a batch do not wait for the one behind it for ever, nor does one that gives up hold others back."""
    store = Store(db, Settings(batch_events=2))
    go = hold_intake(store)
    pending = [submit(store, new_event()) for _ in range(5)]
    held = store.run(lambda connection: connection.execute("select 1").fetchall())
    pending += [submit(store, new_event()) for _ in range(4)]
    for waiting in pending:
        with pytest.raises(TimeoutError):
            waiting.result(0.01)
    threads = [threading.Thread(target=waiting.result) for waiting in reversed(pending)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert held.result(60) == [(1,)]
    store.close()
    assert rows(db, "select count(*) from events") == [(9,)]


def test_a_pending_result_wakes_whoever_waits_however_the_threads_meet() -> None:
    """A callback is called once, whether it comes before the result, after it or at the same moment."""
    early: Pending[int] = Pending(Turnstile())
    called: list[int] = []
    with pytest.raises(TimeoutError):
        early.result(0.01)
    early.add_done_callback(lambda pending: called.append(pending.result()))
    assert called == []
    early.set_result(1)
    early.add_done_callback(lambda pending: called.append(pending.result() + 1))
    assert (called, early.result(), early.done()) == ([1, 2], 1, True)
    failed: Pending[int] = Pending(Turnstile())
    failed.set_exception(KeyError("x"))
    with pytest.raises(KeyError):
        failed.result()
    for number in range(2000):
        pending: Pending[int] = Pending(Turnstile())
        met: list[int] = []
        giver = threading.Thread(target=pending.set_result, args=(number,))
        giver.start()
        pending.add_done_callback(lambda done, met=met: met.append(done.result()))
        assert pending.result(60) == number
        giver.join()
        assert met == [number]


def test_an_identify_event_beside_another_is_marked(db: Path) -> None:
    """So that questions can tell it from one that a request named; other events have no mark."""
    credentials = make_store(db)
    with EventTracking(db) as tracking:
        tracking.track(credentials.list_id, "e", email="a@example.com")
        tracking.track(credentials.list_id, "e", email="a@example.com")
        tracking.track(credentials.list_id, "identify", email="a@example.com")
        kept = tracking.sql("select event, automatic from events order by seq").rows
    assert kept == [["identify", True], ["e", None], ["e", None], ["identify", False]]


@pytest.mark.database
def test_journal_entries_of_an_earlier_release_are_applied(db: Path) -> None:
    """Their rows have no member `automatic`."""
    at = 1_700_000_000_000_000
    row = {
        "seq": 1,
        "event_id": str(uuid.uuid4()),
        "account_id": "a-1",
        "list_id": 94,
        "event": "e",
        "visitor": str(uuid.uuid4()),
    }
    row |= {"external_id": "x", "email": None, "occurred_at": at, "received_at": at, "properties": {"a": "}"}}
    row |= {"client_timestamp": None, "client_address": None}
    entry = decode_entry(msgspec.json.encode({"number": 1, "last_seq": 1, "count": 1, "events": [row]}))
    with open_database(db, Settings()) as connection:
        tables = Tables(connection)
        tables.apply([complete_entry(complete_entry(entry))])
        kept = connection.execute("select seq, properties, automatic from events").fetchall()
        tables.close()
    assert kept == [(1, '{"a":"}"}', None)]
