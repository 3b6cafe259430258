"""The plain checks against the schemas, a batch against its events alone, and read_body against a strict JSON reader.

For any input, they agree.
"""

from __future__ import annotations

import codecs
import hashlib
import itertools
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from falcon_events import EventTracking, InvalidRequest, RequestRefused
from falcon_events.contract.body import MAX_DEPTH, PARAMETERS, read_body
from falcon_events.contract.envelope import read_envelope
from falcon_events.contract.event import WHITE_SPACE, EventContract
from falcon_events.contract.properties import check_properties_request
from falcon_events.contract.schemas import RequestSchema, load_schema
from falcon_events.link.link import Link
from falcon_events.model.access import Grant, ListRules, Snapshot
from falcon_events.model.events import NewEvent, Outcome, Receipt
from falcon_events.model.sender import HOST, Sender
from falcon_events.model.timestamps import parse_timestamp
from falcon_events.runtime.pending import Pending, Turnstile
from falcon_events.settings import Settings

T = TypeVar("T")

BEYOND = 2**63
"""No list has an id of so much or more, so nobody needs to tell one from another."""

NOW = 1_767_225_600.25
CONTRACTS = {lifted: EventContract(anonymous_events=lifted, clock=lambda: NOW) for lifted in (False, True)}
PROPERTIES_JUDGE = RequestSchema(load_schema("properties.request"))

steady = settings(derandomize=True, deadline=None, database=None, max_examples=400, suppress_health_check=list(HealthCheck))

DIGITS = "0123456789\u0663\u09e9\uff13\U0001d7d7\u00b2"
BLANKS = WHITE_SPACE + "\u200b\x1c\x85\x00\u180e"

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
blanks = st.text(st.sampled_from(BLANKS), max_size=3)
numbers = st.one_of(
    st.integers(-2, 3),
    st.integers(),
    st.sampled_from([2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30, 10**254, -(10**254), 10**255, 10**255 - 1, 1 - 10**254]),
    st.sampled_from([94.0, 94.5, -0.0, 0.0, 1e16, 1e253, 1e254, 1e255, -1e254, 1.7976931348623157e308, 5e-324]),
    st.floats(allow_nan=False, allow_infinity=False),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, text)
json_values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=3)), max_leaves=6
)


def padded(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Texts with white space, or what is nearly so, around them."""
    return st.builds(lambda before, inner, after: before + inner + after, blanks, strategy, blanks)


def spoiled(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Texts with one character taken out, put in or replaced."""
    odd = st.one_of(st.sampled_from(BLANKS + DIGITS + "@.-+:TZtzeE{}\n"), st.characters(exclude_categories=["Cs"]))

    def spoil(inner: str, place: int, character: str, taken: int) -> str:
        place %= len(inner) + 1
        return inner[:place] + character + inner[place + taken :]

    return st.builds(spoil, strategy, st.integers(0, 300), st.one_of(st.just(""), odd), st.integers(0, 1))


def near(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """A parameter's right texts, nearly right ones, and whatever else JSON can hold."""
    return st.one_of(strategy, strategy, padded(strategy), spoiled(strategy), json_values)


list_ids = near(st.one_of(st.text(st.sampled_from(DIGITS), min_size=1, max_size=25), st.integers(0, 10**30).map(str)))
events = near(
    st.one_of(
        st.sampled_from(["identify", "conversion", "test", "Identify", "conversion ", "e" * 200, "é" * 201]),
        st.text(st.sampled_from(BLANKS), max_size=4),
        st.integers(198, 202).map(lambda count: " " * count),
    )
)
labels = st.one_of(
    st.sampled_from(["a", "com", "example", "-a", "a-", "a-b", "1", "", "ä"]),
    st.sampled_from([62, 63, 64]).map(lambda n: "b" * n),
)
domains = st.lists(labels, min_size=1, max_size=5).map(".".join)
locals_ = st.one_of(
    st.text(st.sampled_from("aZ09.!#$%&'*+/=?^_`{|}~- @é"), min_size=1, max_size=6), st.integers(62, 66).map(lambda n: "l" * n)
)
long_domains = st.integers(185, 192).map(lambda n: ("d" * 60 + ".") * (n // 61) + "d" * (n % 61))
emails = near(
    st.one_of(
        st.just("2006@test.com"),
        st.builds("{}@{}".format, locals_, domains),
        st.builds("{}@{}".format, st.integers(60, 65).map(lambda n: "l" * n), long_domains),
        st.text(st.sampled_from(BLANKS), max_size=4),
    )
)
owners = st.one_of(near(text), st.integers(254, 257).map(lambda n: "é" * n))
uuids = near(
    st.one_of(st.uuids().map(str), st.uuids().map(lambda made: str(made).upper()), st.uuids().map(lambda made: made.hex))
)
moments = st.one_of(
    st.datetimes(timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))),
    st.integers(-3, 3).map(lambda us: datetime.fromtimestamp(NOW, UTC) + timedelta(days=1, microseconds=us)),
)
stamps = near(
    st.one_of(
        moments.map(datetime.isoformat),
        moments.map(lambda moment: moment.isoformat().replace("T", "t").replace("+00:00", "z")),
        st.builds(
            "{}-{:02}-{:02}T{:02}:{:02}:{:02}{}".format,
            st.sampled_from(["0000", "0001", "1969", "2024", "9999"]),
            st.integers(0, 13),
            st.integers(0, 32),
            st.integers(0, 25),
            st.integers(0, 61),
            st.integers(58, 62),
            st.sampled_from(["Z", "z", "", "+24:00", "+23:59", "-23:59", "+00:60", ".5Z", ".Z", "Z\n", "+0000"]),
        ),
    )
)
values = st.one_of(
    json_values,
    st.sampled_from(
        ["290.50", "-0", "1e5", "1.", ".5", "01", "+1", "0x1", "1e", "NaN", "Infinity", "1\n", " 1 ", "1\u00a0", "٣"]
    ),
    numbers.map(str),
)
conversion_properties = st.fixed_dictionaries(
    {},
    optional={"conversion-id": json_values, "conversion-name": json_values, "conversion-value": values, "isTest": json_values},
)
objects = st.one_of(
    json_values,
    conversion_properties,
    conversion_properties,
    st.integers(999, 1001).map(lambda count: {str(number): number for number in range(count)}),
    st.integers(199, 201).map(lambda count: {"é" * count: 1}),
    st.sampled_from([[], [[]], {}, {"": None}, 0, False, ""]),
)
event_params = st.fixed_dictionaries(
    {"ListID": st.one_of(st.just(94), list_ids), "event": st.one_of(st.just("conversion"), events)},
    optional={
        "email": emails,
        "properties": objects,
        "id": owners,
        "UUID": uuids,
        "EventID": uuids,
        "Timestamp": stamps,
        "IdentifyProperties": objects,
        "APIKey": json_values,
        "SessionID": json_values,
    },
)
any_params = st.dictionaries(st.sampled_from(sorted(set(PARAMETERS.values()))), json_values)
VALID = {"ListID": 94, "event": "test", "email": "2006@test.com"}
CONVERSION = {"conversion-id": "my-order-234", "conversion-name": "purchase", "conversion-value": 290.5}
one_param = st.one_of(
    *(
        st.builds(lambda value, name=name: {**VALID, name: value}, strategy)
        for name, strategy in {
            "ListID": list_ids,
            "event": events,
            "email": emails,
            "id": owners,
            "UUID": uuids,
            "EventID": uuids,
            "Timestamp": stamps,
            "properties": objects,
            "IdentifyProperties": objects,
        }.items()
    ),
    st.builds(lambda changes: {**VALID, "event": "conversion", "properties": {**CONVERSION, **changes}}, conversion_properties),
)


def outcome(call: Callable[[], T]) -> T | InvalidRequest:
    """What a call returns, or its refusal; any other exception is a failure of the test."""
    try:
        return call()
    except InvalidRequest as refused:
        return refused


@pytest.mark.parametrize("anonymous_events", [False, True])
@steady
@given(params=st.one_of(event_params, any_params, one_param, one_param))
@example(params={})
@example(params={**VALID, "email": "2006@test.com\n"})
@example(params={**VALID, "ListID": 94.0, "id": 5.0})
@example(params={**VALID, "event": "conversion", "properties": CONVERSION})
def test_plain_checks_and_schema_agree_on_events(anonymous_events: bool, params: dict[str, Any]) -> None:
    """What the plain checks take the schema takes too, and what they do not take it words."""
    contract = CONTRACTS[anonymous_events]
    checked = outcome(lambda: contract.check(params))
    refused = list(checked.failures) if isinstance(checked, InvalidRequest) else []
    assert refused == contract.schema.failures(params)


@steady
@given(params=one_param)
def test_a_taken_request_has_what_was_sent(params: dict[str, Any]) -> None:
    """Nothing of a request that keeps to the rules is lost or changed on its way into an EventRequest."""
    request = outcome(lambda: CONTRACTS[False].check(params))
    if isinstance(request, InvalidRequest):
        return
    assert min(request.list_id, BEYOND) == min(int(params["ListID"]), BEYOND) > 0
    assert request.event == params["event"]
    assert request.email == params["email"].strip(WHITE_SPACE)
    assert request.properties == (params.get("properties") or {})
    assert request.traits == (params.get("IdentifyProperties") if params.get("IdentifyProperties") != [] else None)
    sent = params.get("id")
    assert request.external_id == (None if sent in (None, "") else sent if isinstance(sent, str) else str(int(sent)))
    assert [request.visitor, request.event_id] == [
        None if params.get(name) is None else params[name].lower() for name in ("UUID", "EventID")
    ]
    assert request.occurred_at <= request.received_at + 86_400_000_000


@steady
@given(params=st.one_of(any_params, st.builds(lambda value: {"ListID": value}, list_ids)))
@example(params={})
@example(params={"ListID": ""})
@example(params={"ListID": "\n"})
def test_plain_checks_and_schema_agree_on_lists(params: dict[str, Any]) -> None:
    """A list's id is taken or refused alike; a refusal names what is wrong."""
    checked = outcome(lambda: check_properties_request(params))
    refused = list(checked.failures) if isinstance(checked, InvalidRequest) else []
    assert refused == PROPERTIES_JUDGE.failures(params)
    assert refused or checked > 0


@steady
@given(
    moment=moments, digits=st.text(st.sampled_from("0123456789"), max_size=8), second=st.sampled_from([None, "59", "60", "61"])
)
def test_a_time_in_utc_is_the_same_however_its_offset_is_written(moment: datetime, digits: str, second: str | None) -> None:
    """`Z`, `z` and an offset of zero are read alike, leap seconds and fractions of any length included."""
    text = f"{moment:%H:%M}:{second or moment.strftime('%S')}" + (digits and f".{digits}")
    text = f"{moment.year:04}-{moment:%m-%d}T{text}"
    read = parse_timestamp(f"{text}+00:00")
    assert parse_timestamp(f"{text}Z") == parse_timestamp(f"{text}z") == read
    assert (read is None) == (second == "61" or (second == "60" and text.startswith("9999-12-31T23:59")))


class Members(dict[str, Any]):
    """A JSON object that knows the order of its names, repeated ones included."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.names = [name for name, _ in pairs]


HALF_A_PAIR = re.compile(
    r"(?<!\\)((?:\\\\)*)(?:(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2}))"
)


def strict(body: bytes) -> Members | None:
    """The JSON object that a body is, to a reader that allows no more than RFC 8259 (and ignores a byte order mark)."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    def double(number: str) -> float:
        if math.isinf(float(number)):
            refuse(number)
        return float(number)

    try:
        text = HALF_A_PAIR.sub(r"\1\\ufffd", body.removeprefix(codecs.BOM_UTF8).decode())
        value = json.loads(text, parse_constant=refuse, parse_float=double, object_pairs_hook=Members)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, Members) and depth(value) <= MAX_DEPTH else None


def depth(value: object) -> int:
    """How deep arrays and objects are nested."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def same(one: object, other: object) -> bool:
    """Whether two JSON values are the same, types of numbers included."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def hold_to_strict_reader(body: bytes) -> None:
    """Both take the body, with the same parameters, or neither does."""
    expected, params = strict(body), outcome(lambda: read_body(body))
    if expected is None or isinstance(params, InvalidRequest):
        assert (expected is None) == isinstance(params, InvalidRequest), body
        assert (params.status, params.codes) == (400, (100000,))
    else:
        last = {PARAMETERS[name.lower()]: expected[name] for name in expected.names if name.lower() in PARAMETERS}
        assert same(params, last), body


spellings = st.sampled_from(sorted(set(PARAMETERS.values()))).flatmap(
    lambda name: st.sampled_from([name, name.lower(), name.upper(), name.swapcase(), name.title()])
)
readable = st.dictionaries(st.one_of(spellings, spellings, text), json_values, max_size=6)
written = st.builds(
    lambda value, ascii_only, indent: json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode(),
    readable,
    st.booleans(),
    st.sampled_from([None, 1, "\t"]),
)
flat = st.lists(st.tuples(spellings, scalars), max_size=8).map(
    lambda pairs: ("{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in pairs) + "}").encode()
)
PIECES = [
    *rb"""{ } [ ] , : " ' \ / \u \x \ud800 \udc00 \ud83d\ude00 \u0000 // /**/ 0 - + . e E5 01 1. 0x1""".split(),
    *rb"""1e400 -1e400 1e-400 NaN Infinity null nul true True "id":1,"ID":2, {"id":1,"ID":2}""".split(),
    *(bytes([byte]) for byte in (0, 1, 9, 10, 11, 12, 13, 32, 127, 128, 255)),
    *(character.encode("utf-8", "surrogatepass") for character in "\u00a0ä\u2028\ufeff\ud800\U0001f600"),
    *(b"\xc0\x80", b"\xc3", b"\xf4\x90\x80\x80", b"", b"9" * 400, b"[" * 65, b'{"a":' * 65, b"[" * 63 + b"]" * 63),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Valid JSON with a few of its bytes taken out, or replaced by what a lax reader might overlook."""
    body = draw(st.one_of(written, flat))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(body)))
        piece = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=2)))
        body = body[:place] + piece + body[place + draw(st.integers(0, 3)) :]
    return body


@steady
@given(body=st.one_of(st.binary(max_size=40), st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)))
def test_any_bytes_are_read_as_strictly_as_json_is_defined(body: bytes) -> None:
    """Whatever a sender sends, it is read as JSON or refused as unreadable; nothing else happens."""
    hold_to_strict_reader(body)


@steady
@given(body=mutated())
@example(body=b'{"id":1,"ID":2,"id":3}')
@example(body=b'{"x":' + b"9" * 4300 + b"}")
@example(body=b'{"id":1,"ID":2,"x":' + b"9" * 5000 + b"}")
@example(body=b'{"a":' * 64 + b"1" + b"}" * 64)
@example(body=b'{"a":' * 65 + b"1" + b"}" * 65)
@example(body=b'{"a":' + b"[" * 100_000)
def test_nearly_valid_json_is_read_as_strictly_as_json_is_defined(body: bytes) -> None:
    """A byte more or less, and a reader that is lax anywhere would show."""
    hold_to_strict_reader(body)


@steady
@given(body=st.one_of(written, flat))
def test_valid_json_is_read(body: bytes) -> None:
    """Every object in JSON is a readable body, and the last of two spellings of a name counts."""
    hold_to_strict_reader(body)


def test_a_batch_gives_each_event_what_it_gets_alone() -> None:
    """Whatever the events are, answers and what is stored are the same; so they are for bodies that are stored together."""
    with EventTracking("nowhere", store=Memory(Path("nowhere"), Settings()), clock=lambda: NOW) as tracking:
        store = tracking.store
        assert isinstance(store, Memory)
        tracking.pipeline._builder._uuids = itertools.repeat("random")  # type: ignore[assignment]

        @steady
        @given(envelope=st.one_of(st.just(94), st.none(), list_ids), sent=st.lists(written_events, min_size=1, max_size=4))
        @example(envelope=94, sent=[[("event", "test"), ("email", "a@example.com"), ("ListID", None)]])
        @example(envelope=94, sent=[[("event", "test"), ("email", "a@example.com"), ("", 1), ("Event", "x")]])
        @example(envelope=94, sent=[[("event", "test"), ("email", "a@example.com"), ("Properties", {"isTest": True})]])
        @example(envelope=94, sent=[[("event", "test"), ("email", "a@example.com"), ("OwnTraffic", True)]])
        @example(envelope=94, sent=[[("event", "test"), ("email", "l" * 64 + "@" + ("d" * 63 + ".") * 3 + "example")]])
        @example(envelope=94, sent=[[("event", "test"), ("email", "l" * 65 + "@example.com")]])
        @example(envelope=94, sent=[[("event", "test"), ("email", "l@" + "d" * 64 + ".com")]])
        @example(envelope=94, sent=[[("event", "test"), ("email", "a@example.com"), ("properties", {"n" * 201: 1})]] * 2)
        @example(envelope=94, sent=[[("event", "test"), ("email", "a@example.com"), ("properties", {"n" * 200: 1})]] * 2)
        def hold(envelope: object, sent: list[list[tuple[str, Any]]]) -> None:
            lone = [json_object(without_credentials([("ListID", envelope), *event])) for event in sent]
            for sender in (Sender("key", user_agent="Mozilla/5.0"), Sender("key", "https://a.example", "curl/8"), HOST):
                alone = [tracking.waiter.run(tracking.pipeline.event_reply(body, sender)) for body in lone]
                expected, stored = [json.loads(reply.body) for reply in alone], store.taken()
                events = b",".join(map(json_object, sent))
                body = b'{"ListID":%s,"Events":[%s]}' % (json.dumps(envelope).encode(), events)
                reply = tracking.waiter.run(tracking.pipeline.events_reply(body, sender))
                assert json.loads(reply.body) == {"Results": expected}
                assert [msgspec.structs.replace(event, size=0) for event in store.taken()] == [
                    msgspec.structs.replace(event, size=0) for event in stored
                ]
            answers = list(tracking.track_many(lone))
            assert [answer.codes if isinstance(answer, RequestRefused) else answer.uuid for answer in answers] == [
                tuple(error["Code"] for error in result["Errors"]) if "Errors" in result else result["uuid"]
                for result in expected
            ]
            assert store.taken() == stored

        hold()


class Memory(Link):
    """A store in memory with the list 94, which keeps what it is given."""

    def open(self, wait_s: float | None = None) -> None:
        """Knows the key and the list at once."""
        self.uuid_namespace = bytes(16)
        self._kept: list[NewEvent] = []
        grant = Grant(hashlib.sha256(b"key").digest(), "acme", "full")
        self._on_directory(Snapshot([grant], [], [(94, "acme")], [ListRules(94, denied=["a"], redacted=["b"])]))

    def close(self) -> None:
        """Has nothing to let go of."""

    def submit(self, events: Sequence[NewEvent]) -> Pending[Sequence[Outcome]]:
        """Return a receipt for each event, at once."""
        self._kept += events
        pending: Pending[Sequence[Outcome]] = Pending(Turnstile())
        receipts = [Receipt(event.id or "", event.visitor, event.external_id, identify_event_sent=True) for event in events]
        pending.set_result(receipts)
        return pending

    def taken(self) -> list[NewEvent]:
        """What was submitted since the last call."""
        taken, self._kept = self._kept, []
        return taken


def without_credentials(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Those of a batch's events are not looked at."""
    return [(name, value) for name, value in pairs if name.lower() not in ("apikey", "sessionid")]


def json_object(pairs: Iterable[tuple[str, Any]]) -> bytes:
    """JSON of these members in this order, with all that are repeated."""
    return ("{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in pairs) + "}").encode()


respelled = st.builds(
    lambda params, spell, more: [*((spell(name), value) for name, value in params.items()), *more],
    st.one_of(event_params, one_param, one_param),
    st.sampled_from([str, str, str.lower, str.upper, str.title]),
    st.one_of(st.just([]), st.lists(st.tuples(st.one_of(spellings, text), json_values), max_size=2)),
)
written_events = st.one_of(respelled, respelled, st.lists(st.tuples(spellings, json_values), max_size=4))

nests = st.builds(
    lambda levels, inside, opening: [*[opening] * levels, inside],
    st.integers(0, 68),
    st.sampled_from(["1", '"[[{{"', '"]}\\""', "[]", "{}"]),
    st.sampled_from(["[", '{"a":']),
)


@steady
@given(
    values=st.lists(nests, min_size=1, max_size=4),
    name=st.sampled_from(["properties", "Properties", "IdentifyProperties", "x"]),
    brackets=st.integers(0, 70),
    around=st.sampled_from(['{"Events":[%s]}', '{"Events":%s}', '{"events":[%s],"Events":[{"properties":{}}]}', '{"x":[%s]}']),
)
@example(values=[["[" for _ in range(63)] + ["1"]], name="properties", brackets=0, around='{"Events":[%s]}')
@example(values=[["[" for _ in range(62)] + ["1"]], name="properties", brackets=66, around='{"Events":[%s]}')
def test_a_batch_is_as_deep_as_its_deepest_event(values: list[list[str]], name: str, brackets: int, around: str) -> None:
    """Brackets beside each other, in whatever number, and those within texts make nothing deeper, and hide nothing."""
    closing = {"[": "]", '{"a":': "}"}
    nested = ["".join(parts) + "".join(closing[part] for part in reversed(parts[:-1])) for parts in values]
    events = [f'{{"event":"e","{name}":{{"a":{value}}}}}' for value in nested] + ['{"properties":{}}'] * brackets
    body = (around % ",".join(events)).encode() if "[" in around else (around % events[0]).encode()
    read, expected = outcome(lambda: read_envelope(body)), json.loads(body)
    if isinstance(read, InvalidRequest):
        assert depth(expected) > MAX_DEPTH + 2
        assert "events" in expected or type(expected.get("Events")) is not list
    elif type(sent := expected.get("Events")) is list:
        assert read.params["Events"] == [event if depth(event) <= MAX_DEPTH else None for event in sent]


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'["]]]]\\"]]]]",', b'{"a":[1,2],"b":'])
def test_a_very_deep_body_is_refused_on_a_small_stack(opening: bytes) -> None:
    """Servers read bodies on threads with little stack, which a decoder that follows every bracket would overflow."""
    code = (
        "import sys, threading\n"
        "from falcon_events import InvalidRequest\n"
        "from falcon_events.contract.body import decode_object\n"
        "def refuse():\n"
        "    for body in (b'{\"a\":' + OPENING * 2_500, OPENING * 4_000, OPENING * 100_000, OPENING * 4_000 + QUOTES):\n"
        "        try:\n"
        "            decode_object(body)\n"
        "        except InvalidRequest:\n"
        "            print('refused')\n"
        "threading.stack_size(2 << 20)\n"
        "thread = threading.Thread(target=refuse)\n"
        "thread.start()\n"
        "thread.join()\n"
    ).replace("OPENING", repr(opening))
    code = code.replace("QUOTES", repr(b'"') + "+" + repr(b'\\"') + " * 300_000")  # trying each as a beginning would take hours
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "refused\n" * 4), done.stderr
