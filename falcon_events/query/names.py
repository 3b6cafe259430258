"""The names that a question may use: metrics, dimensions, operators, and the limits of a question."""

from __future__ import annotations

METRICS = (
    *("events", "visitors", "people", "sessions", "conversions", "revenue", "views"),
    *("bounce_rate", "session_seconds", "views_per_session"),
)
AGGREGATES = ("sum", "avg", "min", "max", "median", "p95", "distinct")
TIME_UNITS = ("minute", "hour", "day", "week", "month")
COLUMNS = (
    *("event", "path", "host", "url", "title", "referrer", "referring_domain"),
    *("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"),
    *("browser", "browser_version", "os", "device_type", "language", "screen"),
)
"""Dimensions that are columns of the relation of events (source.py)."""
SESSION_DIMENSIONS = ("entry_path", "exit_path")
CAMPAIGN_DIMENSIONS = ("campaign", "source")
PERSON_DIMENSIONS = ("visitor", "person")
DIMENSIONS = (*COLUMNS, *SESSION_DIMENSIONS, *CAMPAIGN_DIMENSIONS, *PERSON_DIMENSIONS)
PREFIXES = ("property:", "trait:")
"""The beginnings of dimensions that name something of the sender's."""
TIMES_OF_PERSONS = ("first_seen", "last_seen")

TEXT_OPERATORS = ("contains", "contains_not", "starts_with", "ends_with", "matches", "matches_not")
NUMBER_OPERATORS = (">", ">=", "<", "<=", "between")
OPERATORS = ("is", "is_not", *TEXT_OPERATORS, *NUMBER_OPERATORS, "is_set", "is_not_set")
COUNT_OPERATORS = {"is": "=", "is_not": "<>", ">": ">", ">=": ">=", "<": "<", "<=": "<="}
"""The operators of a count, with those of SQL."""
NEGATIVES = {"is_not": "is", "contains_not": "contains", "matches_not": "matches", "is_not_set": "is_set"}
"""Each negative operator, with the operator whose complement it is."""

BY = ("people", "visitors", "sessions")
"""The units that a funnel counts. A retention counts no sessions, which do not come back."""
STEP_ORDERS = ("sequential", "strict")
RETENTION_UNITS = {"day": 86_400_000_000, "week": 7 * 86_400_000_000, "month": 30 * 86_400_000_000}
"""The units of a retention, with their rolling length in microseconds."""
RETENTION_FIRSTS = ("ever", "in_range")
RETENTION_MODES = ("calendar", "rolling")

MIN_STEPS, MAX_STEPS = 2, 10
MAX_PERIODS = 52
MAX_METRICS = 10
MAX_DIMENSIONS = 3
MAX_CONDITIONS = 50
MAX_DEPTH = 4
MAX_DONE = 8
MAX_BUCKETS = 2_000
MAX_ROWS = 10_000
MAX_OFFSET = 100_000
MAX_VALUES = 1_000
"""How many values one condition may have."""
MAX_PATTERNS = 50
"""How many regular expressions a question may have, those of its saved segments included."""
MAX_PATTERN_CHARS = 1_000


def is_dimension(name: object) -> bool:
    """Return whether a name is that of a dimension that is no time dimension."""
    return isinstance(name, str) and (name in DIMENSIONS or name.startswith(PREFIXES))


def is_time_dimension(name: object) -> bool:
    """Return whether a name is that of a time dimension."""
    return isinstance(name, str) and name.startswith("time:") and name.removeprefix("time:") in TIME_UNITS
