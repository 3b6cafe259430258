"""Events from web pages: where keys may be used, whose answers may be read, what is no visitor, and what is kept of people."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import falcon
import falcon.testing
import pytest

from falcon_events import EventsError, EventTracking, NotFound
from falcon_events.access.origins import matches_origin, normalize_origin
from falcon_events.http import mount, wsgi_app
from falcon_events.model.timestamps import format_timestamp
from tests.conftest import Api
from tests.harness import EVENT, EVENTS, PROPERTIES, Credentials, Served, fill_store, rows, serving
from tests.shortcuts import command, make_store

PAGE = "https://shop.example.com"
CRAWLER = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"


def tracked_name() -> str:
    """An event type of the test's own."""
    return f"page-{uuid.uuid4()}"


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://A.example.com/", "https://a.example.com"),
        ("https://a.example.com:443", "https://a.example.com"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("https://*.Example.com", "https://*.example.com"),
    ],
)
def test_an_origin_is_kept_as_browsers_write_it(given: str, origin: str) -> None:
    """Lower case, without the scheme's own port."""
    assert normalize_origin(given) == origin


@pytest.mark.parametrize(
    "given", ["", "example.com", "ftp://a.b", "https://a.b/path", "https://a*.b", "https://*", "https://a:x"]
)
def test_what_is_no_origin_is_refused(given: str) -> None:
    """With the right form in the message."""
    with pytest.raises(EventsError, match=r"https://www\.example\.com"):
        normalize_origin(given)


def test_a_pattern_admits_subdomains_only() -> None:
    """Neither the domain itself, nor one that only ends like it."""
    pattern = ("https://*.example.com",)
    assert matches_origin(pattern, "https://a.b.example.com")
    for other in ("https://example.com", "https://badexample.com", "http://a.example.com", "https://.example.com", "null", ""):
        assert not matches_origin(pattern, other)


@pytest.fixture(scope="module")
def page_server(flavour: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Credentials]]:
    """A server of each flavour whose list 95 drops what no visitor has made."""
    db = tmp_path_factory.mktemp("pages") / "events.duckdb"
    credentials = make_store(db)
    with EventTracking(db) as tracking:
        tracking.directory.set_rules(95, bots="drop")
    with serving(db, flavour, env={"FALCON_EVENTS_CLIENT_ADDRESS": "full"}) as served:
        yield served, credentials


def test_a_bound_key_works_from_its_origins_and_for_its_lists(page_server: tuple[Served, Credentials]) -> None:
    """Elsewhere it is refused; pages of any origin may read why; properties are nobody's."""
    served, credentials = page_server
    with EventTracking(served.db) as tracking:
        made = tracking.directory.keys()
        for key in made:
            tracking.directory.revoke_key(key.key_id)
        key = tracking.directory.create_key("alice", "ingest", origins=[PAGE, "https://*.example.org"], list_ids=[94]).key
        with pytest.raises(EventsError, match="ingest"):
            tracking.directory.create_key("alice", "full", origins=[PAGE])
        with pytest.raises(NotFound, match="96"):
            tracking.directory.create_key("alice", "ingest", list_ids=[96])
    body = {"APIKey": key, "ListID": 94, "event": "test", "email": "a@example.com"}
    for origin, status in ((PAGE, 200), ("https://x.example.org", 200), ("https://evil.example", 403), (None, 403)):
        headers = {} if origin is None else {"origin": origin}
        answer = served.client.post(EVENT, json=body, headers=headers)
        assert answer.status_code == status
        assert answer.headers.get("Access-Control-Allow-Origin") == origin
        assert status == 200 or answer.json()["Errors"][0]["Code"] == 99997
    for path in (EVENT, EVENTS):
        unknown = served.client.post(path, json={**body, "APIKey": "x"}, headers={"Origin": "https://evil.example"})
        assert (unknown.status_code, unknown.headers["Access-Control-Allow-Origin"]) == (401, "https://evil.example")
        assert unknown.headers["Vary"] == "Origin"
    elsewhere = served.client.post(EVENT, json={**body, "APIKey": credentials.full}, headers={"Origin": "https://evil.example"})
    assert (elsewhere.status_code, elsewhere.headers.get("Access-Control-Allow-Origin")) == (401, "https://evil.example")
    other = served.client.post(EVENT, json={**body, "ListID": 95}, headers={"Origin": PAGE})
    assert other.json()["Errors"][0]["Code"] == 4
    assert other.headers["Access-Control-Allow-Origin"] == PAGE
    asked = served.client.post(PROPERTIES, json=body, headers={"Origin": PAGE})
    assert (asked.status_code, asked.headers.get("Access-Control-Allow-Origin")) == (403, None)
    ahead = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for path in (EVENT, EVENTS):
        preflight = served.client.options(path, headers={**ahead, "Origin": PAGE})
        assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (204, PAGE)
        assert preflight.headers["Access-Control-Allow-Methods"] == "POST"
        assert "Content-Type" in preflight.headers["Access-Control-Allow-Headers"]
        refused = served.client.options(path, headers={**ahead, "Origin": "https://evil.example"})
        assert (refused.status_code, "Access-Control-Allow-Origin" in refused.headers) == (403, False)


def test_a_refused_origin_is_logged_once(
    tracking: EventTracking, credentials: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    """With the origins that the key has; a stranger's many origins fill neither the log nor the memory."""
    app = falcon.App()
    mount(app, tracking)
    key = tracking.directory.create_key("alice", "ingest", origins=["http://localhost:8000"], list_ids=[94]).key
    body = {"APIKey": key, "ListID": 94, "event": "test", "email": "a@example.com"}

    def send(origin: str | None) -> None:
        headers = {} if origin is None else {"origin": origin}
        assert falcon.testing.simulate_post(app, EVENT, json=body, headers=headers).status_code == 403

    for _ in range(3):
        send("http://127.0.0.1:8000")
        send("http://localhost:9000")
        send(None)
    told = [record.getMessage() for record in caplog.records if record.name.startswith("falcon_events")]
    assert len(told) == 3
    assert "'http://127.0.0.1:8000'" in told[0]
    assert "from http://localhost:8000 only" in told[0]
    assert "localhost and 127.0.0.1 are two" in told[0]
    assert "without an Origin header" in told[2]
    for number in range(200):
        send(f"https://{number}.example{'x' * 1000}")
    told = [record.getMessage() for record in caplog.records if record.name.startswith("falcon_events")]
    assert len(told) == 100
    assert max(map(len, told)) < 600


@pytest.mark.parametrize(
    ("headers", "changes", "bot"),
    [
        ({"User-Agent": BROWSER}, {}, None),
        ({"User-Agent": CRAWLER}, {}, "Googlebot"),
        ({"User-Agent": BROWSER.replace("Chrome", "HeadlessChrome")}, {}, "HeadlessChrome"),
        ({"User-Agent": "curl/8.0"}, {}, None),
        ({"User-Agent": "curl/8.0", "Origin": PAGE}, {}, "curl"),
        ({"User-Agent": BROWSER, "Sec-Purpose": "prefetch;prerender"}, {}, "prefetch"),
        ({"User-Agent": BROWSER}, {"OwnTraffic": True}, "own"),
        ({"User-Agent": BROWSER}, {"OwnTraffic": "x"}, None),
    ],
)
def test_what_is_no_visitor_is_tagged(api: Api, headers: dict[str, str], changes: dict[str, Any], bot: str | None) -> None:
    """With the property `$bot`, unless the list's rules say otherwise."""
    name = tracked_name()
    answer = api.client.post(EVENT, json=api.credentials.event(event=name, **changes), headers=headers)
    assert answer.status_code == 200
    assert "X-Event-Dropped" not in answer.headers
    names = api.client.properties(APIKey=api.credentials.read, ListID=94).json()["Properties"][name]
    assert names == ([] if bot is None else ["$bot"]) + ["number-of-subscribers-imported"]


def test_stats_tell_what_was_taken_for_a_bot(db: Path) -> None:
    """The most frequent first, by list; so that somebody who is taken for one is noticed."""
    with EventTracking(db) as tracking:
        credentials = fill_store(tracking)
        app = falcon.App()
        mount(app, tracking)
        for agent, list_id, count in ((CRAWLER, 94, 3), (CRAWLER, 95, 1), (BROWSER, 94, 2), ("curl/8", 94, 1)):
            for _ in range(count):
                body = credentials.event(ListID=list_id)
                answer = falcon.testing.simulate_post(app, EVENT, json=body, headers={"User-Agent": agent, "Origin": PAGE})
                assert answer.status_code == 200
        told = [(found.list_id, found.bot, found.events) for found in tracking.stats().bots]
    assert told == [(94, "Googlebot", 4), (95, "Googlebot", 2), (94, "curl", 1)]  # with an identify event in each list
    shown = command("stats", "--db", str(db)).stdout.decode()
    assert "no visitor sent" in shown
    assert "Googlebot" in shown


def test_dropped_events_are_counted_only(page_server: tuple[Served, Credentials]) -> None:
    """Where a list drops what no visitor has made: answered as usual, also in batches, with nothing stored."""
    served, credentials = page_server
    with EventTracking(served.db) as tracking:
        made = tracking.directory.create_key("alice")
        kept = credentials.event(APIKey=made.key)
        dropped = {**kept, "ListID": 95}
        answer = served.client.post(EVENT, json=dropped, headers={"User-Agent": CRAWLER})
        assert (answer.status_code, answer.headers["X-Event-Dropped"]) == (200, "bot")
        assert answer.json()["identify_event_sent"] is False
        batch = {"APIKey": made.key, "Events": [dropped, kept]}
        answer = served.client.post(EVENTS, json=batch, headers={"User-Agent": CRAWLER})
        assert (answer.status_code, answer.headers["X-Event-Dropped"]) == (200, "bot")
        stats = tracking.stats()
        assert [(dropped.list_id, dropped.events) for dropped in stats.dropped] == [(95, 2)]
        assert {count.list_id for count in stats.by_type} == {94}
        tracking.directory.revoke_key(made.key_id)


def test_rules_deny_and_redact_before_storing(tracking: EventTracking, credentials: Credentials) -> None:
    """Properties and traits alike; a name that identify events need cannot be ruled."""
    with pytest.raises(EventsError, match="emailAddress"):
        tracking.directory.set_rules(94, denied=["emailAddress"])
    tracking.directory.set_rules(94, denied=["secret"], redacted=["name"])
    given = {"secret": 1, "name": "Ada", "plan": "free"}
    tracking.track(94, "test", email="a@example.com", properties=given, identify_properties=given)
    assert tracking.properties(94)["test"] == ["name", "plan"]
    data = tracking.personal_data(94, email="A@example.com")
    assert [event.properties["name"] for event in data.events] == ["[redacted]"] * 2
    assert data.bindings[0].traits == {"name": "[redacted]", "plan": "free"}


def test_a_wrong_clock_is_corrected(db: Path) -> None:
    """By `$sent_at` against the server's clock, where they differ by more than 5 s; both times are stored."""
    now = 1_700_000_000
    expected = {"0": False, "4": False, "-3600": True, "259200": True}
    with EventTracking(db, clock=lambda: now) as tracking:
        key = fill_store(tracking).full
        for wrong_s in map(int, expected):
            stamp = {"timestamp": rfc3339(now + wrong_s - 10), "properties": {"$sent_at": rfc3339(now + wrong_s)}}
            tracking.track(94, str(wrong_s), email="a@example.com", api_key=key, **stamp)  # type: ignore[arg-type]
        stored = {one.event: one for _, one in tracking.latest(94)}
    for name, is_corrected in expected.items():
        sent = rfc3339(now + int(name) - 10)
        assert stored[name].client_timestamp == sent
        assert stored[name].occurred_at == (rfc3339(now - 10) if is_corrected else sent)


@pytest.mark.parametrize("kind", ["none", "truncated", "hashed"])
def test_an_address_is_stored_only_as_the_setting_says(db: Path, kind: str) -> None:
    """Nothing by default. What of it is stored differs by no flavour."""
    credentials = make_store(db)
    with EventTracking(db, client_address=kind) as tracking:
        client = falcon.testing.TestClient(wsgi_app(tracking))
        for _ in range(2):
            assert client.simulate_post(EVENT, json=credentials.event()).status_code == 200
    ((address,),) = rows(db, "select distinct client_address from events where event = 'test'")
    assert address == {"none": None, "truncated": "127.0.0.0"}.get(kind, address)
    if kind == "hashed":
        assert len(address) == 32
        with pytest.raises(ValueError, match="does not appear"):
            ipaddress.ip_address(address)


def test_a_whole_address_is_stored_where_that_is_set(page_server: tuple[Served, Credentials]) -> None:
    """As each server knows it of a connection."""
    served, credentials = page_server
    with EventTracking(served.db) as tracking:
        made = tracking.directory.create_key("alice")
        assert served.client.track(**credentials.event(APIKey=made.key, event="addressed")).status_code == 200
        assert [one.client_address for _, one in tracking.latest(94) if one.event == "addressed"] == ["127.0.0.1"]
        tracking.directory.revoke_key(made.key_id)


@pytest.mark.database
def test_a_person_is_erased_everywhere(db: Path) -> None:
    """From events, bindings, EventIDs and the catalogue, and after compact() from the file's bytes; others stay."""
    secret = f"{uuid.uuid4().hex}@example.com"
    with EventTracking(db) as tracking:
        fill_store(tracking)
        visitor = str(uuid.uuid4())
        tracking.track(94, "test", uuid=visitor, properties={"only": 1}, event_id=str(uuid.uuid4()))
        tracking.track(94, "test", uuid=visitor, email=secret, properties={"both": 1})
        tracking.track(94, "test", email="b@example.com", id="b", properties={"both": 1})
        with pytest.raises(EventsError, match="One of"):
            tracking.erase(94)
        assert len(tracking.personal_data(94, uuid=visitor).events) == 3
        erased = tracking.erase(94, email=secret.upper())
        assert (erased.visitors, erased.emails, erased.events, erased.bindings, erased.event_ids) == (
            [visitor],
            [secret],
            3,
            1,
            1,
        )
        with pytest.raises(NotFound):
            tracking.erase(94, email=secret)
        assert tracking.properties(94) == {"identify": ["both", "emailAddress"], "test": ["both"]}
        assert not tracking.recount(94).differs
        assert [row.events for row in tracking.stats().by_type] == [1, 1]
        assert tracking.track(94, "test", uuid=visitor, email=secret).identify_event_sent
        assert tracking.erase(94, uuid=visitor).events == 2
        assert tracking.erase(94, id="b").visitors
        tracking.compact()
    assert not any(secret.encode() in path.read_bytes() for path in db.parent.iterdir() if path.is_file())


def rfc3339(seconds: int) -> str:
    """Seconds since 1970 as an RFC 3339 time."""
    return format_timestamp(seconds * 1_000_000)
