"""Schemas of a plan: read from a folder, and checked to be self-contained JSON Schemas of objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from falcon_events.errors import PlanError
from falcon_events.plan.declarations import MAX_EVENT

Schema = dict[str, Any]
Resolve = Callable[[str], Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def read_folder(path: str | Path) -> dict[str, Schema]:
    """Read the schemas in a folder's *.json files.

    Returns:
        The schemas by event type, which is the file's name without `.json`.

    Raises:
        PlanError: there is no such folder, it has no schemas, or a file is not a valid schema; the message names it.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise PlanError(f"{folder}: there is no such folder. A plan is a folder with a JSON Schema for each event.")
    schemas = {}
    for file in sorted(folder.glob("*.json")):
        try:
            schemas[file.stem] = check_schema(msgspec.json.decode(file.read_bytes()), str(file))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise PlanError(f"{file} is not valid JSON: {error}") from None
        except OSError as error:
            raise PlanError(f"{file} cannot be read: {error.strerror}") from None
        if len(file.stem) > MAX_EVENT or not file.stem.strip():
            raise PlanError(f"{file}: the file's name must be an event type of at most {MAX_EVENT} characters.")
    if not schemas:
        raise PlanError(f"{folder}: there is no *.json file. Add a JSON Schema for each event, such as checkout.json.")
    return schemas


def check_schema(schema: Any, where: str) -> Schema:
    """Check that a schema describes an object and is self-contained, and return it.

    Args:
        schema: the JSON Schema, of draft 2020-12.
        where: the file or event, for the error message.

    Raises:
        PlanError: the schema is invalid; the message says what is wrong.
    """
    from jsonschema import Draft202012Validator, SchemaError
    from referencing.exceptions import Unresolvable

    if not isinstance(schema, dict):
        raise PlanError(f"{where}: the JSON Schema must be an object.")
    if schema.get("$schema", DRAFT) != DRAFT:
        raise PlanError(f'{where}: "$schema" is {schema["$schema"]!r}; it must be {DRAFT} or left out.')
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise PlanError(f"{where}: invalid JSON Schema: {format_path(error.absolute_path)}: {error.message}") from None
    if "object" not in ([kinds] if isinstance(kinds := schema.get("type", "object"), str) else kinds):
        raise PlanError(f'{where}: "type" is {kinds!r}; it must be "object", because an event\'s properties are an object.')
    for part, resolver in walk(schema):
        if part.get("$schema", DRAFT) != DRAFT:
            raise PlanError(f'{where}: a part has "$schema" {part["$schema"]!r}; it must be {DRAFT} or left out.')
        for word in ("$ref", "$dynamicRef"):
            try:
                target = _look_up(resolver, part[word]).contents if word in part else True
                Draft202012Validator.check_schema(target)  # a reference may lead to a part that check_schema() did not check
            except (Unresolvable, SchemaError):
                raise PlanError(f'{where}: "{word}" {part[word]!r} does not lead to a schema within this one.') from None
    return schema


def format_path(path: Any) -> str:
    """Format a path in a JSON document: `items[0].price`, or `(all)` for the document itself."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text or "(all)"


def walk(schema: Schema) -> Iterator[tuple[Schema, Any]]:
    """Yield a schema and every schema within it or referenced by it, each with the resolver for its references."""
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    waiting = [(schema, _create_resolver(schema))]
    seen = set[int]()
    while waiting:
        part, resolver = waiting.pop()
        if not isinstance(part, dict) or id(part) in seen:
            continue
        seen.add(id(part))
        yield part, resolver
        inner = DRAFT202012.create_resource(part).subresources()
        waiting.extend((one.contents, resolver.in_subresource(one)) for one in inner)
        for word in part.keys() & {"$ref", "$dynamicRef"}:
            with suppress(Unresolvable):
                found = _look_up(resolver, part[word])
                waiting.append((found.contents, found.resolver))


def make_resolve(schema: Schema) -> Resolve:
    """Return a function that returns the part of a schema that a reference leads to.

    For a reference that it cannot resolve, the function returns True, the schema that every value matches.
    """
    from referencing.exceptions import Unresolvable

    resolver = _create_resolver(schema)

    def resolve(reference: str) -> Any:
        try:
            return _look_up(resolver, reference).contents
        except Unresolvable:  # a reference in a part with an $id of its own
            return True

    return resolve


def _create_resolver(schema: Schema) -> Any:
    """Create a resolver that finds the parts of a schema and nothing outside of it."""
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    return Registry[Any]().resolver_with_root(DRAFT202012.create_resource(schema))


def _look_up(resolver: Any, reference: str) -> Any:
    """Look up a reference. Raises Unresolvable if it leads nowhere."""
    from referencing.exceptions import Unresolvable

    try:
        return resolver.lookup(reference)
    except (TypeError, ValueError):  # a pointer into a number, or into an array with an index that is not a number
        raise Unresolvable(ref=reference) from None
