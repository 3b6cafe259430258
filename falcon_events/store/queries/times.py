"""Times as the tables keep them: UTC without a time zone."""

from __future__ import annotations

from datetime import UTC, datetime


def to_naive_utc(moment: datetime) -> datetime:
    """Return a moment as a column has it."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def as_utc(moment: datetime) -> datetime:
    """Return the moment that a column's value stands for."""
    return moment.replace(tzinfo=UTC)
