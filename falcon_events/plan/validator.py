"""JSON Schema validator for untrusted input: as exact as the standard, in a time proportional to the input's size."""

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

from falcon_events.plan.fast_path import find_accepted_types
from falcon_events.plan.schemas import DRAFT, walk

Errors = Iterator[Any]

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxdict, _SHORT.maxstring, _SHORT.maxlong, _SHORT.maxother = 3, 10, 120, 120, 120
_SHORT.maxlist = 10
_known: ContextVar[dict[tuple[str, int, int], Any]] = ContextVar("_known")
"""The results of values checked against a reference, by their ids: an error, or None if the value is valid."""


def make_validator(schema: Mapping[str, Any], most: int) -> Callable[[Mapping[str, Any]], list[Any]]:
    """Return a function that returns the first errors of properties, each a jsonschema.ValidationError.

    Args:
        schema: a schema that passed check_schema().
        most: the largest number of errors.
    """
    from referencing import Registry

    own = deepcopy(dict(schema))
    for part, _ in walk(own):
        if part.get("$schema") == DRAFT:
            del part["$schema"]  # jsonschema would use its own validator class for such a part
    validator = _get_validator_class()(own, registry=Registry())  # an empty registry fetches nothing from the network

    def run(properties: Mapping[str, Any]) -> list[Any]:
        token = _known.set({})
        try:
            return list(islice(validator.iter_errors(properties), most))
        finally:
            _known.reset(token)

    return run


@cache
def _get_validator_class() -> Any:
    """Return the validator class. It imports jsonschema, which a host without a plan does not need."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    keywords = {
        "type": _check_type,
        "items": _check_items,
        "anyOf": _check_any_of,
        "oneOf": _check_one_of,
        "$ref": partial(_check_reference, "$ref"),
        "$dynamicRef": partial(_check_reference, "$dynamicRef"),
        "uniqueItems": _check_unique_items,
        "multipleOf": _check_multiple_of,
        "unevaluatedItems": _check_unevaluated_items,
        "unevaluatedProperties": _check_unevaluated_properties,
    }
    return extend(Draft202012Validator, keywords)  # type: ignore[no-untyped-call]


def _error(text: str) -> Any:
    from jsonschema import ValidationError

    return ValidationError(text)


def _get_original(keyword: str) -> Any:
    """Return jsonschema's own function for a keyword."""
    from jsonschema import Draft202012Validator

    return Draft202012Validator.VALIDATORS[keyword]


def _check_type(validator: Any, types: Any, value: Any, schema: Any) -> Errors:
    """Quote only the start of an invalid value. Quoting nested values in full would take time for each level."""
    names = [types] if isinstance(types, str) else types
    if not any(validator.is_type(value, name) for name in names):
        yield _error(f"{_shorten(value)} is not of type {', '.join(map(repr, names))}")


def _check_items(validator: Any, items: Any, value: Any, schema: Any) -> Errors:
    """Check the items of an array. Items whose type alone makes them valid are skipped, so a million numbers take little time."""
    if not isinstance(items, dict) or not isinstance(value, list):
        yield from _get_original("items")(validator, items, value, schema)
        return
    kinds = find_accepted_types(items) or ()
    for place in range(len(schema.get("prefixItems", ())), len(value)):
        if type(value[place]) not in kinds:
            yield from validator.descend(value[place], items, path=place)


def _check_any_of(validator: Any, branches: Any, value: Any, schema: Any) -> Errors:
    """Stop checking a branch at its first error, since the errors of branches are not reported."""
    for branch in branches:  # without a helper function, because its stack frames would count for deeply nested values
        if next(validator.descend(value, branch), None) is None:
            return
    yield _error(f"{_shorten(value)} is not valid under any of the given schemas")


def _check_one_of(validator: Any, branches: Any, value: Any, schema: Any) -> Errors:
    right = 0
    for branch in branches:
        right += next(validator.descend(value, branch), None) is None
    if not right:
        yield _error(f"{_shorten(value)} is not valid under any of the given schemas")
    elif right > 1:
        yield _error(f"{_shorten(value)} is valid under {right} of the given schemas")


def _check_reference(keyword: str, validator: Any, reference: str, value: Any, schema: Any) -> Errors:
    """Check each value once. Otherwise a schema that refers to itself in two branches would double the work with each level."""
    from jsonschema import ValidationError

    known, key = _known.get(), (keyword, id(schema), id(value))
    if key in known:
        if known[key] is not None:
            yield ValidationError.create_from(known[key])
        return
    for error in _get_original(keyword)(validator, reference, value, schema):
        known.setdefault(
            key, ValidationError.create_from(error)
        )  # a copy, because jsonschema changes the path of a yielded error
        yield error
    known.setdefault(key, None)


def _check_unique_items(validator: Any, wanted: bool, value: Any, schema: Any) -> Errors:
    """Compare canonical texts. jsonschema compares all pairs of items unless they can be sorted."""
    if wanted and isinstance(value, list) and len({_canonical(one) for one in value}) < len(value):
        yield _error(f"{_shorten(value)} has non-unique elements")


def _canonical(value: Any) -> str:
    """Return the same text for values that are equal in JSON. Hashes of numbers can be made to collide, those of texts cannot."""
    return json.dumps(_unify_numbers(value), sort_keys=True)


def _unify_numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_unify_numbers(one) for one in value]
    if isinstance(value, dict):
        return {name: _unify_numbers(one) for name, one in value.items()}
    if type(value) is int:
        try:
            return float(value) if float(value) == value else value
        except OverflowError:
            return value
    return 0.0 if value == 0 and type(value) is float else value  # -0.0 is 0


def _check_multiple_of(validator: Any, factor: Any, value: Any, schema: Any) -> Errors:
    """Divide exactly. With doubles, 19.99 would not be a multiple of 0.01."""
    if type(value) is int and type(factor) is int:
        right = value % factor == 0
    else:
        right = not validator.is_type(value, "number") or (_to_fraction(value) / _to_fraction(factor)).denominator == 1
    if not right:
        yield _error(f"{_shorten(value)} is not a multiple of {factor}")


def _to_fraction(number: Any) -> Fraction:
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def _check_unevaluated_items(validator: Any, rest: Any, value: Any, schema: Any) -> Errors:
    """Look indexes up in a set. jsonschema looks them up in a list."""
    from jsonschema._utils import find_evaluated_item_indexes_by_schema

    if isinstance(value, list):
        seen = set(find_evaluated_item_indexes_by_schema(validator, value, schema))
        left = [one for place, one in enumerate(value) if place not in seen]
        if left:
            yield _error(f"Unevaluated items are not allowed: {_shorten(left)}")


def _check_unevaluated_properties(validator: Any, rest: Any, value: Any, schema: Any) -> Errors:
    from jsonschema._utils import find_evaluated_property_keys_by_schema

    if isinstance(value, dict):
        seen = set(find_evaluated_property_keys_by_schema(validator, value, schema))
        left = sorted(name for name in value.keys() - seen if next(validator.descend(value[name], rest), None) is not None)
        if left:
            yield _error(f"Unevaluated properties are not allowed: {_shorten(left)}")


def _shorten(value: Any) -> str:
    return _SHORT.repr(value)
