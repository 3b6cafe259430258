"""Policies that change or refuse a valid event: the host's hooks, its tracking plan, and the list's rules."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from falcon_events.contract.event import EventRequest
from falcon_events.errors import Failure, InvalidRequest
from falcon_events.hooks.before import BeforeStore
from falcon_events.model.access import ListRules
from falcon_events.model.reports import OFF_PLAN
from falcon_events.model.sender import Sender
from falcon_events.runtime.steps import Steps

if TYPE_CHECKING:
    from falcon_events.plan.plan import Plan

logger = logging.getLogger(__name__)

BOT = "$bot"
REDACTED = "[redacted]"
OFF_PLAN_CODE = 17
LOG_EVERY_S = 60.0
"""The least time between two log lines about events that violate the plan, in seconds."""


class Policies:
    """Applies the host's hooks and tracking plan to events.

    Args:
        hooks: the hooks that change, refuse or drop events; None: the host has none.
        plan: the tracking plan; None: any event is stored.
        get_counter: returns the counter of plan violations. A forked child has its own.
    """

    def __init__(self, hooks: BeforeStore | None, plan: Plan | None, get_counter: Callable[[], Counter[str]]) -> None:
        self._hooks = hooks
        self._plan = plan
        self._get_counter = get_counter
        self._log_at = 0.0
        self._unlogged = 0

    def apply(self, request: EventRequest, sender: Sender, size: int) -> Steps[tuple[EventRequest, int, bool]]:
        """Run the hooks on an event and check it against the plan.

        Returns:
            The event to store, about how many bytes it takes, and whether a hook dropped it, so that it is only counted.

        Raises:
            EventRefused: a hook refuses it (code 18).
            InvalidRequest: it violates the plan (code 17).
            RequestRefused: a hook failed (status 500).
        """
        if self._hooks is not None:
            changed = yield from self._hooks.run(request, sender)
            if changed is None:
                return request, size, True
            request, size = changed
        plan = self._plan
        if plan is not None and (violations := plan.violations(request.event, request.properties, request.email)):
            self._get_counter()[OFF_PLAN] += 1
            if violations.are_refused:
                raise InvalidRequest(422, [Failure(OFF_PLAN_CODE, text) for text in violations.texts])
            self._log(request.event, violations.places)
        return request, size, False

    def _log(self, event: str, places: str) -> None:
        """Log at most every LOG_EVERY_S seconds that events violate the plan, without values, which may be personal data."""
        self._unlogged += 1
        if (now := time.monotonic()) >= self._log_at:
            self._log_at = now + LOG_EVERY_S
            text = "%d events violate the tracking plan and are stored; the last one is %a: %s"
            logger.warning(text, self._unlogged, event, places)
            self._unlogged = 0


def apply_rules(
    properties: dict[str, Any], traits: dict[str, Any] | None, rules: ListRules, bot: str | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Apply a list's rules to an event; return the properties and traits to store.

    Args:
        properties: the event's properties.
        traits: the event's traits, or None.
        rules: the list's rules.
        bot: why no visitor sent it; None: a visitor seems to have sent it.
    """
    if rules.denied or rules.redacted:
        properties, traits = _filter(properties, rules), traits and _filter(traits, rules)
    if bot is not None and rules.bots == "tag":
        properties = {**properties, BOT: bot}
    return properties, traits


def _filter(properties: dict[str, Any], rules: ListRules) -> dict[str, Any]:
    """Return the properties without denied ones, and with the values of redacted ones replaced."""
    return {name: REDACTED if name in rules.redacted else value for name, value in properties.items() if name not in rules.denied}
