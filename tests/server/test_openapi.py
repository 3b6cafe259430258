"""The OpenAPI document: whole by itself, and true of the server, which schemathesis tries with right and with wrong requests."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from jsonschema import Draft202012Validator
from schemathesis import Case
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.hypothesis.builder import HypothesisTestConfig, HypothesisTestMode, create_test
from schemathesis.specs.openapi.checks import positive_data_acceptance
from schemathesis.specs.openapi.definitions import OPENAPI_31

from falcon_events.contract.openapi import openapi_document
from falcon_events.contract.schemas import load_schema
from falcon_events.http.endpoints import ACTIONS
from falcon_events.model.timestamps import parse_timestamp
from tests.conftest import Api
from tests.harness import EVENT, EVENTS, PROPERTIES, QUESTIONS

DOCUMENT = openapi_document()
OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]
REQUESTS = {EVENT: "event.request", EVENTS: "events.request", PROPERTIES: "properties.request"}
REQUESTS |= {path: f"{name}.request" for path, name in QUESTIONS.items()}
COMPONENTS = {
    "event.request": "EventRequest",
    "event.response": "EventAnswer",
    "events.request": "EventsRequest",
    "events.response": "EventsAnswer",
    "properties.request": "PropertiesRequest",
    "properties.response": "PropertiesAnswer",
    "query.request": "QueryRequest",
    "query.response": "QueryAnswer",
    "funnel.request": "FunnelRequest",
    "funnel.response": "FunnelAnswer",
    "retention.request": "RetentionRequest",
    "retention.response": "RetentionAnswer",
    "errors": "Errors",
}
LIST_ID = Draft202012Validator(load_schema("event.request")["properties"]["ListID"])


def values(part: object, word: str) -> Iterator[Any]:
    """What stands under a word, anywhere in a part of the document."""
    if isinstance(part, dict):
        yield from ([part[word]] if word in part else [])
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from values(inner, word)


def test_operations_stand_under_declared_headings() -> None:
    """Without one, a renderer makes a heading of its own, for which most fonts have no sign."""
    document = openapi_document()
    declared = {tag["name"] for tag in document["tags"]}
    used = [tag for path in document["paths"].values() for operation in path.values() for tag in operation["tags"]]
    assert set(used) == declared
    assert len(used) == sum(len(path) for path in document["paths"].values())


def test_the_document_is_valid() -> None:
    """OpenAPI 3.1, as its own schema has it."""
    Draft202012Validator(OPENAPI_31).validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1.")


def test_title_and_servers_are_the_callers() -> None:
    """A host application serves the endpoints under a name and an address of its own."""
    document = openapi_document(title="Shop", servers=("https://shop.example/tracking", "/tracking"))
    assert document["info"]["title"] == "Shop"
    assert document["servers"] == [{"url": "https://shop.example/tracking"}, {"url": "/tracking"}]


def test_every_reference_leads_somewhere_in_the_document() -> None:
    """Nobody needs another file; and no `$id` leads references astray."""
    for reference in values(DOCUMENT, "$ref"):
        place: Any = DOCUMENT
        assert reference.startswith("#/")
        for step in reference[2:].split("/"):
            place = place[step]
    assert not list(values(DOCUMENT, "$id"))


@pytest.mark.parametrize(("name", "component"), COMPONENTS.items())
def test_a_component_is_its_schema(name: str, component: str) -> None:
    """Only what names the schema is left out, and references are led to their new place."""
    schema, given = load_schema(name), DOCUMENT["components"]["schemas"][component]
    Draft202012Validator.check_schema(given)
    led = [reference.replace("#", f"#/components/schemas/{component}", 1) for reference in values(schema, "$ref")]
    assert list(values(given, "$ref")) == led
    assert list(values(given, "x-error")) == list(values(schema, "x-error"))
    assert given.keys() == schema.keys() - {"$id", "$schema"}
    judge = Draft202012Validator({"$ref": f"#/components/schemas/{component}", "components": DOCUMENT["components"]})
    for example in (
        *schema["examples"],
        {},
        {"ListID": 94, "event": "conversion"},
        {"ListID": 94, "event": "identify", "email": ""},
    ):
        assert judge.is_valid(example) == Draft202012Validator(schema).is_valid(example)


def test_every_endpoint_and_method_is_described() -> None:
    """Those of the server, and no others; a browser's preflight is no operation of the API."""
    assert set(OPERATIONS) == {
        (path, method.lower()) for path, methods in ACTIONS.items() for method in methods if method != "OPTIONS"
    }
    assert len({DOCUMENT["paths"][path][method]["operationId"] for path, method in OPERATIONS}) == len(OPERATIONS)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_failure_is_listed_with_its_status(path: str, method: str) -> None:
    """Each code and message that a rule words stands in the description of its status; the body is the one of all failures."""
    responses = DOCUMENT["paths"][path][method]["responses"]
    request, common = load_schema(REQUESTS[path]), load_schema("errors")["x-errors"]
    errors = [*values(request, "x-error"), *request.get("x-errors", ()), *(error for error in common if error["status"] != 404)]
    for error in errors:
        response = responses[str(error["status"])]
        assert f"- `{error['code']}` {error['message']}" in response["description"].splitlines()
        assert response["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Errors"}
    assert responses.keys() == {"200", *(str(error["status"]) for error in errors)}


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_headers_of_answers_are_described(path: str, method: str) -> None:
    """Where an answer's headers say more than its body."""
    described = {
        status: set(answer.get("headers", ())) for status, answer in DOCUMENT["paths"][path][method]["responses"].items()
    }
    expected = {"401": {"WWW-Authenticate"}, "405": {"Allow"}, "429": {"Retry-After"}, "503": {"Retry-After"}}
    if path == EVENT:
        expected["200"] = {"X-Event-ID", "X-Event-Duplicate"}
    assert {status: headers for status, headers in described.items() if headers} == expected


def is_infinite(order: Any) -> bool:
    """Whether a conversion-value is a number that no double holds, which only the extension `x-finite` refuses."""
    value = order.get("conversion-value") if isinstance(order, dict) else None
    try:
        return isinstance(value, str | int | float) and math.isinf(float(value))
    except (ValueError, OverflowError):
        return isinstance(value, int)


def with_credentials(case: Case, api: Api) -> Case:
    """The case with a real key and list in place of ones that only look right, with no moment to come, and no endless order.

    Of two credentials the server looks at the first; so where one has the wrong type, no right one is added.
    """
    made = api.credentials
    if case.method == "GET":
        if not case.meta.is_negative_at(ParameterLocation.HEADER):
            case.headers["Authorization"] = f"Bearer {made.full}"
        if "ListID" in case.query and LIST_ID.is_valid(case.query["ListID"]):
            case.query["ListID"] = str(made.list_id)
    if isinstance(case.body, dict):
        body = case.body
        wrong = {name: body[name] for name in ("APIKey", "SessionID") if not isinstance(body.get(name), str | None)}
        at = parse_timestamp(body["Timestamp"]) if isinstance(body.get("Timestamp"), str) else None
        case.body = {
            **{name: value for name, value in body.items() if name not in ("APIKey", "SessionID")},
            **(wrong or {"APIKey": made.full}),
            **({"ListID": made.list_id} if LIST_ID.is_valid(body.get("ListID")) else {}),
            **({"Timestamp": None} if at is not None and not 0 <= at <= time.time() * 1e6 else {}),
            **({"properties": {**order, "conversion-value": "1"}} if is_infinite(order := body.get("properties")) else {}),
        }
    return case


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """A connection that is kept between requests."""
    with requests.Session() as session:
        yield session


@pytest.mark.parametrize("flavour", ["wsgi"], indirect=True)  # the examples are the same each time
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_schemathesis_finds_nothing(path: str, method: str, api: Api, session: requests.Session) -> None:
    """Every answer is a documented one: what the document allows is accepted, all else refused, nothing breaks the server.

    A question's parameters refer to each other, in ways that no schema says; what is refused then is refused with a code.
    """
    is_question = path in QUESTIONS
    excluded = [positive_data_acceptance] if is_question else []

    @settings(max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def check(case: Case) -> None:
        answer = with_credentials(case, api).call_and_validate(api.url, session=session, excluded_checks=excluded)
        is_refused_rightly = is_question and answer.status_code == 422
        assert answer.status_code == 200 or not case.meta.generation.mode.is_positive or is_refused_rightly

    # Not described.parametrize(), which makes the cases while tests are collected: in each test process, for seconds.
    described = schemathesis.openapi.from_dict(DOCUMENT)
    config = HypothesisTestConfig(described.config, list(HypothesisTestMode))
    create_test(operation=described[path][method], test_func=check, config=config)()
