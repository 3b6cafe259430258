"""Properties as most events have them, accepted at a fraction of a schema's cost; what is unusual is left to the schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Accept = Callable[[Mapping[str, Any]], bool]

_NOTES = {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"}
_ROOT = _NOTES | {"$schema", "$id", "$defs", "type", "properties", "required", "additionalProperties"}
_KINDS: dict[str, frozenset[type]] = {
    "string": frozenset({str}),
    "boolean": frozenset({bool}),
    "null": frozenset({type(None)}),
    "integer": frozenset({int}),
    "number": frozenset({int, float}),
}


def plain_acceptor(schema: Mapping[str, Any]) -> Accept | None:
    """A function that says yes only where the schema does, and often where it does; None where it never would."""
    if not _says_only(schema, _ROOT) or schema.get("additionalProperties", True) not in (True, False):
        return None
    kinds = {name: kinds_of_all(part) for name, part in schema.get("properties", {}).items()}
    required = frozenset(schema.get("required", ()))
    anything = schema.get("additionalProperties", True)

    def accept(properties: Mapping[str, Any]) -> bool:
        if not required <= properties.keys():
            return False
        for name, value in properties.items():
            allowed = kinds.get(name)
            if allowed is None:
                if name in kinds or not anything:
                    return False
            elif type(value) not in allowed:
                return False
        return True

    return accept


def kinds_of_all(schema: Any) -> frozenset[type] | None:
    """The types of which every value is right; None where the schema has more to say."""
    if not isinstance(schema, dict):
        return None
    if _says_only(schema, _NOTES | {"anyOf"}) and "anyOf" in schema:
        parts = [kinds_of_all(part) for part in schema["anyOf"]]
        return frozenset().union(*(part for part in parts if part is not None)) or None
    if not _says_only(schema, _NOTES | {"type"}) or "type" not in schema:
        return None
    names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    return frozenset().union(*(_KINDS.get(name, frozenset()) for name in names)) or None


def _says_only(schema: Mapping[str, Any], words: set[str]) -> bool:
    """Whether there is no other keyword; those of extensions say nothing about values."""
    return all(word in words or word.startswith("x-") for word in schema)
