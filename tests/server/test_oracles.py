"""What a key can learn about others from the answers to its own events."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import falcon
import falcon.testing
import pytest

from falcon_events import EventTracking
from falcon_events.http import mount
from tests.harness import EVENT, EVENTS
from tests.shortcuts import make_store

ORIGIN = "https://www.example.com"


def send(tracking: EventTracking, key: str, path: str = EVENT, **event: Any) -> dict[str, Any]:
    """Sends an event from a page; the answer to it."""
    app = falcon.App()
    mount(app, tracking)
    body = {"event": "e", **event}
    posted = {"APIKey": key, **(body if path == EVENT else {"Events": [body]})}
    answer = falcon.testing.TestClient(app).simulate_post(path, json=posted, headers={"Origin": ORIGIN})
    decoded: dict[str, Any] = json.loads(answer.text)
    assert answer.status_code == 200, decoded
    return decoded if path == EVENT else decoded["Results"][0]


@pytest.mark.parametrize("path", [EVENT, EVENTS])
def test_an_event_id_of_another_list_tells_nothing(db: Path, path: str) -> None:
    """It is no repeat: the event is stored, and the answer has its own visitor; within a list it is a repeat for every key."""
    credentials = make_store(db)
    with EventTracking(db) as tracking:
        bound = tracking.directory.create_key("alice", "ingest", list_ids=[95]).key
        event_id = str(uuid.uuid4())
        first = send(tracking, credentials.full, path, ListID=94, EventID=event_id, id="crm-4711", email="victim@example.com")
        other = send(tracking, bound, path, ListID=95, EventID=event_id, email="me@example.com")
        assert other["uuid"] != first["uuid"]
        assert other["external_id"] != "crm-4711"
        assert send(tracking, bound, path, ListID=95, EventID=event_id, email="me@example.com") == other
        assert send(tracking, credentials.full, path, ListID=95, EventID=event_id, email="x@example.com") == other
        assert [[one.event for _, one in tracking.latest(list_id)].count("e") for list_id in (94, 95)] == [1, 1]


@pytest.mark.parametrize("path", [EVENT, EVENTS])
@pytest.mark.parametrize(("hides", "origins", "known"), [(False, [ORIGIN], False), (True, [ORIGIN], True), (True, None, False)])
def test_a_page_can_be_kept_from_learning_which_addresses_are_known(
    db: Path, path: str, hides: bool, origins: list[str] | None, known: bool
) -> None:
    """With the setting, an ingest key that is bound to origins gets the answer for a new address; other keys get the true one."""
    credentials = make_store(db)
    address = "subscriber@example.com"
    with EventTracking(db, hide_known_addresses=hides) as tracking:
        key = tracking.directory.create_key("alice", "ingest", origins=origins).key
        assert send(tracking, credentials.full, path, ListID=94, email=address)["identify_event_sent"] is True
        assert send(tracking, key, path, ListID=94, email=address)["identify_event_sent"] is known
        assert send(tracking, key, path, ListID=94, email="nobody@example.com")["identify_event_sent"] is True
        visitor = str(uuid.uuid4())
        assert send(tracking, key, path, ListID=94, UUID=visitor)["identify_event_sent"] is False
        assert send(tracking, credentials.full, path, ListID=94, email=address)["identify_event_sent"] is False
