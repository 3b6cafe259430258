"""Questions over HTTP and from Python: who may ask, what is refused, and that accepted events are counted."""

from __future__ import annotations

import asyncio
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

from falcon_events import EventTracking, InvalidRequest, StoreUnavailable
from falcon_events.contract.schemas import QUESTION_NAMES, load_schema
from falcon_events.settings import Settings
from falcon_events.store.engine.question_queue import Waited
from falcon_events.store.store import Store
from tests.conftest import Api
from tests.harness import FUNNEL, QUERY, RETENTION, Credentials
from tests.shortcuts import make_store

QUESTION = "/api/v1/website_events.{}"


def codes(api: Api, **body: Any) -> list[int]:
    """The codes of a refusal, with the status in front."""
    answered = api.client.post(QUERY, json=body)
    return [answered.status_code, *(error["Code"] for error in answered.json()["Errors"])]


def test_accepted_events_are_counted_at_once(api: Api) -> None:
    """A question sees every event that was answered before; names match without regard to case."""
    name = f"e{uuid.uuid4()}"
    for number in range(1, 4):
        assert api.client.track(**api.credentials.event(event=name, email="ada@example.com")).status_code == 200
        asked = {"apikey": api.credentials.read, "LISTID": str(api.credentials.list_id), "filters": [["is", "event", [name]]]}
        answered = api.client.post(QUERY, json=asked).json()
        assert answered["Results"] == [{"Dimensions": [], "Metrics": [1, number]}]
        assert "apikey" not in str(answered["Query"]).lower()


def test_who_may_ask(api: Api) -> None:
    """Keys of scope read and full, and sessions; not a key of scope ingest; a foreign list is as unknown as one that is not."""
    credentials = api.credentials
    for known in ({"APIKey": credentials.full}, {"APIKey": credentials.read}, {"SessionID": credentials.session}):
        assert api.client.post(QUERY, json={**known, "ListID": credentials.list_id}).status_code == 200
    bearer = {"Authorization": f"Bearer {credentials.read}"}
    assert api.client.post(QUERY, json={"ListID": credentials.list_id}, headers=bearer).status_code == 200
    assert codes(api, APIKey=credentials.ingest, ListID=credentials.list_id) == [403, 99999]
    assert codes(api, APIKey="wrong", ListID=credentials.list_id) == [401, 99998]
    assert codes(api, APIKey=credentials.read, ListID=credentials.foreign_list) == [422, 3]
    assert codes(api, APIKey=credentials.read, ListID=4_711) == [422, 3]


def test_every_failure_is_told(api: Api) -> None:
    """Ascending by code; those of the list as for website_events.properties."""
    key = api.credentials.read
    assert codes(api, APIKey=key) == [422, 1]
    assert codes(api, APIKey=key, ListID="x", Metrics=[], DateRange="soon") == [422, 2, 4, 6]
    assert codes(api, APIKey=key, ListID=api.credentials.list_id, People=[["in", "none"]]) == [422, 15]
    assert api.client.post(QUERY, content=b"[]").status_code == 400
    assert api.client.get(QUERY).headers["Allow"] == "POST"


def test_a_key_that_is_bound_to_lists_reads_these(db: Path) -> None:
    """Another list of its account is not found."""
    make_store(db)
    with EventTracking(db) as tracking:
        key = tracking.directory.create_key("alice", "read", list_ids=[95]).key
        assert tracking.query(95, api_key=key).rows[0].metrics == [0, 0]
        with pytest.raises(InvalidRequest) as refused:
            tracking.query(94, api_key=key)
        assert [(failure.code, failure.message) for failure in refused.value.failures] == [(3, "List not found")]


STEPS = [{"Event": "visit"}, {"Event": "signup"}]


@pytest.mark.parametrize(("path", "asked"), [(FUNNEL, {"Steps": STEPS}), (RETENTION, {})])
def test_every_kind_of_question_is_for_readers(api: Api, path: str, asked: dict[str, Any]) -> None:
    """Keys of scope read, for the lists of their account; failures have the codes of the endpoint."""
    credentials = api.credentials

    def answer(**body: Any) -> list[int]:
        answered = api.client.post(path, json={**asked, **body})
        return [answered.status_code, *(error["Code"] for error in answered.json().get("Errors", ()))]

    known = {"ListID": credentials.list_id}
    assert answer(APIKey=credentials.read, **known) == [200]
    assert answer(SessionID=credentials.session, **known) == [200]
    assert answer(APIKey=credentials.ingest, **known) == [403, 99999]
    assert answer(APIKey="wrong", **known) == [401, 99998]
    assert answer(APIKey=credentials.read, ListID=credentials.foreign_list) == [422, 3]
    assert answer(APIKey=credentials.read) == [422, 1]
    assert answer(APIKey=credentials.read, ListID="x", By="all", DateRange="soon") == [422, 2, 4, 11]
    assert answer(APIKey=credentials.read, **known, People=[["in", "none"]]) == [422, 15]
    assert api.client.post(path, content=b"{").status_code == 400
    assert api.client.get(path).headers["Allow"] == "POST"


def test_accepted_events_are_in_funnels_and_cohorts_at_once(api: Api) -> None:
    """A question sees every event that was answered before; names match without regard to case."""
    mail = f"{uuid.uuid4()}@example.com"
    known = {"apikey": api.credentials.read, "listid": api.credentials.list_id, "PEOPLE": [["is", "email", [mail]]]}
    for number, event in enumerate(("visit", "signup"), 1):
        assert api.client.track(**api.credentials.event(event=event, email=mail)).status_code == 200
        steps = api.client.post(FUNNEL, json={**known, "steps": [{"event": "visit"}, {"EVENT": "signup"}]}).json()["Steps"]
        assert [step["People"] for step in steps] == [1, number - 1]
        asked = {**known, "daterange": "today", "start": {"event": event}, "unit": "day", "periods": 1}
        assert api.client.post(RETENTION, json=asked).json()["Cohorts"][0]["Size"] == 1


def test_python_funnels_and_retentions(tracking: EventTracking, credentials: Credentials) -> None:
    """Typed rows, in threads and coroutines."""
    tracking.track(credentials.list_id, "visit", email="ada@example.com", properties={"plan": "free"})
    tracking.track(credentials.list_id, "signup", email="ada@example.com")
    asked: dict[str, Any] = {"steps": STEPS, "breakdown": "property:plan", "compare": "previous", "date_range": "2d"}
    funnel = tracking.funnel(credentials.list_id, **asked)
    assert funnel == asyncio.run(tracking.afunnel(credentials.list_id, **asked))
    assert [(step.event, step.people, step.of_first) for step in funnel.rows] == [("visit", 1, 1.0), ("signup", 1, 1.0)]
    assert [step.compared.people for step in funnel.rows if step.compared] == [0, 0]
    assert funnel.breakdown is not None
    assert [(group.value, group.steps[1].people) for group in funnel.breakdown] == [("free", 1)]
    assert funnel.meta["Partial"] == 0
    returning: dict[str, Any] = {"start": {"event": "visit"}, "return_": {"event": "signup"}, "unit": "day", "date_range": "2d"}
    retention = tracking.retention(credentials.list_id, **returning, periods=2)
    assert retention == asyncio.run(tracking.aretention(credentials.list_id, **returning, periods=2))
    assert sum(cohort.size for cohort in retention.rows) == 1
    assert retention.rows[-1].returned == [None, None]
    assert retention.query["Return"] == {"Event": "signup"}
    with pytest.raises(InvalidRequest) as refused:
        tracking.funnel(credentials.list_id, steps=STEPS[:1])
    assert refused.value.codes == (11,)


def test_python_calls_answer_as_http_does(tracking: EventTracking, credentials: Credentials) -> None:
    """In threads and coroutines, with the list's own time zone as the default."""
    tracking.directory.set_rules(credentials.list_id, time_zone="Asia/Kolkata")
    tracking.track(credentials.list_id, "signup", email="ada@example.com")
    asked: dict[str, Any] = {"date_range": "today", "metrics": ("events", ["distinct", "event"]), "include": ["totals"]}
    result = tracking.query(credentials.list_id, **asked)
    assert result == asyncio.run(tracking.aquery(credentials.list_id, **asked))
    assert [row.metrics for row in result.rows] == [[1, 1]]
    assert result.meta["Totals"] == [1, 1]
    assert result.query["TimeZone"] == "Asia/Kolkata"


def test_identify_events_count_where_they_were_asked_for(tracking: EventTracking, credentials: Credentials) -> None:
    """One that was stored beside another event does not, unless a filter names identify events."""
    tracking.track(credentials.list_id, "e", email="ada@example.com")
    tracking.track(credentials.list_id, "identify", email="ada@example.com")
    result = tracking.query(credentials.list_id, metrics=["events"], dimensions=["event"])
    assert [(row.dimensions, row.metrics) for row in result.rows] == [(["e"], [1]), (["identify"], [1])]
    named = tracking.query(credentials.list_id, metrics=["events"], filters=[["is", "event", ["identify"]]])
    assert named.rows[0].metrics == [2]


def test_a_question_waits_for_its_turn_no_longer_than_the_limit(db: Path) -> None:
    """Then it fails with 503; the one that is being answered goes on."""
    store = Store(db, Settings(query_slots=1, query_timeout_s=0.2))
    store.open()
    try:
        go, begun = threading.Event(), threading.Event()

        def hold(_: object) -> str:
            begun.set()
            assert go.wait(60)
            return "answered"

        writer = store._open_writer()
        ask = store._readers.query
        first = ask(lambda: writer.connection, hold, before=lambda: None, waits=Waited(1, 60))
        assert begun.wait(60)
        second = ask(lambda: writer.connection, hold, before=lambda: None, waits=Waited(1, 0.05))
        with pytest.raises(StoreUnavailable, match="no turn"):
            second.result(60)
        go.set()
        assert first.result(60) == "answered"
    finally:
        store.close()


def test_persons_are_found_over_http(api: Api) -> None:
    """Who did it, whom a number counts, what one of them did, and the values; accepted events are counted at once."""
    name, email = f"e{uuid.uuid4()}", f"{uuid.uuid4()}@example.com"
    sent = {"event": name, "email": email, "ID": f"id-{name}", "Properties": {"plan": "pro", "n": 12.5}}
    assert api.client.track(**api.credentials.event(**sent)).status_code == 200
    asked = {"APIKey": api.credentials.read, "ListID": api.credentials.list_id}
    done = [["has_done", {"Event": name}]]
    found = api.client.post(QUESTION.format("people"), json={**asked, "people": done}).json()
    assert [(one["Email"], one["IDs"], one["Events"]) for one in found["People"]] == [(email, [f"id-{name}"], 1)]
    assert (found["Count"], found["NextCursor"]) == (1, None)
    of = {"Filters": [["is", "event", [name]]], "Dimensions": ["event"], "Row": {"Dimensions": [name]}}
    counted = api.client.post(QUESTION.format("people"), json={**asked, "Of": of}).json()
    assert counted == found
    for named in ({"Email": email.upper()}, {"ID": f"id-{name}"}, {"UUID": found["People"][0]["UUIDs"][0]}):
        told = api.client.post(QUESTION.format("timeline"), json={**asked, **named}).json()
        assert told["Person"] == found["People"][0]
        assert [(one["Event"], one["Properties"]) for one in told["Events"]] == [(name, sent["Properties"])]
        assert told["Events"][0]["Session"] == told["Events"][0]["EventID"]
    filters = [["is", "event", [name]]]
    values = api.client.post(QUESTION.format("values"), json={**asked, "Dimension": "property:plan", "Filters": filters}).json()
    assert values["Values"] == [{"Value": "pro", "Events": 1}]


def test_segments_are_saved_over_http(api: Api) -> None:
    """They are used by their name, replaced, listed, and forgotten."""
    asked = {"APIKey": api.credentials.read, "ListID": api.credentials.list_id}
    name = f"s{uuid.uuid4()}"

    def post(question: str, **params: Any) -> Any:
        return api.client.post(QUESTION.format(question), json={**asked, **params}).json()

    assert post("save", Name=name, People=[["has_done", {"Event": "none"}]])["Saved"]["Kind"] == "segment"
    assert post("query", People=[["in", name]], Metrics=["people"])["Results"][0]["Metrics"] == [0]
    assert post("people", People=[["not", ["in", name]]])["Count"] == post("people")["Count"]
    assert name in [one["Name"] for one in post("saved")["Saved"]]
    assert post("forget", Name=name) == {"Forgotten": name}
    assert post("people", People=[["in", name]])["Errors"][0]["Code"] == 15


@pytest.mark.parametrize("question", QUESTION_NAMES)
def test_who_may_ask_each_question(api: Api, question: str) -> None:
    """No key of scope ingest, and nobody about a foreign list, which is as unknown as one that is not."""
    credentials = api.credentials
    needed = {"Steps": [{}, {}], "Dimension": "event", "Email": "ada@example.com", "Name": "x", "People": []}
    needed = {name: value for name, value in needed.items() if name in load_schema(f"{question}.request")["properties"]}

    def codes_of(**params: Any) -> list[int]:
        answered = api.client.post(QUESTION.format(question), json={**needed, **params})
        return [answered.status_code, *(error["Code"] for error in answered.json()["Errors"])]

    assert codes_of(APIKey=credentials.ingest, ListID=credentials.list_id) == [403, 99999]
    assert codes_of(APIKey="wrong", ListID=credentials.list_id) == [401, 99998]
    assert codes_of(APIKey=credentials.read, ListID=credentials.foreign_list) == [422, 3]
    assert codes_of(APIKey=credentials.read, ListID=4_711) == [422, 3]
    assert codes_of(APIKey=credentials.read) == [422, 1]
    assert codes_of(APIKey=credentials.read, ListID="x") == [422, 2]
    assert api.client.get(QUESTION.format(question)).headers["Allow"] == "POST"


def test_python_calls_about_persons(tracking: EventTracking, credentials: Credentials) -> None:
    """In threads and coroutines, with typed results; pages follow each other by their cursors."""
    list_id = credentials.list_id
    for name in "abc":
        tracking.track(list_id, "signup", email=f"{name}@example.com", id=name, properties={"plan": name})
    page = tracking.people(list_id, people=[["has_done", {"Event": "signup"}]], order_by="email", limit=2)
    again = asyncio.run(tracking.apeople(list_id, people=[["has_done", {"Event": "signup"}]], order_by="email", limit=2))
    assert (again.rows, again.count) == (page.rows, page.count)
    assert [person.email for person in page.rows] == ["a@example.com", "b@example.com"]
    assert page.meta == {"Count": 3, "NextCursor": page.next_cursor}
    rest = tracking.people(
        list_id, people=[["has_done", {"Event": "signup"}]], order_by="email", limit=2, cursor=page.next_cursor
    )
    assert [(person.ids, person.events) for person in rest.rows] == [(["c"], 1)]
    told = tracking.timeline(list_id, id="a")
    assert told == asyncio.run(tracking.atimeline(list_id, email="A@example.com"))
    assert told == tracking.timeline(list_id, uuid=uuid.UUID(told.rows[0].uuid))
    assert [(row.event, row.properties) for row in told.rows] == [("signup", {"plan": "a"})]
    values = tracking.values(list_id, "property:plan", prefix="B")
    assert [(row.value, row.events) for row in values.rows] == [("b", 1)]
    tracking.save(list_id, "b only", people=[["is", "email", ["b@example.com"]]])
    assert tracking.saved(list_id).rows[0].people == [["is", "email", ["b@example.com"]]]
    assert [person.email for person in tracking.people(list_id, people=[["in", "b only"]]).rows] == ["b@example.com"]
    assert tracking.forget(list_id, "b only").forgotten == "b only"
    with pytest.raises(InvalidRequest) as refused:
        tracking.forget(list_id, "b only")
    assert refused.value.codes == (15,)


def test_what_a_list_has_saved_outlives_a_restart_and_goes_with_the_list(db: Path) -> None:
    """It is in the store's file, also after a compaction; a list that is deleted takes it along."""
    list_id = make_store(db).list_id
    with EventTracking(db) as tracking:
        tracking.save(list_id, "x", query={"DateRange": "7d"})
        tracking.compact()
    with EventTracking(db) as tracking:
        assert tracking.saved(list_id).rows[0].query == {"DateRange": "7d"}
        tracking.directory.delete_list(list_id)
        assert tracking.sql("select count(*) from saved_queries").rows == [[0]]
