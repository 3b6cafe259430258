"""The templates of pages, which escape everything that is not written in them."""

from __future__ import annotations

import math
import re
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
import msgspec

from falcon_events._version import __version__
from falcon_events.dashboard.static_files import address_of
from falcon_events.query.formats import describe_warnings

FOLDER = "markup"
NONE = "\u2013"
"""Stands for a number that there is not."""
MAX_SHOWN = 300
"""How many characters of a stored text a page shows."""
_CONTROLS = {code: 0x2400 + code for code in range(32)} | {127: 0x2421} | dict.fromkeys(range(128, 160), 65533)
_HIDDEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""Characters without width, those that turn the direction of writing, and halves of surrogate pairs."""


class Templates:
    """The templates, compiled when they are first used in this process."""

    def __init__(self) -> None:
        self._environment = _make_environment()

    def render(self, name: str, **data: Any) -> str:
        """Return a rendered template."""
        return self._environment.get_template(name).render(**data)


@cache
def _make_environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("falcon_events.dashboard", FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "visible": show_text,
        "number": format_number,
        "share": format_share,
        "seconds": format_seconds,
        "change": format_change,
        "points": format_points,
        "warnings": describe_warnings,
        "moment": format_moment,
        "bytes": format_bytes,
        "json_text": lambda value: msgspec.json.encode(value).decode(),
    }
    environment.globals |= {"static": address_of, "version": __version__}
    return environment


def show_text(value: Any, most: int = MAX_SHOWN) -> str:
    """Return stored text in a form that can be seen: control characters as pictures, and no more than `most` characters."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    shortened = text[:most] + "…" if len(text) > most else text
    return _HIDDEN.sub("\ufffd", shortened.translate(_CONTROLS))


def format_number(value: float | None, digits: int = 2) -> str:
    """Return a number with commas between thousands: 12,345.68; a dash for None."""
    if value is None:
        return NONE
    if isinstance(value, int) or (math.isfinite(value) and value == int(value)):
        return f"{int(value):,}"
    return f"{value:,.{digits}f}"


def format_share(value: float | None) -> str:
    """Return a share as a percentage: 0.1234 is 12.3 %; a dash for None."""
    return NONE if value is None else f"{value * 100:.1f} %"


def format_seconds(value: float | None) -> str:
    """Return a duration as people read it: 3 d 4 h, 2 h 5 min, 3 min 20 s, 7 s; a dash for None."""
    if value is None:
        return NONE
    whole = round(value)
    for unit_s, unit, part_s, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit_s:
            rest = whole % unit_s // part_s
            return f"{whole // unit_s} {unit} {rest} {part}" if rest else f"{whole // unit_s} {unit}"
    return f"{whole} s"


def format_bytes(value: int) -> str:
    """Return a size as people read it: 14.7 MB, 310 kB, 12 bytes."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if value >= unit:
            return f"{value / unit:.1f} {name}"
    return f"{value} bytes"


def format_change(now: float | None, before: float | None) -> str:
    """Return a change as a signed percentage: +12 %; empty if there is nothing to compare with."""
    if now is None or not before:
        return ""
    change = (now - before) / abs(before) * 100
    return f"{change:+.0f} %" if abs(change) >= 9.5 or change == 0 else f"{change:+.1f} %"


def format_points(now: float | None, before: float | None) -> str:
    """Return the change of a share in percentage points: +1.2 points; empty if there is nothing to compare with."""
    return "" if now is None or before is None else f"{(now - before) * 100:+.1f} points"


def format_moment(value: datetime | str | None, zone: str) -> str:
    """Return a moment as local time to the second: 2026-03-29 14:05:09; a dash for None."""
    if value is None:
        return NONE
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}"
