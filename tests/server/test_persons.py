"""Personal data by person: shared browsers, addresses bound a moment ago, and files that an erased person must leave."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from falcon_events import EventsError, EventTracking, NotFound
from falcon_events.files.paths import journals_of, log_of, logs_of
from tests.faults.test_sql import start_reader
from tests.harness import wait_until
from tests.shortcuts import command

pytestmark = pytest.mark.database

BROWSER = "11111111-1111-4111-8111-111111111111"
PHONE = "22222222-2222-4222-8222-222222222222"
ALICE, BOB = "alice@example.com", "bob@example.com"


@pytest.fixture
def shared(tracking: EventTracking) -> EventTracking:
    """A browser that Alice and then Bob use, after and before somebody without an address; Alice has a phone too."""
    tracking.directory.ensure_list(1, "news")
    tracking.track(1, "first", uuid=BROWSER)
    tracking.track(1, "identify", uuid=BROWSER, email=ALICE, id="a-1")
    tracking.track(1, "hers", uuid=BROWSER)
    tracking.track(1, "identify", uuid=BROWSER, email="Bob@example.com", identify_properties={"phone": "1"})
    tracking.track(1, "his", uuid=BROWSER)
    tracking.track(1, "order", uuid=BROWSER, email=BOB, id="b-1")
    tracking.track(1, "phone", uuid=PHONE, email=ALICE.upper())
    return tracking


def test_people_who_share_a_browser_keep_what_is_theirs(shared: EventTracking) -> None:
    """An event belongs to its address, else to the visitor's last earlier one, else to the first later one."""
    alice = shared.personal_data(1, email=ALICE.upper())
    assert [event.event for event in alice.events] == ["first", "identify", "hers", "identify", "phone"]
    assert [(binding.visitor, binding.email) for binding in alice.bindings] == [(BROWSER, ALICE), (PHONE, ALICE)]
    assert (alice.visitors, alice.shared_visitors) == ([BROWSER, PHONE], [BROWSER])
    bob = shared.personal_data(1, email=BOB)
    assert [event.event for event in bob.events] == ["identify", "his", "order"]
    assert [binding.traits for binding in bob.bindings] == [{"phone": "1"}]
    erased = shared.erase(1, email=ALICE)
    assert (erased.emails, erased.events, erased.bindings, erased.shared_visitors) == ([ALICE], 5, 2, [BROWSER])
    assert shared.personal_data(1, email=BOB) == msgspec.structs.replace(bob, shared_visitors=[])
    with pytest.raises(NotFound):
        shared.personal_data(1, email=ALICE)
    assert [check for check in shared.check() if not check.ok] == []


def test_a_shared_visitor_names_no_person(shared: EventTracking) -> None:
    """By uuid it is refused, and nothing is erased; an unshared one, and an ID, name their person."""
    for ask in (shared.personal_data, shared.erase):
        with pytest.raises(EventsError, match=f"2 people share .{ALICE}, {BOB}."):
            ask(1, uuid=BROWSER)
    assert {event.event for event in shared.personal_data(1, uuid=PHONE).events} >= {"first", "hers", "phone"}
    assert {event.email for event in shared.personal_data(1, id="b-1").events} == {"Bob@example.com", None, BOB}
    assert shared.erase(1, id="a-1").emails == [ALICE]
    assert {event.event for event in shared.personal_data(1, uuid=BROWSER).events} == {"identify", "his", "order"}


def test_an_anonymous_visitor_is_a_person_alone(tracking: EventTracking) -> None:
    """Without any address, the uuid and the sender's ID name the same events."""
    tracking.directory.ensure_list(1, "news")
    tracking.track(1, "a", uuid=PHONE, id="x")
    tracking.track(1, "b", uuid=PHONE, id="x")
    tracking.track(1, "c", uuid=BROWSER, id="y")
    assert [event.event for event in tracking.personal_data(1, uuid=PHONE).events] == ["a", "b"]
    assert [event.event for event in tracking.personal_data(1, id="x").events] == ["a", "b"]
    assert tracking.erase(1, id="x").events == 2
    with pytest.raises(NotFound):
        tracking.erase(1, uuid=PHONE)
    with pytest.raises(NotFound):
        tracking.erase(1, uuid="no uuid")


def test_an_address_that_was_bound_a_moment_ago_is_exported(tracking: EventTracking) -> None:
    """The table of bindings lags behind the events; personal data does not."""
    tracking.directory.ensure_list(1, "news")
    tracking.track(1, "order", email=ALICE)
    assert tracking.sql("select count(*) from bindings").rows == [[0]]
    (binding,) = tracking.personal_data(1, email=ALICE).bindings
    assert (binding.email, binding.traits) == (ALICE, None)


def test_the_commands_say_which_browsers_are_shared(shared: EventTracking, db: Path) -> None:
    """On standard error, so that the exported JSON stays JSON."""
    exported = command("export", "--visitor", "--list", "1", "--email", BOB, "--db", str(db))
    assert json.loads(exported.stdout)["shared_visitors"] == [BROWSER]
    assert BROWSER.encode() in exported.stderr
    erased = command("erase", "--list", "1", "--email", BOB, "--yes", "--db", str(db))
    assert (erased.returncode, BROWSER.encode() in erased.stderr) == (0, True)
    refused = command("erase", "--list", "1", "--uuid", "no uuid", "--yes", "--db", str(db))
    assert refused.returncode == 2


@pytest.mark.parametrize("compacted", [False, True])
def test_an_erased_person_leaves_the_logs_at_once(tracking: EventTracking, db: Path, compacted: bool) -> None:
    """Neither the journal nor the write-ahead log keeps the address, and new events are journaled as before."""
    tracking.directory.ensure_list(1, "news")
    tracking.track(1, "order", email=ALICE, properties={"a": 1})
    assert any(ALICE.encode() in log.read_bytes() for log in logs_of(db) if log.exists())
    assert tracking.erase(1, email=ALICE).left_in == []
    if compacted:
        tracking.compact()
    assert not [log.name for log in logs_of(db) if log.exists() and ALICE.encode() in log.read_bytes()]
    assert not compacted or ALICE.encode() not in db.read_bytes()
    for number in range(3):
        tracking.track(1, "later", email=f"{number}@example.com")
    assert tracking.stats().events == 6


def test_an_erased_person_leaves_saved_segments(tracking: EventTracking, db: Path) -> None:
    """In their names and conditions; an address that only contains the person's one is another person's."""
    tracking.directory.ensure_list(1, "news")
    tracking.track(1, "order", email=ALICE)
    visitor = tracking.people(1).rows[0].uuids[0]
    others = ["is", "email", [BOB, f"x{ALICE}", f"{ALICE}.example"]]
    tracking.save(
        1, f"without {ALICE.title()}", people=[["is_not", "email", [ALICE.upper()]], ["is_not", "visitor", [visitor]], others]
    )
    tracking.save(1, "others", people=[others])
    kept = tracking.saved(1).rows[0]
    tracking.erase(1, email=ALICE)
    saved = {one.name: one.people for one in tracking.saved(1).rows}
    assert saved == {
        "without (erased)": [["is_not", "email", ["(erased)"]], ["is_not", "visitor", ["(erased)"]], others],
        "others": kept.people,
    }


def test_a_deleted_list_leaves_the_logs_at_once(tracking: EventTracking, db: Path) -> None:
    """As an erased person does."""
    tracking.directory.ensure_list(1, "news")
    tracking.track(1, "order", email=ALICE)
    tracking.directory.delete_list(1)
    assert not [log.name for log in logs_of(db) if log.exists() and ALICE.encode() in log.read_bytes()]


def test_the_log_is_emptied_after_the_last_query_that_reads_it(tracking: EventTracking, db: Path) -> None:
    """A query that runs holds the checkpoint back; the journal is emptied at once all the same."""
    tracking.directory.ensure_list(1, "news")
    tracking.track(1, "order", email=ALICE)
    log, journals = log_of(db), journals_of(db)
    with ThreadPoolExecutor() as pool:
        asked, reader = start_reader(tracking, pool)
        tracking.erase(1, email=ALICE)
        assert not any(ALICE.encode() in journal.read_bytes() for journal in journals)
        os.kill(reader, signal.SIGKILL)
        with pytest.raises(EventsError):
            asked.result(60)
    wait_until(lambda: not log.exists() or ALICE.encode() not in log.read_bytes(), "the log is emptied")


def test_files_that_were_set_aside_and_contain_an_erased_person_are_named(tracking: EventTracking, db: Path) -> None:
    """The store does not change them, so whoever erases has to delete them."""
    tracking.directory.ensure_list(1, "news")
    tracking.track(1, "order", email=ALICE)
    tracking.track(1, "order", email=BOB)
    for name, text in (("wal.replaced-1", f"x{ALICE.upper()}x"), ("refused.ndjson", ALICE), ("journal-a.replaced-1", BOB)):
        db.with_name(f"{db.name}.{name}").write_bytes(b"\0" * ((1 << 20) - 5) + text.encode())
    erased = command("erase", "--list", "1", "--email", ALICE, "--yes", "--db", str(db))
    assert b"events.duckdb.refused.ndjson, events.duckdb.wal.replaced-1" in erased.stderr
    assert tracking.erase(1, email=BOB).left_in == ["events.duckdb.journal-a.replaced-1"]


def test_a_log_of_the_database_that_was_set_aside_is_named_for_an_anonymous_visitor(tracking: EventTracking, db: Path) -> None:
    """It has the visitor's UUID in the database's own form, and no text."""
    tracking.directory.ensure_list(1, "news")
    visitor = tracking.track(1, "order", uuid="1b9e3d0a-6f1c-4c59-9f2f-0d8a4c4b7e11", email=None).uuid
    tracking.stats()
    log = db.with_name(f"{db.name}.wal.torn-1")
    log.write_bytes(log_of(db).read_bytes())
    assert visitor.encode() not in log.read_bytes()
    assert tracking.erase(1, uuid=visitor).left_in == [log.name]
