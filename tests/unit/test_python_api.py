"""The Python API: the same checks and codes as over HTTP, from threads and coroutines, and what happens around close()."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from falcon_events import (
    AlreadyExists,
    Credential,
    EventsError,
    EventTracking,
    InvalidRequest,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RequestRefused,
    SettingError,
    StoreClosed,
    StoreUnavailable,
    Tracked,
)
from falcon_events.model.sender import Sender
from tests.harness import Credentials, HeldOwner, fill_store, plain, wait_until
from tests.shortcuts import make_store

Track = Callable[..., Tracked]
EMAIL = "2006@test.com"


def stored(db: Path, sql: str = "select event_id::varchar from events") -> list[Any]:
    """The first column of what plain DuckDB reads from a closed store."""
    with plain(db) as connection:
        return [row[0] for row in connection.execute(sql).fetchall()]


@pytest.fixture(params=["track", "atrack"])
def track(request: pytest.FixtureRequest, tracking: EventTracking) -> Track:
    """A plain call, and a coroutine in an event loop of its own for each call."""
    if request.param == "track":
        return tracking.track
    return lambda *args, **kwargs: asyncio.run(tracking.atrack(*args, **kwargs))


@pytest.fixture(scope="module")
def unused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventTracking]:
    """A tracker with fill_store's contents for calls that are refused."""
    db = tmp_path_factory.mktemp("unused") / "events.duckdb"
    make_store(db)
    with EventTracking(db) as tracking:
        yield tracking
        assert tracking.stats().events == 0


@pytest.fixture(params=["properties", "aproperties"])
def properties(request: pytest.FixtureRequest, tracking: EventTracking) -> Callable[..., dict[str, list[str]]]:
    """A plain call, and a coroutine in an event loop of its own."""
    if request.param == "properties":
        return tracking.properties
    return lambda *args, **kwargs: asyncio.run(tracking.aproperties(*args, **kwargs))


@pytest.mark.database
def test_an_event_is_stored_with_all_that_it_was_given(track: Track, tracking: EventTracking, credentials: Credentials) -> None:
    """Every argument reaches the file, and the answer says under which ids."""
    event_id, visitor = str(uuid.uuid4()), str(uuid.uuid4())
    tracked = track(
        94,
        "test",
        email=f" {EMAIL} ",
        id=2006,
        properties={"plan": "free"},
        uuid=visitor,
        timestamp="2024-05-06T07:08:09+02:00",
        event_id=event_id,
        identify_properties={"firstName": "Eve"},
    )
    assert tracked == Tracked(visitor, "2006", identify_event_sent=True, event_id=event_id)
    tracking.close()
    sql = "select (email, external_id, visitor::varchar, occurred_at::varchar, properties) from events where event_id = '{}'"
    assert stored(tracking.store.path, sql.format(event_id)) == [
        (EMAIL, "2006", visitor, "2024-05-06 05:08:09", '{"plan":"free"}')
    ]
    assert stored(tracking.store.path, "select traits from bindings") == ['{"firstName":"Eve"}']


def test_a_repeated_event_id_gives_the_first_answer_again(track: Track, credentials: Credentials) -> None:
    """The second call with an EventID stores nothing and is marked as a duplicate."""
    event_id = str(uuid.uuid4())
    first, second = (track(94, "test", email=EMAIL, event_id=event_id) for _ in range(2))
    assert (first.duplicate, second.duplicate) == (False, True)
    assert msgspec.structs.replace(second, duplicate=False) == first


@pytest.mark.parametrize("kind", ["track", "atrack"])
@pytest.mark.parametrize(
    ("arguments", "status", "codes"),
    [
        ({"list_id": 97}, 422, (4,)),
        ({"list_id": "x", "event": " ", "email": "nobody"}, 422, (4, 5, 7)),
        ({"email": None}, 422, (6,)),
        ({"event": "conversion"}, 422, (8, 9, 10)),
        ({"properties": [1]}, 422, (11,)),
        ({"properties": {"n" * 201: 1}}, 422, (11,)),
        ({"event": "e" * 201}, 422, (12,)),
        ({"id": 1.5}, 422, (13,)),
        ({"uuid": "none"}, 422, (14,)),
        ({"timestamp": "2024-05-06"}, 422, (15,)),
        ({"event_id": "none"}, 422, (16,)),
        ({"properties": {"a": object()}}, 400, (100000,)),
        ({"properties": {"a": b"bytes"}}, 400, (100000,)),
        ({"properties": {"a": float("nan")}}, 400, (100000,)),
        ({"properties": {(1, 2): 1}}, 400, (100000,)),
        ({"api_key": "nobody's"}, 401, (99998,)),
        ({"session_id": "nobody's"}, 401, (99998,)),
        ({"api_key": ""}, 401, (99998,)),
    ],
)
def test_tracking_refuses_what_http_refuses(
    unused: EventTracking, kind: str, arguments: dict[str, Any], status: int, codes: tuple[int, ...]
) -> None:
    """The exception carries the status and the codes of the same refusal over HTTP."""
    call = {"list_id": 94, "event": "test", "email": EMAIL, **arguments}
    track = unused.track if kind == "track" else lambda **arguments: asyncio.run(unused.atrack(**arguments))
    with pytest.raises(RequestRefused) as refused:
        track(**call)
    error = refused.value
    assert type(error) is (NotAuthenticated if status == 401 else InvalidRequest)
    assert (error.status, error.codes) == (status, codes)
    assert tuple(failure.code for failure in error.failures) == codes
    assert all(failure.message in str(error) for failure in error.failures)


def test_property_names_are_refused_and_given_as_over_http(
    properties: Callable[..., dict[str, list[str]]], tracking: EventTracking, credentials: Credentials
) -> None:
    """Names by event type, sorted; codes 1 to 3 for the list, 401 and 403 for the credential."""
    tracking.track(94, "test", email=EMAIL, properties={"b": 1, "a": 2})
    assert properties(94)["test"] == properties("94", api_key=credentials.read)["test"] == ["a", "b"]
    assert properties(95) == {}
    for list_id, code in ((None, 1), ("", 1), ("x", 2), (0, 2), (97, 3)):
        with pytest.raises(InvalidRequest) as refused:
            properties(list_id)
        assert refused.value.codes == (code,)
    with pytest.raises(NotAuthenticated):
        properties(94, api_key="nobody's")
    with pytest.raises(NotAllowed) as not_allowed:
        properties(94, api_key=credentials.ingest)
    assert (not_allowed.value.status, not_allowed.value.codes) == (403, (99999,))


def test_a_trusted_call_may_use_every_list_and_a_credential_only_its_own(track: Track, credentials: Credentials) -> None:
    """Without key and session the host's code is trusted; with one, that one's account and scope count."""
    assert track(96, "test", email=EMAIL)
    assert track(94, "test", email=EMAIL, api_key=credentials.ingest)
    assert track(94, "test", email=EMAIL, session_id=credentials.session)
    for shown in ({"api_key": credentials.full}, {"session_id": credentials.session}):
        with pytest.raises(InvalidRequest) as refused:
            track(96, "test", email=EMAIL, **shown)
        assert refused.value.codes == (4,)
    with pytest.raises(NotAllowed):
        track(94, "test", email=EMAIL, api_key=credentials.read)


def test_an_event_of_a_trusted_call_belongs_to_the_lists_owner(tracking: EventTracking, credentials: Credentials) -> None:
    """It is stored under the account that owns the list, as an event with that account's key is."""
    trusted = tracking.track(94, "test", email=EMAIL)
    keyed = tracking.track(94, "test", email=EMAIL, api_key=credentials.full)
    tracking.close()
    sql = f"select account_id from events where event_id in ('{trusted.event_id}', '{keyed.event_id}')"
    first, second = stored(tracking.store.path, sql)
    assert first == second


def test_many_bodies_are_answered_in_order(tracking: EventTracking, credentials: Credentials) -> None:
    """track_many() yields one answer for each body, a refusal among them, without holding all of them in memory."""
    bodies = [msgspec.json.encode({"ListID": 94, "event": "test", "email": EMAIL, "id": i}) for i in range(5000)]
    bodies[1], bodies[4000] = b"{", b'{"ListID": 94, "event": "test"}'
    answers = list(tracking.track_many(iter(bodies)))
    assert [a.codes for a in answers if isinstance(a, RequestRefused)] == [(100000,), (6,)]
    assert isinstance(answers[1], InvalidRequest)
    assert isinstance(answers[4000], InvalidRequest)
    assert [a.external_id for a in answers if isinstance(a, Tracked)] == [str(i) for i in range(5000) if i not in (1, 4000)]
    assert tracking.stats().events >= 4998


def test_track_many_waits_where_the_queue_is_full(db: Path) -> None:
    """A queue smaller than the input refuses nothing: what went before is waited for."""
    make_store(db)
    with EventTracking(db, queue_events=5, batch_events=3) as tracking:
        bodies = [msgspec.json.encode({"ListID": 94, "event": "test", "email": EMAIL, "id": i}) for i in range(200)]
        assert all(isinstance(answer, Tracked) for answer in tracking.track_many(bodies))


def test_concurrent_calls_on_one_loop_are_all_answered(tracking: EventTracking, credentials: Credentials) -> None:
    """A thousand atrack() at once on one event loop: each gets its own answer."""

    async def main() -> list[Tracked]:
        return await asyncio.gather(*(tracking.atrack(94, "test", email=EMAIL, id=i) for i in range(1000)))

    answers = asyncio.run(main())
    assert [answer.external_id for answer in answers] == [str(i) for i in range(1000)]
    assert sum(answer.identify_event_sent for answer in answers) == len({answer.uuid for answer in answers})


def test_several_loops_and_threads_share_a_tracker(tracking: EventTracking, credentials: Credentials) -> None:
    """Event loops in threads of their own and plain threads, at the same time: every answer comes to its caller."""

    async def many(first: int) -> list[str]:
        answers = await asyncio.gather(*(tracking.atrack(94, "test", email=EMAIL, id=first + i) for i in range(100)))
        assert await tracking.aproperties(94)
        return [answer.external_id for answer in answers]

    def loop(first: int) -> list[str]:
        return asyncio.run(many(first))

    def plain(first: int) -> list[str]:
        return [tracking.track(94, "test", email=EMAIL, id=first + i).external_id for i in range(100)]

    with ThreadPoolExecutor(8) as threads:
        asked = [(threads.submit((loop, plain)[n % 2], n * 100), n * 100) for n in range(8)]
        for answers, first in asked:
            assert answers.result(60) == [str(first + i) for i in range(100)]


def test_closed_event_loops_are_not_kept(tracking: EventTracking, credentials: Credentials) -> None:
    """A program that starts one event loop after the other does not collect them in its tracker."""
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def main() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await tracking.atrack(94, "test", email=EMAIL)

    for _ in range(10):
        asyncio.run(main())
    gc.collect()
    assert sum(loop() is not None for loop in loops) <= 1


def test_a_cancelled_call_leaves_its_event_stored_and_the_writer_alive(tracking: EventTracking, credentials: Credentials) -> None:
    """Cancelled while their commit is awaited, accepted events are stored once; later calls work."""
    event_ids = [str(uuid.uuid4()) for _ in range(50)]

    async def main() -> None:
        go = HeldOwner(tracking.store.path)
        tasks = [asyncio.ensure_future(tracking.atrack(94, "cut", email=EMAIL, event_id=event_id)) for event_id in event_ids]
        await asyncio.sleep(0)  # each has handed its event over and waits
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        go.set()
        assert (await tracking.atrack(94, "after", email=EMAIL)).event_id

    asyncio.run(main())
    assert tracking.track(94, "after", email=EMAIL).event_id
    tracking.close()
    assert sorted(stored(tracking.store.path, "select event_id::varchar from events where event = 'cut'")) == sorted(event_ids)


@pytest.mark.parametrize("turns", range(6))
def test_a_first_call_cancelled_at_any_moment_harms_nothing(db: Path, turns: int) -> None:
    """Cancelled while the file is being opened, too: its event is stored once or not at all, and the next call works."""
    event_id = str(uuid.uuid4())
    make_store(db)

    async def main() -> None:
        tracking = EventTracking(db)
        task = asyncio.ensure_future(tracking.atrack(94, "cut", email=EMAIL, event_id=event_id))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await tracking.atrack(94, "after", email=EMAIL)).event_id
        await asyncio.to_thread(tracking.close)

    asyncio.run(main())
    assert len(stored(db, "select 1 from events where event = 'cut'")) in (0, 1)
    assert len(stored(db, "select 1 from events where event = 'after'")) == 1


def test_a_loop_closed_while_its_event_is_in_flight_harms_nobody(tracking: EventTracking, credentials: Credentials) -> None:
    """The event of a loop that is gone is stored; the writer lives, and other loops get their answers."""
    go = HeldOwner(tracking.store.path)
    loop = asyncio.new_event_loop()
    call = tracking.atrack(94, "orphan", email=EMAIL)
    task = loop.create_task(call)
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()  # or its end would be reported as a warning
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    go.set()
    assert asyncio.run(tracking.atrack(94, "after", email=EMAIL)).event_id
    assert tracking.health() is None
    tracking.close()
    assert len(stored(tracking.store.path, "select 1 from events where event = 'orphan'")) == 1


def test_after_close_every_use_raises_store_closed(tracking: EventTracking, credentials: Credentials) -> None:
    """The named error, a StoreUnavailable of status 503, from every method; close() itself may be called again."""
    tracking.close()
    tracking.close()
    closed: list[Callable[[], Any]] = [
        lambda: tracking.track(94, "test", email=EMAIL),
        lambda: asyncio.run(tracking.atrack(94, "test", email=EMAIL)),
        lambda: tracking.properties(94),
        lambda: asyncio.run(tracking.aproperties(94)),
        lambda: tracking.recount(94),
        tracking.stats,
        tracking.open,
        tracking.directory.accounts,
        lambda: tracking.directory.create_key("alice"),
    ]
    for use in closed:
        with pytest.raises(StoreClosed) as refused:
            use()
        assert isinstance(refused.value, StoreUnavailable)
        assert (refused.value.status, refused.value.codes, refused.value.retry_after_s) == (503, (503,), 1)
    (answer,) = tracking.track_many([b'{"ListID": 94, "event": "test", "email": "a@example.com"}'])
    assert isinstance(answer, StoreClosed)
    assert tracking.health() is not None


def test_a_tracker_closed_before_its_first_use_is_closed(db: Path) -> None:
    """It touches no file and says that it is closed."""
    tracking = EventTracking(db)
    tracking.close()
    tracking.close()
    with pytest.raises(StoreClosed):
        tracking.track(94, "test", email=EMAIL)
    assert list(db.parent.iterdir()) == []


def test_closing_under_load_answers_what_was_accepted(tracking: EventTracking, credentials: Credentials) -> None:
    """Calls that run while close() does either store their event, and say so, or raise StoreClosed; none waits for ever."""
    answered: list[Tracked] = []

    def load() -> None:
        while True:
            try:
                answered.append(tracking.track(94, "load", email=EMAIL))
            except StoreClosed:
                return

    with ThreadPoolExecutor(6) as threads:
        loads = [threads.submit(load) for _ in range(6)]
        wait_until(lambda: len(answered) > 50, "no load")
        tracking.close()
        for each in loads:
            each.result(60)
    kept = stored(tracking.store.path, "select event_id::varchar from events where event = 'load'")
    assert sorted(kept) == sorted(tracked.event_id for tracked in answered)


def test_a_tracker_that_could_not_open_closes_and_opens_later(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each use is a StoreUnavailable while the file is none; close() works then, and so does the file once it is mended."""
    db.write_bytes(b"this is no database" * 1000)
    tracking, mended = EventTracking(db), EventTracking(db)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            tracking.track(94, "test", email=EMAIL)
        with pytest.raises(StoreUnavailable):
            asyncio.run(mended.atrack(94, "test", email=EMAIL))
    assert str(db) in (tracking.health() or "")
    assert str(db) in caplog.text
    tracking.close()
    tracking.close()
    db.unlink()
    with pytest.raises(InvalidRequest):
        mended.track(94, "test", email=EMAIL)
    fill_store(mended)
    assert mended.track(94, "test", email=EMAIL)
    mended.close()


def test_constructing_touches_no_file_and_starts_no_thread(db: Path) -> None:
    """A server may fork after a tracker was made."""
    threads = threading.active_count()
    EventTracking(db)
    assert list(db.parent.iterdir()) == []
    assert threading.active_count() == threads


def test_the_first_use_opens_and_leaving_the_block_closes(db: Path) -> None:
    """As a context manager it is open inside and closed outside, also when the block raises."""
    with contextlib.suppress(ZeroDivisionError), EventTracking(db) as tracking:
        assert tracking.store.is_open
        fill_store(tracking)
        assert tracking.track(94, "test", email=EMAIL)
        raise ZeroDivisionError
    assert not tracking.store.is_open
    lazy = EventTracking(str(db))
    assert lazy.track("94", "test", email=EMAIL)
    lazy.close()
    assert not db.with_name(f"{db.name}.wal").exists()


@pytest.mark.parametrize("opening", ["tracking.open()", "tracking.directory.create_account('a')", "tracking.health()"])
def test_a_tracker_that_nobody_closed_is_closed_at_exit(db: Path, opening: str) -> None:
    """However it was opened: at the interpreter's end the log is taken into the file."""
    code = f"""
from falcon_events import EventTracking
tracking = EventTracking({str(db)!r})
{opening}
directory = tracking.directory
directory.accounts() or directory.create_account("a")
directory.create_list(directory.accounts()[0].name, "l", 1)
tracking.track(1, "test", email="a@example.com")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not db.with_name(f"{db.name}.wal").exists()
    assert len(stored(db, "select 1 from events where event = 'test'")) == 1


def test_settings_come_from_keywords_before_the_environment(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FALCON_EVENTS_* variables are read when a tracker is made; a keyword argument wins."""
    monkeypatch.setenv("FALCON_EVENTS_QUEUE_EVENTS", "7")
    monkeypatch.setenv("FALCON_EVENTS_ANONYMOUS_EVENTS", "Yes")
    monkeypatch.setenv("FALCON_EVENTS_LOCK_WAIT_S", "0.5")
    settings = EventTracking(db, queue_events=8).settings
    assert (settings.queue_events, settings.anonymous_events, settings.lock_wait_s) == (8, True, 0.5)
    assert EventTracking(db).settings.queue_events == 7


@pytest.mark.database
def test_a_lifted_rule_is_lifted(db: Path) -> None:
    """With anonymous_events an event needs no address, and identify still does."""
    with EventTracking(db, anonymous_events=True) as tracking:
        fill_store(tracking)
        assert not tracking.track(94, "test").identify_event_sent
        with pytest.raises(InvalidRequest) as refused:
            tracking.track(94, "identify")
        assert refused.value.codes == (6,)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("queue_events", 0),
        ("queue_events", "10"),
        ("queue_events", True),
        ("queue_events", 1.5),
        ("anonymous_events", 1),
        ("lock_wait_s", float("nan")),
        ("lock_wait_s", -1),
        ("threads", 10**9),
        ("memory_limit_mb", None),
        ("no_such_setting", 1),
    ],
)
def test_an_impossible_setting_is_refused_by_name(db: Path, name: str, value: object) -> None:
    """SettingError, which is a ValueError, names the setting when the tracker is made."""
    with pytest.raises(SettingError, match=name) as refused:
        EventTracking(db, **{name: value})
    assert isinstance(refused.value, (EventsError, ValueError))


@pytest.mark.parametrize(
    ("name", "text"), [("QUEUE_EVENTS", "many"), ("QUEUE_EVENTS", ""), ("ANONYMOUS_EVENTS", "perhaps"), ("LOCK_WAIT_S", "soon")]
)
def test_an_impossible_variable_is_refused_by_name(db: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    """SettingError names the variable and what would be right."""
    monkeypatch.setenv(f"FALCON_EVENTS_{name}", text)
    with pytest.raises(SettingError, match=f"FALCON_EVENTS_{name}=.* expected"):
        EventTracking(db)


@pytest.mark.database
def test_the_directory_shows_what_was_made(tracking: EventTracking, credentials: Credentials) -> None:
    """Accounts by name, lists by id, keys with scope and without the key itself."""
    directory = tracking.directory
    assert [account.name for account in directory.accounts()] == ["alice", "bob"]
    assert [(made.list_id, made.account, made.name) for made in directory.lists()] == [
        (94, "alice", "main"),
        (95, "alice", "empty"),
        (96, "bob", "foreign"),
    ]
    assert directory.create_list("bob", "next").list_id == 97
    directory.rename_list(97, "renamed")
    assert directory.lists()[-1].name == "renamed"
    keys = directory.keys()
    assert [(key.account, key.scope, key.revoked_at) for key in keys] == [
        ("alice", "full", None),
        ("alice", "ingest", None),
        ("alice", "read", None),
    ]
    assert credentials.full not in repr(keys)


@pytest.mark.database
def test_the_directory_says_what_is_missing_and_what_exists(tracking: EventTracking, credentials: Credentials) -> None:
    """NotFound and AlreadyExists, by which a host tells its own mistakes apart; EventsError for impossible values."""
    directory = tracking.directory
    missing: list[Callable[[], Any]] = [
        lambda: directory.create_list("nobody", "list"),
        lambda: directory.create_key("nobody"),
        lambda: directory.create_session("nobody", 60),
        lambda: directory.rename_list(1000, "name"),
        lambda: directory.delete_list(1000),
        lambda: directory.revoke_key("nobody's"),
        lambda: directory.revoke_session("nobody's"),
    ]
    for call in missing:
        with pytest.raises(NotFound) as not_found:
            call()
        assert isinstance(not_found.value, LookupError)
    for call in (lambda: directory.create_account("alice"), lambda: directory.create_list("bob", "again", 94)):
        with pytest.raises(AlreadyExists) as exists:
            call()
        assert isinstance(exists.value, ValueError)
    impossible: list[Callable[[], Any]] = [
        lambda: directory.create_account(" "),
        lambda: directory.create_account("n" * 201),
        lambda: directory.create_list("alice", ""),
        lambda: directory.create_list("alice", "list", 0),
        lambda: directory.create_list("alice", "list", 2**63),
        lambda: directory.create_session("alice", 0),
    ]
    for call in impossible:
        with pytest.raises(EventsError):
            call()
    assert len(directory.accounts()) == 2
    assert len(directory.lists()) == 3


def event_body(**credential: str) -> bytes:
    """A request body as a client would send it."""
    return msgspec.json.encode({"ListID": 94, "event": "test", "email": EMAIL, **credential})


def statuses(tracking: EventTracking, **credential: str) -> tuple[int, int]:
    """What POST answers to this credential on both endpoints."""
    pipeline, run = tracking.pipeline, tracking.waiter.run
    body = event_body(**credential)
    return run(pipeline.event_reply(body, Sender())).status, run(pipeline.properties_reply(body, Sender())).status


def test_a_revocation_takes_effect_at_once(tracking: EventTracking, credentials: Credentials) -> None:
    """The very next request with a revoked key (by id or by itself) or session is a 401; other credentials go on."""
    directory = tracking.directory
    made = directory.create_key("alice")
    for credential, revoke in (
        ({"APIKey": made.key}, lambda: directory.revoke_key(made.key_id)),
        ({"APIKey": credentials.full}, lambda: directory.revoke_key(credentials.full)),
        ({"SessionID": credentials.session}, lambda: directory.revoke_session(credentials.session)),
    ):
        assert statuses(tracking, **credential) == (200, 200)
        revoke()
        assert statuses(tracking, **credential) == (401, 401)
        revoke()  # a second time changes nothing
    assert statuses(tracking, APIKey=credentials.ingest) == (200, 403)
    tracking.close()
    with EventTracking(tracking.store.path) as again:
        assert statuses(again, APIKey=made.key) == (401, 401)
        assert statuses(again, SessionID=credentials.session) == (401, 401)


@pytest.mark.database
def test_a_session_ends_when_its_time_is_over(db: Path) -> None:
    """It is valid until its last second, and not after."""
    now = [1_700_000_000.0]
    with EventTracking(db, clock=lambda: now[0]) as tracking:
        session = fill_store(tracking).session
        assert statuses(tracking, SessionID=session) == (200, 200)
        now[0] += 3599
        assert statuses(tracking, SessionID=session) == (200, 200)
        now[0] += 1
        assert statuses(tracking, SessionID=session) == (401, 401)


@pytest.mark.database
def test_a_deleted_list_takes_no_more_events(tracking: EventTracking, credentials: Credentials) -> None:
    """From the next call on it is unknown, and its events and names are gone."""
    tracking.track(94, "test", email=EMAIL, properties={"a": 1})
    tracking.directory.delete_list(94)
    with pytest.raises(InvalidRequest) as refused:
        tracking.track(94, "test", email=EMAIL)
    assert refused.value.codes == (4,)
    with pytest.raises(InvalidRequest) as unknown:
        tracking.properties(94)
    assert unknown.value.codes == (3,)
    assert tracking.stats().events == 0


class HostAccess:
    """A host's accounts, with methods of either kind; the secret "stops" raises StopIteration, as a bare next() does."""

    def __init__(self) -> None:
        self.entered, self.left = threading.Event(), asyncio.Event()

    def identify(self, credential: Credential) -> str | None:
        """The account of the secret "ok"."""
        if credential.secret == "stops":
            return next(iter(()))
        return "account" if credential.secret in ("ok", "waits") else None

    async def owns_list(self, account: str, list_id: int) -> bool:
        """Every list but 9, for which nobody ever gets an answer."""
        if list_id == 9:
            self.entered.set()
            await self.left.wait()
        return True


def test_a_hosts_stop_iteration_is_an_error_and_no_endless_wait(db: Path) -> None:
    """It cannot pass through a future; the call ends with an exception all the same, in a thread and in a coroutine."""
    with EventTracking(db, access=HostAccess()) as tracking:
        for call in (
            lambda: tracking.track(1, "test", email=EMAIL, api_key="stops"),
            lambda: asyncio.run(tracking.atrack(1, "test", email=EMAIL, api_key="stops")),
        ):
            with pytest.raises(RuntimeError):
                call()
        assert tracking.track(1, "test", email=EMAIL, api_key="ok")
        assert asyncio.run(tracking.atrack(1, "test", email=EMAIL, api_key="ok"))


def test_closing_ends_the_wait_for_a_hosts_async_method(db: Path) -> None:
    """A thread that waits for one gets an exception when the tracker is closed, instead of waiting for ever."""
    access = HostAccess()
    tracking = EventTracking(db, access=access).open()
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(tracking.track, 9, "test", email=EMAIL, api_key="ok")
        access.entered.wait()
        tracking.close()
        assert call.exception(60) is not None


def test_an_event_too_deep_for_json_is_refused(tracking: EventTracking, credentials: Credentials) -> None:
    """64 levels pass, 65 and an endless nesting are refused with 100000."""

    def nested(levels: int) -> dict[str, Any]:
        value: Any = 1
        for _ in range(levels - 2):  # the body itself and its properties are two
            value = [value]
        return {"a": value}

    endless: list[Any] = []
    endless.append(endless)
    assert tracking.track(94, "test", email=EMAIL, properties=nested(64))
    for properties in (nested(65), nested(5000), {"a": endless}):
        with pytest.raises(InvalidRequest) as refused:
            tracking.track(94, "test", email=EMAIL, properties=properties)
        assert refused.value.codes == (100000,)
