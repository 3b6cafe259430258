"""Validation of the names of accounts and lists, and of the rules of lists."""

from __future__ import annotations

from collections.abc import Iterable

from falcon_events.errors import EventsError
from falcon_events.model.access import MAX_INDEXED, ListRules
from falcon_events.model.time_zones import find_time_zone

MAX_NAME = 200
MAX_RULE_NAMES = 1000
MAX_KEEP_DAYS = 36_500
"""A hundred years."""
EMAIL_PROPERTY = "emailAddress"


def explain_missing_list(list_id: int) -> str:
    """Say that a list does not exist, and what host code calls to create it."""
    call = f"tracking.directory.ensure_list({list_id}, 'its name')"
    return f"There is no list {list_id}. When your application starts, call {call}."


def check_name(name: str) -> str:
    """Check the name of an account or list and return it. Raises EventsError."""
    if not name.strip() or len(name) > MAX_NAME:
        raise EventsError(f"name {name[:20]!r} must be text of 1 to {MAX_NAME} characters.")
    return name


def build_rules(
    list_id: int,
    bots: str,
    denied: Iterable[str],
    redacted: Iterable[str],
    time_zone: str = "UTC",
    indexed: Iterable[str] = (),
    keep_days: int | None = None,
) -> ListRules:
    """Build the rules of a list. Raises EventsError if they are invalid."""
    names_of = [sorted(set(given)) for given in (denied, redacted, indexed)]
    rules = ListRules(list_id, bots, names_of[0], names_of[1], time_zone, names_of[2], keep_days)  # type: ignore[arg-type]
    if bots not in ("drop", "tag", "keep"):
        raise EventsError(f"bots={bots!r} must be drop, tag or keep.")
    names = [*rules.denied, *rules.redacted]
    if len(names) > MAX_RULE_NAMES or any(not name or len(name) > MAX_NAME or name == EMAIL_PROPERTY for name in names):
        raise EventsError(
            f"denied and redacted must be names of properties, of 1 to {MAX_NAME} characters each and at most {MAX_RULE_NAMES} "
            f"together. {EMAIL_PROPERTY} is not allowed, because identify events need it."
        )
    if len(rules.indexed) > MAX_INDEXED or any(not name or len(name) > MAX_NAME for name in rules.indexed):
        raise EventsError(f"indexed must be at most {MAX_INDEXED} names of properties, of 1 to {MAX_NAME} characters each.")
    if find_time_zone(time_zone) is None:
        raise EventsError(f"time_zone={time_zone[:40]!r} must be the IANA name of a time zone, such as Europe/Berlin.")
    if keep_days is not None:
        check_keep_days(keep_days)
    return rules


def check_keep_days(keep_days: int) -> None:
    """Check for how many days events are kept. Raises EventsError."""
    if isinstance(keep_days, bool) or not isinstance(keep_days, int) or not 1 <= keep_days <= MAX_KEEP_DAYS:
        raise EventsError(f"keep_days={keep_days!r} must be a whole number from 1 to {MAX_KEEP_DAYS}.")
