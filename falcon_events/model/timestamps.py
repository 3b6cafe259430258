"""RFC 3339 date-times: parse and format them as microseconds since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]((?:[01][0-9]|2[0-3]):[0-5][0-9]:)([0-9]{2})(?:\.([0-9]+))?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
LAST_US = 253_402_300_799_999_999
"""The last moment of the year 9999, in microseconds since 1970."""


def parse_timestamp(text: str) -> int | None:
    """Parse an RFC 3339 date-time (section 5.6) into microseconds since 1970, UTC. Return None if the text is not one.

    Digits of a second beyond the sixth are cut off. A leap second (:60) counts as the second after it.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    date, minutes, second, fraction, offset = match.groups()
    leap = second == "60"
    try:
        if offset == "Z" and not leap:  # the form that browsers and exports write: fromisoformat() alone takes half the time
            since = datetime.fromisoformat(text) - _EPOCH
            return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        moment = datetime.fromisoformat(
            f"{date}T{minutes}{'59' if leap else second}.{(fraction or '0')[:6]:0<6}{'+00:00' if offset in 'Zz' else offset}"
        )
        # astimezone() raises if the time in UTC is outside the years 1 to 9999, which is all that datetime supports.
        return (moment.astimezone(UTC) + timedelta(seconds=leap) - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return None


def format_timestamp(microseconds: int) -> str:
    """Format microseconds since 1970 as an RFC 3339 date-time in UTC."""
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds")
