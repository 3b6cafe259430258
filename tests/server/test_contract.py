"""The rules of both endpoints, one table for each, sent to a running server of each flavour."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from falcon_events import EventTracking, InvalidRequest
from falcon_events.contract.event import EventContract
from falcon_events.model.timestamps import format_timestamp
from tests.conftest import Api
from tests.harness import EVENT, PROPERTIES, Credentials, fill_store, plain

VISITOR = "13f8e79a-f063-4b80-10e4-b65a699a2f56"
MISSING = "takes a parameter out"
CONVERSION = {"conversion-id": "my-order-234", "conversion-name": "purchase", "conversion-value": 290.50}
NOW = 1_767_225_600  # 2026-01-01T00:00:00Z


def case(name: str, *values: Any) -> Any:
    """A row of a table, under its name."""
    return pytest.param(*values, id=name)


def rows(parameter: str, codes: list[int], values: dict[str, Any]) -> list[Any]:
    """Rows of a table for values of one parameter that fail alike."""
    return [case(f"{parameter} {name}", {parameter: value}, codes) for name, value in values.items()]


def event(api: Api, **changes: Any) -> dict[str, Any]:
    """The documented example's body, changed."""
    return api.credentials.event(**{name: ... if value is MISSING else value for name, value in changes.items()})


def codes_of(response: httpx.Response) -> list[int]:
    """The codes of an answer, in its order."""
    return [error["Code"] for error in response.json()["Errors"]]


def conversion(**changes: Any) -> dict[str, Any]:
    """The properties of the documented conversion, changed; an underscore stands for the hyphen."""
    properties = CONVERSION | {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in properties.items() if value is not MISSING}


def unique(name: str = "") -> str:
    """A name that no other test uses."""
    return f"{name}{uuid.uuid4().hex[:12]}"


def catalogue(api: Api) -> dict[str, list[str]]:
    """The property names of the main list."""
    answer = api.client.properties(APIKey=api.credentials.full, ListID=api.credentials.list_id)
    found: dict[str, list[str]] = answer.json()["Properties"]
    return found


REFUSED = [
    *rows("ListID", [4], {"missing": MISSING, "null": None, "zero": 0, "negative": -3, "text": "abc", "empty": ""}),
    *rows("ListID", [4], {"fraction": 94.5, "boolean": True, "array": [94], "object": {}, "unknown": 987654321, "foreign": 96}),
    *rows("ListID", [4], {"beyond 64 bits": 10**30, "beyond 64 bits as text": str(10**30), "of many digits": "9" * 5000}),
    *rows("ListID", [4], {"signed": "+94", "with a space": " 94", "ended by a line feed": "94\n", "decimal as text": "94.0"}),
    *rows("ListID", [4], {"underscored": "9_4", "in Arabic digits": "٩٤", "zeros": "00", "hexadecimal": "0x5e"}),
    *rows(
        "event",
        [5],
        {"missing": MISSING, "null": None, "empty": "", "blank": "   ", "Unicode blanks": "\t\r\n\v\f\u00a0\u2003\u3000"},
    ),
    *rows("event", [12], {"number": 5, "boolean": False, "array": [], "object": {}, "of 201 characters": "e" * 201}),
    *rows("event", [5, 12], {"of 201 blanks": " " * 201}),
    *rows("email", [6], {"missing": MISSING, "null": None, "empty": "", "blank": "  ", "line feed": "\n"}),
    *rows("email", [7], {"number": 7, "boolean": True, "array": ["a@example.com"], "object": {}}),
    *rows("email", [7], {"without at": "plain.example.com", "without local part": "@no-local.org", "without domain": "a@"}),
    *rows("email", [7], {"without dot in the domain": "a@b", "two at": "two@@example.com", "dot at the end": "a@example.com."}),
    *rows(
        "email",
        [7],
        {"space inside": "a b@example.com", "space in the domain": "a@exa mple.com", "two lines": "a@b.cc\nBcc: x@y.zz"},
    ),
    *rows("email", [7], {"hyphen first": "a@-example.com", "hyphen last": "a@example-.com", "no ASCII": "ä@example.com"}),
    *rows("email", [7], {"local part of 65": "x" * 65 + "@example.com", "label of 64": f"a@{'b' * 64}.com"}),
    *rows("email", [7], {"behind many blanks": " " * 900_000 + "x", "before many blanks": "a@b.cc" + " " * 900_000 + "x"}),
    *rows("email", [7], {"of 255 characters": f"{'a' * 64}@{('b' * 60 + '.') * 3}{'c' * 7}"}),
    *rows(
        "properties", [11], {"text": "a=1", "number": 5, "false": False, "an array with members": [1], "array of object": [{}]}
    ),
    *rows("properties", [11], {"of 1,001 names": {f"k{i}": i for i in range(1001)}, "name of 201": {"k" * 201: 1}}),
    *rows("IdentifyProperties", [11], {"text": "a", "an array with members": [1], "name of 201": {"k" * 201: 1}}),
    *rows("id", [13], {"object": {"a": 1}, "array": [], "boolean": True, "fraction": 1.5, "of 256 characters": "x" * 256}),
    *rows("id", [13], {"of 256 digits": 10**255, "of 256 characters with its sign": -(10**254)}),
    *rows(
        "UUID", [14], {"text": "not-a-uuid", "empty": "", "number": 5, "array": [], "without hyphens": VISITOR.replace("-", "")}
    ),
    *rows("UUID", [14], {"in braces": f"{{{VISITOR}}}", "a URN": f"urn:uuid:{VISITOR}", "ended by a line feed": VISITOR + "\n"}),
    *rows("EventID", [16], {"text": "7", "empty": "", "number": 7, "object": {}, "ended by a line feed": VISITOR + "\n"}),
    *rows("Timestamp", [15], {"number": 1767225600, "empty": "", "a date": "2026-01-01", "far ahead": "2999-01-01T00:00:00Z"}),
    case("identify with a UUID and no email", {"event": "identify", "UUID": VISITOR, "email": MISSING}, [6]),
    case("identify with a UUID and a blank email", {"event": "identify", "UUID": VISITOR, "email": " "}, [6]),
    case("no email and a null UUID", {"UUID": None, "email": MISSING}, [6]),
    case("conversion without properties", {"event": "conversion", "properties": MISSING}, [8, 9, 10]),
    case("conversion with null properties", {"event": "conversion", "properties": None}, [8, 9, 10]),
    case("conversion with empty properties", {"event": "conversion", "properties": []}, [8, 9, 10]),
    *(
        case(f"{name} {label}", {"event": "conversion", "properties": conversion(**{name: value})}, [code])
        for code, name in ((8, "conversion-id"), (9, "conversion-name"), (10, "conversion-value"))
        for label, value in (("missing", MISSING), ("null", None), ("empty", ""))
    ),
    *(
        case(f"conversion-value {value!r}", {"event": "conversion", "properties": conversion(conversion_value=value)}, [10])
        for value in ("much", True, [], [1], {}, "1,5", ".5", "5.", "+5", "0x5", "05", "NaN", "1e", " ", "\u0665")
    ),
    case("nothing that is required", {"ListID": MISSING, "event": MISSING, "email": MISSING}, [4, 5, 6]),
    case("a foreign list among other failures", {"ListID": 96, "event": " ", "email": "nope"}, [4, 5, 7]),
    case(
        "everything at once",
        {"ListID": "x", "event": "", "email": "x", "properties": 1, "id": [], "UUID": "x", "Timestamp": "x", "EventID": "x"},
        [4, 5, 7, 11, 13, 14, 15, 16],
    ),
    case("both kinds of properties", {"properties": 1, "IdentifyProperties": 1}, [11, 11]),
    case("a conversion and its list", {"ListID": 0, "event": "conversion", "properties": {}, "email": 5}, [4, 7, 8, 9, 10]),
]

ACCEPTED = [
    case("the documented example", {}, {"external_id": "user-id-2006"}),
    case("ListID as a string of digits", {"ListID": "94"}, {}),
    case("ListID with leading zeros", {"ListID": "0094"}, {}),
    case("ListID as 94.0", {"ListID": 94.0}, {}),
    case("an event name of 200 characters", {"event": "é" * 200}, {}),
    case("an integer id", {"id": 2006}, {"external_id": "2006"}),
    case("a negative id", {"id": -7}, {"external_id": "-7"}),
    case("an id of zero", {"id": 0}, {"external_id": "0"}),
    case("an id as 5.0", {"id": 5.0}, {"external_id": "5"}),
    case("an id beyond 64 bits", {"id": 2**64 + 1}, {"external_id": str(2**64 + 1)}),
    case("an id of 255 digits", {"id": 10**255 - 1}, {"external_id": "9" * 255}),
    case("an id of 255 characters", {"id": "é" * 255}, {"external_id": "é" * 255}),
    case("an id with white space", {"id": " a\n"}, {"external_id": " a\n"}),
    case("a UUID in upper case", {"UUID": VISITOR.upper()}, {"uuid": VISITOR}),
    case("a null UUID with an email", {"UUID": None}, {}),
    case("an anonymous visitor", {"UUID": VISITOR, "email": MISSING}, {"uuid": VISITOR, "identify_event_sent": False}),
    case("an anonymous visitor with a blank email", {"UUID": VISITOR, "email": " "}, {"uuid": VISITOR}),
    case("identify", {"event": "identify"}, {"identify_event_sent": True}),
    case("an email amid many blanks", {"email": " " * 450_000 + "2006@test.com" + " " * 450_000}, {}),
    case("properties left out", {"properties": MISSING}, {}),
    case("null properties", {"properties": None}, {}),
    case("an empty array of properties", {"properties": []}, {}),
    case("1,000 properties", {"properties": {f"k{i}": i for i in range(1000)}, "event": "thousand"}, {}),
    case("a property name of 200 characters", {"properties": {"é" * 200: 1}}, {}),
    case("an empty property name", {"properties": {"": 1}}, {}),
    case("an empty array of traits", {"IdentifyProperties": []}, {}),
    case("null traits", {"IdentifyProperties": None}, {}),
    case("a null EventID", {"EventID": None}, {}),
    case("a null Timestamp", {"Timestamp": None}, {}),
    case("unknown parameters", {"Command": "event.track", "extra": {"x": 1}}, {}),
    *(
        case(f"conversion-value {value!r}", {"event": "conversion", "properties": conversion(conversion_value=value)}, {})
        for value in (290.50, 0, -1, "290.50", "0", "-1.5e3", " 7\n", "1E+2", 2**70)
    ),
    *(
        case(f"conversion-id {value!r}", {"event": "conversion", "properties": conversion(conversion_id=value)}, {})
        for value in (0, False, " ", "my-order-234", [0], {"a": 1})
    ),
    *(
        case(f"email {address[:40]!r}", {"email": address}, {})
        for address in (
            "a@example.com", "first.last+tag@sub.example.co", "o'hara@example.org", "x_y-z@1and1.de", "!#$%&'*+/=?^_`{|}~-.@a.b",
            "  2006@test.com ", "\u00a0\t2006@test.com\r\n", ".a.@example.com", f"{'x' * 64}@example.com", f"a@{'b' * 63}.com",
            f"{'a' * 64}@{('b' * 60 + '.') * 3}{'c' * 6}", f"   {'a' * 64}@{('b' * 60 + '.') * 3}{'c' * 6}   ",
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "codes"), REFUSED)
def test_a_parameter_that_breaks_a_rule_is_refused_with_its_codes(api: Api, changes: dict[str, Any], codes: list[int]) -> None:
    """422 with all failures of the request, ascending by code."""
    answer = api.client.track(**event(api, **changes))
    assert (answer.status_code, codes_of(answer)) == (422, codes)


@pytest.mark.parametrize(("changes", "expected"), ACCEPTED)
def test_an_event_within_the_rules_is_tracked(api: Api, changes: dict[str, Any], expected: dict[str, Any]) -> None:
    """200 with the four documented members, and the stored event's own id in a header."""
    answer = api.client.track(**event(api, **changes))
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"status", "uuid", "external_id", "identify_event_sent"}
    assert expected.items() <= answer.json().items()
    assert str(uuid.UUID(answer.headers["X-Event-ID"])) == answer.headers["X-Event-ID"]


def test_failures_of_one_code_name_their_parameter(api: Api) -> None:
    """Properties and IdentifyProperties share code 11; the messages tell them apart."""
    answer = api.client.track(**event(api, properties=1, IdentifyProperties=1))
    first, second = (error["Message"] for error in answer.json()["Errors"])
    assert "IdentifyProperties" in first
    assert "IdentifyProperties" not in second


@pytest.mark.parametrize("given", [MISSING, None, ""], ids=["missing", "null", "empty"])
def test_a_missing_id_is_made_up(api: Api, given: Any) -> None:
    """Without an ID external_id is a random UUID, another one each time."""
    made = [api.client.track(**event(api, id=given)).json()["external_id"] for _ in range(2)]
    assert len({uuid.UUID(external_id) for external_id in made}) == 2


def test_white_space_around_an_email_is_not_part_of_it(api: Api) -> None:
    """The trimmed address is the one that is bound, and the one that the uuid is derived from."""
    address = f"{unique()}@example.com"
    first = api.client.track(**event(api, id=MISSING, email=f" \t{address}\n"))
    again = api.client.track(**event(api, id=MISSING, email=address))
    assert first.json()["identify_event_sent"] is True
    assert again.json()["identify_event_sent"] is False
    assert first.json()["uuid"] == again.json()["uuid"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        case("with milliseconds", "2024-04-10T19:25:40.951+00:00", 1712777140.951),
        case("with more digits than are kept", "2024-04-10T19:25:40.95100099999999+00:00", 1712777140.951),
        case("lower-case t and z", "2026-01-01t00:00:00z", NOW),
        case("offset ahead", "2026-01-01T05:30:00+05:30", NOW),
        case("offset behind", "2025-12-31T16:00:00-08:00", NOW),
        case("the largest offset", "2026-01-01T23:59:00+23:59", NOW),
        case("unknown local offset", "2026-01-01T00:00:00-00:00", NOW),
        case("a leap second", "2016-12-31T23:59:60Z", 1483228800),
        case("a leap second elsewhere", "1990-12-31T15:59:60-08:00", 662688000),
        case("a leap day", "2024-02-29T00:00:00Z", 1709164800),
        case("the first moment", "1970-01-01T00:00:00Z", 0),
        case("the first moment elsewhere", "1969-12-31T19:00:00-05:00", 0),
        case("24 hours ahead", "2026-01-02T00:00:00Z", NOW + 86400),
    ],
)
def test_a_timestamp_says_when_it_happened(text: str, seconds: float) -> None:
    """Any RFC 3339 date-time with an offset, to the microsecond; a leap second counts as the second after it."""
    contract = EventContract(clock=lambda: NOW)
    request = contract.check({"ListID": 1, "event": "test", "email": "a@example.com", "Timestamp": text})
    assert request.occurred_at == round(seconds * 1e6)
    assert request.received_at == NOW * 1_000_000
    assert format_timestamp(request.occurred_at)


@pytest.mark.parametrize(
    "text",
    [
        case("no offset", "2026-01-01T00:00:00"),
        case("no time", "2026-01-01"),
        case("no seconds", "2026-01-01T00:00Z"),
        case("offset without colon", "2026-01-01T00:00:00+0000"),
        case("offset of 24 hours", "2026-01-01T00:00:00+24:00"),
        case("offset with 60 minutes", "2026-01-01T00:00:00+01:60"),
        case("no fraction after the point", "2026-01-01T00:00:00.Z"),
        case("fraction after a comma", "2026-01-01T00:00:00,5Z"),
        case("line feed at the end", "2026-01-01T00:00:00Z\n"),
        case("space in front", " 2026-01-01T00:00:00Z"),
        case("no ASCII digits", "٢٠٢٦-01-01T00:00:00Z"),
        case("no leap day", "2026-02-29T00:00:00Z"),
        case("month 13", "2026-13-01T00:00:00Z"),
        case("hour 24", "2025-12-31T24:00:00Z"),
        case("minute 60", "2025-12-31T23:60:00Z"),
        case("second 61", "2025-12-31T23:59:61Z"),
        case("before 1970", "1969-12-31T23:59:59.999999Z"),
        case("before 1970 in UTC", "1970-01-01T00:00:00+00:01"),
        case("the first moment of a calendar", "0001-01-01T00:00:00Z"),
        case("year 9999", "9999-12-31T23:59:59.999999Z"),
        case("year 0000", "0000-01-01T00:00:00Z"),
        case("an offset that leads before year 1", "0001-01-01T00:00:00+23:59"),
        case("an offset that leads beyond year 9999", "9999-12-31T23:59:59-23:59"),
        case("a leap second that leads beyond year 9999", "9999-12-31T23:59:60Z"),
        case("a second more than 24 hours ahead", "2026-01-02T00:00:01Z"),
        case("a microsecond more than 24 hours ahead", "2026-01-02T00:00:00.000001Z"),
    ],
)
def test_what_is_no_moment_is_no_timestamp(text: str) -> None:
    """Neither what RFC 3339 does not allow, nor what no calendar has, nor what lies more than 24 hours ahead."""
    contract = EventContract(clock=lambda: NOW)
    with pytest.raises(InvalidRequest) as refused:
        contract.check({"ListID": 1, "event": "test", "email": "a@example.com", "Timestamp": text})
    assert refused.value.codes == (15,)


@pytest.mark.parametrize(
    ("text", "sent_at", "seconds"),
    [
        case("no text", "2026-01-01T00:00:00Z", 5, NOW),
        case("no time", "2026-01-01T00:00:00Z", "now", NOW),
        case("no offset", "2026-01-01T00:00:00Z", "2025-12-31T00:00:00", NOW),
        case("before 1970", "2026-01-01T00:00:00Z", "1969-12-31T23:59:59Z", NOW),
        case("year 1", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", NOW),
        case("a second more than 24 hours ahead", "2026-01-01T00:00:00Z", "2026-01-02T00:00:01Z", NOW),
        case("year 9999", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", 0),
        case("a correction that leads before 1970", "1970-01-01T00:00:00Z", "2026-01-01T12:00:00Z", 0),
        case("24 hours ahead", "2026-01-01T23:00:00Z", "2026-01-02T00:00:00Z", NOW - 3600),
        case("since 1970", "1970-01-01T00:00:05Z", "1970-01-01T00:00:10Z", NOW - 5),
        case("as far ahead as the Timestamp", "2030-01-01T00:00:00Z", "2030-01-01T00:00:10Z", NOW - 10),
    ],
)
def test_a_sending_time_that_is_none_corrects_nothing(text: str, sent_at: Any, seconds: float) -> None:
    """`$sent_at` has the bounds of a Timestamp, except that a clock that is far ahead as a whole is still corrected."""
    contract = EventContract(clock=lambda: NOW)
    params = {"ListID": 1, "event": "test", "email": "a@example.com", "Timestamp": text, "properties": {"$sent_at": sent_at}}
    assert contract.check(params).occurred_at == seconds * 1_000_000


@pytest.mark.parametrize(
    "sent_at", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01T00:00:06Z"]
)
@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2027-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_no_sending_time_makes_a_moment_of_what_is_none(text: str, sent_at: str) -> None:
    """A Timestamp before 1970 or far ahead is refused with code 15, or corrected to a time within the bounds."""
    contract = EventContract(clock=lambda: NOW)
    params = {"ListID": 1, "event": "test", "email": "a@example.com", "Timestamp": text, "properties": {"$sent_at": sent_at}}
    if text == sent_at > "2026":
        assert 0 <= contract.check(params).occurred_at <= (NOW + 86400) * 1_000_000
        return
    with pytest.raises(InvalidRequest) as refused:
        contract.check(params)
    assert refused.value.codes == (15,)


@pytest.mark.parametrize(("hours", "status"), [(23, 200), (25, 422)])
def test_a_timestamp_may_lie_a_day_ahead(api: Api, hours: int, status: int) -> None:
    """Clocks that are ahead are borne with, up to 24 hours."""
    ahead = (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
    assert api.client.track(**event(api, Timestamp=ahead)).status_code == status


CREDENTIALS = [
    case("a key", {"APIKey": "full"}, None, 200),
    case("a session", {"SessionID": "session"}, None, 200),
    case("a bearer key", {}, "Bearer full", 200),
    case("a bearer key in any case of the scheme", {}, "bEARER full", 200),
    case("an ingest key", {"APIKey": "ingest"}, None, 200),
    case("an empty key is none, the session counts", {"APIKey": "", "SessionID": "session"}, None, 200),
    case("a null key is none, the session counts", {"APIKey": None, "SessionID": "session"}, None, 200),
    case("empty ones are none, the bearer key counts", {"APIKey": "", "SessionID": ""}, "Bearer full", 200),
    case("the key counts before the session", {"APIKey": "full", "SessionID": "wrong"}, None, 200),
    case("the key counts before the session, wrong as it is", {"APIKey": "wrong", "SessionID": "session"}, None, 401),
    case("the body counts before the header", {"APIKey": "full"}, "Bearer wrong", 200),
    case("the body counts before the header, wrong as it is", {"SessionID": "wrong"}, "Bearer full", 401),
    case("none", {}, None, 401),
    case("an empty key", {"APIKey": ""}, None, 401),
    case("an unknown key", {"APIKey": "wrong"}, None, 401),
    case("a key with a space", {"APIKey": "full "}, None, 401),
    case("a key that is a number", {"APIKey": 12}, None, 401),
    case("a key that is false", {"APIKey": False}, "Bearer full", 401),
    case("a key in an array", {"APIKey": ["full"]}, None, 401),
    case("an unknown session", {"SessionID": "wrong"}, None, 401),
    case("a session that is an object", {"SessionID": {}}, None, 401),
    case("a session as a key", {"APIKey": "session"}, None, 401),
    case("a key as a session", {"SessionID": "full"}, None, 401),
    case("an unknown bearer key", {}, "Bearer wrong", 401),
    case("a session as a bearer key", {}, "Bearer session", 401),
    case("an empty bearer key", {}, "Bearer", 401),
    case("another scheme", {}, "Basic full", 401),
    case("a read key", {"APIKey": "read"}, None, 403),
    case("a read key as bearer", {}, "Bearer read", 403),
]


@pytest.mark.parametrize(("shown", "header", "status"), CREDENTIALS)
def test_a_credential_decides_who_may_track(api: Api, shown: dict[str, Any], header: str | None, status: int) -> None:
    """APIKey, else SessionID, else the bearer key; the first that is given counts, and an empty string is none."""

    def real(text: Any) -> Any:
        if isinstance(text, list):
            return [real(inner) for inner in text]
        for name in ("full", "ingest", "read", "session"):
            if isinstance(text, str):
                text = text.replace(name, getattr(api.credentials, name))
        return text

    headers = {} if header is None else {"Authorization": real(header)}
    body = event(api, APIKey=MISSING) | {name: real(value) for name, value in shown.items()}
    answer = api.client.post(EVENT, json=body, headers=headers)
    assert answer.status_code == status
    if status != 200:
        assert codes_of(answer) == [{401: 99998, 403: 99999}[status]]
    assert answer.headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)


ORDER = [
    case("an unreadable body comes before credentials", EVENT, b"{", None, 400, [100000]),
    case("an unreadable body comes before the scope", PROPERTIES, b"[]", "ingest", 400, [100000]),
    case("credentials come before parameters", EVENT, b"{}", None, 401, [99998]),
    case("credentials come before the list", PROPERTIES, b"{}", None, 401, [99998]),
    case("the scope comes before parameters", EVENT, b"{}", "read", 403, [99999]),
    case("the scope comes before the list", PROPERTIES, b"{}", "ingest", 403, [99999]),
    case("parameters come last", EVENT, b"{}", "ingest", 422, [4, 5, 6]),
    case("the list comes last", PROPERTIES, b"{}", "read", 422, [1]),
    case("a body over the limit is not looked at", EVENT, b"{" + b" " * (1 << 20), None, 413, [413]),
]


@pytest.mark.parametrize(("path", "body", "key", "status", "codes"), ORDER)
def test_checks_come_in_their_order(api: Api, path: str, body: bytes, key: str | None, status: int, codes: list[int]) -> None:
    """Body, credentials, scope, parameters: what fails first is answered."""
    headers = {"Authorization": f"Bearer {getattr(api.credentials, key)}"} if key else {}
    answer = api.client.post(path, content=body, headers=headers)
    assert (answer.status_code, codes_of(answer)) == (status, codes)


@pytest.mark.parametrize("path", [EVENT, PROPERTIES])
@pytest.mark.parametrize(
    "body",
    [
        case("empty", b""),
        case("no JSON", b"{not json"),
        case("an array", b"[]"),
        case("a string", b'"x"'),
        case("null", b"null"),
        case("cut off", b'{"ListID": 94'),
        case("followed by more", b'{"ListID": 94} {}'),
        case("with a trailing comma", b'{"ListID": 94,}'),
        case("in single quotes", b"{'ListID': 94}"),
        case("with NaN", b'{"ListID": NaN}'),
        case("with a number beyond a double", b'{"ListID": 94, "x": 1e400}'),
        case("with a control character", b'{"x": "\x01"}'),
        case("with an integer of 4,301 digits", b'{"x": ' + b"9" * 4301 + b"}"),
        case("in Latin-1", b'{"event": "\xff"}'),
        case("in UTF-16", '{"ListID": 94}'.encode("utf-16")),
        case("65 levels deep", b'{"properties": ' + b"[" * 64 + b"]" * 64 + b"}"),
        case("100,000 levels deep", b"[" * 100_000),
    ],
)
def test_a_body_that_is_no_readable_object_is_refused(api: Api, path: str, body: bytes) -> None:
    """400 with code 100000, whatever is wrong with it."""
    answer = api.client.post(path, content=body, headers={"Authorization": f"Bearer {api.credentials.full}"})
    assert (answer.status_code, codes_of(answer)) == (400, [100000])


def test_64_levels_are_taken(api: Api) -> None:
    """The body's object is the first level, its properties are the second."""
    deep: Any = 1
    for _ in range(62):
        deep = [deep]
    assert api.client.track(**event(api, properties={"deep": deep})).status_code == 200
    assert api.client.track(**event(api, properties={"deep": [deep]})).status_code == 400


@pytest.mark.parametrize("kind", ["application/json", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "x", None])
def test_a_body_is_json_whatever_its_content_type(api: Api, kind: str | None) -> None:
    """Browsers send text/plain, some clients send none."""
    headers = {} if kind is None else {"Content-Type": kind}
    assert api.client.post(EVENT, content=json.dumps(event(api)), headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("members", "external_id"),
    [
        case("three spellings, the first again", '"id":1,"ID":2,"id":3', "3"),
        case("two spellings", '"id":1,"ID":2', "2"),
        case("two spellings, the other way round", '"ID":2,"id":1', "1"),
        case("spellings of no schema", '"iD":1,"Id":2', "2"),
        case("one spelling twice", '"id":1,"id":2', "2"),
        case("a last one that is longer", '"ID":"a","id":"b","Id":"c"', "c"),
        case("spelled with an escape", '"id":1,"\\u0049D":2', "2"),
    ],
)
def test_of_two_spellings_of_a_name_the_last_in_the_body_counts(api: Api, members: str, external_id: str) -> None:
    """Names match without regard to case, and order decides, as with two members of one name."""
    body = json.dumps(event(api, id=MISSING))[:-1] + f",{members}}}"
    answer = api.client.post(EVENT, content=body)
    assert answer.json()["external_id"] == external_id


def test_every_parameter_is_known_in_any_case(api: Api) -> None:
    """The table's spelling, the example's, and any other."""
    answer = api.client.track(
        apikey=api.credentials.full, LISTID=94, iD="u-2", EVENT="identify", eMail="u2@example.com", PROPERTIES={"a": 1},
        uuid=VISITOR, timestamp="2026-01-01T00:00:00Z", eventid=str(uuid.uuid4()), identifyproperties={"b": 1},
    )  # fmt: skip
    assert (answer.status_code, answer.json()["external_id"], answer.json()["uuid"]) == (200, "u-2", VISITOR)
    wrong = api.client.track(
        apikey=api.credentials.full, listid=0, EVENT=5, EMAIL="x", PROPERTIES=1, iD=[], uuid=1, TIMESTAMP=1, eventID=1
    )
    assert codes_of(wrong) == [4, 7, 11, 12, 13, 14, 15, 16]


def test_property_names_keep_their_case(api: Api) -> None:
    """Only parameter names match without regard to case."""
    name = unique("case-")
    api.client.track(**event(api, event=name, properties={"a": 1, "A": 2, "isTEST": True}))
    assert catalogue(api)[name] == ["A", "a", "isTEST"]


def test_an_owner_has_one_uuid(api: Api) -> None:
    """Derived from list and ID, else from list and address in any case; a UUID of the request comes before both."""

    def visitor(**changes: Any) -> str:
        found: str = api.client.track(**event(api, properties={"isTest": True}, **changes)).json()["uuid"]
        return found

    by_id = visitor(id="o-1")
    by_email = visitor(id=MISSING, email="O-1@Example.com")
    assert by_id == visitor(id="o-1", email="another@example.com")
    assert by_email == visitor(id="", email="o-1@example.COM")
    assert len({by_id, by_email, visitor(id="O-1"), visitor(id="o-1", ListID=95), visitor(id="o-1@example.com")}) == 5
    assert visitor(id=1) == visitor(id="1")
    assert uuid.UUID(by_id).version == uuid.UUID(by_email).version == 5
    assert visitor(id="o-1", UUID=VISITOR) == VISITOR


def test_derived_uuids_outlive_the_process_and_no_other_store_has_them(tmp_path: Path) -> None:
    """The secret that they are derived under is kept with the store, and is the store's own."""

    def visitor(db: Path) -> str:
        with EventTracking(db) as tracking:
            return tracking.track(94, "test", email="a@example.com", id="o-1").uuid

    for name in ("one", "other"):
        with EventTracking(tmp_path / name) as tracking:
            fill_store(tracking)
    assert visitor(tmp_path / "one") == visitor(tmp_path / "one") != visitor(tmp_path / "other")


def test_an_address_new_to_its_visitor_sends_an_identify_event(api: Api) -> None:
    """A binding is one of visitor and address, whatever its case, within the list; each is new once."""
    owner, address = unique("u-"), f"{unique()}@example.com"

    def sent(**changes: Any) -> bool:
        found: bool = api.client.track(**event(api, **changes)).json()["identify_event_sent"]
        return found

    assert sent(id=owner, email=address)
    assert not sent(id=owner, email=address)
    assert not sent(id=owner, email=address.upper())
    assert sent(id=owner, email=f"second-{address}")
    assert sent(id=f"second-{owner}", email=address)
    assert sent(id=owner, email=address, event="identify")
    assert not sent(UUID=str(uuid.uuid4()), email=MISSING)


def test_a_visitor_known_by_uuid_is_bound_when_the_address_comes(api: Api) -> None:
    """The browser's visitor stays the same one from the anonymous page view to the known subscriber."""
    visitor, address = str(uuid.uuid4()), f"{unique()}@example.com"
    answers = [
        api.client.track(**event(api, UUID=visitor, id=MISSING, email=email)).json() for email in (MISSING, address, address)
    ]
    assert {answer["uuid"] for answer in answers} == {visitor}
    assert [answer["identify_event_sent"] for answer in answers] == [False, True, False]


def test_of_simultaneous_requests_with_one_new_binding_one_gets_true(api: Api) -> None:
    """However many ask at once, one identify event is stored."""
    body = event(api, id=unique("u-"), email=f"{unique()}@example.com")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.client.track(**body).json(), range(8)))
    assert sorted(answer["identify_event_sent"] for answer in answers) == [False] * 7 + [True]
    assert len({answer["uuid"] for answer in answers}) == 1


@pytest.mark.database
def test_an_identify_event_has_the_events_properties_and_the_address(tracking: EventTracking, credentials: Credentials) -> None:
    """Beside an event with a new binding, and as an event of its own; the event itself gets nothing added."""
    tracking.track(94, "test", email="a@example.com", properties={"number-of-subscribers-imported": 100})
    tracking.track(95, "identify", email="a@example.com", properties={"firstName": "Ada"})
    tracking.track(95, "pageView", email="a@example.com", properties={"url": "/"})
    assert tracking.properties(94) == {
        "identify": ["emailAddress", "number-of-subscribers-imported"],
        "test": ["number-of-subscribers-imported"],
    }
    assert tracking.properties(95) == {"identify": ["emailAddress", "firstName"], "pageView": ["url"]}


def test_a_repeated_event_id_stores_nothing_and_gets_the_first_answer(api: Api) -> None:
    """Whatever else the repeat says, in either case of the EventID; a header marks it."""
    event_id, name = str(uuid.uuid4()), unique("repeated-")
    first = api.client.track(**event(api, event=name, EventID=event_id, id=unique(), properties={"a": 1}))
    again = api.client.track(**event(api, event=name, EventID=event_id.upper(), id=unique(), properties={"b": 1}))
    assert first.json() == again.json()
    assert first.headers["X-Event-ID"] == again.headers["X-Event-ID"] == event_id
    assert "X-Event-Duplicate" not in first.headers
    assert again.headers["X-Event-Duplicate"] == "true"
    assert catalogue(api)[name] == ["a"]


def test_simultaneous_repeats_store_one_event(api: Api) -> None:
    """A retry that overtakes its first try is a repeat like any other."""
    body = event(api, EventID=str(uuid.uuid4()), id=unique(), email=f"{unique()}@example.com")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.client.track(**body), range(8)))
    assert len({answer.text for answer in answers}) == 1
    assert sum("X-Event-Duplicate" in answer.headers for answer in answers) == 7


def test_a_repeat_must_keep_to_the_rules(api: Api) -> None:
    """A known EventID excuses no failure."""
    body = event(api, EventID=str(uuid.uuid4()))
    assert api.client.track(**body).status_code == 200
    assert codes_of(api.client.track(**body | {"event": ""})) == [5]


def test_an_event_id_belongs_to_its_list(tracking: EventTracking) -> None:
    """Two lists that happen upon one EventID do not meet, whichever accounts they belong to."""
    fill_store(tracking)
    event_id = str(uuid.uuid4())
    answers = [tracking.track(list_id, "test", email="a@example.com", event_id=event_id) for list_id in (94, 96, 95)]
    assert [answer.duplicate for answer in answers] == [False, False, False]


def test_events_without_an_event_id_are_never_repeats(api: Api) -> None:
    """The same body twice is two events, each with an id of its own."""
    answers = [api.client.track(**event(api)) for _ in range(2)]
    assert len({answer.headers["X-Event-ID"] for answer in answers}) == 2
    assert not any("X-Event-Duplicate" in answer.headers for answer in answers)


def test_a_test_event_is_checked_and_answered_but_not_stored(api: Api) -> None:
    """It leaves no property, no binding and no EventID, and sends no identify event."""
    name, event_id = unique("is-test-"), str(uuid.uuid4())
    body = event(api, event=name, id=unique(), email=f"{unique()}@example.com", EventID=event_id)
    for tried in ("test", "identify", name):
        answer = api.client.track(**body | {"event": tried, "properties": {"isTest": True}})
        assert (answer.status_code, answer.json()["identify_event_sent"]) == (200, False)
    assert codes_of(api.client.track(**body | {"event": "", "properties": {"isTest": True}})) == [5]
    assert name not in catalogue(api)
    real = api.client.track(**body)
    assert "X-Event-Duplicate" not in real.headers
    assert real.json() == answer.json() | {"identify_event_sent": True}


@pytest.mark.parametrize("value", [1, "true", False, None, [True]], ids=repr)
def test_only_true_makes_a_test_event(api: Api, value: Any) -> None:
    """Any other isTest is a property like others."""
    name = unique("no-test-")
    api.client.track(**event(api, event=name, properties={"isTest": value}))
    assert catalogue(api)[name] == ["isTest"]


@pytest.mark.database
def test_traits_are_stored_with_the_binding_and_later_ones_win(tracking: EventTracking, credentials: Credentials) -> None:
    """Name by name, and apart from the events' properties."""
    for traits in ({"firstName": "Ada", "plan": "free"}, {"plan": "paid", "seats": 3}, None):
        tracking.track(94, "test", email="a@example.com", id="o-1", identify_properties=traits)
    tracking.track(94, "test", email="b@example.com", id="o-1")
    assert tracking.properties(94) == {"identify": ["emailAddress"], "test": []}
    tracking.close()
    with plain(tracking.store.path) as connection:
        found = dict(connection.execute("select email, traits::varchar from bindings").fetchall())
    assert json.loads(found["a@example.com"]) == {"firstName": "Ada", "plan": "paid", "seats": 3}
    assert found["b@example.com"] is None


@pytest.mark.database
def test_properties_are_stored_as_they_came(tracking: EventTracking, credentials: Credentials) -> None:
    """Nothing added, renamed or re-typed: strings to the last character, integers exact to 64 bits, others as doubles."""
    deep: Any = 1
    for _ in range(62):
        deep = {"": deep}
    came = {
        "nul": "a\u0000b", "emoji": "\U0001f600", "last": "\U0010ffff\uffff\u2028", "": "", 'a"b\\c\n\u0000': [], "deep": deep,
        "most": 2**64 - 1, "least": -(2**63), "double": 1e-300, "whole": 1.0, "true": True, "null": None, "text": "1",
    }  # fmt: skip
    tracking.track(94, "test", email="a@example.com", properties=came)
    sql = "select properties::varchar from events where event = 'test'"
    ((text,),) = tracking.sql(sql).rows
    stored = json.loads(text)
    assert stored == came
    assert {name: type(value) for name, value in stored.items()} == {name: type(value) for name, value in came.items()}
    assert tracking.properties(94)["test"] == sorted(came)


LISTS_REFUSED = [
    *(case(f"{name}", value, [1]) for name, value in {"missing": MISSING, "null": None, "empty": ""}.items()),
    *(
        case(f"{value!r}", value, [2])
        for value in ("abc", 0, "0", -3, "-3", 3.5, "3.5", {}, [], [94], True, " 94", "94\n", "+94", "٩٤", "9_4")
    ),
    *(
        case(f"{name}", value, [3])
        for name, value in {"unknown": 987654321, "unknown as text": "987654321", "foreign": 96}.items()
    ),
    *(case(f"{name}", value, [3]) for name, value in {"beyond 64 bits": 10**30, "of many digits": "9" * 5000}.items()),
]


@pytest.mark.parametrize(("list_id", "codes"), LISTS_REFUSED)
def test_a_list_that_cannot_be_asked_for_is_refused_with_its_code(api: Api, list_id: Any, codes: list[int]) -> None:
    """Missing, malformed, or not one of this account."""
    body = {"APIKey": api.credentials.full} | ({} if list_id is MISSING else {"ListID": list_id})
    answer = api.client.properties(**body)
    assert (answer.status_code, codes_of(answer)) == (422, codes)


@pytest.mark.parametrize("list_id", [95, "95", "0095", 95.0], ids=repr)
def test_a_list_without_events_has_no_properties(api: Api, list_id: Any) -> None:
    """The id as a string, and an empty object."""
    answer = api.client.properties(APIKey=api.credentials.read, ListID=list_id)
    assert answer.json() == {"ListID": "95", "Properties": {}}


@pytest.mark.parametrize(
    ("query", "status", "codes"),
    [
        case("its id", "?ListID=95", 200, []),
        case("its id in another spelling", "?listid=0095", 200, []),
        case("the last of two", "?ListID=x&ListID=95", 200, []),
        case("missing", "", 422, [1]),
        case("empty", "?ListID=", 422, [1]),
        case("zero", "?ListID=0", 422, [2]),
        case("text", "?ListID=abc", 422, [2]),
        case("two in one", "?ListID=95,96", 422, [2]),
        case("with a space", "?ListID=+95", 422, [2]),
        case("unknown", "?ListID=987654321", 422, [3]),
        case("foreign", "?ListID=96", 422, [3]),
    ],
)
def test_properties_can_be_asked_for_with_get(api: Api, query: str, status: int, codes: list[int]) -> None:
    """The list in the query string and a bearer key give the same answers as POST."""
    answer = api.client.get(PROPERTIES + query, headers={"Authorization": f"Bearer {api.credentials.read}"})
    assert answer.status_code == status
    if status == 200:
        assert answer.json() == {"ListID": "95", "Properties": {}}
    else:
        assert codes_of(answer) == codes


@pytest.mark.parametrize(("header", "status"), [(None, 401), ("Bearer wrong", 401), ("Bearer ingest", 403), ("Bearer full", 200)])
def test_get_needs_a_bearer_key(api: Api, header: str | None, status: int) -> None:
    """A key in the query string would end up in logs: it is not looked at."""
    headers = (
        {"Authorization": header.replace("ingest", api.credentials.ingest).replace("full", api.credentials.full)}
        if header
        else {}
    )
    answer = api.client.get(f"{PROPERTIES}?ListID=95&APIKey={api.credentials.full}", headers=headers)
    assert answer.status_code == status


def test_get_and_post_give_the_same_answer(api: Api) -> None:
    """To the byte."""
    api.client.track(**event(api))
    posted = api.client.properties(APIKey=api.credentials.full, ListID=94)
    got = api.client.get(f"{PROPERTIES}?ListID=94", headers={"Authorization": f"Bearer {api.credentials.full}"})
    assert posted.content == got.content


@pytest.mark.parametrize("shown", ["full", "read", "session"])
def test_full_and_read_keys_and_sessions_may_ask_for_properties(api: Api, shown: str) -> None:
    """As `APIKey` or `SessionID` in the body."""
    name = "SessionID" if shown == "session" else "APIKey"
    assert api.client.properties(**{name: getattr(api.credentials, shown), "ListID": 95}).status_code == 200


def test_what_was_tracked_is_seen_by_the_next_query(api: Api) -> None:
    """Read your own write: types and names in ascending code-point order, whatever was acknowledged before."""
    mark = unique("own-write-")
    for number in range(20):
        properties = {f"k{number}": 1, "b": 1, "a": {"inner": 1}, "$z": [], "Ä": None, "\U0001f600": 1, "\uffff": 1}
        api.client.track(**event(api, event=f"{mark}-{number:02}", properties=properties))
        names = catalogue(api)
        assert names[f"{mark}-{number:02}"] == sorted(properties)
        assert list(names) == sorted(names)


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [(EVENT, method, {"POST"}) for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "REPORT", "PURGE")]
    + [(PROPERTIES, method, {"GET", "POST"}) for method in ("HEAD", "PUT", "PATCH", "DELETE", "REPORT", "PURGE")],
)
def test_other_methods_are_refused_with_those_that_there_are(api: Api, path: str, method: str, allowed: set[str]) -> None:
    """405, with `Allow`."""
    answer = api.client.request(method, path)
    assert answer.status_code == 405
    assert {word.strip() for word in answer.headers["Allow"].split(",")} == allowed
    if method != "HEAD":
        assert codes_of(answer) == [405]


def test_an_unknown_path_is_not_found(api: Api) -> None:
    """404 in the shape of every failure."""
    assert codes_of(api.client.post("/api/v1/evento", json={})) == [404]
