"""Tracking plans: declared in code or in a folder, held to on arrival, compared with what is stored."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import msgspec
import pytest
from hypothesis import given, reject, settings, strategies as st
from jsonschema import Draft202012Validator

from falcon_events import EventTracking, InvalidRequest, Plan, PlanError, SettingError, Tracked, event
from falcon_events.plan.fast_path import make_fast_check
from tests import shortcuts
from tests.harness import EVENT, EVENTS, Credentials, command, fill_store, serving
from tests.shortcuts import make_store


@event("checkout")
@dataclasses.dataclass
class Checkout:
    """An order was paid."""

    total: float
    coupon: str | None = None


class Item(msgspec.Struct):
    """A part of an order."""

    sku: str
    amount: int = 1


@event("order")
class Order(msgspec.Struct, forbid_unknown_fields=True):
    """An order was sent."""

    items: list[Item]
    channel: Literal["web", "app"] = "web"


@event("sign up")
class Signup(TypedDict):
    """Somebody has signed up."""

    plan: str
    referrer: NotRequired[str]


CHECKOUT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Checkout",
    "type": "object",
    "required": ["total"],
    "properties": {"total": {"type": "number", "minimum": 0}, "coupon": {"type": "string"}},
    "additionalProperties": False,
}


def folder_of(path: Path, **schemas: Any) -> Path:
    """A plan's folder."""
    path.mkdir(exist_ok=True)
    for name, schema in schemas.items():
        (path / f"{name}.json").write_text(json.dumps(schema))
    return path


def texts(plan: Plan, name: str, properties: dict[str, Any]) -> list[str]:
    """What a sender is told of an event."""
    found = plan.violations(name, properties)
    return (
        []
        if found is None
        else [text.removeprefix(f"Properties do not keep to the plan of event {name}: ") for text in found.texts]
    )


def test_an_event_is_declared_as_a_class() -> None:
    """A dataclass, a Struct or a TypedDict; its fields are the properties, its defaults may be left out."""
    plan = Plan(Checkout, Order, Signup)
    assert set(plan.schemas) == {"checkout", "order", "sign up"}
    assert texts(plan, "checkout", {"total": 12}) == []
    assert texts(plan, "checkout", {"coupon": 1}) == [
        "'total' is a required property.",
        "coupon: 1 is not valid under any of the given schemas.",
    ]
    assert texts(plan, "order", {"items": [{"sku": "a"}, {"sku": 7}], "channel": "fax", "more": 1}) == [
        "Additional properties are not allowed ('more' was unexpected).",
        "channel: 'fax' is not one of ['app', 'web'].",
        "items[1].sku: 7 is not of type 'string'.",
    ]
    assert texts(plan, "sign up", {"plan": "free", "other": [1]}) == []
    assert texts(plan, "sign up", {"plan": True}) == ["plan: True is not of type 'string'."]


def test_names_of_the_api_are_no_unknown_properties() -> None:
    """Those of the tracker, of tests and of identify events and conversions; unless the schema itself names them."""
    closed = {"type": "object", "additionalProperties": False, "properties": {"$os": {"type": "string"}}}
    plan = Plan(schemas=dict.fromkeys(("test", "identify", "conversion"), closed))
    assert texts(plan, "test", {"$bot": "curl", "$current_url": "/", "isTest": True}) == []
    assert texts(plan, "identify", {"emailAddress": "a@example.com", "$sent_at": "now"}) == []
    assert texts(plan, "conversion", {"conversion-id": 1, "conversion-name": 1, "conversion-value": 1}) == []
    assert texts(plan, "test", {"$os": 7}) == ["$os: 7 is not of type 'string'."]
    assert texts(plan, "test", {"emailAddress": "x"}) == [
        "Additional properties are not allowed ('emailAddress' was unexpected)."
    ]


def test_names_of_the_api_that_are_required_are_looked_at() -> None:
    """Wherever the schema says so, and whatever else it says; a closed schema does not exclude what it requires."""
    plain = {"required": ["conversion-id", "$os"], "properties": {"currency": {"type": "string"}}}
    more = {**plain, "properties": {"currency": {"type": "string", "minLength": 3}}, "additionalProperties": False}
    parts = {
        "allOf": [{"$ref": "#/$defs/ids"}],
        "anyOf": [{"required": ["$os"]}],
        "$defs": {"ids": {"required": ["conversion-id"]}},
    }
    for schema in (plain, more, parts):
        plan = Plan(schemas={"conversion": schema})
        assert texts(plan, "conversion", {"conversion-id": 7, "$os": "Linux", "conversion-name": "x"}) == []
        assert texts(plan, "conversion", {"conversion-id": 7}) != []
        assert texts(plan, "conversion", {"$os": 7}) == ["'conversion-id' is a required property."]


def test_an_identify_event_is_held_to_the_plan_with_its_address(db: Path) -> None:
    """Which the API stores as its `emailAddress`, and which a sender need not give twice."""
    person = {"required": ["emailAddress"], "properties": {"emailAddress": {"type": "string", "pattern": "@example[.]com$"}}}
    plan = Plan(schemas={"identify": {"$ref": "#/$defs/person", "$defs": {"person": person}}})
    assert plan.violations("identify", {}, "a@example.com") is None
    assert plan.violations("identify", {"emailAddress": "b@example.com"}, "a@example.org") is None
    assert texts(plan, "identify", {}) == ["'emailAddress' is a required property."]
    with EventTracking(db, plan=plan) as tracking:
        fill_store(tracking)
        tracking.track(94, "identify", email="a@example.com")
        with pytest.raises(InvalidRequest, match=r"emailAddress: 'a@example\.org' does not match"):
            tracking.track(94, "identify", email="a@example.org")


def test_what_becomes_of_unknown_events_is_the_plans_to_say() -> None:
    """Allowed unless it says otherwise; an identify event is never unknown."""
    assert Plan(Checkout).violations("chekout", {}) is None
    refused = Plan(Checkout, unknown="reject").violations("chekout", {})
    assert refused is not None
    assert (refused.are_refused, refused.texts) == (True, ["The plan has no event 'chekout'."])
    reported = Plan(Checkout, unknown="report").violations("chekout", {})
    assert reported is not None
    assert not reported.are_refused
    assert Plan(Checkout, unknown="reject").violations("identify", {}) is None


class Undeclared:
    """A class without the decorator."""


class Derived(Order):
    """One that derives from a declared one, and is not declared itself."""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Plan(), "A plan needs events"),
        (lambda: Plan(Undeclared), "must be a class that @event declares"),
        (lambda: Plan(Derived), "must be a class that @event declares"),
        (lambda: Plan("checkout"), "must be a class that @event declares"),
        (lambda: Plan(Checkout, Checkout), "Checkout: the plan already has an event 'checkout'"),
        (lambda: Plan(event("x")(type("Plain", (), {}))), "Plain must be a dataclass, msgspec.Struct or TypedDict"),
        (lambda: Plan(Checkout, on_violation="refuse"), "on_violation='refuse' must be reject or report"),
        (lambda: Plan(Checkout, unknown="deny"), "unknown='deny' must be allow or reject or report"),
        (lambda: event(""), r"@event\(''\): the event type must be a string"),
        (lambda: event("x" * 201), "1 to 200 characters"),
    ],
)
def test_what_cannot_be_a_plan_is_named(make: Any, message: str) -> None:
    """With the argument or class, and what would be right."""
    with pytest.raises(PlanError, match=message):
        make()


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ([], "the JSON Schema must be an object"),
        ({"type": "objekt"}, "invalid JSON Schema: type: 'objekt' is not valid"),
        ({"properties": {"a": {"minimum": "1"}}}, r"properties\.a\.minimum: '1' is not of type 'number'"),
        ({"properties": {"a": {"pattern": "("}}}, r"properties\.a\.pattern"),
        ({"type": "string"}, "\"type\" is 'string'; it must be"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "must be https://json-schema.org/draft/2020-12/schema"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "'#/\\$defs/b' does not lead to a schema"),
        ({"properties": {"a": {"$ref": "https://example.com/b"}}}, "'https://example.com/b' does not lead to a schema"),
        (
            {"properties": {"a": {"$ref": "#/properties/b/enum/x"}, "b": {"enum": [1]}}},
            "'#/properties/b/enum/x' does not lead to a schema",
        ),
        ({"properties": {"a": {"$ref": "#/x-a"}}, "x-a": {"type": "text"}}, "'#/x-a' does not lead to a schema"),
        (
            {"properties": {"a": {"$schema": "http://json-schema.org/draft-07/schema#"}}},
            "must be https://json-schema.org/draft/2020-12/schema",
        ),
    ],
)
def test_a_file_that_is_no_schema_is_named(tmp_path: Path, schema: Any, message: str) -> None:
    """With what is wrong in it; nothing is looked for on the network."""
    folder = folder_of(tmp_path / "plan", checkout=CHECKOUT, wrong=schema)
    with pytest.raises(PlanError, match=f"{re.escape(str(folder / 'wrong.json'))}: .*{message}"):
        Plan.from_folder(folder)


def test_a_folder_that_is_no_plan_is_named(tmp_path: Path) -> None:
    """One that is not there, one without schemas, one with a file that is no JSON."""
    with pytest.raises(PlanError, match="there is no such folder"):
        Plan.from_folder(tmp_path / "none")
    with pytest.raises(PlanError, match=r"there is no \*\.json file"):
        Plan.from_folder(tmp_path)
    (tmp_path / "x.json").write_bytes(b"{]")
    with pytest.raises(PlanError, match=r"x\.json is not valid JSON"):
        Plan.from_folder(tmp_path)
    with pytest.raises(SettingError, match="plan_violations"):
        EventTracking("x", plan_violations="refuse")


VALUES_OF_MEMBERS = {"properties": {"a": {"default": {"$ref": 1}, "enum": [{"$ref": "#/no"}, 1]}, "$ref": {"examples": ["x"]}}}


def test_only_a_keyword_is_a_reference(tmp_path: Path) -> None:
    """Values that have a member of this name are none, nor is a property."""
    plan = Plan.from_folder(folder_of(tmp_path / "plan", a=VALUES_OF_MEMBERS))
    assert texts(plan, "a", {"a": {"$ref": "#/no"}}) == []


def value_of(**schema: Any) -> Plan:
    """A plan of an event `e` with a property `a`. The schema is marked with its draft, as files are."""
    marked = {"$schema": "https://json-schema.org/draft/2020-12/schema", "properties": {"a": schema}}
    return Plan(schemas={"e": {**marked, "$defs": {"all": {"$ref": "#"}}}})


@pytest.mark.parametrize(
    ("items", "are_unique"),
    [
        ([1, True, "1", None, False, 0, "", "true"], True),
        ([1, 1.0], False),
        ([0, -0.0], False),
        ([[1], [True]], True),
        ([[1, [2]], [1.0, [2.0]]], False),
        ([{"a": 1, "b": [None]}, {"b": [None], "a": 1.0}], False),
        ([{"a": 1}, {"a": 1, "b": 1}], True),
        ([2**63, 2**63 + 1, 10**400, 10**400 + 1], True),
        ([10**400, "x", 10**400], False),
    ],
)
def test_items_are_unique_by_their_value(items: list[Any], are_unique: bool) -> None:
    """A number is one however it is written, and true is none."""
    assert (texts(value_of(uniqueItems=True), "e", {"a": items}) == []) == are_unique


@pytest.mark.parametrize(
    ("factor", "right", "wrong"),
    [
        (0.01, [19.99, 0.07, 1.1, 4, 10**401, 1e300, 0, "x", True], [19.995, 0.001]),
        (3, [9, 9.0, 3 * 10**401], [10, 9.5, 10**401]),
        (1e-300, [1, 10**401, 1e-300], [1e-301]),
        (2.5, [5, 2.5], [3, 1.25]),
    ],
)
def test_multiples_are_exact(factor: float, right: list[Any], wrong: list[Any]) -> None:
    """As the numbers are written, not as doubles divide; of integers of any length, too."""
    plan = value_of(multipleOf=factor)
    assert [one for one in right if texts(plan, "e", {"a": one})] == []
    assert [one for one in wrong if not texts(plan, "e", {"a": one})] == []


EITHER = {
    "$defs": {
        "term": {
            "anyOf": [
                {"required": ["x"], "properties": {"of": {"$ref": "#/$defs/term"}, "x": {"type": "string"}}},
                {"required": ["y"], "properties": {"of": {"$ref": "#/$defs/term"}, "y": {"type": "string"}}},
            ]
        }
    },
    "properties": {"of": {"$ref": "#/$defs/term"}},
}


def terms(leaf: Any) -> dict[str, Any]:
    """As deep as an event may be."""
    made = {"y": leaf}
    for _ in range(58):
        made = {"of": made, "y": ""}
    return {"of": made}


@pytest.mark.parametrize(
    ("schema", "properties", "message"),
    [
        (
            Plan(event("e")(msgspec.defstruct("Set", [("a", set[str | int])]))).schemas["e"],
            {"a": [*map(str, range(200_000)), 1]},
            "",
        ),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [n * (2**61 - 1) for n in range(50_000)] + ["x"]}, ""),
        ({"properties": {"a": {"contains": {"const": 1}, "unevaluatedItems": False}}}, {"a": [1] * 100_000}, ""),
        (
            {"properties": {"a": {"patternProperties": {"x": True}, "unevaluatedProperties": False}}},
            {"a": {f"x{n}": 1 for n in range(100_000)}},
            "",
        ),
        (EITHER, terms("z"), ""),
        (EITHER, terms(7), "of: .* is not valid under any of the given schemas"),
        ({"anyOf": [{"properties": {"a": {"items": {"const": 2}}}}]}, {"a": [1] * 400_000}, "is not valid under any"),
    ],
)
def test_no_event_takes_more_time_than_its_size(schema: Any, properties: dict[str, Any], message: str) -> None:
    """Each of these took minutes to eternities with comparisons of each two items, look-ups in lists, or branches in branches."""
    found = texts(Plan(schemas={"e": schema}), "e", properties)
    assert len(found) == bool(message)
    assert all(re.search(message, text) for text in found)


names = st.sampled_from(["a", "b", "c", "$x", "isTest"])
kinds = st.sampled_from(["string", "number", "integer", "boolean", "null", "array", "object"])
schemas_of_values = st.one_of(
    st.just({}),
    st.builds(lambda kind: {"type": kind}, kinds),
    st.builds(lambda some: {"type": some}, st.lists(kinds, min_size=1, max_size=3, unique=True)),
    st.builds(lambda a, b: {"anyOf": [{"type": a}, {"type": b}], "default": None}, kinds, kinds),
    st.builds(lambda kind: {"type": kind, "minimum": 1}, kinds),
    st.builds(lambda a: {"anyOf": [{"type": a}, {"const": "x"}]}, kinds),
    st.just({"enum": ["x", 1]}),
)
schemas = st.builds(
    lambda properties, required, closed: {
        "type": "object",
        "properties": properties,
        "required": required,
        **({} if closed is None else {"additionalProperties": closed}),
    },
    st.dictionaries(names, schemas_of_values, max_size=4),
    st.lists(names, max_size=2, unique=True),
    st.sampled_from([None, True, False]),
)
values = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.floats(allow_nan=False), st.sampled_from(["x", ""]), st.just([]), st.just({})
)


@given(schema=schemas, properties=st.dictionaries(names, values, max_size=4))
@settings(max_examples=1500, deadline=None, derandomize=True, database=None)
def test_what_is_accepted_at_once_is_what_the_schema_accepts(schema: Any, properties: dict[str, Any]) -> None:
    """The quick way says yes only where the schema does."""
    accepts = make_fast_check(schema)
    if accepts is not None and accepts(properties):
        assert Draft202012Validator(schema).is_valid(properties)


small = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([1.0, 0.5, "x", ""])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=8,
)


def schemas_in(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas with those within them."""
    some = st.lists(inner, min_size=1, max_size=3)
    words = {
        "items": inner,
        "prefixItems": some,
        "contains": inner,
        "uniqueItems": st.booleans(),
        "unevaluatedItems": inner,
        "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
        "unevaluatedProperties": inner,
        "allOf": some,
        "anyOf": some,
        "oneOf": some,
        "not": inner,
    }
    return st.fixed_dictionaries({}, optional=words)


any_schema = st.recursive(
    st.one_of(
        st.booleans(),
        st.builds(lambda kind: {"type": kind}, kinds),
        st.builds(lambda value: {"const": value}, small),
        st.sampled_from([{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}, {"multipleOf": 2}]),
    ),
    schemas_in,
    max_leaves=8,
)


@given(a=any_schema, b=any_schema, properties=st.dictionaries(st.sampled_from("abc"), small, max_size=3))
@settings(max_examples=500, deadline=None, derandomize=True, database=None)
def test_a_plan_accepts_what_the_schema_accepts(a: Any, b: Any, properties: dict[str, Any]) -> None:
    """In a time of its own, with the outcome that jsonschema has."""
    schema = {"properties": {"a": {"$ref": "#/$defs/a"}, "b": {"$ref": "#/$defs/b"}}, "$defs": {"a": a, "b": b}}
    try:
        right = Draft202012Validator(schema).is_valid(properties)
    except RecursionError:  # references that lead to themselves at once
        reject()
    assert (Plan(schemas={"e": schema}).violations("e", properties) is None) == right


def test_most_events_are_accepted_at_once() -> None:
    """Without the schema being asked: what its classes and files usually say."""
    for schema in (Plan(Checkout).schemas["checkout"], Plan(Signup).schemas["sign up"]):
        assert make_fast_check(schema) is not None
    accepts = make_fast_check(Plan(Checkout).schemas["checkout"])
    assert accepts is not None
    assert accepts({"total": 12.5, "coupon": None, "$os": "Linux"})
    assert accepts({"total": 12, "coupon": "x"})
    assert not accepts({"total": True})


def test_declared_objects_are_tracked(db: Path) -> None:
    """In place of name and properties; what is no declared object is refused as before."""
    with EventTracking(db, plan=Plan(Checkout, Order)) as tracking:
        fill_store(tracking)
        tracking.track(94, Checkout(12.5), email="a@example.com")
        tracking.track(94, Order([Item("book", 2)], "app"), email="a@example.com")
        assert [(one.event, one.properties) for _, one in tracking.latest(94) if one.event != "identify"] == [
            ("checkout", {"total": 12.5, "coupon": None}),
            ("order", {"items": [{"sku": "book", "amount": 2}], "channel": "app"}),
        ]
        with pytest.raises(InvalidRequest, match="total: 'much' is not of type 'number'"):
            tracking.track(94, Checkout("much"), email="a@example.com")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"properties=\{'a': 1\} must be left out: Checkout has its own"):
            tracking.track(94, Checkout(1), email="a@example.com", properties={"a": 1})
        with pytest.raises(InvalidRequest, match="100000"):
            tracking.track(94, Item("book"), email="a@example.com")


def test_events_off_the_plan_are_refused(flavour: str, db: Path, tmp_path: Path) -> None:
    """With code 17, path and reason, alone and in batches; isTest too. `serve --plan` holds to a folder, in every worker."""
    credentials = make_store(db)
    folder = folder_of(tmp_path / "plan", checkout=CHECKOUT)
    with serving(db, flavour, "--plan", str(folder), "--workers", "2") as served:
        right = credentials.event(event="checkout", properties={"total": 5, "$os": "Linux"})
        wrong = credentials.event(event="checkout", properties={"total": "abc", "more": 1, "isTest": True})
        assert served.client.post(EVENT, json=right).status_code == 200
        answer = served.client.post(EVENT, json=wrong)
        assert answer.status_code == 422
        begin = "Properties do not keep to the plan of event checkout: "
        failures = [
            {"Code": 17, "Message": begin + "Additional properties are not allowed ('more' was unexpected)."},
            {"Code": 17, "Message": begin + "total: 'abc' is not of type 'number'."},
        ]
        assert answer.json() == {"Errors": failures}
        batch = {"APIKey": credentials.full, "Events": [right, wrong, credentials.event(event="other")]}
        first, second, third = served.client.post(EVENTS, json=batch).json()["Results"]
        assert (first["status"], second, third["status"]) == ("success", {"Errors": failures}, "success")
    with EventTracking(db) as tracking:
        assert tracking.properties(94)["checkout"] == ["$os", "total"]


def test_a_folder_without_a_plan_ends_serve_before_it_starts(db: Path, tmp_path: Path) -> None:
    """In one line that names the folder; no store is made."""
    done = command("serve", "--db", str(db), "--plan", str(tmp_path / "none"))
    assert (done.returncode, db.exists()) == (2, False)
    assert done.stderr.decode() == (
        f"falcon-events: {tmp_path / 'none'}: there is no such folder. A plan is a folder with a JSON Schema for each event.\n"
    )


def test_reported_events_are_stored_and_counted(db: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log names one now and then, without values, which may be personal data; the settings can ask for it."""
    folder = folder_of(tmp_path / "plan", checkout=CHECKOUT)
    with EventTracking(db, plan_folder=str(folder), plan_violations="report", plan_unknown="report") as tracking:
        fill_store(tracking)
        for number in range(3):
            tracking.track(94, "checkout", email="a@example.com", properties={"total": f"secret{number}"})
        bodies = [json.dumps({"ListID": 94, "event": "other", "email": "a@example.com"}).encode()] * 2
        assert all(isinstance(one, Tracked) for one in tracking.track_many(bodies))
        assert tracking.stats().events == 6
    records = [record for record in caplog.records if record.name == "falcon_events.ingest.policies"]
    assert [(record.levelno, record.getMessage()) for record in records] == [
        (logging.WARNING, "1 events violate the tracking plan and are stored; the last one is 'checkout': total (type)")
    ]


def drift(db: Path, source: str, *options: str, **env: str) -> tuple[int, list[tuple[str, str | None, str]]]:
    """The exit code and the findings of plan check."""
    done = shortcuts.command("plan", "check", "--db", str(db), "--plan", source, "--json", *options, env=env)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, [(one["event"], one["property"], one["kind"]) for one in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Credentials]]:
    """An open store in which events were tracked without a plan, some of them folded into the catalogue; nobody changes it."""
    db = tmp_path_factory.mktemp("lived") / "events.duckdb"
    with EventTracking(db, fold_events=3) as tracking:
        credentials = fill_store(tracking)
        for total in (1, 2.5, 3, 4):
            tracking.track(94, "checkout", email="a@example.com", properties={"total": total, "coupon": "x", "$os": "Linux"})
        tracking.track(94, "checkout", email="a@example.com", properties={"total": "5", "gift": True})
        tracking.track(95, "signup", email="a@example.com", properties={"plan": None})
    with EventTracking(db):
        yield db, credentials


@pytest.mark.database
def test_plan_check_finds_drift(lived: tuple[Path, Credentials], tmp_path: Path) -> None:
    """Unknown events, missing, unseen and unknown properties, changed types; of one list or of all."""
    db, _ = lived
    both = {
        "checkout": {
            **CHECKOUT,
            "required": ["total", "coupon"],
            "properties": {**CHECKOUT["properties"], "size": {"enum": ["s", "m"]}},  # type: ignore[dict-item]
        },
        "refund": {},
    }
    code, found = drift(db, str(folder_of(tmp_path / "plan", **both)))
    assert code == 1
    assert found == [
        ("checkout", "coupon", "missing property"),
        ("checkout", "gift", "unknown property"),
        ("checkout", "size", "unseen property"),
        ("checkout", "total", "changed type"),
        ("refund", None, "unseen event"),
        ("signup", None, "unknown event"),
    ]
    assert drift(db, str(tmp_path / "plan"), "--list", "95") == (
        1,
        [("checkout", None, "unseen event"), ("refund", None, "unseen event"), ("signup", None, "unknown event")],
    )
    code, found = drift(db, str(tmp_path / "plan"), "--allow-unseen", "--list", "94")
    assert [kind for *_, kind in found] == ["missing property", "unknown property", "changed type"]
    table = shortcuts.command("plan", "check", "--db", str(db), "--plan", str(tmp_path / "plan"))
    assert table.returncode == 1
    lines = [line.split(maxsplit=2) for line in table.stdout.decode().splitlines()]
    assert ["checkout", "total", "changed type      integer or number planned; string in 1 of 5 events"] in lines


def test_plan_check_exits_0_without_drift(lived: tuple[Path, Credentials], tmp_path: Path) -> None:
    """The plan may say more than types; it stands in a folder, in the environment, or in code."""
    db, _ = lived
    checkout = {
        "properties": {"total": {"anyOf": [{"type": "number"}, {"$ref": "#/$defs/text"}]}},
        "$defs": {"text": {"const": "5"}},
    }
    signup = {"type": "object", "required": ["plan"], "properties": {"plan": {"type": ["string", "null"]}}}
    folder = folder_of(tmp_path / "plan", checkout=checkout, signup=signup)
    assert drift(db, str(folder)) == (0, [])
    done = shortcuts.command("plan", "check", "--db", str(db), env={"FALCON_EVENTS_PLAN_FOLDER": str(folder)})
    assert (done.returncode, done.stdout) == (0, b"no drift: 2 planned events\n")
    (tmp_path / "shop_events.py").write_text(
        "from falcon_events import Plan\n\n\nclass shop:\n    plan = Plan.from_folder('plan')\n    other = 7\n"
    )
    (tmp_path / "ends.py").write_text("import sys\n\nsys.exit(0)\n")
    for source, code in (
        ("ends:plan", 2),
        ("shop_events:shop.plan", 0),
        ("shop_events:shop.other", 2),
        ("shop_events:none", 2),
        ("no_such:plan", 2),
    ):
        done = command_in(tmp_path, "plan", "check", "--db", str(db), "--plan", source)
        assert done.returncode == code
        assert len(done.stderr.splitlines()) == (1 if code else 0)


ROOTS: list[dict[str, Any]] = [
    {"$ref": "#/$defs/order"},
    {"$ref": "#order"},
    {"$ref": "#/$defs/an%20order"},
    {"allOf": [{"$ref": "#/$defs/order"}]},
    {"allOf": [{"allOf": [{"properties": {"total": {"type": "integer"}}}]}, {"required": ["total", "coupon"]}]},
    {"anyOf": [{"$ref": "#/$defs/order"}, {"type": "null"}]},
    {"oneOf": [{"$ref": "#/$defs/order"}, {"$ref": "#/$defs/order", "required": ["gift"]}]},
    {"properties": {"total": {"$ref": "#/$defs/total/anyOf/0", "title": "beside"}}, "required": ["coupon"]},
    {"properties": {"total": {"$ref": "#/$defs/any", "type": "integer"}}, "required": ["coupon"]},
]
PARTS = {
    "order": {"$anchor": "order", "properties": {"total": {"type": "integer"}}, "required": ["total", "coupon"]},
    "an order": {"$ref": "#/$defs/order"},
    "total": {"anyOf": [{"type": "integer"}]},
    "any": True,
}


@pytest.mark.parametrize("root", ROOTS)
def test_plan_check_reads_what_roots_refer_to(lived: tuple[Path, Credentials], tmp_path: Path, root: dict[str, Any]) -> None:
    """References by pointer and by anchor, with and without words beside them, and combinations of schemas."""
    db, _ = lived
    folder = folder_of(tmp_path / "plan", checkout={**root, "$defs": PARTS})
    code, found = drift(db, str(folder), "--list", "94", "--allow-unseen")
    assert (code, found) == (1, [("checkout", "coupon", "missing property"), ("checkout", "total", "changed type")])
    assert shortcuts.command("plan", "types", "--typescript", "--plan", str(folder)).returncode == 0


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({"allOf": [{"$ref": "#/$defs/a"}], "unevaluatedProperties": False}, ["gift"]),
        ({"allOf": [{"$ref": "#/$defs/a"}], "properties": {"gift": True}, "unevaluatedProperties": False}, []),
        ({"anyOf": [{"$ref": "#/$defs/a"}, {"properties": {"gift": True}}]}, []),
        ({"anyOf": [{"$ref": "#/$defs/a", "additionalProperties": False}, False]}, ["coupon", "gift", "total"]),
        ({"$ref": "#/$defs/a", "unevaluatedProperties": {"type": "boolean"}}, []),
    ],
)
def test_plan_check_finds_what_parts_exclude(
    lived: tuple[Path, Credentials], tmp_path: Path, schema: dict[str, Any], found: list[str]
) -> None:
    """Only what the schema excludes as a whole."""
    db, _ = lived
    parts = {"a": {"properties": {"total": True, "coupon": True}}}
    folder = folder_of(tmp_path / "plan", checkout={**schema, "$defs": parts})
    drifts = drift(db, str(folder), "--list", "94")[1]
    assert [name for _, name, kind in drifts if kind == "unknown property"] == found


def test_plan_check_wants_no_properties_of_identify_events(lived: tuple[Path, Credentials], tmp_path: Path) -> None:
    """A first binding stores one with the properties of another event, so only what was never stored is told."""
    db, _ = lived
    identify = {"properties": {"total": {"type": "boolean"}, "emailAddress": {}, "age": {}}, "required": ["age", "total"]}
    folder = folder_of(tmp_path / "plan", checkout={}, signup={}, identify={**identify, "additionalProperties": False})
    assert drift(db, str(folder)) == (1, [("identify", "age", "unseen property")])
    assert drift(db, str(folder), "--allow-unseen") == (0, [])


def test_plan_check_takes_what_arrival_takes_for_an_integer(db: Path, tmp_path: Path) -> None:
    """1.0 and integers beyond 64 bits, which are stored as doubles."""
    amounts = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"enum": [1, 2]}, "c": {"type": "string"}}}
    folder = folder_of(tmp_path / "plan", order=amounts)
    with EventTracking(db, plan=str(folder)) as tracking:
        fill_store(tracking)
        for number in (1, 1.0, 10**30):
            tracking.track(94, "order", email="a@example.com", properties={"a": number, "b": 2.0, "c": ""})
    assert drift(db, str(folder)) == (0, [])
    folder_of(tmp_path / "plan", order={"properties": {"c": {"type": "integer"}}})
    assert drift(db, str(folder)) == (1, [("order", "c", "changed type")])


def command_in(folder: Path, *arguments: str) -> Any:
    """Runs falcon-events in a folder."""
    return subprocess.run([sys.executable, "-m", "falcon_events", *arguments], cwd=folder, capture_output=True, check=False)


def test_plan_check_wants_a_list_that_is_there(lived: tuple[Path, Credentials], tmp_path: Path) -> None:
    """An error in one line, exit 2."""
    db, _ = lived
    done = shortcuts.command("plan", "check", "--db", str(db), "--plan", str(folder_of(tmp_path / "p", a={})), "--list", "7")
    assert (done.returncode, done.stderr) == (2, b"falcon-events: --list 7: there is no such list.\n")
