"""The arguments of the Python API's questions, as parameters of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import msgspec

from falcon_events.contract.body import Params
from falcon_events.contract.values import encode_json, find_fault
from falcon_events.errors import EventsError

DateRange = str | Sequence[str | date]
"""A range of time: `28d` and the like, or two days or date-times."""
NAMES = {"list_id": "ListID", "api_key": "APIKey", "session_id": "SessionID", "id": "ID", "uuid": "UUID"}
"""The parameters whose names are not their arguments' in CamelCase."""


def write_params(arguments: Mapping[str, Any]) -> Params:
    """Return the parameters of a question from the arguments of a call, in types that JSON has.

    Raises:
        EventsError: an argument is of a type that JSON does not have; the message names it.
    """
    params: Params = {}
    for argument, value in arguments.items():
        if argument == "self" or value is None:
            continue
        name = NAMES.get(argument) or "".join(part.capitalize() for part in argument.split("_"))
        try:
            params[name] = msgspec.json.decode(encode_json(value))
        except Exception as error:  # also what the conversion of a value raises
            raise EventsError(find_fault(value, argument) or f"{argument}: {error}") from error
    return params
