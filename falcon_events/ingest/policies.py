"""What changes or refuses a valid event: the host's hooks, its tracking plan, and the list's own rules."""

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
"""How often the log names an event that does not keep to the plan, in seconds."""


class Policies:
    """Holds events to what the host wants.

    Args:
        hooks: change, refuse or drop them; None for none.
        plan: what events there are and what their properties are; None for anything.
        told: gives the counter of what does not keep to the plan, which a forked child has anew.
    """

    def __init__(self, hooks: BeforeStore | None, plan: Plan | None, told: Callable[[], Counter[str]]) -> None:
        self._hooks = hooks
        self._plan = plan
        self._told = told
        self._log_at = 0.0
        self._unlogged = 0

    def apply(self, request: EventRequest, sender: Sender, size: int) -> Steps[tuple[EventRequest, int, bool]]:
        """The event to store, about how many bytes it takes, and whether a hook wants it only counted.

        Raises:
            EventRefused: a hook refuses it (code 18).
            InvalidRequest: it does not keep to the plan (code 17).
            RequestRefused: a hook failed (status 500).
        """
        if self._hooks is not None:
            made = yield from self._hooks.run(request, sender)
            if made is None:
                return request, size, True
            request, size = made
        plan = self._plan
        if plan is not None and (violations := plan.violations(request.event, request.properties, request.email)):
            self._told()[OFF_PLAN] += 1
            if violations.are_refused:
                raise InvalidRequest(422, [Failure(OFF_PLAN_CODE, text) for text in violations.texts])
            self._report(request.event, violations.places)
        return request, size, False

    def _report(self, event: str, places: str) -> None:
        """Names an event in the log, now and then: without its values, which may be personal data."""
        self._unlogged += 1
        if (now := time.monotonic()) >= self._log_at:
            self._log_at = now + LOG_EVERY_S
            text = "%d events do not keep to the plan and are stored; the last one is %a: %s"
            logger.warning(text, self._unlogged, event, places)
            self._unlogged = 0


def apply_rules(
    properties: dict[str, Any], traits: dict[str, Any] | None, rules: ListRules, bot: str | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """An event's properties and traits as its list has them stored.

    Args:
        properties: as they came.
        traits: as they came.
        rules: the list's.
        bot: why it is no visitor's, or None where it seems to be one's.
    """
    if rules.denied or rules.redacted:
        properties, traits = _allowed(properties, rules), traits and _allowed(traits, rules)
    if bot is not None and rules.bots == "tag":
        properties = {**properties, BOT: bot}
    return properties, traits


def _allowed(properties: dict[str, Any], rules: ListRules) -> dict[str, Any]:
    """Without the denied ones, and with nothing to read in the redacted ones."""
    return {name: REDACTED if name in rules.redacted else value for name, value in properties.items() if name not in rules.denied}
