"""Tracking plans: which events there are, and what their properties are; no web framework, no database."""

from falcon_events.plan.declarations import event, typed
from falcon_events.plan.plan import Plan, Violations, plan_of

__all__ = ["Plan", "Violations", "event", "plan_of", "typed"]
