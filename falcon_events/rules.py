"""A list's own rules, applied to an event before it is stored."""

from __future__ import annotations

from typing import Any

import msgspec

from falcon_events.store.records import NewEvent
from falcon_events.store.rights import ListRules

BOT = "$bot"
REDACTED = "[redacted]"


def ruled(event: NewEvent, rules: ListRules, bot: str | None, address: str | None) -> NewEvent:
    """The event as its list has it stored.

    Args:
        event: as it came.
        rules: the list's.
        bot: why it is no visitor's, or None where it seems to be one's.
        address: what is kept of the client's address.
    """
    if bot is None and address is None and not rules.denied and not rules.redacted:
        return event
    properties, traits = _allowed(event.properties, rules), event.traits and _allowed(event.traits, rules)
    if bot is not None and rules.bots == "tag":
        properties = {**properties, BOT: bot}
    return msgspec.structs.replace(
        event,
        properties=properties,
        traits=traits,
        client_address=address,
        dropped=bot is not None and rules.bots == "drop",
    )


def _allowed(properties: dict[str, Any], rules: ListRules) -> dict[str, Any]:
    """Without the denied ones, and with nothing to read in the redacted ones."""
    return {name: REDACTED if name in rules.redacted else value for name, value in properties.items() if name not in rules.denied}
