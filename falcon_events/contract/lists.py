"""The parameter ListID, which all endpoints share."""

from __future__ import annotations

import re

from falcon_events.contract.schemas import load_schema

MAX_LIST_ID = 2**63 - 1
"""The largest ID that a list can have. A larger one is well-formed, but no list has it."""

_digits = re.compile(load_schema("event.request")["properties"]["ListID"]["pattern"]).search


def read_list_id(value: object) -> int | None:
    """Read a ListID: an integer above 0, or a string of its ASCII digits. Return None if it is neither.

    JSON has one kind of number, so 94.0 is the integer 94 (JSON Schema draft 2020-12, 6.1.1).
    """
    if type(value) is int:
        return value if value > 0 else None
    if type(value) is str:
        # int() rejects strings of thousands of digits; no list ID has more than 19.
        return int(value.lstrip("0")[:20]) if _digits(value) else None
    if type(value) is float and value > 0 and value.is_integer():
        return int(value)
    return None
