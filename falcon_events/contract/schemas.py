"""The JSON Schemas. Each of their rules has its documented code and message; a validator turns violations into failures."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from falcon_events.errors import Failure
from falcon_events.model.timestamps import parse_timestamp

if TYPE_CHECKING:
    from jsonschema import ValidationError

QUESTION_NAMES = ("query", "funnel", "retention", "people", "timeline", "values", "saved", "save", "forget")
"""The questions: that of POST /api/v1/website_events.query is `query`."""
NAMES = (
    *("event.request", "event.response", "events.request", "events.response"),
    *("properties.request", "properties.response", "errors"),
    *(f"{name}.{part}" for name in QUESTION_NAMES for part in ("request", "response")),
)

Schema = dict[str, Any]


def load_schema(name: str) -> Schema:
    """Load one of the package's schemas (NAMES) from the installed package, or from the checkout that contains it.

    Raises:
        FileNotFoundError: there is no such schema, or the installation lacks its files.
    """
    inside = resources.files("falcon_events") / "jsonschemas" / f"{name}.json"
    beside = Path(__file__).parents[2] / "jsonschemas" / f"{name}.json"
    text = (inside if inside.is_file() else beside).read_bytes()
    schema: Schema = msgspec.json.decode(text)
    return schema


def common_error(code: int) -> tuple[int, Failure]:
    """Return the HTTP status and the failure for a code that belongs to no single rule of a request."""
    return _COMMON[code]


def listed_errors(schema: Mapping[str, Any]) -> dict[int, tuple[int, Failure]]:
    """Return the failures in a schema's `x-errors` by code, each with its HTTP status."""
    return {e["code"]: (e["status"], Failure(e["code"], e["message"])) for e in schema.get("x-errors", ())}


_COMMON = listed_errors(load_schema("errors"))


class RequestSchema:
    """A request's schema, which finds the documented failures of parameters.

    Args:
        schema: the schema, from load_schema().
        lifted: names of settings that turn rules off (`x-unless-setting`).
        clock: returns the current time in seconds since 1970.
    """

    def __init__(self, schema: Schema, lifted: frozenset[str] = frozenset(), clock: Callable[[], float] = time.time) -> None:
        rules = [rule for rule in schema.get("allOf", ()) if rule.get("x-unless-setting") not in lifted]
        self._schema = {**schema, "allOf": rules}
        self._clock = clock
        self._judged = threading.local()

    @cached_property
    def _validator(self) -> Any:
        # Imported late: it takes a quarter of a command's start-up time, and only refusals need it. Servers load it at start-up.
        from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators

        formats = FormatChecker(formats=())
        formats.checks("date-time")(_is_date_time)

        def max_ahead(_: Any, limit_s: int, value: object, __: Any) -> Iterator[ValidationError]:
            moment = parse_timestamp(value) if isinstance(value, str) else None
            if moment is not None and moment > self._judged.now_us + limit_s * 1_000_000:
                yield ValidationError(f"{value!r} is more than {limit_s} s in the future")

        def earliest(_: Any, limit_us: int, value: object, __: Any) -> Iterator[ValidationError]:
            moment = parse_timestamp(value) if isinstance(value, str) else None
            if moment is not None and moment < limit_us:
                yield ValidationError(f"{value!r} is too early")

        def finite(_: Any, __: Any, value: object, ___: Any) -> Iterator[ValidationError]:
            if not _is_finite(value):
                yield ValidationError("The number is beyond the range of a double")

        validator = validators.extend(  # type: ignore[no-untyped-call]
            Draft202012Validator, {"x-max-ahead-s": max_ahead, "x-earliest-us": earliest, "x-finite": finite}
        )
        return validator(self._schema, format_checker=formats)

    def failures(self, params: object, status: int = 422, *, now_us: int | None = None) -> list[Failure]:
        """Return the failures of the parameters that have this HTTP status, ascending by code.

        Args:
            params: the parameters.
            status: the HTTP status.
            now_us: the current time in microseconds since 1970; None: the clock's.
        """
        self._judged.now_us = int(self._clock() * 1e6) if now_us is None else now_us
        found = {
            Failure(rule["code"], rule["message"])
            for rule in map(self._find_rule, self._validator.iter_errors(params))
            if rule["status"] == status
        }
        return sorted(found)

    def _find_rule(self, error: ValidationError) -> Mapping[str, Any]:
        """Return the innermost `x-error` on the path from the schema's root to the violated keyword."""
        place: Any = self._schema
        rule: Mapping[str, Any] = place["x-error"]
        for step in error.absolute_schema_path:
            if isinstance(place, dict):
                if "$ref" in place:  # the rest of the path is in the referenced schema, which has no codes
                    break
                rule = place.get("x-error", rule)
            place = place[step]
        return rule


def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or parse_timestamp(value) is not None


def _is_finite(value: object) -> bool:
    """Whether a value is not a number, or a text of a number, beyond the range of a double."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:  # another rule says what is wrong
            return True
    return not isinstance(value, (int, float)) or -sys.float_info.max <= value <= sys.float_info.max
