"""POST /api/v1/website_events.properties: check parameters and return a list ID, or the documented failures."""

from __future__ import annotations

from falcon_events.contract.body import Params
from falcon_events.contract.lists import read_list_id
from falcon_events.contract.schemas import RequestSchema, listed_errors, load_schema
from falcon_events.errors import InvalidRequest

_SCHEMA = load_schema("properties.request")
_schema = RequestSchema(_SCHEMA)
_NOT_FOUND = listed_errors(_SCHEMA)[3]


def check_properties_request(params: Params) -> int:
    """Return the ID of the requested list.

    Raises:
        InvalidRequest: `ListID` is missing (code 1) or not a valid list ID (code 2).
    """
    list_id = read_list_id(params.get("ListID"))
    if list_id is None:
        raise InvalidRequest(422, _schema.failures(params))
    return list_id


def list_not_found() -> InvalidRequest:
    """Return the refusal for a list that is unknown or belongs to another account (code 3)."""
    status, failure = _NOT_FOUND
    return InvalidRequest(status, [failure])
