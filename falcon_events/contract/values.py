"""Python values that JSON has no type for: how they are converted, and which are refused."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Set
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

MAX_DEPTH = 64
_MOST_DIGITS = 309
"""The digits of the largest IEEE double, roughly."""


def convert_value(value: object) -> Any:
    """Convert a value that JSON has no type for (docs/python.md has the table).

    Raises:
        TypeError: there is no conversion; the message says why.
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return _convert_decimal(value)
    if isinstance(value, datetime | time):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Set):
        return sorted(value, key=lambda one: (type(one).__name__, one if isinstance(one, str) else repr(one)))
    raise TypeError("which has no form in JSON. Convert it to a string, a number, a list or a dict")


def _convert_decimal(value: Decimal) -> int | float:
    """Return the number that the decimal is, exactly."""
    if value.is_finite() and -_MOST_DIGITS < value.adjusted() < _MOST_DIGITS:
        if value == value.to_integral_value():
            return int(value)
        number = float(value)
        if Decimal(repr(number)) == value:
            return number
    raise TypeError("which no JSON number of this API holds exactly. Pass it as a string, or rounded, as a float")


LARGEST_BITS = sys.float_info.max_exp
"""Numbers of JSON are read as doubles: this many bits at most."""
encode_json = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=convert_value).encode


def find_fault(value: object, place: str, depth: int = 1) -> str | None:
    """Say which value in a structure JSON cannot hold; None if there is none.

    Args:
        value: the structure.
        place: its name, such as `properties`.
        depth: how deep it is in the call's arguments.
    """
    if value is None or isinstance(value, bool | str):
        return None
    if isinstance(value, int):
        if value.bit_length() <= LARGEST_BITS:
            return None
        return f"{place} is an int of {value.bit_length()} bits; the largest number is 1.8e308. Pass it as a string."
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{place} is the float {value!r}; JSON has finite numbers only."
    if depth > MAX_DEPTH + 1:
        return f"{place[:100]}... is nested more than {MAX_DEPTH} levels deep, or contains itself."
    if isinstance(value, dict):
        for name, inner in value.items():
            if not (name is None or isinstance(name, str | int | float)):
                return f"{place} has a name of type {_get_type_name(name)}: {name!r:.100}; names must be strings."
            if fault := find_fault(inner, f"{place}[{name!r:.210}]", depth + 1):
                return fault
        return None
    if isinstance(value, list | tuple):
        faults = (find_fault(inner, f"{place}[{number}]", depth + 1) for number, inner in enumerate(value))
        return next(filter(None, faults), None)
    try:
        return find_fault(convert_value(value), place, depth + 1)
    except Exception as error:  # also what the value's own methods raise
        return f"{place} is of type {_get_type_name(value)}, {error}."


def _get_type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
