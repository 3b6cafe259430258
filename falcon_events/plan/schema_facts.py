"""Schema facts: what a schema says about an object's properties and the types of their values, without a value to check."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from falcon_events.plan.schemas import Schema, make_resolve

ANY = frozenset({"string", "integer", "number", "boolean", "null", "array", "object"})
_NONE = frozenset[str]()


class SchemaFacts:
    """Facts about a schema, collected through its references, `allOf`, `anyOf` and `oneOf`.

    Args:
        schema: a schema that passed check_schema().
    """

    def __init__(self, schema: Schema) -> None:
        self._root = schema
        self.resolve = make_resolve(schema)
        """Returns the part of the schema that a reference leads to."""

    def names(self) -> frozenset[str]:
        """Return the properties that `properties` or `required` name, even conditionally."""
        return self._names(self._root, _NONE, ("then", "else"))

    def mentioned(self) -> frozenset[str]:
        """Return every property that the schema mentions, even only to forbid it."""
        return self._names(self._root, _NONE, ("then", "else", "if", "not"))

    def required(self) -> frozenset[str]:
        """Return the properties that every object must have."""
        return self._required(self._root, _NONE)

    def excludes(self, name: str) -> bool:
        """Whether the schema does not name this property and allows no object to have it."""
        return self._excludes(self._root, name, _NONE)

    def kinds_of_property(self, name: str) -> frozenset[str]:
        """Return the JSON types that have valid values for a property."""
        return self._kinds_of_property(self._root, name, _NONE)

    def kinds_of(self, part: Any, seen: frozenset[str] = _NONE) -> frozenset[str]:
        """Return the JSON types that have valid values. `number` stands for numbers that are not integers.

        Args:
            part: a part of the schema.
            seen: the references that led to the part.
        """
        if not isinstance(part, dict):
            return _NONE if part is False else ANY
        found = ANY
        if "type" in part:
            names = {part["type"]} if isinstance(part["type"], str) else set(part["type"])
            found &= names | ({"integer"} if "number" in names else set())
        values = part.get("enum", [part["const"]] if "const" in part else None)
        if values is not None:
            found &= {get_json_type(value) for value in values}
        for inner, onward in self._conjuncts(part, seen):
            found &= self.kinds_of(inner, onward)
        for word in part.keys() & {"anyOf", "oneOf"}:
            found &= frozenset().union(*(self.kinds_of(inner, seen) for inner in part[word]))
        return found

    def is_needed(self, filled: frozenset[str]) -> bool:
        """Whether an object with only these properties is invalid because it lacks others."""
        return self._lacks(self._root, filled, _NONE)

    def _conjuncts(self, part: Schema, seen: frozenset[str]) -> Iterator[tuple[Any, frozenset[str]]]:
        """Yield the schemas that the same value must also match. A reference that leads back to itself is left out."""
        reference = part.get("$ref")
        if reference is not None and reference not in seen:
            yield self.resolve(reference), seen | {reference}
        for inner in part.get("allOf", ()):
            yield inner, seen

    def _choices(self, part: Schema, seen: frozenset[str]) -> Iterator[list[Any]]:
        """Yield lists of schemas, of each of which an object must match one."""
        for word in ("anyOf", "oneOf"):
            if word in part:
                yield [inner for inner in part[word] if "object" in self.kinds_of(inner, seen)]

    def _names(self, part: Any, seen: frozenset[str], words: tuple[str, ...]) -> frozenset[str]:
        if not isinstance(part, dict):
            return _NONE
        found = {*part.get("properties", ()), *part.get("required", ())}
        for name, others in part.get("dependentRequired", {}).items():
            found |= {name, *others}
        inner = [one for choices in self._choices(part, seen) for one in choices]
        inner += [*part.get("dependentSchemas", {}).values(), *(part[word] for word in words if word in part)]
        found.update(*(self._names(one, seen, words) for one in inner))
        found.update(*(self._names(one, onward, words) for one, onward in self._conjuncts(part, seen)))
        return frozenset(found)

    def _required(self, part: Any, seen: frozenset[str]) -> frozenset[str]:
        if not isinstance(part, dict):
            return _NONE
        found = frozenset(part.get("required", ()))
        for inner, onward in self._conjuncts(part, seen):
            found |= self._required(inner, onward)
        for choices in self._choices(part, seen):
            found |= frozenset.intersection(*(self._required(one, seen) for one in choices)) if choices else _NONE
        return found

    def _lacks(self, part: Any, filled: frozenset[str], seen: frozenset[str]) -> bool:
        if not isinstance(part, dict):
            return False
        return (
            any(name not in filled and not name.startswith("$") for name in part.get("required", ()))
            or any(self._lacks(inner, filled, onward) for inner, onward in self._conjuncts(part, seen))
            or any(all(self._lacks(one, filled, seen) for one in choices) for choices in self._choices(part, seen) if choices)
        )

    def _excludes(self, part: Any, name: str, seen: frozenset[str]) -> bool:
        if not isinstance(part, dict):
            return part is False
        return (
            (part.get("additionalProperties") is False and not _names_itself(part, name))
            or (part.get("unevaluatedProperties") is False and not self._evaluates(part, name, seen))
            or any(self._excludes(inner, name, onward) for inner, onward in self._conjuncts(part, seen))
            or any(all(self._excludes(one, name, seen) for one in choices) for choices in self._choices(part, seen))
        )

    def _evaluates(self, part: Any, name: str, seen: frozenset[str]) -> bool:
        """Whether a part names a property, or allows properties that it does not name."""
        if not isinstance(part, dict):
            return False
        inner = [one for choices in self._choices(part, seen) for one in choices]
        inner += [*part.get("dependentSchemas", {}).values(), *(part[word] for word in ("if", "then", "else") if word in part)]
        return (
            _names_itself(part, name)
            or part.get("additionalProperties", False) is not False
            or any(self._evaluates(one, name, seen) for one in inner)
            or any(self._evaluates(one, name, onward) for one, onward in self._conjuncts(part, seen))
        )

    def _kinds_of_property(self, part: Any, name: str, seen: frozenset[str]) -> frozenset[str]:
        if not isinstance(part, dict):
            return ANY
        found = self.kinds_of(part.get("properties", {}).get(name, True))
        for inner, onward in self._conjuncts(part, seen):
            found &= self._kinds_of_property(inner, name, onward)
        for choices in self._choices(part, seen):
            found &= frozenset().union(*(self._kinds_of_property(one, name, seen) for one in choices))
        return found


def _names_itself(part: Schema, name: str) -> bool:
    """Whether a schema names the property or has a pattern that matches it."""
    return name in part.get("properties", ()) or any(re.search(one, name) for one in part.get("patternProperties", ()))


def get_json_type(value: object) -> str:
    """Return the JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) or value.is_integer() else "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"
