"""The OpenAPI 3.1 document of the API, built from the JSON Schemas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from falcon_events.contract.schemas import QUESTION_NAMES, Schema, load_schema

_COMPONENTS = {
    "event.request": "EventRequest",
    "event.response": "EventAnswer",
    "events.request": "EventsRequest",
    "events.response": "EventsAnswer",
    "properties.request": "PropertiesRequest",
    "properties.response": "PropertiesAnswer",
    **{f"{name}.request": f"{name.title()}Request" for name in QUESTION_NAMES},
    **{f"{name}.response": f"{name.title()}Answer" for name in QUESTION_NAMES},
    "errors": "Errors",
}
_RETRY_AFTER = {"description": "How long to wait before the next try, in seconds.", "schema": {"type": "integer", "minimum": 0}}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "The scheme to authenticate with.", "schema": {"const": "Bearer"}}},
    405: {"Allow": {"description": "The allowed methods, separated by commas.", "schema": {"type": "string"}}},
    429: {"Retry-After": _RETRY_AFTER},
    503: {"Retry-After": _RETRY_AFTER},
}
_EVENT_HEADERS = {
    "X-Event-ID": {"description": "The stored event's own id.", "schema": {"type": "string", "format": "uuid"}},
    "X-Event-Duplicate": {
        "description": "Present if the EventID was known: nothing was stored, and the body repeats the first reply.",
        "schema": {"const": "true"},
    },
}
_QUESTIONS = {
    "query": ("queryEvents", "Count what happened: trends, totals, breakdowns, revenue"),
    "funnel": ("queryFunnel", "Count how many came through ordered steps"),
    "retention": ("queryRetention", "Count how many came back"),
    "people": ("findPeople", "Find who did, or did not, or whom a number counts"),
    "timeline": ("readTimeline", "Retrieve what one person did"),
    "values": ("listValues", "List the values of a dimension, the most frequent first"),
    "saved": ("listSaved", "List saved queries and segments"),
    "save": ("saveQuery", "Save a query or segment under a name"),
    "forget": ("forgetQuery", "Forget a saved query or segment"),
}
"""The operation's id and summary of each question."""
_NO_PATH = 404  # cannot happen for the paths in the document


def openapi_document(*, title: str = "Event Tracking API", servers: Sequence[str] = ("/",)) -> dict[str, Any]:
    """Build the OpenAPI 3.1 document: every endpoint, every status with its codes, and the schemas as components.

    Args:
        title: the document's title.
        servers: the base URLs of the API. Relative ones are relative to the document's URL.
    """
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1", "description": "Tracks events of a subscriber list's visitors."},
        "servers": [{"url": url} for url in servers],
        "tags": [
            {"name": "Events", "description": "Record what visitors do."},
            {"name": "Questions", "description": "Ask about what is stored."},
        ],
        "paths": {
            "/api/v1/event": {
                "post": {
                    "operationId": "trackEvent",
                    "tags": ["Events"],
                    "summary": "Track an event",
                    "security": _build_security(body=True),
                    "requestBody": _build_request_body("event.request"),
                    "responses": _build_responses("event.request", "event.response", _EVENT_HEADERS),
                }
            },
            "/api/v1/events": {
                "post": {
                    "operationId": "trackEvents",
                    "tags": ["Events"],
                    "summary": "Track up to 1,000 events",
                    "security": _build_security(body=True),
                    "requestBody": _build_request_body("events.request"),
                    "responses": _build_responses("events.request", "events.response"),
                }
            },
            "/api/v1/website_events.properties": {
                "post": {
                    "operationId": "retrieveEventProperties",
                    "tags": ["Questions"],
                    "summary": "Retrieve event properties of a list",
                    "security": _build_security(body=True),
                    "requestBody": _build_request_body("properties.request"),
                    "responses": _build_responses("properties.request", "properties.response"),
                },
                "get": {
                    "operationId": "retrieveEventPropertiesByQuery",
                    "tags": ["Questions"],
                    "summary": "Retrieve event properties of a list, without a body",
                    "security": _build_security(body=False),
                    "parameters": [_build_list_parameter()],
                    "responses": _build_responses("properties.request", "properties.response"),
                },
            },
            **{f"/api/v1/website_events.{name}": _build_question(name, *_QUESTIONS[name]) for name in QUESTION_NAMES},
        },
        "components": {
            "schemas": {component: _build_component(name, component) for name, component in _COMPONENTS.items()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, as `Authorization: Bearer KEY`."}
            },
        },
    }


def _build_question(name: str, operation: str, summary: str) -> dict[str, Any]:
    return {
        "post": {
            "operationId": operation,
            "tags": ["Questions"],
            "summary": summary,
            "security": _build_security(body=True),
            "requestBody": _build_request_body(f"{name}.request"),
            "responses": _build_responses(f"{name}.request", f"{name}.response"),
        }
    }


def _build_component(name: str, component: str) -> Schema:
    """Return a schema as a component: without `$id`, so that its references can point into the document."""
    schema = load_schema(name)
    del schema["$id"], schema["$schema"]
    for part in _walk_objects(schema):
        if "$ref" in part:
            part["$ref"] = part["$ref"].replace("#", f"#/components/schemas/{component}", 1)
    return schema


def _walk_objects(value: object) -> Iterator[dict[str, Any]]:
    """Yield every object in a schema, the schema itself included."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _walk_objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk_objects(inner)


def _build_content(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{_COMPONENTS[name]}"}}}


def _build_security(*, body: bool) -> list[dict[str, Any]]:
    """Require a bearer key; with a body, which may contain APIKey or SessionID, make it optional."""
    return [{"bearer": []}, {}] if body else [{"bearer": []}]


def _build_request_body(name: str) -> dict[str, Any]:
    description = "Read as JSON regardless of the Content-Type. Parameter names match without regard to case."
    return {"required": True, "description": description, "content": _build_content(name)}


def _build_list_parameter() -> dict[str, Any]:
    schema = {"type": "string", "pattern": load_schema("event.request")["properties"]["ListID"]["pattern"], "examples": ["3"]}
    return {"name": "ListID", "in": "query", "required": True, "description": "The list ID, in digits.", "schema": schema}


def _build_responses(request: str, answer: str, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    """Build the responses of an operation by status: success, and failures with their codes."""
    responses: dict[str, Any] = {"200": {"description": load_schema(answer)["description"], "content": _build_content(answer)}}
    if headers:
        responses["200"]["headers"] = headers
    for status, codes in sorted(_collect_codes(request).items()):
        lines = [f"- `{code}` {message}" for code, message in sorted(codes)]
        response = {"description": "\n".join(["Codes:", "", *lines]), "content": _build_content("errors")}
        responses[str(status)] = {**response, "headers": _HEADERS[status]} if status in _HEADERS else response
    return responses


def _collect_codes(request: str) -> dict[int, set[tuple[int, str]]]:
    """Collect the codes and messages of a request's possible failures, by status."""
    found: dict[int, set[tuple[int, str]]] = {}
    for part in (*_walk_objects(load_schema(request)), *_walk_objects(load_schema("errors"))):
        for error in (*part.get("x-errors", ()), *([part["x-error"]] if "x-error" in part else ())):
            if error["status"] != _NO_PATH:
                found.setdefault(error["status"], set()).add((error["code"], error["message"]))
    return found
