"""The schemas of a plan: read from a folder, and held to what a schema of an event's properties has to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from falcon_events.errors import PlanError
from falcon_events.plan.declarations import MAX_EVENT

Schema = dict[str, Any]
Follow = Callable[[str], Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def read_folder(path: str | Path) -> dict[str, Schema]:
    """The schemas of a folder's *.json files, by event type, which is the file's name without `.json`.

    Raises:
        PlanError: there is no such folder, it has no schemas, or a file is none; the message names it.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise PlanError(f"{folder}: there is no such folder; one with a JSON Schema for each event is needed.")
    schemas = {}
    for file in sorted(folder.glob("*.json")):
        try:
            schemas[file.stem] = checked(msgspec.json.decode(file.read_bytes()), str(file))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise PlanError(f"{file}: this is no JSON: {error}") from None
        except OSError as error:
            raise PlanError(f"{file}: it cannot be read: {error.strerror}") from None
        if len(file.stem) > MAX_EVENT or not file.stem.strip():
            raise PlanError(f"{file}: the file's name is no event type, which has at most {MAX_EVENT} characters.")
    if not schemas:
        raise PlanError(f"{folder}: there is no *.json file; a JSON Schema for each event is needed, such as checkout.json.")
    return schemas


def checked(schema: Any, where: str) -> Schema:
    """The schema, if it is one of an object and complete by itself.

    Args:
        schema: what should be a JSON Schema of draft 2020-12.
        where: the file or event, for the message.

    Raises:
        PlanError: it is none; the message says what is wrong.
    """
    from jsonschema import Draft202012Validator, SchemaError
    from referencing.exceptions import Unresolvable

    if not isinstance(schema, dict):
        raise PlanError(f"{where}: a JSON Schema is needed, which is an object.")
    if schema.get("$schema", DRAFT) != DRAFT:
        raise PlanError(f'{where}: "$schema" is {schema["$schema"]!r}; {DRAFT} is needed, or none.')
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise PlanError(f"{where}: this is no JSON Schema: {place(error.absolute_path)}: {error.message}") from None
    if "object" not in ([kinds] if isinstance(kinds := schema.get("type", "object"), str) else kinds):
        raise PlanError(f'{where}: "type" is {kinds!r}; properties are an object.')
    for part, resolver in parts(schema):
        if part.get("$schema", DRAFT) != DRAFT:
            raise PlanError(f'{where}: a part has "$schema" {part["$schema"]!r}; {DRAFT} is needed, or none.')
        for word in ("$ref", "$dynamicRef"):
            try:
                target = _target(resolver, part[word]).contents if word in part else True
                Draft202012Validator.check_schema(target)  # which may stand where no schema is looked for
            except (Unresolvable, SchemaError):
                raise PlanError(f'{where}: "{word}" {part[word]!r} leads nowhere within the schema.') from None
    return schema


def place(path: Any) -> str:
    """Where something is in a JSON document: `items[0].price`; `(all)` for the document itself."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text or "(all)"


def parts(schema: Schema) -> Iterator[tuple[Schema, Any]]:
    """Each schema within a schema, itself and what references lead to among them, with referencing's resolver for its place."""
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    waiting = [(schema, _resolver_of(schema))]
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
                found = _target(resolver, part[word])
                waiting.append((found.contents, found.resolver))


def follower(schema: Schema) -> Follow:
    """A function that gives the part of a schema that a reference leads to; true, which is anything, for one it cannot tell."""
    from referencing.exceptions import Unresolvable

    resolver = _resolver_of(schema)

    def follow(reference: str) -> Any:
        try:
            return _target(resolver, reference).contents
        except Unresolvable:  # from a part with an $id of its own
            return True

    return follow


def _resolver_of(schema: Schema) -> Any:
    """What referencing finds the parts of a schema with, and nothing outside of it."""
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    return Registry[Any]().resolver_with_root(DRAFT202012.create_resource(schema))


def _target(resolver: Any, reference: str) -> Any:
    """What a reference leads to, by referencing; raises its Unresolvable where that is nothing."""
    from referencing.exceptions import Unresolvable

    try:
        return resolver.lookup(reference)
    except (TypeError, ValueError):  # a pointer into a number, or to a place in a list that is no number
        raise Unresolvable(ref=reference) from None
