"""TypeScript types of the tracker's calls, from a plan: the compiler then rejects calls that violate the plan."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import unquote

from falcon_events.errors import PlanError
from falcon_events.plan.plan import Plan
from falcon_events.plan.reserved_names import RESERVED_NAMES
from falcon_events.plan.schema_facts import SchemaFacts
from falcon_events.plan.schemas import Schema

_TYPES = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "null": "null",
    "array": "unknown[]",
    "object": "Record<string, unknown>",
}
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*").fullmatch
_OWN_CALLS = {
    "pageView": frozenset({"url"}),
    "identify": frozenset({"emailAddress"}),
    "conversion": frozenset({"conversion-id", "conversion-name", "conversion-value"}),
}
"""Events with a call of their own, and the properties that this call fills in."""
_OPEN = (
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
    "dependentSchemas",
    "if",
    "then",
    "else",
    "$dynamicRef",
)
"""Keywords that can concern properties that a TypeScript type cannot list."""
_HEAD = """\
// The tracker's calls with the events of a tracking plan. Made by: falcon-events plan types --typescript
type TrackerProperties = Record<string, unknown>;
"""
_CALLS = """\
interface EventTracker {{
{calls}
  /** Forgets the visitor, as when somebody signs out. */
  reset(): void;
  /** Ends tracking in this browser. */
  optOut(): void;
  /** Resumes it. */
  optIn(): void;
  /** The tracker's release; absent until the script is loaded. */
  readonly v?: string;
}}

declare var {name}: EventTracker;
interface Window {{
  {name}: EventTracker;
}}
"""


def render_typescript(plan: Plan, *, name: str = "oct", allow_unknown: bool = False) -> str:
    """Render a declaration file (`.d.ts`) for the tracker's object.

    Properties that a schema does not name are not part of the type, so that the compiler finds mistyped names. Rules that
    TypeScript cannot express, such as a pattern, are left to the server.

    Args:
        plan: the plan.
        name: the object's name in the page (`data-object`).
        allow_unknown: whether eventT also takes events that are not in the plan.

    Raises:
        PlanError: `name` is not a JavaScript name, or is reserved.
    """
    if not _NAME(name):
        raise PlanError(f"--object {name!r} must be a JavaScript name, such as oct.")
    if name in RESERVED_NAMES:
        raise PlanError(f"--object {name!r} is reserved by JavaScript or the browser's window; use another name, such as oct.")
    types, calls = [_HEAD], []
    given, names = {}, {"TrackerProperties"}
    for event, schema in sorted(plan.schemas.items()):
        filled = _OWN_CALLS.get(event, frozenset())
        type_name = _type_name(event, names)
        names.add(type_name)
        rendered = _Types(schema, filled, type_name)
        types.append(f"{_comment(schema, '')}type {type_name} = {rendered.render()};\n")
        types.extend(rendered.parts)
        given[event] = f"properties{rendered.optional_mark()}: {type_name}"
    page = given.get("pageView", "properties?: TrackerProperties")
    calls.append(f"  /** A page view, of the present address or another. */\n  eventP(url?: string, {_optional(page)}): void;")
    calls.append(f"  eventP({page}): void;")
    identify = given.get("identify", "properties?: TrackerProperties")
    calls.append("  /** Whose visitor this is. */")
    calls.append(f"  eventI(email: string, {identify}, identifyProperties?: TrackerProperties): void;")
    calls.append("  /** A conversion. */")
    conversion = given.get("conversion", "properties?: TrackerProperties")
    calls.append(f"  eventC(id: string, name: string, value: number | string, {conversion}): void;")
    own = [event for event in given if event not in _OWN_CALLS]
    calls.extend(
        f"{_comment(plan.schemas[event], '  ')}  eventT(event: {json.dumps(event)}, {given[event]}): void;" for event in own
    )
    if allow_unknown:
        planned = " | ".join(map(json.dumps, own)) or "never"
        calls.append("  /** An event that the plan does not have. */")
        calls.append(f"  eventT<E extends string>(event: E extends {planned} ? never : E, properties?: TrackerProperties): void;")
    return "\n".join([*types, _CALLS.format(calls="\n".join(calls), name=name)])


def _type_name(event: str, taken: set[str]) -> str:
    words = _words(event)
    return _unique(f"{words if words[:1].isalpha() else 'Event' + words}Properties", taken)


def _words(text: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", text))


def _unique(name: str, taken: Collection[str]) -> str:
    number = 2
    while (unique := name if number == 2 and name not in taken else f"{name}{number}") in taken:
        number += 1
    return unique


def _optional(parameter: str) -> str:
    """Make a parameter optional, as every parameter after an optional one must be."""
    return parameter.replace("properties:", "properties?:")


class _Types:
    """TypeScript types of one event's schema.

    Args:
        schema: the schema.
        filled: the properties that the event's call fills in.
        name: the name of the type of all properties. The names of its parts' types begin with it.
    """

    def __init__(self, schema: Schema, filled: frozenset[str], name: str) -> None:
        self._schema = schema
        self._filled = filled
        self._name = name
        self._facts = SchemaFacts(schema)
        self._names: dict[str, str] = {}
        self.parts: list[str] = []
        """The declarations of types that the main one refers to, one for each referenced part."""

    def render(self) -> str:
        """Render the type of the event's properties."""
        found = list(self._render_keywords(self._schema, "", frozenset(), True))
        return _intersect(found) if found else "Record<string, unknown>"

    def optional_mark(self) -> str:
        """Return `?` if the properties may be left out altogether, or else an empty string."""
        return "" if self._facts.is_needed(self._filled) else "?"

    def _type(self, schema: Any, indent: str, seen: frozenset[str] = frozenset(), whole: bool = False) -> str:
        if not isinstance(schema, dict):
            return "never" if schema is False else "unknown"
        return _intersect(list(self._render_keywords(schema, indent, seen, whole))) or "unknown"

    def _render_keywords(self, part: Schema, indent: str, seen: frozenset[str], whole: bool) -> Iterator[str]:
        """Yield a type for each keyword of a schema. The schema's type is their intersection.

        Args:
            part: the schema.
            indent: the indentation of the line that the type begins in.
            seen: the references that led to the part without an object or array in between. One of them again is a circle.
            whole: whether the part describes all of an event's properties.
        """
        if "enum" in part or "const" in part:
            yield " | ".join(_literal(value) for value in part.get("enum", [part.get("const")])) or "never"
            return
        names = [part["type"]] if isinstance(part.get("type"), str) else part.get("type", ())
        if whole or not names:
            if part.keys() & {"properties", "required"} or (whole and part.get("additionalProperties") is False):
                yield self._object(part, indent, whole)
            elif whole and _is_open(part):
                yield "Record<string, unknown>"
        else:
            yield " | ".join(dict.fromkeys(self._render_type(name, part, indent) for name in names))
        if (reference := part.get("$ref")) is not None:
            if reference in seen:
                yield "unknown"
            elif whole:
                yield self._type(self._facts.resolve(reference), indent, seen | {reference}, whole)
            else:
                yield self._declare_part(reference, seen | {reference})
        for word in ("anyOf", "oneOf"):
            if word in part:
                inner = [one for one in part[word] if not whole or "object" in self._facts.kinds_of(one)]
                yield " | ".join(dict.fromkeys(self._type(one, indent, seen, whole) for one in inner)) or "never"
        for inner in part.get("allOf", ()):
            yield self._type(inner, indent, seen, whole)

    def _declare_part(self, reference: str, seen: frozenset[str]) -> str:
        if reference not in self._names:
            words = _words(unquote(reference).rpartition("/")[2]) or "All"
            name = self._names[reference] = _unique(f"{self._name}_{words}", self._names.values())
            part = self._facts.resolve(reference)
            self.parts.append(f"{_comment(part, '')}type {name} = {self._type(part, '', seen)};\n")
        return self._names[reference]

    def _render_type(self, name: str, part: Schema, indent: str) -> str:
        if name == "array" and isinstance(part.get("items"), dict):
            return f"Array<{self._type(part['items'], indent)}>"
        if name == "object" and (part.get("properties") or part.get("required")):
            return self._object(part, indent, False)
        if name == "object" and isinstance(part.get("additionalProperties"), dict):
            return f"{{ [name: string]: {self._type(part['additionalProperties'], indent)} }}"
        return _TYPES[name]

    def _object(self, part: Schema, indent: str, whole: bool) -> str:
        inner = indent + "  "
        own, required = part.get("properties", {}), set(part.get("required", ()))
        if whole:
            required = {name for name in required if name not in self._filled and not name.startswith("$")}
        properties = {**own, **dict.fromkeys(sorted(set(part.get("required", ())) - own.keys()), True)}
        lines = [
            f"{_comment(one, inner)}{inner}{json.dumps(name)}{'' if name in required else '?'}: {self._type(one, inner)};"
            for name, one in properties.items()
        ]
        if not lines:
            return f"Record<string, {'never' if part.get('additionalProperties') is False else 'unknown'}>"
        text = "\n".join(["{", *lines, indent + "}"])
        return f"{text} & Record<string, unknown>" if _is_open(part) else text


def _is_open(part: Schema) -> bool:
    """Whether a schema restricts or allows properties in a seen that a type cannot express. A type can express true and false."""
    return any(part.get(word) not in (None, True, False, {}) for word in _OPEN)


def _intersect(found: list[str]) -> str:
    return found[0] if len(found) == 1 else " & ".join(f"({one})" for one in found)


def _literal(value: object) -> str:
    return json.dumps(value) if value is None or isinstance(value, str | bool | int | float) else "unknown"


def _comment(schema: Any, indent: str) -> str:
    """Return the schema's title and description as a comment, which editors show."""
    words = [schema.get(word, "") for word in ("title", "description")] if isinstance(schema, dict) else []
    text = ": ".join(" ".join(word.split()).replace("*/", "* /") for word in words if word)
    return f"{indent}/** {text} */\n" if text else ""
