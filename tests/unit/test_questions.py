"""Questions for property names: they keep no event waiting, are shared while they wait, and are not computed when late."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from falcon_events import EventTracking, StoreUnavailable
from falcon_events.link import messages
from falcon_events.link.channel import Channel, show_secret
from falcon_events.link.messages import PROTOCOL, Answer, Ask, Batch, Failed, Hello, Results, Welcome
from falcon_events.model.events import NewEvent
from falcon_events.owner.server import OwnerServer
from falcon_events.owner.session import MAX_OPEN_CALLS
from falcon_events.settings import Settings
from falcon_events.store.database import catalogue
from falcon_events.store.store import Store
from tests.harness import fill_store

VISITOR = "13f8e79a-f063-4b80-90e4-b65a699a2f56"


class HeldNames(catalogue.PropertyNames):
    """A query of names that waits, for list 1, until it may go on; it knows how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.go = threading.Event()
        self.begun = threading.Event()

    def read(self, connection: duckdb.DuckDBPyConnection, list_id: int, folded: int) -> dict[str, list[str]]:
        """Waits and reads."""
        self.asked.append(list_id)
        if list_id == 1:
            self.begun.set()
            assert self.go.wait(60)
        return super().read(connection, list_id, folded)


@pytest.fixture
def names() -> HeldNames:
    """The query of the store."""
    return HeldNames()


@pytest.fixture
def store(db: Path, names: HeldNames) -> Iterator[Store]:
    """An open store whose queries about list 1 wait."""
    store = Store(db, Settings())
    store._names = names
    store.open()
    yield store
    names.go.set()
    store.close()


def new_event(list_id: int, **properties: Any) -> NewEvent:
    """An event of a list."""
    at = 1_700_000_000_000_000
    return NewEvent(None, "account", list_id, "e", VISITOR, "id", None, at, at, msgspec.json.encode(properties), None, 100)


def test_questions_that_wait_for_one_list_are_one_read_and_keep_no_other_list_waiting(store: Store, names: HeldNames) -> None:
    """Each answer has what was stored before its question."""
    store.submit([new_event(1, a=1)]).result(60)
    first = store.properties(1)
    assert names.begun.wait(60)
    store.submit([new_event(1, b=1), new_event(2, c=1)]).result(60)
    others = [store.properties(1) for _ in range(50)]
    assert store.properties(2).result(60) == {"e": ["c"]}
    names.go.set()
    assert first.result(60)["e"][0] == "a"
    assert [other.result(60) for other in others] == [{"e": ["a", "b"]}] * 50
    assert names.asked == [1, 2, 1]


def test_a_late_question_is_not_computed(store: Store, names: HeldNames) -> None:
    """It fails with StoreUnavailable; those of others that wait with it are answered."""
    late = store.properties(2, time.monotonic() - 1)
    with pytest.raises(StoreUnavailable):
        late.result(60)
    assert names.asked == []
    held = store.properties(1)
    assert names.begun.wait(60)
    waiting = [store.properties(1, time.monotonic() + 600), store.properties(1)]
    names.go.set()
    assert [question.result(60) for question in (held, *waiting)] == [{}] * 3


@pytest.mark.parametrize(
    "error", [duckdb.OutOfMemoryException("out"), duckdb.FatalException("fatal"), duckdb.ConnectionException("closed")]
)
def test_a_question_for_which_the_database_has_no_means_may_be_asked_again(
    store: Store, names: HeldNames, monkeypatch: pytest.MonkeyPatch, error: duckdb.Error
) -> None:
    """503 rather than 500."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(names, "read", fail)
    with pytest.raises(StoreUnavailable):
        store.properties(2).result(60)


def test_a_list_with_too_many_names_to_return_is_unavailable(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of others are returned."""
    store.submit([new_event(2, **{f"name {number}": 1 for number in range(500)}), new_event(3, a=1)]).result(60)
    store._open_writer().wait_until_applied()
    monkeypatch.setattr(catalogue, "MAX_ANSWER", 500 * catalogue.NAME_COST)
    with pytest.raises(StoreUnavailable, match="too many property names"):
        store.properties(2).result(60)
    with pytest.raises(StoreUnavailable, match="too many property names"):
        store.recount(2).result(60)
    assert store.properties(3).result(60) == {"e": ["a"]}
    assert all(check.ok for check in store.check().result(60) if check.name == "catalogue")


@pytest.mark.database
def test_a_check_compares_many_names_in_portions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds the one that is wrong."""
    monkeypatch.setattr(catalogue, "COMPARED_AT_ONCE", 10)
    store.submit([new_event(2, **{f"name {number}": number for number in range(100)})]).result(60)
    writer = store._open_writer()
    writer.wait_until_applied()
    store.run(lambda _: writer.upkeep.fold(1)).result(60)
    assert all(check.ok for check in store.check().result(60) if check.name == "catalogue")
    store.run(lambda connection: connection.execute("delete from event_properties where name = 'name 77'")).result(60)
    assert [check.ok for check in store.check().result(60) if check.name == "catalogue"] == [False]


def test_events_do_not_wait_for_the_questions_of_their_process(store: Store, names: HeldNames) -> None:
    """However many wait on their connection; those beyond a limit fail at once, and may be asked again."""
    server = OwnerServer(store, b"secret", "address")
    here, there = socket.socketpair()
    server.serve(there)
    channel = Channel(here)
    show_secret(channel, b"secret")
    channel.send_bytes(messages.encode(Hello(PROTOCOL, "0", 1, "client", 0)))
    assert isinstance(messages.decode_from_owner(channel.recv_bytes()), Welcome)
    until = time.monotonic() + 600
    for number in range(MAX_OPEN_CALLS + 50):
        channel.send_bytes(messages.encode(Ask(number, "properties", [1], until)))
    channel.send_bytes(messages.encode(Batch(1, [new_event(1, a=1)])))
    received: list[Any] = []
    while not received or not isinstance(received[-1], Results):
        received.append(messages.decode_from_owner(channel.recv_bytes()))
    assert [(type(message), message.kind) for message in received[:-1]] == [(Failed, "StoreUnavailable")] * 50
    names.go.set()
    answers = [messages.decode_from_owner(channel.recv_bytes()) for _ in range(MAX_OPEN_CALLS)]
    assert {type(answer) for answer in answers} == {Answer}
    assert len(names.asked) <= 2
    server.end()
    channel.close()


def test_a_large_answer_arrives_whole_and_events_pass_it(db: Path) -> None:
    """It is sent in parts."""
    with EventTracking(db) as tracking:
        fill_store(tracking)
        expected = {f"e{event}": [f"{number:04}".ljust(200, "é") for number in range(1_000)] for event in range(5)}
        for event, given in expected.items():
            tracking.track(94, event, uuid=VISITOR, properties=dict.fromkeys(given, 1))
        results: list[object] = []
        asking = threading.Thread(target=lambda: results.extend(tracking.properties(94) for _ in range(5)))
        asking.start()
        while asking.is_alive():
            tracking.track(95, "beside", uuid=VISITOR)
        asking.join()
        assert results == [expected] * 5
