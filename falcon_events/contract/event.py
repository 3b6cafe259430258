"""POST /api/v1/event: check parameters and return an EventRequest, or the documented failures."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import msgspec

from falcon_events.contract.body import AUTOMATIC, PARAMETERS, Params
from falcon_events.contract.lists import read_list_id
from falcon_events.contract.schemas import RequestSchema, load_schema
from falcon_events.errors import EventsError, Failure, InvalidRequest
from falcon_events.model.timestamps import LAST_US, format_timestamp, parse_timestamp

WHITE_SPACE = "\t\n\v\f\r \u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000\ufeff"
"""White space as ECMAScript defines it, and with it the schemas' patterns."""
CLOCK_TOLERANCE_US = 5_000_000
"""How far `$sent_at` may be from the time of arrival before the event's Timestamp is corrected, in microseconds."""
IDENTIFY, CONVERSION = "identify", "conversion"

_SCHEMA = load_schema("event.request")
_RULES = _SCHEMA["properties"]
_email = re.compile(_RULES["email"]["pattern"]).search
_uuid = re.compile(_RULES["UUID"]["pattern"]).search
_json_number = re.compile(
    _SCHEMA["allOf"][-1]["then"]["properties"]["properties"]["properties"]["conversion-value"]["pattern"]
).search
MAX_EVENT = _RULES["event"]["maxLength"]
MAX_ID = _RULES["id"]["maxLength"]
_LEAST_ID, _MOST_ID = _RULES["id"]["exclusiveMinimum"], _RULES["id"]["exclusiveMaximum"]
MAX_NAMES = _RULES["properties"]["anyOf"][0]["maxProperties"]
MAX_NAME = _RULES["properties"]["anyOf"][0]["propertyNames"]["maxLength"]
MAX_AHEAD_S = _RULES["Timestamp"]["x-max-ahead-s"]
MAX_AHEAD_US = MAX_AHEAD_S * 1_000_000
MAX_NUMBER = sys.float_info.max
_READ = (
    "event",
    "email",
    "properties",
    "id",
    "ListID",
    "UUID",
    "EventID",
    "Timestamp",
    "IdentifyProperties",
    "OwnTraffic",
    AUTOMATIC,
)
_ABSENT = ""
"""The key of the value None, which is read for parameters that an event lacks. No parameter has this name."""
_SHAPES, _SHAPE_NAMES, _SHAPE_NAME = 1_024, 32, 64
"""Limits on the memory for shapes: how many are kept, how many names one has, and how long a name is."""
_SHORT_NAMES = 4_096
"""How many property names are kept."""

# Matches most of the addresses that the schema's pattern matches, in half the time: no white space around them, no rare
# characters, and short enough that the length needs no check.
_common_email = re.compile(r"[A-Za-z0-9._+-]{1,64}@(?:[A-Za-z0-9]{1,48}\.){1,3}[A-Za-z]{2,10}").fullmatch

_Values = Callable[[Params], tuple[Any, ...]]


class EventRequest(msgspec.Struct, frozen=True, gc=False):
    """A valid request to track one event. Times are microseconds since 1970, UTC."""

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
    client_timestamp: int | None = None
    """The sender's Timestamp, uncorrected; `occurred_at` is the corrected time."""
    is_own_traffic: bool = False
    """Whether it is marked as the list owner's own traffic (`OwnTraffic`)."""
    automatic: bool | None = None
    """Whether an exported line says that a store made this identify event beside another event; None: it does not say."""

    @property
    def is_test(self) -> bool:
        """Whether the event is checked but not stored (`"isTest": true` among the properties)."""
        return self.properties.get("isTest") is True


class Declined(Exception):
    """The fast check does not accept the event, so the schema decides."""


class EventContract:
    """The rules of POST /api/v1/event.

    A fast check accepts valid events. The schema checks the events that it declines, and words their failures. So a valid
    event costs about 3 µs instead of about 100 µs, and codes and messages are in the schema only. A property test makes
    sure that both agree.

    Args:
        anonymous_events: whether events other than identify may lack both an email address and a UUID.
        clock: returns the current time in seconds since 1970.
    """

    def __init__(self, *, anonymous_events: bool = False, clock: Callable[[], float] = time.time) -> None:
        self._anonymous_events = anonymous_events
        self._clock = clock
        self._shapes: dict[tuple[str, ...], tuple[_Values, bool] | None] = {}
        self._short: set[str] = set()
        lifted = frozenset({"anonymous_events"}) if anonymous_events else frozenset[str]()
        self.schema = RequestSchema(_SCHEMA, lifted, clock)
        self.unknown_list = Failure(_RULES["ListID"]["x-error"]["code"], _RULES["ListID"]["x-error"]["message"])
        """The failure reported for a list that is unknown or belongs to another account."""

    def check(self, params: Params, *, own_clock: bool = False) -> EventRequest:
        """Check the parameters of an event.

        Args:
            params: the request's parameters, named as in the schemas.
            own_clock: whether the sender uses the host's clock; then `$sent_at` corrects nothing.

        Returns:
            The valid request.

        Raises:
            InvalidRequest: with every failure, ascending by code (status 422).
        """
        received_at = int(self._clock() * 1e6)
        request = self.accept(params, None, received_at, own_clock=own_clock)
        if request is not None:
            return request
        params = {name: value for name, value in params.items() if name != _ABSENT}
        timestamp = params.get("Timestamp")
        moment = parse_timestamp(timestamp) if type(timestamp) is str and not own_clock else None
        if moment is not None and moment >= 0:
            corrected = correct_clock(moment, params.get("properties"), received_at)
            if corrected != moment:
                params["Timestamp"] = format_timestamp(min(corrected, LAST_US))
        failures = self.schema.failures(params, now_us=received_at)
        if not failures:
            raise EventsError("Internal error: the schema accepts an event that the fast check declines. Please report it.")
        raise InvalidRequest(422, failures)

    def list_id(self, params: Params) -> int | None:
        """Return the list ID in the parameters, or None if there is no valid one."""
        return read_list_id(params.get("ListID"))

    def accept(self, members: object, list_id: object, received_at: int, *, own_clock: bool) -> EventRequest | None:
        """Accept an event by the fast check.

        Args:
            members: the event as decoded from JSON, with names in any case. A meaningless member is added to it.
            list_id: the ListID to use if the event has none.
            received_at: the current time, in microseconds since 1970.
            own_clock: whether the sender uses the host's clock.

        Returns:
            The valid request, or None if check() has to decide.
        """
        if type(members) is not dict:
            return None
        shape = tuple(members)
        known = self._shapes.get(shape) or self._shape(shape)
        if known is None:
            return None
        values_of, names_list = known
        members[_ABSENT] = None
        event, email, properties, owner, own_list, visitor, event_id, timestamp, traits, own, automatic = values_of(members)
        try:
            number = read_list_id(own_list if names_list else list_id)
            # isalnum() is faster than strip() and true for most event types.
            if number is None or type(event) is not str or len(event) > MAX_EVENT:
                return None
            if not (event.isalnum() or event.strip(WHITE_SPACE)):
                return None
            if visitor is not None:
                visitor = read_uuid(visitor)
            if type(email) is not str or not _common_email(email):
                email = read_email(email)
            if email is None and (event == IDENTIFY or not (visitor or self._anonymous_events)):
                return None
            properties = self._read_object(properties) or {}
            if event == CONVERSION:
                check_conversion(properties)
            occurred_at, moment = received_at, None
            if timestamp is not None:
                moment, occurred_at = read_timestamp(timestamp, properties, received_at, own_clock=own_clock)
            if type(owner) is not str or not 0 < len(owner) <= MAX_ID:
                owner = read_external_id(owner)
            if event_id is not None:
                event_id = read_uuid(event_id)
            if traits is not None:
                traits = self._read_object(traits)
        except Declined:
            return None
        return EventRequest(
            number,
            event,
            properties,
            received_at,
            occurred_at,
            owner,
            email,
            visitor,
            event_id,
            traits,
            moment,
            own is True,
            automatic if type(automatic) is bool else None,
        )

    def _shape(self, shape: tuple[str, ...]) -> tuple[_Values, bool] | None:
        """Return how to read an event with these names, and whether it has a ListID; None if a name occurs in two spellings."""
        spelled: dict[str, str] = {}
        for name in shape:
            parameter = PARAMETERS.get(name) or PARAMETERS.get(name.lower())
            if parameter in spelled:
                return None
            if parameter is not None:
                spelled[parameter] = name
        known = itemgetter(*(spelled.get(parameter, _ABSENT) for parameter in _READ)), "ListID" in spelled
        if len(shape) <= _SHAPE_NAMES and all(len(name) <= _SHAPE_NAME for name in shape):
            if len(self._shapes) >= _SHAPES:
                self._shapes.clear()
            self._shapes[shape] = known
        return known

    def _read_object(self, value: object) -> dict[str, Any] | None:
        if type(value) is dict:
            # Names recur: looking them up among known short names takes a third of the time that measuring them takes.
            if len(value) > MAX_NAMES or not (self._short.issuperset(value) or self._are_short(value)):
                raise Declined
            return value
        if value is None or value == []:
            return None
        raise Declined

    def _are_short(self, names: dict[str, Any]) -> bool:
        if max(map(len, names)) > MAX_NAME:
            return False
        if len(self._short) + len(names) > _SHORT_NAMES:
            self._short = set()
        self._short.update(names)
        return True


def read_email(value: object) -> str | None:
    """Return an email address without surrounding white space, or None if the value is None; raise Declined if it is invalid."""
    if value is None:
        return None
    if type(value) is not str or not (match := _email(value)):
        raise Declined
    return match[1]


def read_uuid(value: object) -> str | None:
    """Return a UUID in lower case, or None if the value is None; raise Declined if it is invalid."""
    if value is None:
        return None
    if type(value) is not str or len(value) > 36 or not _uuid(value):
        raise Declined
    return value.lower()


def read_external_id(value: object) -> str | None:
    """Return an ID as text, or None if the value is None or empty; raise Declined if it is invalid."""
    if value is None or value == "":
        return None
    if type(value) is str and len(value) <= MAX_ID:
        return value
    if type(value) in (int, float) and _LEAST_ID < value < _MOST_ID and value == int(value):  # type: ignore[call-overload]
        return str(int(value))  # type: ignore[call-overload]
    raise Declined


def read_timestamp(value: object, properties: object, received_at: int, *, own_clock: bool) -> tuple[int, int]:
    """Return a Timestamp as sent, and corrected by the property `$sent_at`, both in microseconds since 1970.

    Raises:
        Declined: it is not a time, lies before 1970, or lies too far in the future after the correction.
    """
    moment = parse_timestamp(value) if type(value) is str else None
    if moment is None or moment < 0:
        raise Declined
    occurred_at = moment if own_clock else correct_clock(moment, properties, received_at)
    if occurred_at > received_at + MAX_AHEAD_US:
        raise Declined
    return moment, occurred_at


def correct_clock(moment: int, properties: object, received_at: int) -> int:
    """Return the Timestamp of an event in the time of the server's clock, in microseconds since 1970.

    The property `$sent_at` is the sender's clock when it sent the request, which is about when the request arrived. It
    corrects nothing if it is not a time, lies before 1970, agrees with the server's clock, or would lead before 1970. If it
    is more than 24 hours ahead, it corrects only a Timestamp that is as well.
    """
    sent_at = properties.get("$sent_at") if type(properties) is dict else None
    sent = parse_timestamp(sent_at) if type(sent_at) is str else None
    if sent is None or sent < 0 or abs(received_at - sent) <= CLOCK_TOLERANCE_US:
        return moment
    if sent > received_at + MAX_AHEAD_US >= moment:
        return moment
    corrected = moment + received_at - sent
    return corrected if corrected >= 0 else moment


def check_conversion(properties: dict[str, Any]) -> None:
    """Raise Declined if a documented property of a conversion may be missing or invalid."""
    for name in ("conversion-id", "conversion-name"):
        if properties.get(name) in (None, "", [], {}):
            raise Declined
    value = properties.get("conversion-value")
    if type(value) is str and _json_number(value):
        value = float(value)
    if type(value) not in (int, float) or not -MAX_NUMBER <= value <= MAX_NUMBER:  # type: ignore[operator]
        raise Declined
