"""Events as most senders write them, checked at a fraction of the cost; what is unusual is left to EventContract."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from falcon_events.contract.body import PARAMETERS, Params
from falcon_events.contract.event import (
    CONVERSION,
    IDENTIFY,
    MAX_EVENT,
    MAX_ID,
    MAX_NAME,
    MAX_NAMES,
    WHITE_SPACE,
    Doubt,
    EventRequest,
    check_conversion,
    clock_offset,
    email_of,
    external_id_of,
    moment_of,
    uuid_of,
)
from falcon_events.contract.lists import list_id_of

_READ = ("event", "email", "properties", "id", "ListID", "UUID", "EventID", "Timestamp", "IdentifyProperties", "OwnTraffic")
_ABSENT = ""
"""Where a value of None is put for the parameters that an event lacks; no parameter is called so."""
_SHAPES, _SHAPE_NAMES, _SHAPE_NAME = 1_024, 32, 64
_SHORT_NAMES = 4_096
"""How much memory senders can fill here: so many shapes of so many names of such a length, and so many names of properties."""

# A part of what the schema's pattern takes, found in half the time: no blanks around it, no rare characters, and never so
# long that its length would have to be looked at.
_common_email = re.compile(r"[A-Za-z0-9._+-]{1,64}@(?:[A-Za-z0-9]{1,48}\.){1,3}[A-Za-z]{2,10}").fullmatch

_Values = Callable[[Params], tuple[Any, ...]]


class PlainEvents:
    """Takes most of the events that keep to the rules, as EventContract does; says nothing about the others.

    Args:
        anonymous_events: whether events other than identify may come without email address and UUID.
    """

    def __init__(self, *, anonymous_events: bool = False) -> None:
        self._anonymous_events = anonymous_events
        self._shapes: dict[tuple[str, ...], tuple[_Values, bool] | None] = {}
        self._short: set[str] = set()

    def accept(self, members: object, list_id: object, received_at: int, *, own_clock: bool) -> EventRequest | None:
        """The request that an event makes, or None where EventContract is to judge.

        Args:
            members: the event as it was decoded; it gets one more member, of no meaning.
            list_id: the ListID that counts where the event has none.
            received_at: the present, in microseconds since 1970.
            own_clock: whether the sender's clock is the host's own.
        """
        if type(members) is not dict:
            return None
        shape = tuple(members)
        known = self._shapes.get(shape) or self._shape(shape)
        if known is None:
            return None
        values_of, names_list = known
        members[_ABSENT] = None
        event, email, properties, owner, own_list, visitor, event_id, timestamp, traits, own = values_of(members)
        try:
            number = list_id_of(own_list if names_list else list_id)
            # Letters and digits are no white space, and are told from it in less time.
            if number is None or type(event) is not str or len(event) > MAX_EVENT:
                return None
            if not (event.isalnum() or event.strip(WHITE_SPACE)):
                return None
            if visitor is not None:
                visitor = uuid_of(visitor)
            if type(email) is not str or not _common_email(email):
                email = email_of(email)
            if email is None and (event == IDENTIFY or not (visitor or self._anonymous_events)):
                return None
            properties = self._object_of(properties) or {}
            if event == CONVERSION:
                check_conversion(properties)
            occurred_at, moment = received_at, None
            if timestamp is not None:
                offset = 0 if own_clock else clock_offset({"Timestamp": timestamp, "properties": properties}, received_at)
                moment = moment_of(timestamp, received_at, offset)
                occurred_at = moment + offset
            if type(owner) is not str or not 0 < len(owner) <= MAX_ID:
                owner = external_id_of(owner)
            if event_id is not None:
                event_id = uuid_of(event_id)
            if traits is not None:
                traits = self._object_of(traits)
        except Doubt:
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
        )

    def _shape(self, shape: tuple[str, ...]) -> tuple[_Values, bool] | None:
        """How to read an event of these names, and whether one is ListID; None where two are spellings of one parameter."""
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

    def _object_of(self, value: object) -> dict[str, Any] | None:
        if type(value) is dict:
            # Names come again and again: to know the short ones takes a third of the time of measuring them.
            if len(value) > MAX_NAMES or not (self._short.issuperset(value) or self._are_short(value)):
                raise Doubt
            return value
        if value is None or value == []:
            return None
        raise Doubt

    def _are_short(self, names: dict[str, Any]) -> bool:
        if max(map(len, names)) > MAX_NAME:
            return False
        if len(self._short) + len(names) > _SHORT_NAMES:
            self._short = set()
        self._short.update(names)
        return True
