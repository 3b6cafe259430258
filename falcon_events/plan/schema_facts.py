"""What a schema says without a value at hand: of properties in all of its parts for one object, and of the types of values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from falcon_events.plan.schemas import Schema, follower

ANY = frozenset({"string", "integer", "number", "boolean", "null", "array", "object"})
_NONE = frozenset[str]()


class Reading:
    """Reads a schema, through its references, `allOf`, `anyOf` and `oneOf`.

    Args:
        schema: one that `checked` has passed.
    """

    def __init__(self, schema: Schema) -> None:
        self._root = schema
        self.follow = follower(schema)
        """The part that a reference leads to."""

    def names(self) -> frozenset[str]:
        """The properties that objects may be meant to have: by `properties` or `required`, be it on conditions."""
        return self._names(self._root, _NONE, ("then", "else"))

    def mentioned(self) -> frozenset[str]:
        """Every property that the schema has something to say about, be it that there must be none."""
        return self._names(self._root, _NONE, ("then", "else", "if", "not"))

    def required(self) -> frozenset[str]:
        """The properties that no object may lack."""
        return self._required(self._root, _NONE)

    def excludes(self, name: str) -> bool:
        """Whether no object may have a property that the schema does not name."""
        return self._excludes(self._root, name, _NONE)

    def kinds_of_property(self, name: str) -> frozenset[str]:
        """JSON's types of which some value is right for a property."""
        return self._kinds_of_property(self._root, name, _NONE)

    def kinds_of(self, part: Any, way: frozenset[str] = _NONE) -> frozenset[str]:
        """JSON's types of which some value is right; `number` stands for those that are no integers.

        Args:
            part: a schema within the one that is read.
            way: the references that led to it.
        """
        if not isinstance(part, dict):
            return _NONE if part is False else ANY
        found = ANY
        if "type" in part:
            names = {part["type"]} if isinstance(part["type"], str) else set(part["type"])
            found &= names | ({"integer"} if "number" in names else set())
        values = part.get("enum", [part["const"]] if "const" in part else None)
        if values is not None:
            found &= {kind_of(value) for value in values}
        for inner, onward in self._same(part, way):
            found &= self.kinds_of(inner, onward)
        for word in part.keys() & {"anyOf", "oneOf"}:
            found &= frozenset().union(*(self.kinds_of(inner, way) for inner in part[word]))
        return found

    def is_needed(self, filled: frozenset[str]) -> bool:
        """Whether an object with no property but these is wrong for the lack of others."""
        return self._lacks(self._root, filled, _NONE)

    def _same(self, part: Schema, way: frozenset[str]) -> Iterator[tuple[Any, frozenset[str]]]:
        """The schemas that a schema also wants of the same value; a reference that leads back to itself is left out."""
        reference = part.get("$ref")
        if reference is not None and reference not in way:
            yield self.follow(reference), way | {reference}
        for inner in part.get("allOf", ()):
            yield inner, way

    def _choices(self, part: Schema, way: frozenset[str]) -> Iterator[list[Any]]:
        """The schemas of which a schema wants one, of an object."""
        for word in ("anyOf", "oneOf"):
            if word in part:
                yield [inner for inner in part[word] if "object" in self.kinds_of(inner, way)]

    def _names(self, part: Any, way: frozenset[str], words: tuple[str, ...]) -> frozenset[str]:
        if not isinstance(part, dict):
            return _NONE
        found = {*part.get("properties", ()), *part.get("required", ())}
        for name, others in part.get("dependentRequired", {}).items():
            found |= {name, *others}
        inner = [one for choices in self._choices(part, way) for one in choices]
        inner += [*part.get("dependentSchemas", {}).values(), *(part[word] for word in words if word in part)]
        found.update(*(self._names(one, way, words) for one in inner))
        found.update(*(self._names(one, onward, words) for one, onward in self._same(part, way)))
        return frozenset(found)

    def _required(self, part: Any, way: frozenset[str]) -> frozenset[str]:
        if not isinstance(part, dict):
            return _NONE
        found = frozenset(part.get("required", ()))
        for inner, onward in self._same(part, way):
            found |= self._required(inner, onward)
        for choices in self._choices(part, way):
            found |= frozenset.intersection(*(self._required(one, way) for one in choices)) if choices else _NONE
        return found

    def _lacks(self, part: Any, filled: frozenset[str], way: frozenset[str]) -> bool:
        if not isinstance(part, dict):
            return False
        return (
            any(name not in filled and not name.startswith("$") for name in part.get("required", ()))
            or any(self._lacks(inner, filled, onward) for inner, onward in self._same(part, way))
            or any(all(self._lacks(one, filled, way) for one in choices) for choices in self._choices(part, way) if choices)
        )

    def _excludes(self, part: Any, name: str, way: frozenset[str]) -> bool:
        if not isinstance(part, dict):
            return part is False
        return (
            (part.get("additionalProperties") is False and not _names_itself(part, name))
            or (part.get("unevaluatedProperties") is False and not self._evaluates(part, name, way))
            or any(self._excludes(inner, name, onward) for inner, onward in self._same(part, way))
            or any(all(self._excludes(one, name, way) for one in choices) for choices in self._choices(part, way))
        )

    def _evaluates(self, part: Any, name: str, way: frozenset[str]) -> bool:
        """Whether a part names a property, or says that others than it names are right."""
        if not isinstance(part, dict):
            return False
        inner = [one for choices in self._choices(part, way) for one in choices]
        inner += [*part.get("dependentSchemas", {}).values(), *(part[word] for word in ("if", "then", "else") if word in part)]
        return (
            _names_itself(part, name)
            or part.get("additionalProperties", False) is not False
            or any(self._evaluates(one, name, way) for one in inner)
            or any(self._evaluates(one, name, onward) for one, onward in self._same(part, way))
        )

    def _kinds_of_property(self, part: Any, name: str, way: frozenset[str]) -> frozenset[str]:
        if not isinstance(part, dict):
            return ANY
        found = self.kinds_of(part.get("properties", {}).get(name, True))
        for inner, onward in self._same(part, way):
            found &= self._kinds_of_property(inner, name, onward)
        for choices in self._choices(part, way):
            found &= frozenset().union(*(self._kinds_of_property(one, name, way) for one in choices))
        return found


def _names_itself(part: Schema, name: str) -> bool:
    """Whether a schema has the property, or a pattern for it."""
    return name in part.get("properties", ()) or any(re.search(one, name) for one in part.get("patternProperties", ()))


def kind_of(value: object) -> str:
    """The JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) or value.is_integer() else "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"
