"""Events declared in code: a class for each event type, from which its JSON Schema is derived."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from falcon_events.errors import PlanError

T = TypeVar("T", bound=type)

MAX_EVENT = 200
_NAME = "__falcon_events_name__"


def event(name: str) -> Callable[[T], T]:
    """Declare a class as an event of this type.

    The class is a dataclass, a msgspec.Struct or a TypedDict. Its fields are the event's properties.

    Args:
        name: the event type, at most 200 characters.

    Raises:
        PlanError: `name` is not a valid event type.
    """
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_EVENT:
        raise PlanError(f"@event({name!r}): the event type must be a string of 1 to {MAX_EVENT} characters.")

    def declare(kind: T) -> T:
        setattr(kind, _NAME, name)
        return kind

    return declare


def get_event_type(kind: type) -> str | None:
    """Return the event type that a class was declared as, or None. A class does not inherit the declaration of its base."""
    name: str | None = vars(kind).get(_NAME)
    return name


def build_schema(kind: type) -> dict[str, Any]:
    """Build the JSON Schema of a declared class.

    Raises:
        PlanError: the class has no JSON Schema, or its objects are not JSON objects.
    """
    try:
        (schema,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    except (TypeError, NameError) as error:
        raise PlanError(f"{kind.__qualname__} must be a dataclass, msgspec.Struct or TypedDict: {error}") from error
    if (own := schema.get("$ref", "").rpartition("/")[2]) in parts:
        schema = {**parts[own], "$defs": parts}
    if schema.get("type") != "object":
        raise PlanError(f"{kind.__qualname__} must have objects that are JSON objects, because they are an event's properties.")
    return schema


def unpack_event(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Replace an object of a declared class in the arguments of track() by its event type and properties.

    Raises:
        TypeError: properties are also given, or the object has properties that JSON cannot hold.
    """
    given = arguments["event"]
    name = None if isinstance(given, str) else get_event_type(type(given))
    if name is None:
        return arguments
    if arguments["properties"] is not None:
        raise TypeError(f"properties={arguments['properties']!r} must be left out: {type(given).__qualname__} has its own.")
    return {**arguments, "event": name, "properties": msgspec.to_builtins(given, builtin_types=(Decimal,), enc_hook=_encode_time)}


def _encode_time(value: object) -> str:
    """Encode a date or time of a subclass, such as freezegun's, like msgspec encodes those of Python."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"Objects of type {type(value).__name__} cannot be properties of an event.")
