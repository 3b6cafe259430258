"""Tracking plans: the allowed events and their properties. Imports no web framework and no database."""

from falcon_events.plan.declarations import event, unpack_event
from falcon_events.plan.plan import Plan, Violations, resolve_plan

__all__ = ["Plan", "Violations", "event", "resolve_plan", "unpack_event"]
