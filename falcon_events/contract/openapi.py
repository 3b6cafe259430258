"""The OpenAPI 3.1 document of the API, built from the JSON Schemas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from falcon_events.contract.schemas import Schema, load_schema

_COMPONENTS = {
    "event.request": "EventRequest",
    "event.response": "EventAnswer",
    "events.request": "EventsRequest",
    "events.response": "EventsAnswer",
    "properties.request": "PropertiesRequest",
    "properties.response": "PropertiesAnswer",
    "errors": "Errors",
}
_RETRY_AFTER = {"description": "How long to wait before the next try, in seconds.", "schema": {"type": "integer", "minimum": 0}}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "The scheme to authenticate with.", "schema": {"const": "Bearer"}}},
    405: {"Allow": {"description": "The methods that there are, separated by commas.", "schema": {"type": "string"}}},
    429: {"Retry-After": _RETRY_AFTER},
    503: {"Retry-After": _RETRY_AFTER},
}
_EVENT_HEADERS = {
    "X-Event-ID": {"description": "The stored event's own id.", "schema": {"type": "string", "format": "uuid"}},
    "X-Event-Duplicate": {
        "description": "Given where the EventID was known: nothing was stored, this is the first answer again.",
        "schema": {"const": "true"},
    },
}
_NO_PATH = 404  # what the document describes is there


def openapi_document(*, title: str = "Event Tracking API", servers: Sequence[str] = ("/",)) -> dict[str, Any]:
    """The API as an OpenAPI 3.1 document: every endpoint, every status with its codes, and the schemas as components.

    Args:
        title: the document's title.
        servers: the base URLs that the API is served at; relative ones count from the document's own.
    """
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1", "description": "Tracks events of a subscriber list's visitors."},
        "servers": [{"url": url} for url in servers],
        "paths": {
            "/api/v1/event": {
                "post": {
                    "operationId": "trackEvent",
                    "summary": "Track an event",
                    "security": _security(body=True),
                    "requestBody": _body("event.request"),
                    "responses": _responses("event.request", "event.response", _EVENT_HEADERS),
                }
            },
            "/api/v1/events": {
                "post": {
                    "operationId": "trackEvents",
                    "summary": "Track up to 1,000 events",
                    "security": _security(body=True),
                    "requestBody": _body("events.request"),
                    "responses": _responses("events.request", "events.response"),
                }
            },
            "/api/v1/website_events.properties": {
                "post": {
                    "operationId": "retrieveEventProperties",
                    "summary": "Retrieve event properties of a list",
                    "security": _security(body=True),
                    "requestBody": _body("properties.request"),
                    "responses": _responses("properties.request", "properties.response"),
                },
                "get": {
                    "operationId": "retrieveEventPropertiesByQuery",
                    "summary": "Retrieve event properties of a list, without a body",
                    "security": _security(body=False),
                    "parameters": [_list_parameter()],
                    "responses": _responses("properties.request", "properties.response"),
                },
            },
        },
        "components": {
            "schemas": {component: _component(name, component) for name, component in _COMPONENTS.items()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, as `Authorization: Bearer KEY`."}
            },
        },
    }


def _component(name: str, component: str) -> Schema:
    """A schema with its references led to where it stands in the document, which an `$id` of its own would prevent."""
    schema = load_schema(name)
    del schema["$id"], schema["$schema"]
    for part in _parts(schema):
        if "$ref" in part:
            part["$ref"] = part["$ref"].replace("#", f"#/components/schemas/{component}", 1)
    return schema


def _parts(value: object) -> Iterator[dict[str, Any]]:
    """Every object within a schema, itself included."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _parts(inner)


def _reference(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{_COMPONENTS[name]}"}}}


def _security(*, body: bool) -> list[dict[str, Any]]:
    """A bearer key, or nothing in the headers where the body can have APIKey or SessionID."""
    return [{"bearer": []}, {}] if body else [{"bearer": []}]


def _body(name: str) -> dict[str, Any]:
    description = "Read as JSON whatever the Content-Type says; parameter names match without regard to case."
    return {"required": True, "description": description, "content": _reference(name)}


def _list_parameter() -> dict[str, Any]:
    schema = {"type": "string", "pattern": load_schema("event.request")["properties"]["ListID"]["pattern"], "examples": ["3"]}
    return {"name": "ListID", "in": "query", "required": True, "description": "The list, as digits.", "schema": schema}


def _responses(request: str, answer: str, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    """The answers of an operation by status: the one of success, and each failure with its codes."""
    responses: dict[str, Any] = {"200": {"description": load_schema(answer)["description"], "content": _reference(answer)}}
    if headers:
        responses["200"]["headers"] = headers
    for status, codes in sorted(_codes(request).items()):
        lines = [f"- `{code}` {message}" for code, message in sorted(codes)]
        response = {"description": "\n".join(["Codes:", "", *lines]), "content": _reference("errors")}
        responses[str(status)] = {**response, "headers": _HEADERS[status]} if status in _HEADERS else response
    return responses


def _codes(request: str) -> dict[int, set[tuple[int, str]]]:
    """Codes and messages of the failures that a request can have, by status."""
    found: dict[int, set[tuple[int, str]]] = {}
    for part in (*_parts(load_schema(request)), *_parts(load_schema("errors"))):
        for error in (*part.get("x-errors", ()), *([part["x-error"]] if "x-error" in part else ())):
            if error["status"] != _NO_PATH:
                found.setdefault(error["status"], set()).add((error["code"], error["message"]))
    return found
