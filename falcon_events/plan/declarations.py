"""Events declared in code: a class for each, with its schema, and objects of it in place of name and properties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, TypeVar

import msgspec

from falcon_events.errors import PlanError

T = TypeVar("T", bound=type)

MAX_EVENT = 200
_NAME = "__falcon_events_name__"


def event(name: str) -> Callable[[T], T]:
    """Declares a class as an event of this type: a dataclass, a msgspec.Struct or a TypedDict, whose fields are its properties.

    Args:
        name: the event type, at most 200 characters.

    Raises:
        PlanError: it is no event type.
    """
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_EVENT:
        raise PlanError(f"@event({name!r}): the event's type is needed, a string of at most {MAX_EVENT} characters.")

    def declare(kind: T) -> T:
        setattr(kind, _NAME, name)
        return kind

    return declare


def name_of(kind: type) -> str | None:
    """The event type that a class was declared as; None for one that was not, though it may derive from one that was."""
    name: str | None = vars(kind).get(_NAME)
    return name


def schema_of(kind: type) -> dict[str, Any]:
    """The JSON Schema of a declared class.

    Raises:
        PlanError: it is none that has one, or its objects are none in JSON.
    """
    try:
        (schema,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    except (TypeError, NameError) as error:
        raise PlanError(f"{kind.__qualname__}: a dataclass, msgspec.Struct or TypedDict is needed: {error}") from error
    if (own := schema.get("$ref", "").rpartition("/")[2]) in parts:
        schema = {**parts[own], "$defs": parts}
    if schema.get("type") != "object":
        raise PlanError(f"{kind.__qualname__}: objects of it are no objects in JSON, so they are no properties.")
    return schema


def typed(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of track(), with name and properties in place of an object of a declared class.

    Raises:
        TypeError: properties are given beside it, or it has some that JSON cannot hold.
    """
    given = arguments["event"]
    name = None if isinstance(given, str) else name_of(type(given))
    if name is None:
        return arguments
    if arguments["properties"] is not None:
        raise TypeError(f"properties={arguments['properties']!r}: {type(given).__qualname__} has its own.")
    return {**arguments, "event": name, "properties": msgspec.to_builtins(given, enc_hook=_written)}


def _written(value: object) -> str:
    """A date or time of a class of its own, as freezegun puts in place of Python's, as msgspec writes Python's."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"Objects of type {type(value).__name__} cannot be properties of an event.")
