"""The body of POST /api/v1/events: read its parameters, so that an unreadable event makes no other event unreadable."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from falcon_events.contract.body import (
    Params,
    count_brackets,
    decode_in_order,
    decode_object,
    exceeds_depth,
    rename_in_order,
    rename_members,
    unreadable_body,
)
from falcon_events.contract.values import MAX_DEPTH
from falcon_events.errors import InvalidRequest

ENVELOPE_DEPTH = 2
"""Levels around an event in a batch: an array in an object. An event may be as deep in a batch as alone."""
MOST_TOKENS = 200_000
"""How many strings, commas and brackets of a body are looked at to split it, which takes a tenth of a second."""

SEARCHED_BYTES = 16 << 10
"""How far from either end of a body that cannot be decoded credentials are looked for."""
MOST_CREDENTIALS = 10

_find_credentials = re.compile(rb'"(apikey|sessionid)"[ \t\r\n]*:[ \t\r\n]*"([^"\\]{1,200})"', re.IGNORECASE).finditer
# A text that does not end reaches to the body's end: without the last "?", each quote in it would be tried as a beginning.
_find_tokens = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{},]', re.DOTALL).finditer
_TEXT, _COMMA, _OPENING = ord('"'), ord(","), b"[{"
_WHITE_SPACE = b" \t\r\n"


class Envelope(msgspec.Struct, frozen=True):
    """The parameters of a batch, named as in the schemas, and how to read its events.

    `parts` are the events' own bodies if the batch could only be split, not decoded as a whole. Then `Events` has the place of
    each event in `parts` instead of the event.
    """

    params: Params
    body: bytes
    parts: Sequence[bytes] | None = None


def read_envelope(body: bytes, *, splits: bool = True) -> Envelope:
    """Read a body of POST /api/v1/events.

    If it cannot be decoded as a whole, it is split into its events, so that only those that are unreadable are refused.

    Args:
        body: the request's body.
        splits: whether it may be split, which takes up to 0.1 s. Otherwise it is unreadable.

    Raises:
        InvalidRequest: it cannot be read, or what is around its events is unreadable (status 400).
    """
    parts = None
    try:
        members = decode_object(body)
    except InvalidRequest:
        if not splits:
            raise
        body, parts = _split(body)
        members = decode_object(body)
    params = rename_members(members)
    if params is None:
        params = rename_in_order(members, decode_in_order(body))
    most = MAX_DEPTH + ENVELOPE_DEPTH
    if count_brackets(body) > most + _count_siblings(params) and exceeds_depth(members, most):
        params = _empty_deep_events(members, params, most)
    return Envelope(params, body, parts)


def find_credentials(body: bytes) -> list[tuple[str, str]]:
    """Return names, in lower case, and values of what may be credentials at either end of a body that cannot be decoded."""
    found = {
        (match[1].lower().decode(), match[2].decode("utf-8", "replace"))
        for part in (body[:SEARCHED_BYTES], body[-SEARCHED_BYTES:])
        for match in _find_credentials(part)
    }
    return sorted(found)[:MOST_CREDENTIALS]


def _empty_deep_events(members: dict[str, Any], params: Params, most: int) -> Params:
    """Replace events that are nested too deep by None, which is no event; raise InvalidRequest if anything else is too deep."""
    events = params.get("Events")
    if type(events) is not list:
        raise unreadable_body()
    rest = {name: value for name, value in members.items() if value is not events}
    if exceeds_depth(rest, most):
        raise unreadable_body()
    shallow = [None if isinstance(event, (dict, list)) and exceeds_depth(event, MAX_DEPTH) else event for event in events]
    return {**params, "Events": shallow}


def _count_siblings(params: Params) -> int:
    """Count arrays and objects that add nothing to a body's depth, because they are beside its deepest value.

    These are all but one of the events and all but one of their `properties`. Without this count, the many brackets of a
    batch would cause each batch to be walked through.
    """
    events = params.get("Events")
    if type(events) is not list:
        return 0
    objects = [event for event in events if type(event) is dict]
    properties = sum(type(event.get("properties")) is dict for event in objects)
    return max(len(objects) - 1, 0) + max(properties - 1, 0)


def _split(body: bytes) -> tuple[bytes, list[bytes]]:
    """Split a body into what is around its events and the events.

    Texts, commas and brackets tell where an event ends, whatever else it has: malformed numbers, bytes that are not UTF-8,
    or thousands of levels.

    Returns:
        The body with a number in place of each event, and the events in the order of these numbers.

    Raises:
        InvalidRequest: brackets do not match, or there are too many tokens.
    """
    around: list[bytes] = []
    parts: list[bytes] = []
    kept = start = depth = 0
    name = b""
    name_end = -1
    in_events = False
    for number, token in enumerate(_find_tokens(body)):
        if number == MOST_TOKENS:
            raise unreadable_body()
        byte, place = body[token.start()], token.start()
        if byte == _TEXT:
            if depth == 1:
                name, name_end = token[0], token.end()
            continue
        ends = False
        if byte in _OPENING:
            depth += 1
            if depth == 2 and not in_events and byte == _OPENING[0] and _is_events(name, body[name_end:place]):
                in_events, start = True, token.end()
                around.append(body[kept:start])
        elif byte == _COMMA:
            ends = depth == 2
        else:
            depth -= 1
            ends = depth == 1
        if in_events and ends:
            part = body[start:place].strip(_WHITE_SPACE)
            if part:
                around.append(b"%d" % len(parts))
                parts.append(part)
            if byte == _COMMA:
                around.append(b",")
                start = token.end()
            else:
                in_events, kept = False, place
    if depth or in_events:
        raise unreadable_body()
    return b"".join([*around, body[kept:]]), parts


def _is_events(name: bytes, between: bytes) -> bool:
    """Return whether an array is the value of `Events`, by the last text in front of it and what is between them."""
    if between.strip(_WHITE_SPACE) != b":":
        return False
    if b"\\" in name:
        try:
            name = b'"%b"' % msgspec.json.decode(name, type=str).encode()
        except msgspec.DecodeError:
            return False
    return name.lower() == b'"events"'
