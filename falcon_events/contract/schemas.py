"""The JSON Schemas. Each of their rules has its documented code and message; a violation becomes a failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from falcon_events.contract.rules import Judge, compile_schema
from falcon_events.errors import Failure

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

    @cached_property
    def _judge(self) -> Judge:
        return compile_schema(self._schema)

    def failures(self, params: object, status: int = 422, *, now_us: int | None = None) -> list[Failure]:
        """Return the failures of the parameters that have this HTTP status, ascending by code.

        Args:
            params: the parameters.
            status: the HTTP status.
            now_us: the current time in microseconds since 1970; None: the clock's.
        """
        violated: list[Mapping[str, Any]] = []
        self._judge(params, int(self._clock() * 1e6) if now_us is None else now_us, violated)
        return sorted({Failure(rule["code"], rule["message"]) for rule in violated if rule["status"] == status})
