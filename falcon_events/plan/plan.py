"""A tracking plan: the schema of each event's properties, and what becomes of events that do not keep to it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, get_args

import msgspec

from falcon_events.errors import PlanError
from falcon_events.plan.declarations import name_of, schema_of
from falcon_events.plan.fast_path import plain_acceptor
from falcon_events.plan.schema_facts import Reading
from falcon_events.plan.schemas import Schema, checked, place, read_folder
from falcon_events.plan.validator import first_errors
from falcon_events.settings import Settings

OnViolation = Literal["reject", "report"]
Unknown = Literal["allow", "reject", "report"]

MOST_TEXTS = 10
"""How many failures of one event are told."""
MOST_LETTERS = 300
"""How long a reason may be: it can quote what the sender has sent."""
_OF_THE_API = {
    "identify": frozenset({"isTest", "emailAddress"}),
    "conversion": frozenset({"isTest", "conversion-id", "conversion-name", "conversion-value"}),
}
_OF_EVERY_EVENT = frozenset({"isTest"})


class Violations(msgspec.Struct, frozen=True):
    """How an event does not keep to the plan."""

    are_refused: bool
    """Whether it is to be refused, rather than reported."""
    texts: list[str]
    """For its sender: the property and the reason."""
    places: str
    """For a log, without the sender's values: each property and the keyword of the schema."""


class Plan:
    """Which events there are, and what their properties are.

    Names that the API itself gives properties are no unknown ones, whatever a schema says: those that start with `$`, `isTest`,
    and `emailAddress` of an identify event or the three of a conversion, unless the schema names them.

    Args:
        events: classes that `@event` declares.
        schemas: JSON Schemas of draft 2020-12 for an event's properties, by event type.
        on_violation: what becomes of an event whose properties are not as planned: `reject` (422, code 17) or `report` (it is
            stored, counted and logged).
        unknown: what becomes of an event that the plan does not have: `allow`, `reject` or `report`. An identify event is
            never unknown.

    Raises:
        PlanError: one of them cannot be; the message names it.
    """

    def __init__(
        self,
        *events: type,
        schemas: Mapping[str, Schema] | None = None,
        on_violation: OnViolation = "reject",
        unknown: Unknown = "allow",
    ) -> None:
        _one_of("on_violation", on_violation, get_args(OnViolation))
        _one_of("unknown", unknown, get_args(Unknown))
        self.on_violation = on_violation
        self.unknown = unknown
        self.schemas: dict[str, Schema] = {}
        """The schema of each event's properties, by event type."""
        for kind in events:
            name = name_of(kind) if isinstance(kind, type) else None
            if name is None:
                raise PlanError(f"Plan({kind!r}): a class that @event declares is needed.")
            self._add(name, schema_of(kind), kind.__qualname__)
        for name, schema in (schemas or {}).items():
            self._add(name, schema, f"schemas[{name!r}]")
        if not self.schemas:
            raise PlanError("A plan needs events: classes that @event declares, or schemas.")
        self._judges = {name: _Judge(name, schema) for name, schema in self.schemas.items()}

    @classmethod
    def from_folder(cls, path: str | Path, *, on_violation: OnViolation = "reject", unknown: Unknown = "allow") -> Self:
        """The plan of a folder with a JSON Schema for each event: `checkout.json` for the properties of `checkout`.

        Args:
            path: the folder.
            on_violation: as with Plan.
            unknown: as with Plan.

        Raises:
            PlanError: the folder has no plan; the message names the file and what is wrong.
        """
        return cls(schemas=read_folder(path), on_violation=on_violation, unknown=unknown)

    def violations(self, event: str, properties: Mapping[str, Any], email: str | None = None) -> Violations | None:
        """How an event does not keep to the plan, or None where it does.

        Args:
            event: its type.
            properties: what JSON can hold.
            email: the sender's address for its visitor, which becomes the `emailAddress` of an identify event that has none.
        """
        judge = self._judges.get(event)
        if judge is not None:
            found = judge.violations(properties, email)
            if not found:
                return None
            texts = [f"Properties do not keep to the plan of event {event}: {text}" for _, text in found]
            return Violations(self.on_violation == "reject", texts, ", ".join(where for where, _ in found))
        if self.unknown == "allow" or event == "identify":
            return None
        return Violations(self.unknown == "reject", [f"The plan has no event {event!r}."], "unknown event")

    def _add(self, name: str, schema: Schema, where: str) -> None:
        if name in self.schemas:
            raise PlanError(f"{where}: the plan has an event {name!r} already.")
        self.schemas[name] = checked(schema, where)


class _Judge:
    def __init__(self, event: str, schema: Schema) -> None:
        self._errors = first_errors(_with_names_of_the_api(schema, event), MOST_TEXTS)
        self._accepts = plain_acceptor(schema)
        self._declared = Reading(schema).mentioned()
        self._own = names_of_the_api(event) - self._declared
        self._wants_address = event == "identify" and "emailAddress" in self._declared

    def violations(self, properties: Mapping[str, Any], email: str | None) -> list[tuple[str, str]]:
        """Each as place and keyword, and as a text for the sender."""
        if self._wants_address and email is not None:
            properties = {"emailAddress": email, **properties}
        if self._accepts is not None and self._accepts(properties):
            return []
        planned = {name: value for name, value in properties.items() if not self._is_the_apis(name)}
        try:
            errors = self._errors(planned)
        except RecursionError:
            return [("nested too deep", "they are nested too deep to tell.")]
        found = {}
        for error in errors:
            where = place(error.absolute_path)
            reason = error.message if len(error.message) <= MOST_LETTERS else error.message[:MOST_LETTERS] + "…"
            found[f"{where}: {reason}." if error.absolute_path else f"{reason}."] = f"{ascii(where)[1:-1]} ({error.validator})"
        return sorted((where, text) for text, where in found.items())

    def _is_the_apis(self, name: str) -> bool:
        return name in self._own or (name.startswith("$") and name not in self._declared)


def _with_names_of_the_api(schema: Schema, event: str) -> Schema:
    """The schema, in which a name that the API itself gives properties is no unknown one where it is required."""
    own = [name for name in schema.get("required", ()) if name.startswith("$") or name in names_of_the_api(event)]
    return {**schema, "properties": {**dict.fromkeys(own, True), **schema.get("properties", {})}} if own else schema


def plan_of(given: Plan | str | Path | None, settings: Settings) -> Plan | None:
    """The plan that an argument or else the settings ask for; raises PlanError where there is none."""
    if isinstance(given, Plan):
        return given
    folder = given or settings.plan_folder
    if not folder:
        return None
    read = partial(Plan.from_folder, on_violation=settings.plan_violations, unknown=settings.plan_unknown)  # type: ignore[arg-type]
    return read(folder)


def names_of_the_api(event: str) -> frozenset[str]:
    """The properties that the API itself gives an event of this type, beside those that start with `$`."""
    return _OF_THE_API.get(event, _OF_EVERY_EVENT)


def _one_of(argument: str, value: str, values: tuple[str, ...]) -> None:
    if value not in values:
        raise PlanError(f"{argument}={value!r}: {' or '.join(values)} is needed.")
