"""The tracking plan, and how the stored events differ from it."""

from __future__ import annotations

from functools import partial

import msgspec

from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import Context, Page
from falcon_events.dashboard.rights import sees_whole_store
from falcon_events.dashboard.sections import show_section
from falcon_events.model import operations
from falcon_events.model.reports import OFF_PLAN, Metrics, ObservedProperty
from falcon_events.plan.drift import Drift, find_drift
from falcon_events.plan.plan import Plan
from falcon_events.plan.schema_facts import ANY, SchemaFacts
from falcon_events.runtime.steps import Call, Steps

ON_VIOLATION = {"reject": "refused", "report": "stored, counted and logged", "allow": "stored"}
"""The fate of an event by setting, as people read it."""
MOST = 500
"""How many differences a page shows."""


class PlannedProperty(msgspec.Struct, frozen=True):
    """A property of an event in the plan: its name, the types of its values, and whether every event must have it."""

    name: str
    kinds: str
    required: bool


def show_plan(context: Context) -> Steps[Reply]:
    """Show the planned events with their properties."""
    plan = context.tracking.plan
    off_plan = None
    if plan is not None and (yield from sees_whole_store(context)):
        metrics: Metrics = yield Call(context.tracking.store.call, operations.METRICS)
        off_plan = metrics.named_counts.get(OFF_PLAN, 0)
    return show_section(
        context,
        "data_plan.html",
        "Plan",
        plan=plan,
        events=[] if plan is None else describe_plan(plan),
        on_violation=ON_VIOLATION,
        off_plan=off_plan,
    )


def show_drift(context: Context) -> Steps[Reply]:
    """Show how the list's events differ from the plan."""
    plan = context.tracking.plan
    found: list[Drift] = []
    if plan is not None:
        observe = partial(context.tracking.admin.observed_properties, context.view.list_id)
        observed: list[ObservedProperty] = yield Call(observe)
        found = list(find_drift(plan, observed))
    if context.wants_csv:
        rows = [(one.event, one.property, str(one.kind), one.found) for one in found]
        return context.csv("plan-differences", ("event", "property", "difference", "found"), rows)
    return context.render("data_drift.html", title="Differences", found=found[:MOST], more=max(len(found) - MOST, 0))


def describe_plan(plan: Plan) -> list[tuple[str, list[PlannedProperty]]]:
    """Return the events of a plan, each with its properties."""
    events = []
    for event, schema in sorted(plan.schemas.items()):
        facts = SchemaFacts(schema)
        required = facts.required()
        planned = [PlannedProperty(name, _name_kinds(facts.kinds_of_property(name)), name in required) for name in facts.names()]
        events.append((event, sorted(planned, key=lambda one: (not one.required, one.name))))
    return events


def _name_kinds(kinds: frozenset[str]) -> str:
    if kinds == ANY:
        return "anything"
    shown = kinds - {"integer"} if "number" in kinds else kinds
    return " or ".join(sorted(shown)) or "not allowed"


PAGES = {"data.plan": Page(show_plan), "data.plan.drift": Page(show_drift)}
