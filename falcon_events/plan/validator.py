"""JSON Schema's validator for what strangers send: as exact as the standard, in a time that grows as what is sent does."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from copy import deepcopy
from fractions import Fraction
from functools import cache, partial
from itertools import islice
from typing import Any

from falcon_events.plan.fast_path import kinds_of_all
from falcon_events.plan.schemas import DRAFT, parts

Errors = Iterator[Any]

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxdict, _SHORT.maxstring, _SHORT.maxlong, _SHORT.maxother = 3, 10, 120, 120, 120
_SHORT.maxlist = 10
_known: ContextVar[dict[tuple[str, int, int], Any]] = ContextVar("_known")
"""What is known of a value at a reference, by their ids: None where it is right, or an error."""


def first_errors(schema: Mapping[str, Any], most: int) -> Callable[[Mapping[str, Any]], list[Any]]:
    """A function that gives the first errors of properties, each a jsonschema.ValidationError.

    Args:
        schema: a schema that `checked` has passed.
        most: how many errors.
    """
    from referencing import Registry

    own = deepcopy(dict(schema))
    for part, _ in parts(own):
        if part.get("$schema") == DRAFT:
            del part["$schema"]  # jsonschema takes its own validator for a part that has it
    validator = _kind()(own, registry=Registry())  # which looks for no schema on the network

    def run(properties: Mapping[str, Any]) -> list[Any]:
        token = _known.set({})
        try:
            return list(islice(validator.iter_errors(properties), most))
        finally:
            _known.reset(token)

    return run


@cache
def _kind() -> Any:
    """Made with the first plan, since a host without one needs no jsonschema."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    keywords = {
        "type": _type,
        "items": _items,
        "anyOf": _any_of,
        "oneOf": _one_of,
        "$ref": partial(_reference, "$ref"),
        "$dynamicRef": partial(_reference, "$dynamicRef"),
        "uniqueItems": _unique_items,
        "multipleOf": _multiple_of,
        "unevaluatedItems": _unevaluated_items,
        "unevaluatedProperties": _unevaluated_properties,
    }
    return extend(Draft202012Validator, keywords)  # type: ignore[no-untyped-call]


def _error(text: str) -> Any:
    from jsonschema import ValidationError

    return ValidationError(text)


def _original(keyword: str) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator.VALIDATORS[keyword]


def _type(validator: Any, types: Any, value: Any, schema: Any) -> Errors:
    """Quotes no more of a value than is told: one that contains many is looked at once for each level."""
    names = [types] if isinstance(types, str) else types
    if not any(validator.is_type(value, name) for name in names):
        yield _error(f"{_short(value)} is not of type {', '.join(map(repr, names))}")


def _items(validator: Any, items: Any, value: Any, schema: Any) -> Errors:
    """Takes a million numbers at a glance."""
    if not isinstance(items, dict) or not isinstance(value, list):
        yield from _original("items")(validator, items, value, schema)
        return
    kinds = kinds_of_all(items) or ()
    for place in range(len(schema.get("prefixItems", ())), len(value)):
        if type(value[place]) not in kinds:
            yield from validator.descend(value[place], items, path=place)


def _any_of(validator: Any, branches: Any, value: Any, schema: Any) -> Errors:
    """Leaves a branch at its first error, since nobody is told of the others."""
    for branch in branches:  # no function for a branch: a value that is nested deep takes them all at once
        if next(validator.descend(value, branch), None) is None:
            return
    yield _error(f"{_short(value)} is not valid under any of the given schemas")


def _one_of(validator: Any, branches: Any, value: Any, schema: Any) -> Errors:
    right = 0
    for branch in branches:
        right += next(validator.descend(value, branch), None) is None
    if not right:
        yield _error(f"{_short(value)} is not valid under any of the given schemas")
    elif right > 1:
        yield _error(f"{_short(value)} is valid under {right} of the given schemas")


def _reference(keyword: str, validator: Any, reference: str, value: Any, schema: Any) -> Errors:
    """Asks once for each value: a schema that refers to itself in two branches would double the work with each level."""
    from jsonschema import ValidationError

    known, key = _known.get(), (keyword, id(schema), id(value))
    if key in known:
        if known[key] is not None:
            yield ValidationError.create_from(known[key])
        return
    for error in _original(keyword)(validator, reference, value, schema):
        known.setdefault(key, ValidationError.create_from(error))  # a copy: places are added to one that is handed on
        yield error
    known.setdefault(key, None)


def _unique_items(validator: Any, wanted: bool, value: Any, schema: Any) -> Errors:
    """In place of comparing each two items, as jsonschema does unless all of them can be sorted."""
    if wanted and isinstance(value, list) and len({_canonical(one) for one in value}) < len(value):
        yield _error(f"{_short(value)} has non-unique elements")


def _canonical(value: Any) -> str:
    """One text for values that are equal in JSON; texts, since a stranger can choose numbers whose hashes collide."""
    return json.dumps(_same_numbers(value), sort_keys=True)


def _same_numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_same_numbers(one) for one in value]
    if isinstance(value, dict):
        return {name: _same_numbers(one) for name, one in value.items()}
    if type(value) is int:
        try:
            return float(value) if float(value) == value else value
        except OverflowError:
            return value
    return 0.0 if value == 0 and type(value) is float else value  # -0.0 is 0


def _multiple_of(validator: Any, factor: Any, value: Any, schema: Any) -> Errors:
    """In place of dividing doubles, in which 19.99 is no multiple of 0.01."""
    if type(value) is int and type(factor) is int:
        right = value % factor == 0
    else:
        right = not validator.is_type(value, "number") or (_exact(value) / _exact(factor)).denominator == 1
    if not right:
        yield _error(f"{_short(value)} is not a multiple of {factor}")


def _exact(number: Any) -> Fraction:
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def _unevaluated_items(validator: Any, rest: Any, value: Any, schema: Any) -> Errors:
    """In place of looking each place up in a list of places."""
    from jsonschema._utils import find_evaluated_item_indexes_by_schema

    if isinstance(value, list):
        seen = set(find_evaluated_item_indexes_by_schema(validator, value, schema))
        left = [one for place, one in enumerate(value) if place not in seen]
        if left:
            yield _error(f"Unevaluated items are not allowed: {_short(left)}")


def _unevaluated_properties(validator: Any, rest: Any, value: Any, schema: Any) -> Errors:
    from jsonschema._utils import find_evaluated_property_keys_by_schema

    if isinstance(value, dict):
        seen = set(find_evaluated_property_keys_by_schema(validator, value, schema))
        left = sorted(name for name in value.keys() - seen if next(validator.descend(value[name], rest), None) is not None)
        if left:
            yield _error(f"Unevaluated properties are not allowed: {_short(left)}")


def _short(value: Any) -> str:
    return _SHORT.repr(value)
