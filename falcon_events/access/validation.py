"""What names of accounts and lists, and rules of lists, may be."""

from __future__ import annotations

from collections.abc import Iterable

from falcon_events.errors import EventsError
from falcon_events.model.access import ListRules

MAX_NAME = 200
MAX_RULED_NAMES = 1000
EMAIL_PROPERTY = "emailAddress"


def checked_name(name: str) -> str:
    """The name; raises EventsError where it is none."""
    if not name.strip() or len(name) > MAX_NAME:
        raise EventsError(f"name {name[:20]!r}: text of 1 to {MAX_NAME} characters is needed.")
    return name


def checked_rules(list_id: int, bots: str, denied: Iterable[str], redacted: Iterable[str]) -> ListRules:
    """A list's rules; raises EventsError where one is none."""
    rules = ListRules(list_id, bots, sorted(set(denied)), sorted(set(redacted)))  # type: ignore[arg-type]
    if bots not in ("drop", "tag", "keep"):
        raise EventsError(f"bots={bots!r}: drop, tag or keep is needed.")
    names = [*rules.denied, *rules.redacted]
    if len(names) > MAX_RULED_NAMES or any(not name or len(name) > MAX_NAME or name == EMAIL_PROPERTY for name in names):
        raise EventsError(
            f"A property's name has 1 to {MAX_NAME} characters and is not {EMAIL_PROPERTY}, which identify events have; "
            f"at most {MAX_RULED_NAMES} can be denied or redacted."
        )
    return rules
