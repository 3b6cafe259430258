"""A list's own rules, applied to an event before it is stored."""

from __future__ import annotations

from typing import Any

from falcon_events.store.rights import ListRules

BOT = "$bot"
REDACTED = "[redacted]"


def ruled(
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
