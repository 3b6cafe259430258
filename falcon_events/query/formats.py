"""Numbers, values and warnings of answers, as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NONE = "(none)"


def escape(text: str) -> str:
    """Escape characters that a terminal would interpret instead of showing: names come from requests."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def describe_warning(warning: Any) -> str:
    """Say what a warning of an answer is about."""
    if warning["Code"] == "daily_totals":
        return f"before {warning['EventsFrom']}, these are the totals of days whose events the list's rule has deleted"
    if warning["Code"] == "events_deleted":
        return f"events before {warning['EventsFrom']} were deleted by the list's rule, and are missing in this answer"
    name = escape(warning["Name"])
    if warning["Code"] == "too_large":
        rows = f"{warning['Rows']:,} row{'s' * (warning['Rows'] != 1)}"
        return f"{name} is beyond the range of a double in {rows}; it is left out there"
    events = f"{warning['Events']:,} event{'s' * (warning['Events'] != 1)}"
    has = "have" if warning["Events"] != 1 else "has"
    return f"{events} {has} a {name} that is no number; it is left out"


def describe_warnings(warnings: Sequence[Any]) -> list[str]:
    """Say what the warnings of several answers that are shown together are about, each once."""
    codes = {one["Code"]: one for one in warnings}
    if {"daily_totals", "events_deleted"} <= codes.keys():
        day = codes["events_deleted"]["EventsFrom"]
        deleted = (
            f"events before {day} were deleted by the list's rule: some numbers have the totals of their days, others lack them"
        )
        others = [one for one in warnings if one["Code"] not in ("daily_totals", "events_deleted")]
        return list(dict.fromkeys([deleted, *map(describe_warning, others)]))
    return list(dict.fromkeys(map(describe_warning, warnings)))


def show_value(value: str | None) -> str:
    """Return the value of a dimension, so that a missing one and an empty one can be told apart."""
    return NONE if value is None else '""' if value == "" else value


def format_numbers(values: Sequence[float | None]) -> list[str]:
    """Format a column of numbers: thousands with commas, and as many decimals in each as any of them needs, at most two."""
    has_parts = any(isinstance(value, float) and not value.is_integer() for value in values)
    return [_format_number(value, has_parts) for value in values]


def format_share(share: float | None) -> str:
    """Format a share as percent."""
    return "-" if share is None else f"{share:.1%}"


def format_change(now: float | None, before: float | None) -> str:
    """Format the change from one number to another in percent."""
    if now is None or before is None:
        return "-"
    if before == 0:
        return "0.0%" if now == 0 else "new"
    return f"{(now - before) / abs(before):+,.1%}"


def format_seconds(seconds: float | None) -> str:
    """Format a length of time by its two largest units."""
    if seconds is None:
        return "-"
    if seconds < 10 and not float(seconds).is_integer():
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for length, unit, part_length, part in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= length:
            rest = whole % length // part_length
            return f"{whole // length:,}{unit}" + (f" {rest}{part}" if rest else "")
    return f"{whole}s"


def _format_number(value: float | None, has_parts: bool) -> str:
    if value is None:
        return "-"
    if abs(value) >= 1e15 or 0 < abs(value) < 0.005:
        return f"{value:.3g}"
    return f"{value:,.2f}" if has_parts else f"{value:,.0f}"
