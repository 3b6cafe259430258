"""POST /api/v1/event: parameters into a checked EventRequest, or the documented failures."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import msgspec

from falcon_events.contract.body import Params
from falcon_events.contract.lists import list_id_of
from falcon_events.contract.schemas import RequestSchema, load_schema
from falcon_events.errors import EventsError, Failure, InvalidRequest
from falcon_events.timestamps import parse_timestamp

WHITE_SPACE = "\t\n\v\f\r \u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000\ufeff"
"""What counts as white space: ECMAScript's, as in the schemas' patterns."""
IDENTIFY, CONVERSION = "identify", "conversion"

_SCHEMA = load_schema("event.request")
_RULES = _SCHEMA["properties"]
_email = re.compile(_RULES["email"]["pattern"]).search
_uuid = re.compile(_RULES["UUID"]["pattern"]).search
_json_number = re.compile(
    _SCHEMA["allOf"][-1]["then"]["properties"]["properties"]["properties"]["conversion-value"]["pattern"]
).search
_MAX_EVENT = _RULES["event"]["maxLength"]
_MAX_ID = _RULES["id"]["maxLength"]
_LEAST_ID, _MOST_ID = _RULES["id"]["exclusiveMinimum"], _RULES["id"]["exclusiveMaximum"]
_MAX_NAMES = _RULES["properties"]["anyOf"][0]["maxProperties"]
_MAX_NAME = _RULES["properties"]["anyOf"][0]["propertyNames"]["maxLength"]
_MAX_AHEAD_S = _RULES["Timestamp"]["x-max-ahead-s"]


class EventRequest(msgspec.Struct, frozen=True, gc=False):
    """A request to track one event that keeps to the documented rules; times are microseconds since 1970, UTC."""

    list_id: int
    event: str
    properties: dict[str, Any]
    received_at: int
    occurred_at: int
    external_id: str | None = None
    email: str | None = None
    visitor: str | None = None
    event_id: str | None = None
    traits: dict[str, Any] | None = None

    @property
    def is_test(self) -> bool:
        """Whether all checks run and nothing is stored (`"isTest": true` among the properties)."""
        return self.properties.get("isTest") is True


class _Doubt(Exception):
    """The plain checks do not accept; what the schema says counts."""


class EventContract:
    """The rules of POST /api/v1/event.

    Plain checks take what is right; whatever they do not take, the schema judges and words. So the common case costs
    about 3 µs instead of some 100 µs, and the schema stays the only place where a rule has a code and a message.

    Args:
        anonymous_events: whether events other than identify may come without email address and UUID.
        clock: the current time in seconds since 1970.
    """

    def __init__(self, *, anonymous_events: bool = False, clock: Callable[[], float] = time.time) -> None:
        self._anonymous_events = anonymous_events
        self._clock = clock
        lifted = frozenset({"anonymous_events"}) if anonymous_events else frozenset[str]()
        self.schema = RequestSchema(_SCHEMA, lifted, clock)
        self.unknown_list = Failure(_RULES["ListID"]["x-error"]["code"], _RULES["ListID"]["x-error"]["message"])
        """The failure of a list that is unknown or another account's."""

    def check(self, params: Params) -> EventRequest:
        """The request that these parameters make.

        Raises:
            InvalidRequest: with every failure, ascending by code (status 422).
        """
        try:
            return self._accept(params)
        except _Doubt:
            failures = self.schema.failures(params)
            if not failures:
                raise EventsError("the schema accepts what the plain checks refuse") from None
            raise InvalidRequest(422, failures) from None

    def list_id(self, params: Params) -> int | None:
        """The id of the list that the parameters name, or None where they name none."""
        return list_id_of(params.get("ListID"))

    def _accept(self, params: Params) -> EventRequest:
        get = params.get
        list_id = list_id_of(get("ListID"))
        event = get("event")
        if list_id is None or type(event) is not str or len(event) > _MAX_EVENT or not event.strip(WHITE_SPACE):
            raise _Doubt
        received_at = int(self._clock() * 1e6)
        timestamp = get("Timestamp")
        visitor = _uuid_of(get("UUID"))
        email = _email_of(get("email"))
        if email is None and (event == IDENTIFY or not (visitor or self._anonymous_events)):
            raise _Doubt
        properties = _object_of(get("properties")) or {}
        if event == CONVERSION:
            _check_conversion(properties)
        return EventRequest(
            list_id=list_id,
            event=event,
            properties=properties,
            received_at=received_at,
            occurred_at=received_at if timestamp is None else _moment_of(timestamp, received_at),
            external_id=_external_id_of(get("id")),
            email=email,
            visitor=visitor,
            event_id=_uuid_of(get("EventID")),
            traits=_object_of(get("IdentifyProperties")),
        )


def _email_of(value: object) -> str | None:
    if value is None:
        return None
    if type(value) is not str or not (match := _email(value)):
        raise _Doubt
    return match[1]


def _uuid_of(value: object) -> str | None:
    if value is None:
        return None
    if type(value) is not str or len(value) > 36 or not _uuid(value):
        raise _Doubt
    return value.lower()


def _external_id_of(value: object) -> str | None:
    if value is None or value == "":
        return None
    if type(value) is str and len(value) <= _MAX_ID:
        return value
    if type(value) in (int, float) and _LEAST_ID < value < _MOST_ID and value == int(value):  # type: ignore[call-overload]
        return str(int(value))  # type: ignore[call-overload]
    raise _Doubt


def _object_of(value: object) -> dict[str, Any] | None:
    if value is None or value == []:
        return None
    if type(value) is not dict or len(value) > _MAX_NAMES or any(len(name) > _MAX_NAME for name in value):
        raise _Doubt
    return value


def _moment_of(value: object, received_at: int) -> int:
    moment = parse_timestamp(value) if type(value) is str else None
    if moment is None or moment > received_at + _MAX_AHEAD_S * 1_000_000:
        raise _Doubt
    return moment


def _check_conversion(properties: dict[str, Any]) -> None:
    for name in ("conversion-id", "conversion-name"):
        if properties.get(name) in (None, "", [], {}):
            raise _Doubt
    value = properties.get("conversion-value")
    if type(value) not in (int, float) and not (type(value) is str and _json_number(value)):
        raise _Doubt
