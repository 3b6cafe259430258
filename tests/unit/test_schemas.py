"""The JSON Schemas: sound by themselves, and to the letter what the API's documentation says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

import falcon_events
from falcon_events import EventTracking
from falcon_events.contract.schemas import NAMES, RequestSchema, load_schema
from tests.conftest import Api
from tests.harness import EVENT, PROPERTIES, Credentials, assert_valid_answer, unmeasured_environment

PACKAGE = Path(falcon_events.__file__).parent
REQUESTS = ("event.request", "properties.request")

DOCUMENTED = {
    "event.request": {
        4: "Invalid ListID parameter",
        5: "Missing event parameter.",
        6: "Missing email parameter.",
        7: "Invalid email parameter.",
        8: "Missing conversion-id event property.",
        9: "Missing conversion-name event property.",
        10: "Missing conversion-value event property.",
    },
    "properties.request": {
        1: "Missing ListID parameter",
        2: "Invalid ListID parameter",
        3: "List not found",
    },
}
"""The tables of HTTP status 422 in the API's documentation; codes 1 to 3 of the first are reserved."""

DOCUMENTED_BODIES = {
    "event.request": {
        "APIKey": "{{user_apikey}}",
        "ListID": 94,
        "id": "user-id-2006",
        "event": "test",
        "email": "2006@test.com",
        "properties": {"number-of-subscribers-imported": 100},
    },
    "event.response": {
        "status": "success",
        "uuid": "13f8e79a-f063-4b80-10e4-b65a699a2f56",
        "external_id": "user-id-2006",
        "identify_event_sent": True,
    },
    "properties.request": {"APIKey": "{{user_apikey}}", "ListID": 3},
    "properties.response": {
        "ListID": "3",
        "Properties": {
            "identify": [
                "$browser", "$browser_language", "$browser_version", "$current_url", "$device", "$device_type", "$dsn", "$host",
                "$id", "$lib", "$lib_version", "$list_id", "$os", "$pageTitle", "$page_title", "$pathname", "$referrer",
                "$referring_domain", "$screen_height", "$screen_width", "$sent_at", "$server", "$uuid", "$viewport_height",
                "$viewport_width", "emailAddress", "firstName", "lastName", "number-of-subscribers-imported",
            ],
            "pageView": [
                "$browser", "$browser_language", "$browser_version", "$current_url", "$device", "$device_type", "$dsn", "$host",
                "$lib", "$lib_version", "$list_id", "$os", "$pageTitle", "$pathname", "$referrer", "$referring_domain",
                "$screen_height", "$screen_width", "$sent_at", "$server", "$uuid", "$viewport_height", "$viewport_width", "url",
            ],
            "test": [
                "$browser", "$browser_language", "$browser_version", "$current_url", "$device", "$device_type", "$dsn", "$host",
                "$id", "$lib", "$lib_version", "$list_id", "$os", "$page_title", "$pathname", "$referrer", "$referring_domain",
                "$screen_height", "$screen_width", "$sent_at", "$server", "$uuid", "$viewport_height", "$viewport_width",
                "number-of-subscribers-imported",
            ],
        },
    },
}  # fmt: skip
"""The example bodies of the API's documentation, without their comments."""

DOCUMENTED_FAILURES = (
    {"Errors": [{"Code": 4, "Message": "Invalid ListID parameter"}]},
    {"Errors": [{"Code": 3, "Message": "List not found"}]},
)


def rules(schema: object) -> Iterator[dict[str, Any]]:
    """Every part of a schema that carries an `x-error`."""
    if isinstance(schema, dict):
        if "x-error" in schema:
            yield schema
        schema = list(schema.values())
    if isinstance(schema, list):
        for inner in schema:
            yield from rules(inner)


def errors(name: str) -> list[dict[str, Any]]:
    """Every failure that a schema words."""
    schema = load_schema(name)
    return [rule["x-error"] for rule in rules(schema)] + schema.get("x-errors", [])


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_valid_and_describes_itself(name: str) -> None:
    """Draft 2020-12, with title, description and examples, under an $id of its own."""
    schema = load_schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert schema["$id"].endswith(f":{name}")
    assert all(schema[word] for word in ("title", "description", "examples"))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_title_and_description(name: str) -> None:
    """Whoever reads only the schema knows what to send, and what the answer means."""
    for member, rule in load_schema(name)["properties"].items():
        assert rule["title"], member
        assert rule["description"], member


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_a_schema_are_valid(name: str) -> None:
    """Those of the whole, and those of each parameter."""
    schema = load_schema(name)
    for part in (schema, *schema["properties"].values()):
        for example in part.get("examples", ()):
            Draft202012Validator(part).validate(example)


@pytest.mark.parametrize("name", [*REQUESTS, "errors"])
def test_a_rule_has_status_code_and_message(name: str) -> None:
    """Nothing is refused without the documented shape's members, nor with others."""
    assert errors(name)
    for error in errors(name):
        assert error.keys() == {"status", "code", "message"}
        assert 400 <= error["status"] < 600
        assert isinstance(error["code"], int)
        assert error["message"].strip() == error["message"] != ""


@pytest.mark.parametrize("name", REQUESTS)
def test_every_parameter_and_condition_has_a_code(name: str) -> None:
    """No parameter's rule and no condition is without an `x-error`."""
    schema = load_schema(name)
    free = {"OwnTraffic"}  # any value is right
    rules = [rule for name, rule in schema["properties"].items() if name not in free]
    for rule in (*rules, *schema["allOf"]):
        assert "x-error" in rule


@pytest.mark.parametrize("name", REQUESTS)
def test_documented_messages_are_to_the_letter(name: str) -> None:
    """Codes 1 to 10 as in the documentation's tables, final full stop included where the table has one."""
    worded = {(error["status"], error["code"], error["message"]) for error in errors(name) if error["code"] <= 10}
    assert worded == {(422, code, message) for code, message in DOCUMENTED[name].items()}


def test_a_code_means_the_same_wherever_it_is_worded() -> None:
    """Codes above 10 have one status, and those that belong to no endpoint one message."""
    found: dict[int, set[tuple[int, str]]] = {}
    for name in (*REQUESTS, "errors"):
        for error in errors(name):
            if error["code"] > 10:
                found.setdefault(error["code"], set()).add((error["status"], error["message"]))
    assert all(len({status for status, _ in meanings}) == 1 for meanings in found.values())
    assert [code for code, meanings in found.items() if len(meanings) > 1] == [11]


@pytest.mark.parametrize("name", DOCUMENTED_BODIES)
def test_the_documented_bodies_are_valid(name: str) -> None:
    """The examples of the API's documentation, as they stand there."""
    Draft202012Validator(load_schema(name)).validate(DOCUMENTED_BODIES[name])


@pytest.mark.parametrize("body", DOCUMENTED_FAILURES, ids=["code 4", "code 3"])
def test_the_documented_failures_are_valid(body: dict[str, Any]) -> None:
    """The documentation's failures have the shape of all failures."""
    Draft202012Validator(load_schema("errors")).validate(body)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("event.response", {**DOCUMENTED_BODIES["event.response"], "more": 1}),
        ("event.response", {**DOCUMENTED_BODIES["event.response"], "uuid": "13F8E79A-F063-4B80-10E4-B65A699A2F56"}),
        ("event.response", {**DOCUMENTED_BODIES["event.response"], "status": "failure"}),
        ("properties.response", {"ListID": 3, "Properties": {}}),
        ("properties.response", {"ListID": "3", "Properties": []}),
        ("properties.response", {"ListID": "3", "Properties": {"test": ["a", "a"]}}),
        ("errors", {"Errors": []}),
        ("errors", {"Errors": [{"Code": "4", "Message": "Invalid ListID parameter"}]}),
        ("errors", {"Errors": [{"Code": 4, "Message": "Invalid ListID parameter"}], "more": 1}),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value)[:60],
)
def test_an_answer_of_another_shape_is_invalid(name: str, body: dict[str, Any]) -> None:
    """The answers' schemas are closed: these members, of these types, and no others."""
    with pytest.raises(ValidationError):
        Draft202012Validator(load_schema(name)).validate(body)


def test_the_documented_event_gets_the_documented_answer(api: Api) -> None:
    """The documentation's request, with a real key: its answer has the documented shape."""
    answer = api.client.post(EVENT, json={**DOCUMENTED_BODIES["event.request"], "APIKey": api.credentials.full})
    assert answer.status_code == 200
    assert answer.json().keys() == DOCUMENTED_BODIES["event.response"].keys()
    assert answer.json()["external_id"] == "user-id-2006"


def test_the_documented_questions_get_the_documented_answers(api: Api) -> None:
    """A list that is there, one that is not found, and an event for one that is invalid."""
    asked = {**DOCUMENTED_BODIES["properties.request"], "APIKey": api.credentials.full}
    found = api.client.post(PROPERTIES, json={**asked, "ListID": api.credentials.empty_list})
    assert found.json().keys() == DOCUMENTED_BODIES["properties.response"].keys()
    assert api.client.post(PROPERTIES, json=asked).json() == DOCUMENTED_FAILURES[1]
    refused = {**DOCUMENTED_BODIES["event.request"], "APIKey": api.credentials.full, "ListID": 3}
    assert api.client.post(EVENT, json=refused).json() == DOCUMENTED_FAILURES[0]


def test_the_documented_properties_come_of_such_events(tracking: EventTracking, credentials: Credentials) -> None:
    """Events with the documented names, however they are spread and ordered, lead to the documented answer."""
    tracking.directory.create_list("alice", "documented", 3)
    documented = DOCUMENTED_BODIES["properties.response"]["Properties"]
    for event, names in documented.items():  # type: ignore[attr-defined]
        given = [name for name in reversed(names) if name != "emailAddress"]
        for part in (given[::2], given[1::2], given[:3]):
            tracking.track(3, event, id="user-id-2006", email="2006@test.com", properties=dict.fromkeys(part, 1))
    assert json.dumps(tracking.properties(3)) == json.dumps(documented)


def test_a_lifted_rule_is_the_only_one_that_falls_away() -> None:
    """anonymous_events lifts the email address's requirement, but not that of identify."""
    params = {"ListID": 0, "event": "test"}
    judge = RequestSchema(load_schema("event.request"), frozenset({"anonymous_events"}))
    assert [failure.code for failure in judge.failures(params)] == [4]
    assert [failure.code for failure in judge.failures({**params, "event": "identify"})] == [4, 6]


@pytest.mark.parametrize("place", ["falcon_events/jsonschemas", "jsonschemas"], ids=["installed", "checkout"])
def test_schemas_are_found_where_they_are(place: str, tmp_path: Path) -> None:
    """In the package's folder, as a wheel has them, or beside the package, as a checkout has them: the same."""
    shutil.copytree(PACKAGE, tmp_path / "falcon_events", ignore=shutil.ignore_patterns("__pycache__", "jsonschemas"))
    (tmp_path / place).mkdir()
    for name in NAMES:
        (tmp_path / place / f"{name}.json").write_text(json.dumps(load_schema(name)))
    code = """if True:
        import json
        from falcon_events.contract import schemas
        print(json.dumps([schemas.__file__, {name: schemas.load_schema(name) for name in schemas.NAMES}]))
    """
    environment = unmeasured_environment(PYTHONPATH=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    file, found = json.loads(done.stdout)
    assert Path(file).is_relative_to(tmp_path)
    assert found == {name: load_schema(name) for name in NAMES}


def test_a_schema_that_does_not_exist_is_not_found() -> None:
    """A named error instead of a half schema."""
    with pytest.raises(FileNotFoundError):
        load_schema("no.such")


def test_every_common_failure_fits_the_one_shape(api: Api) -> None:
    """The answers outside the endpoints' rules: no path, no method, no credential."""
    for method, path, status in (("POST", "/nowhere", 404), ("PUT", EVENT, 405), ("POST", EVENT, 401)):
        answer = api.client.request(method, path, json={})
        assert_valid_answer(answer)
        assert answer.status_code == status
        worded = {(error["status"], error["code"], error["message"]) for error in errors("errors")}
        (given,) = answer.json()["Errors"]
        assert (status, given["Code"], given["Message"]) in worded
