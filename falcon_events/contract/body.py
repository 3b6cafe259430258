"""The body of a request: read parameters from JSON bytes, and write the arguments of a Python call as JSON bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import msgspec

from falcon_events.contract.schemas import common_error, load_schema
from falcon_events.contract.values import MAX_DEPTH, encode_json, find_fault
from falcon_events.errors import Failure, InvalidRequest

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SAFE_DEPTH = 3000
"""How deep a body may be decoded on any thread: one with a stack of 2 MiB overflows beyond 5,000 levels (Python 3.13)."""

Params = dict[str, Any]

_decode = msgspec.json.Decoder().decode
# A text that does not end reaches to the body's end: without the last "?", each quote in it would be tried as a beginning.
_remove_texts = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL).sub
_replace_halves = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
).sub
_BACKSLASH, _HIDDEN = rb"\\", b"\0\0"
"""An escaped backslash, which no escape begins with, and what hides it. A zero byte is nowhere valid in JSON."""
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_PORTION = 1 << 14
"""How many brackets are counted at once."""
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in _STEPS)

AUTOMATIC = "Automatic"
"""Exported lines add this to the parameters of an event, for those who import them. In a request it has no meaning."""
PARAMETERS = {
    name.lower(): name
    for schema in ("events.request", "event.request", "properties.request")
    for name in load_schema(schema)["properties"]
} | {AUTOMATIC.lower(): AUTOMATIC}
_KNOWN = frozenset(PARAMETERS.values())
ARGUMENTS = {
    "list_id": "ListID",
    "event": "event",
    "email": "email",
    "id": "id",
    "properties": "properties",
    "uuid": "UUID",
    "timestamp": "Timestamp",
    "event_id": "EventID",
    "identify_properties": "IdentifyProperties",
    "api_key": "APIKey",
    "session_id": "SessionID",
}
"""The API's name of each argument of the Python calls that track an event."""


def unreadable_body() -> InvalidRequest:
    """Return the refusal of a body that cannot be read as a JSON object (code 100000)."""
    status, failure = common_error(100000)
    return InvalidRequest(status, [failure])


def read_question(body: bytes, parameters: Mapping[str, str]) -> Params:
    """Read the parameters of a question as read_body() does.

    Args:
        body: the request's body.
        parameters: the question's parameters, by their names in lower case.

    Raises:
        InvalidRequest: as with read_body().
    """
    members = decode_object(body)
    if count_brackets(body) > MAX_DEPTH and exceeds_depth(members, MAX_DEPTH):
        raise unreadable_body()
    last = {parameters[name.lower()]: name for name, _ in decode_in_order(body) if name.lower() in parameters}
    return {known: members[name] for known, name in last.items()}


def read_body(body: bytes, max_depth: int = MAX_DEPTH) -> Params:
    """Read the parameters of a JSON body, named as in the schemas. Unknown parameters are left out.

    Names match without regard to case. If a name occurs in two spellings, the last one in the body counts.
    If a name occurs twice within a value, the last one counts (RFC 8259, section 4). Half a surrogate pair is read as U+FFFD.

    Args:
        body: the request's body.
        max_depth: how many levels of arrays and objects it may have.

    Raises:
        InvalidRequest: the body is not a JSON object in UTF-8, is nested too deep, has a number with a fraction or exponent
            beyond the range of an IEEE double, or an integer of more than 4,300 digits (status 400).
    """
    members = decode_object(body)
    # A body with few brackets cannot be deep; counting them is cheaper than walking every body.
    if count_brackets(body) > max_depth and exceeds_depth(members, max_depth):
        raise unreadable_body()
    params = rename_members(members)
    return rename_in_order(members, decode_in_order(body)) if params is None else params


def decode_object(body: bytes) -> dict[str, Any]:
    """Decode a JSON body to the members of its object; raises InvalidRequest if it is unreadable.

    Its arrays and objects may be nested up to SAFE_DEPTH levels: exceeds_depth() checks the limit of the API. Half a surrogate
    pair, which the decoder rejects, is read as U+FFFD.
    """
    # From Python 3.12 on, the decoder goes as deep as the body does, and would overflow the stack of a server's thread.
    if len(body) > SAFE_DEPTH and is_nested_too_deep(body):
        raise unreadable_body()
    try:
        # .NET and PowerShell write a byte order mark, which a parser may ignore (RFC 8259, 8.1).
        body = body.removeprefix(BYTE_ORDER_MARK)
        try:
            members = _decode(body)
        except msgspec.DecodeError:
            if b"\\ud" not in body and b"\\uD" not in body:
                raise
            members = _decode(replace_half_surrogates(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise unreadable_body() from None
    if type(members) is not dict:
        raise unreadable_body()
    return members


def replace_half_surrogates(body: bytes) -> bytes:
    """Replace each escape of half a surrogate pair, a character that was cut in two, by the escape of U+FFFD."""
    if _HIDDEN[:1] in body:
        return body
    return _replace_halves(rb"\\ufffd", body.replace(_BACKSLASH, _HIDDEN)).replace(_HIDDEN, _BACKSLASH)


def decode_text(text: str) -> Any:
    """Decode JSON that is a text of a request. Raises msgspec.DecodeError, also if it is nested deeper than a request may be."""
    body = text.encode()
    if count_brackets(body) > MAX_DEPTH and _measure_depth(body) > MAX_DEPTH:
        raise msgspec.DecodeError(f"it is nested more than {MAX_DEPTH} levels deep")
    return _decode(body)


def is_nested_too_deep(body: bytes) -> bool:
    """Return whether the arrays and objects of a body are nested too deep to be decoded."""
    return count_brackets(body) > SAFE_DEPTH and _measure_depth(body) > SAFE_DEPTH


def _measure_depth(body: bytes) -> int:
    """Measure how deep arrays and objects are nested, up to the first place where the body is not JSON; decodes nothing.

    It stops at the first portion that is deeper than SAFE_DEPTH.
    """
    brackets = _remove_texts(b"", body).translate(None, _NO_BRACKETS)
    deepest = depth = 0
    for at in range(0, len(brackets), _PORTION):
        *_, depth = depths = list(accumulate(map(_STEPS.__getitem__, brackets[at : at + _PORTION]), initial=depth))
        deepest = max(deepest, *depths)
        if deepest > SAFE_DEPTH:
            break
    return deepest


def rename_members(members: dict[str, Any]) -> Params | None:
    """Rename an object's members as in the schemas and drop unknown ones. Return None if a name occurs in two spellings."""
    if members.keys() <= _KNOWN:  # most senders spell the names as the documentation does
        return members
    params: Params = {}
    for name, value in members.items():
        known = PARAMETERS.get(name) or PARAMETERS.get(name.lower())
        if known is not None:
            if known in params:
                return None
            params[known] = value
    return params


class OrderedMembers(list[tuple[str, Any]]):
    """An object's names and values in the order of the body, repeated names included. A dict loses both."""


def decode_in_order(body: bytes) -> OrderedMembers:
    """Decode the object in a body that decode_object() accepts, and keep the order of all names."""
    read: OrderedMembers = json.loads(body.removeprefix(BYTE_ORDER_MARK), object_pairs_hook=OrderedMembers)
    return read


def rename_in_order(members: dict[str, Any], order: OrderedMembers) -> Params:
    """Rename members as rename_members() does. If a name occurs in two spellings, the last one in the body counts."""
    last = {PARAMETERS[name.lower()]: name for name, _ in order if name.lower() in PARAMETERS}
    return {known: members[name] for known, name in last.items()}


def count_brackets(body: bytes) -> int:
    """Count the opening brackets in a body: at least as many as it has arrays and objects. Those in strings count too."""
    # bytes.replace() skips to the next match; bytes.count() looks at every byte and takes five times as long (Python 3.11).
    return 2 * len(body) - len(body.replace(b"[", b"")) - len(body.replace(b"{", b""))


def exceeds_depth(value: dict[str, Any] | list[Any], levels: int) -> bool:
    """Return whether arrays and objects are nested in more than `levels` levels, the outermost one included."""
    if levels == 0:
        return True
    for inner in value.values() if type(value) is dict else value:
        if (type(inner) is dict or type(inner) is list) and exceeds_depth(inner, levels - 1):
            return True
    return False


def write_body(arguments: Mapping[str, Any]) -> bytes:
    """Write the body of an event from the arguments of a call. Arguments that are None or missing are left out.

    Half a surrogate pair is written as U+FFFD.

    Raises:
        InvalidRequest: JSON cannot hold an argument; the message names it.
    """
    given = {name: arguments[argument] for argument, name in ARGUMENTS.items() if arguments.get(argument) is not None}
    try:
        return encode_text(encode_json(given))
    except Exception as error:  # also what the conversion of a value raises
        faults = (find_fault(arguments.get(argument), argument) for argument in ARGUMENTS)
        fault = next(filter(None, faults), None)
        if fault is None:
            raise unreadable_body() from error
        raise InvalidRequest(400, [Failure(100000, fault)]) from error


def encode_text(text: str) -> bytes:
    """Encode a text in UTF-8, with U+FFFD instead of each half of a surrogate pair."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
