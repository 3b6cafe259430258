"""POST /api/v1/events: many events in one request and one commit, each with the answer that it would have got alone."""

from __future__ import annotations

import functools
import gzip
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from falcon_events import EventTracking
from tests.conftest import Api
from tests.harness import EVENT, EVENTS, Client, Credentials, plain, serving
from tests.shortcuts import make_store


def event(**changes: Any) -> dict[str, Any]:
    """An event of a batch; a value of ... takes a parameter out."""
    body = {"event": "test", "email": "a@example.com", "properties": {"a": 1}, **changes}
    return {name: value for name, value in body.items() if value is not ...}


def batch(api: Api, *events: Any, **changes: Any) -> dict[str, Any]:
    """A batch for the shared server's list 94."""
    body = {"APIKey": api.credentials.ingest, "ListID": 94, "Events": list(events), **changes}
    return {name: value for name, value in body.items() if value is not ...}


def codes(result: dict[str, Any]) -> list[int]:
    """The codes of an event's failures; none where it was stored."""
    return [error["Code"] for error in result.get("Errors", ())]


def test_each_event_gets_the_answer_that_it_would_have_got_alone(api: Api) -> None:
    """In order; those that are right are stored though others are refused."""
    name = f"batch-{uuid.uuid4()}"
    email = f"{uuid.uuid4().hex}@example.com"
    events = [
        event(event=name, email=email, id="o-1"),
        event(event=name, email=...),
        event(event=name, email=email, id="o-1", properties={"b": 2}),
        event(event="", email="none"),
        event(event="conversion"),
        event(ListID=96),
        event(ListID="95", event=name, properties={"isTest": True}),  # other tests want that list without events
        "no object",
        event(event=name, properties={"isTest": True}),
        event(event=name, EventID="none"),
    ]
    answer = api.client.post(EVENTS, json=batch(api, *events))
    assert answer.status_code == 200
    results = answer.json()["Results"]
    assert [codes(result) for result in results] == [[], [6], [], [5, 7], [8, 9, 10], [4], [], [100000], [], [16]]
    assert [results[number]["identify_event_sent"] for number in (0, 2, 8)] == [True, False, False]
    alone = api.client.track(**api.credentials.event(event=name, email=email, id="o-1")).json()
    assert alone == {**results[0], "identify_event_sent": False}
    names = api.client.properties(APIKey=api.credentials.read, ListID=94).json()["Properties"]
    assert names[name] == ["a", "b", "number-of-subscribers-imported"]


@pytest.mark.parametrize("events", [[], None, {}, "x", 1, ..., [event()] * 1001], ids=str)
def test_an_envelope_without_events_is_refused(api: Api, events: Any) -> None:
    """1 to 1,000 of them in an array."""
    answer = api.client.post(EVENTS, json=batch(api, Events=events))
    assert answer.status_code == 422
    assert codes(answer.json()) == [17]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"APIKey": ...}, 401, 99998),
        ({"APIKey": "unknown"}, 401, 99998),
        ({"APIKey": "read"}, 403, 99999),
    ],
)
def test_the_envelopes_credential_counts_for_all(api: Api, changes: dict[str, Any], status: int, code: int) -> None:
    """Credentials in events are not looked at; without a valid one nothing is stored."""
    if changes["APIKey"] == "read":
        changes = {"APIKey": api.credentials.read}
    answer = api.client.post(EVENTS, json=batch(api, event(APIKey=api.credentials.full), **changes))
    assert (answer.status_code, codes(answer.json())) == (status, [code])
    bearer = {"Authorization": f"Bearer {api.credentials.ingest}"}
    assert api.client.post(EVENTS, json=batch(api, event(), APIKey=...), headers=bearer).status_code == 200


def test_names_match_without_regard_to_case_and_the_last_spelling_counts(api: Api) -> None:
    """In the envelope and in each event."""
    first = '{"EVENT": "x", "event": "case", "Email": "a@example.com", "EMAIL": ""}'
    second = '{"event": "y", "Event": 1, "EVENT": "case", "email": "", "Email": "a@example.com"}'
    body = f'{{"apikey": "{api.credentials.full}", "listid": 0, "ListID": 94, "events": 1, "EVENTS": [{first}, {second}]}}'
    answer = api.client.post(EVENTS, content=body)
    assert [codes(result) for result in answer.json()["Results"]] == [[6], []]


def test_repeats_and_bindings_within_a_batch_are_settled_in_order(api: Api) -> None:
    """One EventID is one event; of two events with one new binding the first sends identify."""
    event_id = str(uuid.uuid4())
    email = f"{event_id}@example.com"
    answer = api.client.post(
        EVENTS, json=batch(api, *[event(EventID=event_id, email=email, id="o")] * 3, event(email=email, id="o"))
    )
    results = answer.json()["Results"]
    assert [result["identify_event_sent"] for result in results] == [True, True, True, False]
    again = api.client.post(EVENT, json={"APIKey": api.credentials.full, "ListID": 94, **event(EventID=event_id, email=email)})
    assert again.headers["X-Event-Duplicate"] == "true"


def test_an_event_of_a_batch_may_be_as_deep_as_one_alone(api: Api) -> None:
    """64 levels in the event; with one more it is refused, and the others are stored."""

    def deep(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = [value]
        return value

    assert api.client.post(EVENTS, json=batch(api, event(properties={"a": deep(62)}))).status_code == 200
    answer = api.client.post(EVENTS, json=batch(api, event(), event(properties={"a": deep(63)}), event()))
    assert [codes(result) for result in answer.json()["Results"]] == [[], [100000], []]
    answer = api.client.post(EVENTS, json=batch(api, event(), x=deep(66)))
    assert (answer.status_code, codes(answer.json())) == (400, [100000])


@pytest.mark.parametrize(
    "unreadable",
    [
        b'{"a": 1e400}',
        b'{"a": [1, {"b": -1E+999}]}',
        b'{"a": ' + b"9" * 4301 + b"}",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 01}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\xbd", "],[{": "\\"}"}',
        b'{"a": "cut \\ud8"}',
        b'{"a": "\n"}',
        b"{'a': 1}",
        b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}",
        b'{"a": ' + b'[{"b":' * 5_000 + b"1" + b"}]" * 5_000 + b"}",
    ],
    ids=lambda body: body[:20].decode("latin-1"),
)
def test_an_event_that_is_unreadable_concerns_no_other_of_its_batch(api: Api, unreadable: bytes) -> None:
    """It is refused with code 100000 in its place, whatever it has."""
    good = json.dumps(event()).encode()
    bad = b'{"event": "test", "email": "a@example.com", "properties": ' + unreadable + b"}"
    whole = b'{"APIKey": "%b", "x": ["Events", {}], "ListID": 94, "Events" : [%b]}'
    body = whole % (
        api.credentials.ingest.encode(),
        b", ".join([good, bad, good, unreadable, b' {"Event": "",' + good[1:]]),
    )
    answer = api.client.post(EVENTS, content=body)
    assert answer.status_code == 200
    assert [codes(result) for result in answer.json()["Results"]] == [[], [100000], [], [100000], []]


def test_half_a_character_concerns_no_event_of_a_batch(api: Api) -> None:
    """It is read as U+FFFD."""
    body = json.dumps(batch(api, event(), event(properties={"text": "cut \ud83d"}), event()))
    answer = api.client.post(EVENTS, content=body)
    assert [codes(result) for result in answer.json()["Results"]] == [[], [], []]


@pytest.mark.parametrize(
    "events",
    [b"[{},,{}]", b"[{},]", b"[,{}]", b"[{}", b'[{"a": "}]', b"[{]}", b"[{}]]"],
    ids=lambda text: text.decode(),
)
def test_a_batch_whose_events_cannot_be_told_apart_is_unreadable(api: Api, events: bytes) -> None:
    """400 with code 100000, though one of the events would be readable."""
    body = b'{"APIKey": "%b", "ListID": 94, "Events": %b}' % (api.credentials.ingest.encode(), events)
    answer = api.client.post(EVENTS, content=body)
    assert (answer.status_code, codes(answer.json())) == (400, [100000])


def test_a_batch_is_one_commit(one_flavour: str, db: Path) -> None:
    """A thousand events, neighbours in the order of the store, committed together."""
    credentials = make_store(db)
    with serving(db, one_flavour) as served:
        body = {"APIKey": credentials.ingest, "ListID": 94, "Events": [event(properties={"n": n}) for n in range(1000)]}
        answer = served.client.post(EVENTS, json=body)
        assert [codes(result) for result in answer.json()["Results"]] == [[]] * 1000
        with EventTracking(db) as tracking:
            measures = tracking.metrics().decode()
        assert "falcon_events_batch_events_count 1.0" in measures
        assert "falcon_events_batch_events_sum 1000.0" in measures
        assert served.stop() == 0
    with plain(db) as connection:
        found = connection.execute("select properties->>'n' from events where event = 'test' order by seq").fetchall()
    assert [int(n) for (n,) in found] == list(range(1000))


def test_a_batch_that_finds_no_room_is_refused_as_a_whole(one_flavour: str, db: Path) -> None:
    """503, and nothing of it is kept."""
    credentials: Credentials = make_store(db)
    with serving(db, one_flavour, env={"FALCON_EVENTS_QUEUE_BYTES": "1"}) as served:
        with Client(base_url=served.url, timeout=30) as client:
            assert client.track(**credentials.event()).status_code == 200  # one may always wait
        body = {"APIKey": credentials.ingest, "ListID": 94, "Events": [event()] * 3}
        assert served.client.post(EVENTS, json=body).status_code == 200
        served.stop()
    with plain(db) as connection:
        assert connection.execute("select count(*) from events where event = 'test'").fetchone() == (4,)


@functools.cache
def bomb() -> bytes:
    """500 MiB, compressed."""
    return gzip.compress(b" " * (500 << 20), compresslevel=1)


@pytest.mark.parametrize("path", [EVENT, EVENTS])
def test_a_body_may_be_compressed(api: Api, path: str) -> None:
    """gzip, with the limit on what it is when inflated; what is no gzip is unreadable, and other encodings are not known."""
    body = json.dumps(batch(api, event()) if path == EVENTS else api.credentials.event()).encode()

    def send(content: bytes, encoding: str) -> tuple[int, list[int]]:
        answer = api.client.post(path, content=content, headers={"Content-Encoding": encoding})
        return answer.status_code, codes(answer.json())

    assert send(gzip.compress(body), "gzip") == (200, [])
    assert send(gzip.compress(body), "GZIP") == (200, [])
    assert send(body, "identity") == (200, [])
    assert send(body, "gzip") == (400, [100000])
    assert send(gzip.compress(body)[:-9], "gzip") == (400, [100000])
    assert send(gzip.compress(body) + b"more", "gzip") == (400, [100000])
    assert send(gzip.compress(body + b" " * (1 << 20)), "gzip") == (413, [413])
    assert send(bomb(), "gzip") == (413, [413])
    assert send(body, "br") == (415, [415])
