"""Reading the body of POST /api/v1/events: the envelope's parameters, and those of each event."""

from __future__ import annotations

from falcon_events.contract.body import MAX_DEPTH, Mentioned, Params, mentioned, named, named_in_order, read_body
from falcon_events.contract.schemas import RequestSchema, load_schema
from falcon_events.errors import InvalidRequest

ENVELOPE_DEPTH = 2
"""An event stands in an array in an object: it may be as deep as one that is sent alone."""

_schema = RequestSchema(load_schema("events.request"))
_MOST = load_schema("events.request")["properties"]["Events"]["maxItems"]


def read_envelope(body: bytes) -> Params:
    """The parameters of a batch; raises InvalidRequest where the body is unreadable."""
    return read_body(body, MAX_DEPTH + ENVELOPE_DEPTH)


def read_events(params: Params, body: bytes) -> list[Params | None]:
    """The parameters of each event of a batch, None for one that is not an object.

    Args:
        params: of the envelope; its ListID counts for events without one.
        body: which they were read from.

    Raises:
        InvalidRequest: there is no array of 1 to 1,000 events (status 422).
    """
    given = params.get("Events")
    if type(given) is not list or not 0 < len(given) <= _MOST:
        raise InvalidRequest(422, _schema.failures(params))
    order: list[object] | None = None
    events: list[Params | None] = []
    for number, members in enumerate(given):
        if type(members) is not dict:
            events.append(None)
            continue
        event = named(members)
        if event is None:
            order = order or _events_of(mentioned(body))
            mentions = order[number]
            assert isinstance(mentions, Mentioned)
            event = named_in_order(members, mentions)
        if "ListID" in params:
            event.setdefault("ListID", params["ListID"])
        events.append(event)
    return events


def _events_of(body: Mentioned) -> list[object]:
    """The array that counts, of all that are mentioned as Events."""
    events: list[object] = [value for name, value in body if name.lower() == "events"][-1]
    return events
