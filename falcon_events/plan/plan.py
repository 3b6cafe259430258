"""Tracking plan: the schema of each event's properties, and how events that violate it are treated."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, get_args

import msgspec

from falcon_events.errors import PlanError
from falcon_events.plan.declarations import build_schema, get_event_type
from falcon_events.plan.fast_path import make_fast_check
from falcon_events.plan.schema_facts import SchemaFacts
from falcon_events.plan.schemas import Schema, check_schema, format_path, read_folder
from falcon_events.plan.validator import make_validator
from falcon_events.settings import Settings

OnViolation = Literal["reject", "report"]
Unknown = Literal["allow", "reject", "report"]

MAX_TEXTS = 10
"""The largest number of failures that are reported of one event."""
MAX_REASON = 300
"""The most characters of a reason, which can quote a value that the sender has sent."""
_API_PROPERTIES = {
    "identify": frozenset({"isTest", "emailAddress"}),
    "conversion": frozenset({"isTest", "conversion-id", "conversion-name", "conversion-value"}),
}
_API_PROPERTIES_OF_ANY_EVENT = frozenset({"isTest"})


class Violations(msgspec.Struct, frozen=True):
    """Violations of a plan by one event."""

    are_refused: bool
    """Whether the event is refused. Otherwise the violations are only reported."""
    texts: list[str]
    """Texts for the sender, each with the property and the reason."""
    places: str
    """Text for the log, without values of the sender: each property and the violated keyword of the schema."""


class Plan:
    """Tracking plan: the allowed events and their properties.

    Properties that the API itself defines are always allowed, unless the schema names them: those that start with `$`,
    `isTest`, `emailAddress` of an identify event and the three of a conversion.

    Args:
        events: classes that `@event` declares.
        schemas: JSON Schemas of draft 2020-12 for an event's properties, by event type.
        on_violation: what happens to an event whose properties violate the plan: `reject` refuses it (422, code 17); `report`
            stores, counts and logs it.
        unknown: what happens to an event that is not in the plan: `allow`, `reject` or `report`. An identify event is never
            unknown.

    Raises:
        PlanError: an argument is invalid; the message names it.
    """

    def __init__(
        self,
        *events: type,
        schemas: Mapping[str, Schema] | None = None,
        on_violation: OnViolation = "reject",
        unknown: Unknown = "allow",
    ) -> None:
        _check_choice("on_violation", on_violation, get_args(OnViolation))
        _check_choice("unknown", unknown, get_args(Unknown))
        self.on_violation = on_violation
        self.unknown = unknown
        self.schemas: dict[str, Schema] = {}
        """The schema of each event's properties, by event type."""
        for kind in events:
            name = get_event_type(kind) if isinstance(kind, type) else None
            if name is None:
                raise PlanError(f"Plan({kind!r}): each event must be a class that @event declares.")
            self._add(name, build_schema(kind), kind.__qualname__)
        for name, schema in (schemas or {}).items():
            self._add(name, schema, f"schemas[{name!r}]")
        if not self.schemas:
            raise PlanError("A plan needs events: classes that @event declares, or schemas.")
        self._checks = {name: _PropertiesCheck(name, schema) for name, schema in self.schemas.items()}

    @classmethod
    def from_folder(cls, path: str | Path, *, on_violation: OnViolation = "reject", unknown: Unknown = "allow") -> Self:
        """Read a plan from a folder with a JSON Schema for each event: `checkout.json` for the properties of `checkout`.

        Args:
            path: the folder.
            on_violation: see Plan.
            unknown: see Plan.

        Raises:
            PlanError: the folder has no valid plan; the message names the file and what is wrong.
        """
        return cls(schemas=read_folder(path), on_violation=on_violation, unknown=unknown)

    def violations(self, event: str, properties: Mapping[str, Any], email: str | None = None) -> Violations | None:
        """Return the violations of the plan by an event, or None if there are none.

        Args:
            event: the event type.
            properties: the properties, with values that JSON can hold.
            email: the email address sent with the event. It becomes the `emailAddress` of an identify event that has none.
        """
        check = self._checks.get(event)
        if check is not None:
            found = check.run(properties, email)
            if not found:
                return None
            texts = [f"Properties do not keep to the plan of event {event}: {text}" for _, text in found]
            return Violations(self.on_violation == "reject", texts, ", ".join(where for where, _ in found))
        if self.unknown == "allow" or event == "identify":
            return None
        return Violations(self.unknown == "reject", [f"The plan has no event {event!r}."], "unknown event")

    def _add(self, name: str, schema: Schema, where: str) -> None:
        if name in self.schemas:
            raise PlanError(f"{where}: the plan already has an event {name!r}.")
        self.schemas[name] = check_schema(schema, where)


class _PropertiesCheck:
    """Check of the properties of one event type."""

    def __init__(self, event: str, schema: Schema) -> None:
        self._find_errors = make_validator(_allow_api_properties(schema, event), MAX_TEXTS)
        self._accepts = make_fast_check(schema)
        self._declared = SchemaFacts(schema).mentioned()
        self._api_properties = get_api_properties(event) - self._declared
        self._wants_address = event == "identify" and "emailAddress" in self._declared

    def run(self, properties: Mapping[str, Any], email: str | None) -> list[tuple[str, str]]:
        """Return the violations: for each, the property and keyword for the log, and a text for the sender."""
        if self._wants_address and email is not None:
            properties = {"emailAddress": email, **properties}
        if self._accepts is not None and self._accepts(properties):
            return []
        planned = {name: value for name, value in properties.items() if not self._is_api_property(name)}
        try:
            errors = self._find_errors(planned)
        except RecursionError:
            return [("nested too deep", "they are nested too deep to be checked.")]
        found = {}
        for error in errors:
            where = format_path(error.absolute_path)
            reason = error.message if len(error.message) <= MAX_REASON else error.message[:MAX_REASON] + "…"
            found[f"{where}: {reason}." if error.absolute_path else f"{reason}."] = f"{ascii(where)[1:-1]} ({error.validator})"
        return sorted((where, text) for text, where in found.items())

    def _is_api_property(self, name: str) -> bool:
        return name in self._api_properties or (name.startswith("$") and name not in self._declared)


def _allow_api_properties(schema: Schema, event: str) -> Schema:
    """Return the schema with each required property of the API added to `properties`, so that it is not an unknown one."""
    own = [name for name in schema.get("required", ()) if name.startswith("$") or name in get_api_properties(event)]
    return {**schema, "properties": {**dict.fromkeys(own, True), **schema.get("properties", {})}} if own else schema


def resolve_plan(given: Plan | str | Path | None, settings: Settings) -> Plan | None:
    """Return the plan that an argument or else the settings name, or None. Raises PlanError if it cannot be read."""
    if isinstance(given, Plan):
        return given
    folder = given or settings.plan_folder
    if not folder:
        return None
    read = partial(Plan.from_folder, on_violation=settings.plan_violations, unknown=settings.plan_unknown)  # type: ignore[arg-type]
    return read(folder)


def get_api_properties(event: str) -> frozenset[str]:
    """Return the properties that the API itself defines for events of this type, besides those that start with `$`."""
    return _API_PROPERTIES.get(event, _API_PROPERTIES_OF_ANY_EVENT)


def _check_choice(argument: str, value: str, values: tuple[str, ...]) -> None:
    if value not in values:
        raise PlanError(f"{argument}={value!r} must be {' or '.join(values)}.")
