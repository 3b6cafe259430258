"""Rules: the keywords of the request schemas, compiled to functions. A JSON Schema library takes 30 times as long."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from falcon_events.model.timestamps import parse_timestamp

Check = Callable[[Any, int], bool]
"""Returns whether a value keeps a rule, given the time in microseconds since 1970."""
Judge = Callable[[Any, int, list[Mapping[str, Any]]], None]
"""Adds the `x-error` of each rule that a value violates to a list, given the time in microseconds since 1970."""
Schema = Mapping[str, Any]

NOTES = frozenset(
    ("$defs", "$id", "$schema", "description", "examples", "title", "x-error", "x-errors", "x-unless-setting", "if", "then")
)
"""Keywords that a value cannot violate. `if` and `then` are compiled together."""
_KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "null": (type(None),),
    "integer": (int,),
    "number": (int, float),
}


def compile_schema(schema: Schema) -> Judge:
    """Compile a schema with an `x-error`, which applies to the keywords below it as far as they have none of their own.

    Raises:
        ValueError: the schema has a keyword that is not known here.
    """
    return _compile_judge(schema, schema["x-error"], schema)


def _compile_judge(schema: Schema, rule: Mapping[str, Any], root: Schema) -> Judge:
    own = schema.get("x-error", rule)
    plain = {keyword: given for keyword, given in schema.items() if keyword not in ("properties", "allOf", "if", "then")}
    is_valid = _compile(plain, root) if plain.keys() - NOTES else None
    properties = [(name, _compile_judge(inner, own, root)) for name, inner in schema.get("properties", {}).items()]
    parts = [_compile_judge(part, own, root) for part in schema.get("allOf", ())]
    applies = then = None
    if "if" in schema:
        applies, then = _compile(schema["if"], root), _compile_judge(schema["then"], own, root)

    def judge(value: Any, now_us: int, violated: list[Mapping[str, Any]]) -> None:
        if is_valid is not None and not is_valid(value, now_us):
            violated.append(own)
        if type(value) is dict:
            for name, judge_member in properties:
                if name in value:
                    judge_member(value[name], now_us, violated)
        for judge_part in parts:
            judge_part(value, now_us, violated)
        if applies is not None and then is not None and applies(value, now_us):
            then(value, now_us, violated)

    return judge


def _compile(schema: Schema, root: Schema) -> Check:
    checks = [_compile_keyword(keyword, given, root) for keyword, given in schema.items() if keyword not in NOTES]
    if "if" in schema:
        applies, then = _compile(schema["if"], root), _compile(schema["then"], root)
        checks.append(lambda value, now_us: not applies(value, now_us) or then(value, now_us))
    if len(checks) == 1:
        return checks[0]

    def check_all(value: Any, now_us: int) -> bool:
        for check in checks:  # noqa: SIM110  all() takes twice as long
            if not check(value, now_us):
                return False
        return True

    return check_all


def _compile_keyword(keyword: str, given: Any, root: Schema) -> Check:
    if keyword in _VALUES:
        return _VALUES[keyword](given)
    match keyword:
        case "$ref":
            return _compile(root["$defs"][given.removeprefix("#/$defs/")], root)
        case "not":
            refused = _compile(given, root)
            return lambda value, now_us: not refused(value, now_us)
        case "anyOf" | "allOf":
            checks, combine = [_compile(part, root) for part in given], any if keyword == "anyOf" else all
            return lambda value, now_us: combine(check(value, now_us) for check in checks)
        case "properties":
            members = [(name, _compile(inner, root)) for name, inner in given.items()]

            def check_members(value: Any, now_us: int) -> bool:
                if type(value) is dict:
                    for name, check in members:
                        if name in value and not check(value[name], now_us):
                            return False
                return True

            return check_members
        case "propertyNames":
            check_name = _compile(given, root)
            return lambda value, now_us: type(value) is not dict or all(check_name(name, now_us) for name in value)
    raise ValueError(f"{keyword}: not a keyword that contract/rules.py knows.")


def _compile_type(given: str | list[str]) -> Check:
    names = [given] if isinstance(given, str) else given
    types = frozenset(kind for name in names for kind in _KINDS[name])
    whole = "integer" in names
    return lambda value, _: type(value) in types or (whole and type(value) is float and value.is_integer())


def _compile_required(given: list[str]) -> Check:
    names = frozenset(given)
    return lambda value, _: type(value) is not dict or value.keys() >= names


def _compile_pattern(given: str) -> Check:
    search = re.compile(given).search
    return lambda value, _: type(value) is not str or search(value) is not None


def _compile_format(given: str) -> Check:
    if given != "date-time":
        raise ValueError(f"format {given}: not a format that contract/rules.py knows.")
    return lambda value, _: type(value) is not str or parse_timestamp(value) is not None


def _compile_max_ahead(limit_s: int) -> Check:
    def check(value: Any, now_us: int) -> bool:
        moment = parse_timestamp(value) if type(value) is str else None
        return moment is None or moment <= now_us + limit_s * 1_000_000

    return check


def _compile_earliest(limit_us: int) -> Check:
    def check(value: Any, now_us: int) -> bool:
        moment = parse_timestamp(value) if type(value) is str else None
        return moment is None or moment >= limit_us

    return check


def _equals(value: Any, other: Any) -> bool:
    return type(value) is type(other) and bool(value == other)


def _is_number(value: Any) -> bool:
    return type(value) is int or type(value) is float


def _is_finite(value: Any) -> bool:
    """Whether a value is not a number, or a text of a number, beyond the range of a double."""
    if type(value) is str:
        try:
            value = float(value)
        except ValueError:  # another rule says what is wrong
            return True
    return not _is_number(value) or -sys.float_info.max <= value <= sys.float_info.max


_VALUES: dict[str, Callable[[Any], Check]] = {
    "type": _compile_type,
    "const": lambda given: lambda value, _: _equals(value, given),
    "enum": lambda given: lambda value, _: any(_equals(value, one) for one in given),
    "pattern": _compile_pattern,
    "maxLength": lambda most: lambda value, _: type(value) is not str or len(value) <= most,
    "required": _compile_required,
    "maxProperties": lambda most: lambda value, _: type(value) is not dict or len(value) <= most,
    "minItems": lambda least: lambda value, _: type(value) is not list or len(value) >= least,
    "maxItems": lambda most: lambda value, _: type(value) is not list or len(value) <= most,
    "exclusiveMinimum": lambda limit: lambda value, _: not _is_number(value) or value > limit,
    "exclusiveMaximum": lambda limit: lambda value, _: not _is_number(value) or value < limit,
    "format": _compile_format,
    "x-earliest-us": _compile_earliest,
    "x-max-ahead-s": _compile_max_ahead,
    "x-finite": lambda _: lambda value, __: _is_finite(value),
}
"""The keywords without schemas inside."""
