"""Hooks of the host: what they do to events before they are stored, and what they are given once these are committed."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from falcon_events import (
    CommittedEvent,
    EventDropped,
    EventRefused,
    EventTracking,
    IncomingEvent,
    RequestRefused,
    StoreUnavailable,
    Tracked,
)
from tests.harness import EVENT, EVENTS, Credentials, Served, free_port, owner_of, rows, running, wait_until
from tests.shortcuts import make_store

ROOT = Path(__file__).parents[2]
SERVERS = {
    "wsgi": ["gunicorn", "tests.apps.hooked:wsgi", "--threads=8", "--no-control-socket", "--preload", "--workers=2", "--bind"],
    "asgi": ["uvicorn", "tests.apps.hooked:asgi", "--log-level=info", "--port"],
}


class Host:
    """A running application with hooks."""

    def __init__(self, served: Served, credentials: Credentials, db: Path) -> None:
        self.served, self.credentials, self.db = served, credentials, db

    def track(self, do: str | None = None, **changes: Any) -> Any:
        """The answer to an event that asks the hooks for something."""
        properties = {"do": do, **changes.pop("properties", {})}
        return self.served.client.post(EVENT, json=self.credentials.event(properties=properties, **changes))

    def batch(self, *events: dict[str, Any]) -> Any:
        """The answer to a batch of events with these properties."""
        bodies = [self.credentials.event(properties=properties) for properties in events]
        return self.served.client.post(EVENTS, json={"APIKey": self.credentials.full, "Events": bodies})

    def recorded(self) -> list[list[Any]]:
        """What after_commit was given: process, id, event, address, properties, whether an identify event was stored too."""
        path = self.db.with_name("record")
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def stored(self) -> list[tuple[str, dict[str, Any]]]:
        """Every event in the store, with its properties."""
        with EventTracking(self.db) as tracking:
            return [(one.event, one.properties) for _, one in tracking.latest(94, most=10_000)]

    def metric(self, name: str) -> float:
        """A metric's value, over all processes."""
        for line in self.served.client.get("/metrics").text.splitlines():
            if line.startswith(f"falcon_events_{name} "):
                return float(line.split()[-1])
        raise AssertionError(name)


@pytest.fixture
def host(flavour: str, tmp_path: Path) -> Iterator[Host]:
    """The application of tests/apps/hooked.py, of each flavour; that of WSGI makes its tracker before it forks."""
    db, port = tmp_path / "events.duckdb", free_port()
    credentials = make_store(db)
    *command, last = SERVERS[flavour]
    at = f"127.0.0.1:{port}" if flavour == "wsgi" else str(port)
    env = {"HOST_DB": str(db), "HOST_RECORD": str(tmp_path / "record"), "PYTHONPATH": str(ROOT)}
    with running([sys.executable, "-m", *command, last, at], tmp_path / "log", port=port, env=env) as served:
        yield Host(served, credentials, db)


def codes(answer: Any) -> list[int]:
    """The codes of a failure."""
    return [error["Code"] for error in answer.json().get("Errors", ())]


def test_hooks_see_events_on_their_way(host: Host) -> None:
    """They change, rename, refuse and drop; what fails there is a 500 that tells nothing, and the rest goes on."""
    assert host.track(properties={"price": 1}).status_code == 200
    assert codes(host.track("rename", properties={"price": 1})) == []
    refused = host.track("refuse")
    assert (refused.status_code, refused.json()) == (422, {"Errors": [{"Code": 18, "Message": "Not today."}]})
    dropped = host.track("drop")
    assert (dropped.status_code, dropped.headers["X-Event-Dropped"]) == (200, "host")
    for do in ("fail", "return", "spoil", "move"):
        failed = host.track(do)
        assert (failed.status_code, codes(failed)) == (500, [100005])
        assert "hidden" not in failed.text
    off_plan = host.track("rename")
    assert codes(off_plan) == [17]
    assert off_plan.json()["Errors"][0]["Message"] == (
        "Properties do not keep to the plan of event checkout: 'total' is a required property."
    )
    wait_until(lambda: host.metric('hook_failures_total{hook="before_store"}') == 4, "four failures are counted")
    wait_until(lambda: host.metric("plan_violations_total") == 1, "one violation is counted")
    assert host.metric("dropped_total") == 1
    agent = host.served.client.headers["User-Agent"]
    assert host.stored() == [
        ("identify", {"do": None, "agent": agent, "total": 12.5, "emailAddress": "2006@test.com"}),
        ("test", {"do": None, "agent": agent, "total": 12.5}),
        ("checkout", {"do": "rename", "agent": agent, "total": 12.5}),
    ]
    log = host.served.log()
    for reason in (
        "ZeroDivisionError: hidden",
        "returned IncomingEvent",
        "properties['bytes'] is of type bytes",
        "change an event's list_id",
    ):
        assert reason in log


@pytest.mark.parametrize("flavour", ["asgi"])  # a batch is taken apart below HTTP, as is what a test event does
def test_an_event_of_a_batch_has_its_own_outcome(host: Host) -> None:
    """One that a hook refuses, drops or fails with leaves the others alone."""
    answer = host.batch({"n": 1}, {"do": "refuse"}, {"do": "drop"}, {"do": "fail"}, {"do": "rename"}, {"n": 2})
    assert (answer.status_code, answer.headers["X-Event-Dropped"]) == (200, "host")
    results = answer.json()["Results"]
    assert [result.get("Errors", [{"Code": 0}])[0]["Code"] for result in results] == [0, 18, 0, 100005, 17, 0]
    assert [properties.get("n") for event, properties in host.stored() if event == "test"] == [1, 2]


@pytest.mark.parametrize("flavour", ["wsgi"])
def test_an_event_that_is_only_checked_is_checked_by_hooks_too(host: Host) -> None:
    """With isTest, refusals are the same, and nothing is stored or given to after_commit."""
    assert codes(host.track("refuse", properties={"isTest": True})) == [18]
    assert host.track("drop", properties={"isTest": True}).headers["X-Event-Dropped"] == "host"
    assert host.track(properties={"isTest": True}).status_code == 200
    assert host.track(event="last").status_code == 200
    wait_until(lambda: host.recorded(), "the last event is given")
    assert [event for _, _, event, *_ in host.recorded()] == ["last"]
    assert [event for event, _ in host.stored()] == ["identify", "last"]


def test_after_commit_is_given_what_was_stored_once(host: Host) -> None:
    """In the process that took the request; no repeats, nothing refused or dropped; a failure there is nobody's but the log's."""
    event_id = "0b0e8f0e-6f6c-4d0e-9a56-0e2f6b1f7a11"
    first = host.track(EventID=event_id, properties={"n": 1})
    assert host.track(EventID=event_id, properties={"n": 1}).headers["X-Event-Duplicate"] == "true"
    host.track("drop")
    host.track("refuse")
    second = host.track("fail later")
    assert (first.status_code, second.status_code) == (200, 200)
    wait_until(lambda: len(host.recorded()) >= 2, "both are given")
    wait_until(lambda: host.metric('hook_failures_total{hook="after_commit"}') == 1, "the failure is counted")
    assert "tests.apps.hooked.record failed with 1 events, which are stored" in host.served.log()
    third = host.batch({"n": 3}, {"n": 4})
    assert third.status_code == 200
    wait_until(lambda: len(host.recorded()) >= 4, "the batch is given")
    given = sorted(host.recorded(), key=lambda one: one[4].get("n") or 2)
    assert [(one[1], one[5]) for one in given[:2]] == [
        (event_id, True),
        (second.headers["X-Event-ID"], False),
    ]
    assert [one[4].get("n") for one in given] == [1, None, 3, 4]
    assert owner_of(host.db) not in {one[0] for one in given}


def open_with(db: Path, **arguments: Any) -> tuple[EventTracking, Credentials]:
    """An open tracker of a new store."""
    made = make_store(db)
    return EventTracking(db, **arguments).open(), made


def test_a_hook_is_plain_or_async_for_threads_and_for_coroutines(db: Path) -> None:
    """track() runs an async hook, and atrack() leaves a plain one to a thread, so that the event loop goes on."""
    seen: list[tuple[str, bool, str]] = []

    def plain(event: IncomingEvent) -> None:
        seen.append(("plain", event.is_from_host, threading.current_thread().name))

    class Asynchronous:
        async def __call__(self, event: IncomingEvent) -> None:
            await asyncio.sleep(0)
            seen.append(("async", event.is_from_host, threading.current_thread().name))

    tracking, _ = open_with(db, before_store=(plain, Asynchronous()))
    with tracking:
        tracking.track(94, "test", email="a@example.com")
        asyncio.run(tracking.atrack(94, "test", email="a@example.com"))
    main = threading.current_thread().name
    assert [(kind, host) for kind, host, _ in seen] == [("plain", True), ("async", True)] * 2
    assert [thread == main for _, _, thread in seen] == [True, False, False, True]


@pytest.mark.parametrize("batch", [False, True])
def test_an_async_hook_that_waits_for_itself_fails(db: Path, caplog: pytest.LogCaptureFixture, batch: bool) -> None:
    """track() in it is an error that names atrack(); the next events are stored."""
    tracking: EventTracking

    async def hook(event: IncomingEvent) -> None:
        if event.event == "blocking":
            tracking.track(94, "audit", email="a@example.com")
        elif event.event == "awaiting":
            await tracking.atrack(94, "audit", email="a@example.com")

    tracking, _ = open_with(db, before_store=hook)
    with tracking:
        if batch:
            bodies = [json.dumps({"ListID": 94, "event": name, "email": "a@example.com"}).encode() for name in ("blocking", "x")]
            refused, tracked = tracking.track_many(bodies)
            assert isinstance(refused, RequestRefused)
            assert isinstance(tracked, Tracked)
        else:
            with pytest.raises(RequestRefused) as failed:
                tracking.track(94, "blocking", email="a@example.com")
            assert failed.value.status == 500
        tracking.track(94, "awaiting", email="a@example.com")
        assert set(tracking.properties(94)) == {"identify", "awaiting", "audit"} | ({"x"} if batch else set())
    assert "await atrack() in it, not track()" in caplog.text


def test_an_async_hook_that_wants_to_leave_fails(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is a failure of one event's; the event loop that the hooks share goes on."""
    ways = {leave.__name__: leave for leave in (SystemExit, KeyboardInterrupt, asyncio.CancelledError)}

    async def hook(event: IncomingEvent) -> None:
        if event.event in ways:
            raise ways[event.event]

    tracking, _ = open_with(db, before_store=hook)
    with tracking:
        for number, name in enumerate(ways):
            caplog.clear()
            for _ in range(2):
                with pytest.raises(RequestRefused) as failed:
                    tracking.track(94, name, email="a@example.com")
                assert failed.value.status == 500
            tracking.track(94, f"stay {number}", email="a@example.com")
            assert set(tracking.properties(94)) == {"identify", *(f"stay {before}" for before in range(number + 1))}
            assert name in caplog.text


def test_a_task_that_wants_to_leave_ends_nothing_but_itself(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One that an async hook has started: the event loop that the hooks share goes on, and the log has the traceback."""
    tasks = []

    async def leave() -> None:
        sys.exit(1)

    async def hook(event: IncomingEvent) -> None:
        tasks.append(asyncio.create_task(leave()))
        await asyncio.sleep(0)

    tracking, _ = open_with(db, before_store=hook)
    with tracking:
        for _ in range(2):
            assert tracking.track(94, "stay", email="a@example.com").event_id
    assert [isinstance(task.exception(), SystemExit) for task in tasks] == [True, True]
    assert "A background task of a hook or Access method raised" in caplog.text


def test_a_hook_sees_and_sets_what_an_event_is(db: Path) -> None:
    """Address, owner, traits and time are the hook's to set; each counts as if the sender had given it."""
    moment = datetime(2020, 2, 29, 12, 0, 0, 123_457, tzinfo=UTC)

    def hook(event: IncomingEvent) -> None:
        assert (event.email, event.external_id, event.visitor, event.identify_properties) == (None, None, VISITOR, None)
        assert event.occurred_at == event.received_at
        event.email, event.external_id, event.occurred_at = " ada@example.com ", "7", moment
        event.identify_properties = {"name": "Ada"}

    tracking, _ = open_with(db, before_store=hook)
    with tracking:
        tracked = tracking.track(94, "test", uuid=VISITOR)
        assert (tracked.external_id, tracked.identify_event_sent) == ("7", True)
        data = tracking.personal_data(94, email="ada@example.com")
        assert data.bindings[0].traits == {"name": "Ada"}
        assert {event.occurred_at for event in data.events} == {"2020-02-29T12:00:00.123457+00:00"}


VISITOR = "13f8e79a-f063-4b80-90e4-b65a699a2f56"


class Assignment:
    """A before_store hook that sets a field of each event."""

    field: str
    value: object

    def __call__(self, event: IncomingEvent) -> None:
        """Sets it."""
        setattr(event, self.field, self.value)


@pytest.fixture(scope="module")
def assigning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EventTracking, Assignment]]:
    """A tracker that stores nothing, since its hook makes each event one that cannot be stored."""
    assignment = Assignment()
    tracking, _ = open_with(tmp_path_factory.mktemp("assigning") / "events.duckdb", before_store=assignment)
    with tracking:
        yield tracking, assignment


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("properties", {str(number): 1 for number in range(1001)}),
        ("properties", {"x" * 201: 1}),
        ("properties", {"x": float("nan")}),
        ("properties", {"x": object()}),
        ("properties", {"x": float("inf")}),
        ("properties", ["x"]),
        ("email", "no address"),
        ("event", " "),
        ("event", "conversion"),
        ("visitor", "no uuid"),
        ("external_id", "x" * 256),
        ("occurred_at", datetime(2020, 1, 1)),
        ("occurred_at", datetime.now(UTC) + timedelta(days=2)),
        ("occurred_at", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("occurred_at", datetime.min.replace(tzinfo=UTC)),
        ("occurred_at", None),
        ("received_at", datetime(2020, 1, 1, tzinfo=UTC)),
        ("event_id", VISITOR),
    ],
)
def test_a_hook_cannot_make_an_event_that_the_store_refuses(
    assigning: tuple[EventTracking, Assignment], caplog: pytest.LogCaptureFixture, field: str, value: object
) -> None:
    """What the contract does not allow is the hook's failure, not the sender's; nothing is stored."""
    tracking, assignment = assigning
    assignment.field, assignment.value = field, value
    with pytest.raises(RequestRefused) as refused:
        tracking.track(94, "test", email="a@example.com")
    assert (refused.value.status, refused.value.codes) == (500, (100005,))
    assert refused.value.__cause__ is not None
    assert tracking.stats().events == 0
    assert [record.levelno for record in caplog.records if record.name == "falcon_events.hooks.before"] == [logging.ERROR]


def test_a_hooks_refusal_is_an_exception_for_host_code(db: Path) -> None:
    """track() raises what the hook raised, with the code that a client gets; a dropped event has a usual answer."""

    def hook(event: IncomingEvent) -> None:
        if event.event == "dropped":
            raise EventDropped
        raise EventRefused("Only dropped ones.")

    tracking, _ = open_with(db, before_store=hook)
    with tracking:
        with pytest.raises(EventRefused, match=r"Only dropped ones\. \(code 18\)") as refused:
            tracking.track(94, "test", email="a@example.com")
        assert (refused.value.status, refused.value.codes) == (422, (18,))
        dropped = tracking.track(94, "dropped", email="a@example.com")
        assert (dropped.dropped, dropped.dropped_by, dropped.identify_event_sent) == (True, "host", False)
        bodies = [json.dumps({"ListID": 94, "event": name, "email": "a@example.com"}).encode() for name in ("dropped", "test")]
        first, second = tracking.track_many(bodies)
        assert isinstance(first, Tracked)
        assert first.dropped
        assert isinstance(second, EventRefused)
        assert tracking.stats().dropped[0].events == 2


def test_a_hook_that_cannot_be_called_is_named(db: Path) -> None:
    """Before anything is opened."""
    with pytest.raises(TypeError, match=r"after_commit='print' must be a function or a sequence of functions"):
        EventTracking(db, after_commit=[print, "print"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="before_store=7"):
        EventTracking(db, before_store=7)  # type: ignore[arg-type]


class Gate:
    """An after_commit hook that waits until it is let go on."""

    def __init__(self) -> None:
        self.given: list[CommittedEvent] = []
        self.entered, self.open = threading.Event(), threading.Event()

    def __call__(self, events: Sequence[CommittedEvent]) -> None:
        """Takes a batch."""
        self.entered.set()
        self.open.wait()
        self.given += events


def test_a_slow_after_commit_keeps_nobody_waiting(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Answers come all the same; what is more than the queue holds is skipped, counted and logged once."""
    gate = Gate()
    tracking, _ = open_with(db, after_commit=gate, queue_events=5)
    with tracking:
        tracking.track(94, "n0", email="a@example.com")
        gate.entered.wait()
        for number in range(1, 9):
            assert tracking.track(94, f"n{number}", email="a@example.com").event_id
        wait_until(lambda: b"hook_skipped_total 3.0" in tracking.metrics(), "three are counted as skipped")
        gate.open.set()
    assert [event.event for event in gate.given] == [f"n{number}" for number in range(6)]
    warnings = [record.getMessage() for record in caplog.records if record.name == "falcon_events.hooks.after"]
    assert warnings == ["after_commit is too slow: 1 stored events were not passed to it"]


def test_closing_gives_after_commit_what_there_is(db: Path) -> None:
    """And the hook may still track while it does."""
    given: list[str] = []
    tracking: EventTracking

    def follow(events: Sequence[CommittedEvent]) -> None:
        given.extend(event.event for event in events)
        for event in events:
            if event.event == "signup":
                tracking.track(event.list_id, "welcome", email=event.email)

    tracking, _ = open_with(db, after_commit=follow)
    for _ in range(20):
        tracking.track(94, "signup", email="a@example.com")
    tracking.close()
    tracking.close()
    assert (given.count("signup"), given.count("welcome")) == (20, 20)


def test_closing_does_not_wait_for_ever_for_after_commit(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After commit_wait_s what was not given is counted and logged; the store is closed in order."""
    gate = Gate()
    tracking, _ = open_with(db, after_commit=gate, batch_events=1, commit_wait_s=0.5)
    for number in range(3):
        tracking.track(94, f"n{number}", email="a@example.com")
    tracking.close()
    assert gate.given == []
    gate.open.set()
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "falcon_events.hooks.after"]
    assert warning == "after_commit is too slow: 2 stored events were not passed to it"
    with EventTracking(db) as again:
        assert again.stats().events == 4


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_one_after_commit_that_fails_leaves_the_others_alone(db: Path, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    """Each hook is given each batch, whatever the one before it has raised."""
    failures = [ZeroDivisionError, SystemExit, KeyboardInterrupt, asyncio.CancelledError, BaseException]
    given: list[CommittedEvent] = []

    def plain(events: Sequence[CommittedEvent]) -> None:
        raise failures[int(events[0].event)]

    async def asynchronous(events: Sequence[CommittedEvent]) -> None:
        raise failures[int(events[0].event)]

    fails = plain if kind == "plain" else asynchronous
    expected = [str(number) for number in range(len(failures)) for _ in range(2)]

    tracking, _ = open_with(db, after_commit=[fails, given.extend])
    with tracking:
        for count, name in enumerate(expected, 1):
            caplog.clear()
            tracking.track(94, name, email="a@example.com", properties={"n": 2**60})
            if count < len(expected):  # the end gives the last one
                wait_until(lambda count=count: len(given) == count, f"event {count} is not given")  # type: ignore[misc]
                assert f"{fails.__qualname__} failed with 1 events, which are stored" in caplog.text
    assert f"{fails.__qualname__} failed with 1 events, which are stored" in caplog.text
    assert [event.event for event in given] == expected
    assert [event.properties for event in given] == [{"n": 2**60}] * len(expected)


def test_events_are_given_once_though_the_owner_dies(db: Path) -> None:
    """What was under way is stored by its successor and given then; what was not stored is not given."""
    given: list[CommittedEvent] = []
    tracking, _ = open_with(db, after_commit=given.extend)
    stored = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            try:
                stored.append(tracking.track(94, "test", email="a@example.com").event_id)
            except StoreUnavailable:
                continue

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for kills in (1, 2, 3):
        wait_until(lambda kills=kills: len(stored) > kills * 200, "events are stored")  # type: ignore[misc]
        os.kill(owner_of(db), signal.SIGKILL)
    count = len(stored)
    wait_until(lambda: len(stored) > count + 200, "events are stored again")
    stop.set()
    for thread in threads:
        thread.join()
    tracking.close()
    ids = [event.event_id for event in given]
    assert len(ids) == len(set(ids))
    assert set(ids) >= set(stored)
    kept = {event_id for (event_id,) in rows(db, "select event_id::varchar from events where event = 'test'")}
    assert set(ids) <= kept


def test_what_waits_at_a_fork_stays_the_parents(db: Path) -> None:
    """A child gives its own events on a thread of its own; the parent's are given once."""
    gate = Gate()
    tracking, _ = open_with(db, after_commit=gate)
    tracking.track(94, "parent", email="a@example.com")
    gate.entered.wait()
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            gate.open.set()
            tracking.track(94, "child", email="a@example.com")
            tracking.close()
            os.write(writes, ",".join(event.event for event in gate.given).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writes)
    with os.fdopen(reads, "rb") as told:
        assert told.read() == b"child"
    gate.open.set()
    tracking.close()
    assert [event.event for event in gate.given] == ["parent"]
