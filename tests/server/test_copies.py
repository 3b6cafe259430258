"""A copy of a store, made by `export` and `import`, answers every question as the store does."""

from __future__ import annotations

import contextlib
import functools
import json
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import falcon.testing
import msgspec
import pytest

from falcon_events import EventTracking
from falcon_events.http import wsgi_app
from falcon_events.settings import Settings
from falcon_events.store.database.connect import open_database
from tests import shortcuts
from tests.harness import Credentials
from tests.unit.test_answers import TYPED

LIST = 1
SEEDS = (0, 7)
PEOPLE = ["ada@x.com", "ADA@x.com", "bob@x.com", "eve@x.com"]
WHOLE = {"date_range": ["2026-03-01", "2026-03-31"]}
BEFORE = "update events set automatic = null; update meta set columns_seq = 0"
"""What makes a store like one of an earlier release, which did not note which events it made."""
EVERY_METRIC = ["events", "visitors", "people", "sessions", "conversions", "revenue", "views", "bounce_rate", "session_seconds"]


def make_bodies(seed: int) -> list[dict[str, Any]]:
    """Events of a few persons and browsers: shared, with traits, identify events that are named, bots and ties of time."""
    chance = random.Random(seed)
    bodies, second = [], 0
    for _ in range(120):
        second += chance.choice([0, 0, 1, 60, 1900, 90_000])
        at = f"2026-03-{1 + second // 86_400:02}T{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}Z"
        kind = chance.choice(["pageView", "pageView", "signup", "conversion", "identify"])
        email = chance.choice(PEOPLE) if kind == "identify" or chance.random() < 0.3 else None
        properties: dict[str, Any] = {"url": f"https://x.com/{chance.choice('ab')}?utm_campaign={chance.choice('st')}"}
        if kind == "conversion":
            properties |= {"conversion-id": f"o{chance.randrange(9)}", "conversion-name": "order", "conversion-value": 2.5}
        if chance.random() < 0.1:
            properties["$bot"] = "crawler"
        body = {
            "ListID": LIST,
            "Event": kind,
            "UUID": str(uuid.UUID(int=chance.randrange(1, 7), version=4)),
            "Timestamp": at,
            "Properties": properties,
        }
        if email is not None:
            body["Email"] = email
            if chance.random() < 0.7:
                body["IdentifyProperties"] = {chance.choice(["plan", "city"]): chance.choice(["a", "b", "c"])}
        if chance.random() < 0.3:
            body["ID"] = f"id-{chance.randrange(4)}"
        bodies.append(body)
        if second > 29 * 86_400:
            break
    return bodies


def fill(tracking: EventTracking, bodies: Sequence[dict[str, Any]]) -> None:
    """Stores events, each as its own request."""
    tracking.directory.ensure_list(LIST, "news")
    for body in bodies:
        ((result),) = tracking.track_many([json.dumps(body).encode()])
        assert not isinstance(result, Exception), result


def run(*words: str) -> Any:
    """Runs a command of the program; its JSON."""
    done = shortcuts.command(*words)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def copy(
    store: EventTracking,
    copied: EventTracking,
    change: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    take: slice = slice(None),
) -> Any:
    """Exports a store and imports lines of the export into another; the result of the import."""
    lines = copied.store.path.with_name("lines.ndjson")
    run("export", "--output", str(lines), "--force", "--json", "--db", str(store.store.path))
    kept = [json.dumps(change(json.loads(line))) for line in lines.read_text().splitlines()]
    lines.write_text("".join(f"{line}\n" for line in kept[take]))
    copied.directory.ensure_list(LIST, "news")
    return run("import", str(lines), "--rejects", str(lines.with_name("rejects")), "--json", "--db", str(copied.store.path))


def ask_all(tracking: EventTracking) -> list[Any]:
    """The answers to questions of every kind. When events arrived is each store's own."""
    answers: list[Any] = [
        tracking.query(LIST, **WHOLE, metrics=EVERY_METRIC),
        tracking.query(LIST, **WHOLE, metrics=EVERY_METRIC, dimensions=["person", "event"]),
        tracking.query(LIST, **WHOLE, metrics=["events", "views_per_session"], dimensions=["campaign", "entry_path"]),
        tracking.query(LIST, **WHOLE, metrics=["events"], filters=[["is", "event", ["identify"]]]),
        tracking.query(LIST, **WHOLE, metrics=["events"], filters=[["is_set", "property:$bot"]]),
        tracking.query(LIST, **WHOLE, metrics=["people"], dimensions=["trait:plan", "trait:city"]),
        tracking.funnel(LIST, **WHOLE, steps=[{"Event": "pageView"}, {"Event": "signup"}], order="strict"),
        tracking.retention(LIST, **WHOLE, unit="day", periods=5),
        tracking.people(LIST),
        tracking.people(LIST, people=[["is", "trait:plan", ["a"]], ["has_done", {"Count": [">=", 3]}]]),
        tracking.values(LIST, "event"),
        *(tracking.timeline(LIST, email=email) for email in sorted({email.lower() for email in PEOPLE})),
    ]
    plain = [msgspec.to_builtins(answer) for answer in answers]
    for answer in plain:
        for row in answer.get("Events", []):
            row.pop("ReceivedAt", None)
    return plain


@pytest.fixture
def store(db: Path) -> Iterator[EventTracking]:
    """The store that is copied. It is open all the time, so that no command starts an owner process."""
    with EventTracking(db) as tracking:
        yield tracking


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[EventTracking]:
    """The copy."""
    with EventTracking(tmp_path / "copy.duckdb") as tracking:
        yield tracking


@dataclass
class Filled:
    """An open store with the events of a seed, a copy of its file from before it was asked anything, and its answers."""

    tracking: EventTracking
    content: bytes
    answers: list[Any]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Filled]]:
    """The filled store of a seed, which is made once, and only read."""
    with contextlib.ExitStack() as opened:

        @functools.cache
        def fill_once(seed: int) -> Filled:
            db = tmp_path_factory.mktemp("filled") / "events.duckdb"
            with EventTracking(db) as store:
                fill(store, make_bodies(seed))
            content = db.read_bytes()
            store = opened.enter_context(EventTracking(db))
            return Filled(store, content, ask_all(store))

        yield fill_once


@pytest.mark.database
@pytest.mark.parametrize("seed", SEEDS)
def test_a_copy_answers_every_question_as_the_store_does(
    seed: int, filled: Callable[[int], Filled], copied: EventTracking
) -> None:
    """Persons have their traits there, too."""
    store = filled(seed)
    result = copy(store.tracking, copied)
    assert (result["duplicates"], result["rejected"]) == (0, 0)
    assert ask_all(copied) == store.answers


@pytest.mark.database
@pytest.mark.parametrize("seed", SEEDS)
def test_a_copy_answers_as_a_store_of_an_earlier_release_does(
    seed: int, filled: Callable[[int], Filled], db: Path, copied: EventTracking
) -> None:
    """One that does not know which identify events it made."""
    shortcuts.write_store(db, filled(seed).content)
    with open_database(db, Settings()) as connection:
        connection.execute(BEFORE + "".join(f"; delete from {table}" for table in TYPED))
    with EventTracking(db) as store:
        answers = ask_all(store)
        result = copy(store, copied)
    assert (result["duplicates"], result["rejected"]) == (0, 0)
    assert ask_all(copied) == answers


@pytest.mark.parametrize("first", [1, 40, 41])
def test_a_copy_of_a_part_can_be_completed(first: int, filled: Callable[[int], Filled], copied: EventTracking) -> None:
    """The lines that are there are not stored again, and the answers are those of the whole."""
    store = filled(SEEDS[-1])
    assert copy(store.tracking, copied, take=slice(first))["stored"] == first
    result = copy(store.tracking, copied)
    assert (result["duplicates"], result["rejected"]) == (first, 0)
    assert ask_all(copied) == store.answers


def test_the_latest_binding_of_a_batch_decides_over_the_traits(store: EventTracking, copied: EventTracking) -> None:
    """Whichever visitor it is of, in the store and in its copy."""
    store.directory.ensure_list(LIST, "news")
    for number, visitors in enumerate(((2, 1), (3, 4))):
        bodies = [
            {"ListID": LIST, "Event": "t", "UUID": str(uuid.UUID(int=visitor, version=4)), "Email": f"{number}@x.com"}
            | {"IdentifyProperties": {"place": place}}
            for place, visitor in enumerate(visitors)
        ]
        results = list(store.track_many([json.dumps(body).encode() for body in bodies]))
        assert not any(isinstance(result, Exception) for result in results)
    copy(store, copied)
    for tracking in (store, copied):
        for number in range(2):
            (person,) = [row for row in tracking.people(LIST).rows if row.email == f"{number}@x.com"]
            assert person.traits == {"place": 1}
            assert tracking.timeline(LIST, email=f"{number}@x.com").person.traits == {"place": 1}


def test_events_beside_one_that_is_there_do_not_count_twice(store: EventTracking, copied: EventTracking) -> None:
    """Both stores got a visitor's event, and each has made an identify event: that of the export counts as one that was made."""
    body = {"ListID": LIST, "Event": "signup", "UUID": str(uuid.UUID(int=1, version=4)), "Email": "ada@x.com"}
    body |= {"EventID": str(uuid.uuid4()), "Timestamp": "2026-03-05T10:00:00Z"}
    for one in (store, copied):
        fill(one, [body])
    assert copy(store, copied) == {"stored": 1, "duplicates": 1, "rejected": 0}
    assert [row.metrics for row in copied.query(LIST, **WHOLE, metrics=["events", "bounce_rate"]).rows] == [[1, 1.0]]


@pytest.mark.database
def test_lines_that_do_not_say_which_events_were_made_are_judged_by_their_neighbours(
    store: EventTracking, copied: EventTracking
) -> None:
    """Exports of earlier releases: an identify event beside another event of the visitor at the same time is not counted."""
    bodies = make_bodies(3)
    for second, body in enumerate(bodies):  # no two of them at the same time
        body["Timestamp"] = f"2026-03-05T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"
    fill(store, bodies)
    answers = ask_all(store)

    def drop(line: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in line.items() if name != "Automatic"}

    copy(store, copied, drop)
    assert ask_all(copied) == answers
    assert copied.sql("select count(automatic) from events where event = 'identify'").rows == [[0]]


@pytest.mark.database
def test_an_imported_identify_event_waits_for_the_next_event(db: Path) -> None:
    """The last event of a block may be automatic beside the first one of the next block, whatever is folded between."""
    first = {"ListID": LIST, "UUID": str(uuid.UUID(int=1, version=4)), "Email": "ada@x.com", "Timestamp": "2026-03-05T10:00:00Z"}
    counts = []
    with EventTracking(db) as tracking:
        tracking.directory.ensure_list(LIST, "news")
        for kind, at in (("identify", "10"), ("signup", "10"), ("identify", "11"), ("signup", "12")):
            body = {**first, "Event": kind, "Timestamp": f"2026-03-05T{at}:00:00Z"}
            (result,) = tracking.waiter.run(tracking.pipeline.import_bodies([json.dumps(body).encode()]))
            assert not isinstance(result, Exception), result
            for _ in range(2):  # the first one has the event folded
                (row,) = tracking.query(LIST, **WHOLE, metrics=["events"]).rows
            counts.append(row.metrics[0])
        assert tracking.sql("select columns_seq from meta").rows == [[4]]
    assert counts == [1, 1, 2, 3]


def test_only_the_host_may_say_that_an_event_was_made(tracking: EventTracking, credentials: Credentials) -> None:
    """A request's `Automatic` has no meaning: an identify event that it names counts. Other values mean nothing anywhere."""
    body = {"ListID": 94, "Event": "identify", "Email": "ada@x.com"}
    client = falcon.testing.TestClient(wsgi_app(tracking))
    sent = client.simulate_post("/api/v1/event", json={**body, "APIKey": credentials.full, "Automatic": True})
    assert sent.status_code == 200
    batch = {"APIKey": credentials.full, "Events": [{**body, "Automatic": True}]}
    assert client.simulate_post("/api/v1/events", json=batch).status_code == 200
    values = (True, False, 1, "true", None)
    list(tracking.track_many([json.dumps({**body, "automatic": value}).encode() for value in values]))
    stored = [row[0] for row in tracking.sql("select automatic from events order by seq").rows]
    assert stored == [False, False, *(value is True for value in values)]
