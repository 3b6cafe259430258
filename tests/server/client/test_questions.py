"""Questions that clients ask a remote server: the answers, refusals and repeats."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from falcon_events import EventsError, ForgetResult, QueryTooLong
from falcon_events.client import InvalidRequest, NotAllowed, StoreUnavailable
from tests.server.client.common import ERRORS, Caller, World, name
from tests.server.client.peer import Peer, answering, lose_answer

TOO_LONG = {"Errors": [{"Code": 504, "Message": "It takes longer than 10 seconds (setting query_timeout_s)."}]}


def test_a_client_asks_what_a_tracker_asks(kind: str, world: World) -> None:
    """Each question has the same arguments and the same typed answer."""
    event = name()
    mail = f"{event}@example.com"
    with Caller(kind, world.url, world.made.full) as client:
        for value in (1, 2):
            client.track(94, event, email=mail, properties={"value": value})
        only = {"filters": [["is", "event", [event]]]}
        questions: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
            ("query", (94,), {"metrics": ["people", ["sum", "property:value"]], "dimensions": ["event"], **only}),
            ("funnel", (94,), {"steps": [{"Event": event}, {"Event": event}], "breakdown": "property:value"}),
            ("retention", (94,), {"start": {"Event": event}, "return_": {"Event": event}, "unit": "day", "periods": 2}),
            ("people", (94,), {"people": [["has_done", {"Event": event}]]}),
            ("timeline", (94,), {"email": mail, "limit": 10}),
            ("values", (94, "event"), {"prefix": event}),
            ("saved", (94,), {}),
        ]
        for question, arguments, named in questions:
            answer = getattr(client, question)(*arguments, **named)
            assert answer == world.ask(question, *arguments, **named)
            assert answer.to_arrow().num_rows == len(answer.rows) or question in ("funnel", "retention")
        assert client.query(94, **only).rows[0].metrics == [1, 2]
        assert client.timeline(94, email=mail, limit=1).next_cursor is not None


def test_a_client_saves_and_forgets(kind: str, world: World) -> None:
    """What one saves is there for all; a repeat changes nothing."""
    segment = name()
    with Peer(world.url) as peer, Caller(kind, peer.url, world.made.full) as client:
        peer.tricks = [lose_answer]
        assert client.save(94, segment, people=[["has_done", {"Event": "x"}]]).saved.name == segment
        assert segment in [row.name for row in world.ask("saved", 94).rows]
        peer.tricks = [lose_answer]
        assert client.forget(94, segment) == ForgetResult(segment)
        assert len(peer.requests) == 4
        assert segment not in [row.name for row in world.ask("saved", 94).rows]
        with pytest.raises(InvalidRequest) as refused:
            client.forget(94, segment)
        assert refused.value.codes == (15,)


def test_refusals_have_their_codes(kind: str, world: World) -> None:
    """As the tracker raises them; and a client has one credential, its own."""
    with Peer(world.url) as peer, Caller(kind, peer.url, world.made.full) as client:
        with pytest.raises(InvalidRequest) as refused:
            client.query(94, date_range="soon", metrics=[])
        assert refused.value.codes == (4, 6)
        for credential in ("api_key", "session_id"):
            with pytest.raises(EventsError, match=f"{credential}: a client asks with its own key"):
                client.query(94, **{credential: world.made.full})
        with pytest.raises(EventsError, match="filters"):
            client.query(94, filters=[["is", "event", [object()]]])
        assert len(peer.requests) == 1
    with Caller(kind, world.url, world.made.ingest) as client, pytest.raises(NotAllowed):
        client.people(94)


def test_questions_are_asked_again_unless_they_take_too_long(kind: str, world: World) -> None:
    """A server that is busy may answer later; what takes too long takes too long again."""
    with Peer(world.url) as peer, Caller(kind, peer.url, world.made.full) as client:
        peer.tricks = [lose_answer, answering(503, ERRORS, Retry_After="0")]
        assert client.query(94, metrics=["events"]).rows
        assert len(peer.requests) == 3
        peer.always = answering(503, TOO_LONG, Retry_After="1")
        with pytest.raises(QueryTooLong, match="query_timeout_s") as refused:
            client.query(94)
        assert isinstance(refused.value, StoreUnavailable)
        assert (refused.value.status, refused.value.codes, refused.value.retry_after_s) == (503, (504,), 1)
        assert len(peer.requests) == 4


def test_a_client_waits_for_answers_that_take_long(kind: str, world: World) -> None:
    """Longer than for other calls: the server has its own limit of time."""

    def slow(_: Any) -> bool:
        released.wait(0.5)  # longer than timeout_s, so that a client which does not wait has ended by then
        return True

    released = threading.Event()
    with Peer(world.url) as peer, Caller(kind, peer.url, world.made.full, timeout_s=0.25, retry_s=0) as client:
        peer.tricks = [slow]
        assert client.query(94).rows
