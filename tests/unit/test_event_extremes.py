"""Extremes of every field: what the contract accepts reaches the tables, from every way in, and hurts no other event."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from falcon_events import EventTracking, RequestRefused
from falcon_events.contract.event import MAX_ID, WHITE_SPACE
from falcon_events.hooks.events import IncomingEvent
from falcon_events.model.sender import Sender
from tests.harness import fill_store

pytestmark = pytest.mark.database

NOW = 1_767_225_600.25
KNOWN = {"event": "good", "ListID": 94, "email": "good@example.com"}
thorough = settings(derandomize=True, deadline=None, database=None, max_examples=150, suppress_health_check=list(HealthCheck))

texts = st.one_of(
    st.sampled_from(
        [
            *(
                "\x00",
                "a\x00b",
                "\u2028",
                "\ufeff",
                "\uffff",
                "\U0010ffff",
                "\ud7ff\ue000",
                "\x7f\x85",
                '"',
                "\\",
                "'",
                "$.*",
                "a.b",
            ),
            *("\\u0000", "${x}", "e\u0301", "\u202e", "1e5", "null", "{}", "\ud83d", "\udc00\ud83d", "\ud83d\ude00", ""),
        ]
    ),
    st.text(max_size=12),
)
long_texts = st.one_of(texts, st.sampled_from(["x", "é", "\U0001f600", "\x00", "\ud83d"]).map(lambda one: one * 200))
numbers = st.one_of(
    st.sampled_from([0, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1]),
    st.sampled_from([10**30, 10**308, 10**309, -(10**400), 10**4299]),
    st.sampled_from([0.0, -0.0, 5e-324, 1e-320, 1.5, 1e17, 1.7976931348623157e308, -1.7976931348623157e308]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=5,
)
deep = st.sampled_from(["[", '{"":']).map(lambda opening: json.loads(opening * 60 + "1" + ("]" if opening == "[" else "}") * 60))
times = st.one_of(
    st.sampled_from(
        [
            *("0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00+23:59"),
            *("1969-12-31T00:01:00-23:59", "2016-12-31T23:59:60Z", "2026-01-01T00:00:00.25Z", "2026-01-02T00:00:00.25Z"),
            *("2026-01-02T00:00:00.250001Z", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999-23:59", "2026-01-01"),
        ]
    ),
    st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
)
properties = st.one_of(
    st.dictionaries(long_texts, values, max_size=4),
    st.fixed_dictionaries({"$sent_at": st.one_of(times, values)}, optional={"isTest": values, "emailAddress": values}),
    st.fixed_dictionaries({"deep": deep}),
    st.sampled_from([1000, 1001]).map(lambda count: dict.fromkeys(map(str, range(count)), 1)),
    st.builds(
        lambda value: {"conversion-id": "1", "conversion-name": "n", "conversion-value": value},
        st.one_of(numbers, numbers.map(str), st.sampled_from(["1e400", "-1e400", "9" * 400, "1e-400", "1" * 5000, " 1 "])),
    ),
    st.sampled_from([[], {}, None]),
)
uuids = st.one_of(
    st.sampled_from(["0" * 8 + "-0000-0000-0000-" + "0" * 12, "F" * 8 + "-FFFF-FFFF-FFFF-" + "f" * 12]), st.uuids().map(str)
)
event_bodies = st.fixed_dictionaries(
    {
        "event": st.one_of(long_texts, st.sampled_from(["test", "test", "identify", "conversion", " \t.", *WHITE_SPACE])),
        "ListID": st.sampled_from([94, 94, 94, "94", 94.0, 2**63 - 1, 2**63, 2**64, 2**70, "9" * 30, 10**300, 1]),
    },
    optional={
        "email": st.sampled_from(
            [
                *("a@example.com", "A@Example.COM", " a@b.cd\ufeff", "l" * 64 + "@b.cd", "a@" + ("d" * 60 + ".") * 4 + "com"),
                *("!#$%&'*+/=?^_`{|}~-@b.cd", "a@b", "ä@b.cd", "\x00@b.cd"),
            ]
        ),
        "properties": properties,
        "IdentifyProperties": properties,
        "id": st.one_of(texts, numbers, st.sampled_from(["é" * MAX_ID, 10**255 - 1, 1 - 10**254, "\x00" * MAX_ID])),
        "UUID": uuids,
        "EventID": uuids,
        "Timestamp": times,
        "OwnTraffic": st.booleans(),
    },
)


FIELDS = {"event": "event", "properties": "properties", "IdentifyProperties": "identify_properties", "id": "external_id"}


@pytest.fixture
def tracking(db: Path, caplog: pytest.LogCaptureFixture) -> Iterator[EventTracking]:
    """A tracker with a real store; at the end the tables have everything that was accepted, and the log has no error."""
    with EventTracking(db, clock=lambda: NOW, client_address="full") as tracking:
        yield tracking
        assert tracking.health() is None
        assert not list(db.parent.glob("*.refused.ndjson"))
        assert not tracking.recount(94).differs
        assert [check.name for check in tracking.check() if not check.ok] == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


COUNTS = """
select count(*) filter (event = 'good'), count(*) filter (occurred_at < '1970-01-01'),
    count(*) filter (occurred_at > '2026-01-02 00:00:00.25')
from events
"""


def encode(value: object) -> bytes:
    """JSON in ASCII, with halves of surrogate pairs as escapes."""
    return json.dumps(value, ensure_ascii=True).encode()


def test_what_is_accepted_reaches_the_tables_and_hurts_no_other(tracking: EventTracking) -> None:
    """Alone, in a batch, and among bodies of the host: each event is stored or refused with its own codes, never 500 or 503."""
    key = fill_store(tracking).full
    sender = Sender(key, user_agent="Mozilla/5.0", address="2001:db8::1")

    @thorough
    @given(sent=st.lists(event_bodies, min_size=1, max_size=6))
    @example(
        sent=[
            {
                "event": "e",
                "ListID": 94,
                "email": "a@b.cd",
                "Timestamp": "0001-01-01T00:00:00Z",
                "properties": {"$sent_at": "9999-12-31T23:59:59Z"},
            }
        ]
    )
    @example(
        sent=[
            {
                "event": "e",
                "ListID": 94,
                "email": "a@b.cd",
                "Timestamp": "9999-12-31T23:59:59Z",
                "properties": {"$sent_at": "1970-01-01T00:00:00Z"},
            }
        ]
    )
    def hold(sent: list[dict[str, Any]]) -> None:
        run, pipeline = tracking.waiter.run, tracking.pipeline
        alone = [run(pipeline.event_reply(encode(event), sender)) for event in sent]
        assert {reply.status for reply in alone} <= {200, 422}
        reply = run(pipeline.events_reply(encode({"Events": [KNOWN, *sent, KNOWN]}), sender))
        results = json.loads(reply.body)["Results"]
        assert [result.get("Errors") for result in results[1:-1]] == [json.loads(one.body).get("Errors") for one in alone]
        assert results[0]["status"] == results[-1]["status"] == "success"
        bodies = [encode(event) for event in (KNOWN, *sent, KNOWN)]
        codes = [result.codes if isinstance(result, RequestRefused) else () for result in tracking.track_many(bodies)]
        assert codes[0] == codes[-1] == ()
        assert not {100005, 503} & {code for one in codes for code in one}

    hold()
    ((good, early, late),) = tracking.sql(COUNTS).rows
    assert (good % 4, early, late) == (0, 0, 0)
    assert good > 400


def test_extremes_that_hooks_set_reach_the_tables(db: Path) -> None:
    """A hook's changes are checked like a request: the event is stored as changed, or it alone is refused."""
    change: dict[str, Any] = {}

    def hook(event: IncomingEvent) -> None:
        if event.event != "good":
            for name, value in change.items():
                setattr(event, name, value)

    with EventTracking(db, clock=lambda: NOW, before_store=hook) as tracking:
        key = fill_store(tracking).full
        body = encode(
            {"ListID": 94, "Events": [{"event": name, "email": "a@example.com"} for name in ("good", "changed", "good")]}
        )

        @thorough
        @given(event=event_bodies)
        def hold(event: dict[str, Any]) -> None:
            names = {
                "event": "event",
                "properties": "properties",
                "IdentifyProperties": "identify_properties",
                "id": "external_id",
            }
            change.clear()
            change.update({names[name]: value for name, value in event.items() if name in names})
            reply = tracking.waiter.run(tracking.pipeline.events_reply(body, Sender(key)))
            results = json.loads(reply.body)["Results"]
            assert [results[place]["status"] for place in (0, 2)] == ["success"] * 2
            assert results[1].get("Errors", [{"Code": 100005}])[0]["Code"] == 100005

        hold()
        assert tracking.health() is None
        assert not tracking.recount(94).differs
    assert not list(db.parent.glob("*.refused.ndjson"))


def test_half_a_character_of_the_hosts_own_code_is_stored_as_a_replacement_character(tracking: EventTracking) -> None:
    """In names, values, event types and IDs that Python code passes, as in a request."""
    fill_store(tracking)
    tracking.track(94, "cut \ud83d", email="a@example.com", id="\udc00", properties={"\ud83d": ["\ud83d\ude00\ud83d"]})
    ((event, external_id, text),) = tracking.sql(
        "select event, external_id, properties::varchar from events where event <> 'identify'"
    ).rows
    assert (event, external_id, json.loads(text)) == ("cut \ufffd", "\ufffd", {"\ufffd": ["\U0001f600\ufffd"]})


def test_a_list_over_which_the_hosts_code_fails_concerns_its_events_only(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The others of the batch are stored; the failure is logged once."""

    class Host:
        def identify(self, credential: object) -> str:
            return "account"

        def owns_list(self, account: str, list_id: int) -> bool:
            if list_id > 2**31:
                raise OverflowError("integer too large")
            return True

    with EventTracking(db, access=Host()) as tracking:
        events = [{"event": "test", "email": "a@example.com", "ListID": list_id} for list_id in (1, 2**40, 2**40, 2)]
        reply = tracking.waiter.run(tracking.pipeline.events_reply(encode({"APIKey": "k", "Events": events}), Sender()))
        results = json.loads(reply.body)["Results"]
        assert [[error["Code"] for error in result.get("Errors", ())] for result in results] == [[], [100005], [100005], []]
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1
