"""Retry schedule: the waits of an event as Standard Webhooks recommends, and doubling pauses for a receiver that fails."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC

STEPS = (1, 60, 360, 1440, 3600, 7200, 10_080, 14_400, 17_280)
"""The waits after the first, second, ... failed attempt, in units of the first: 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 h."""
MAX_ATTEMPTS = len(STEPS) + 1
"""The number of failed attempts after which an event is given up."""
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 120.0
"""The pauses of a receiver that fails, in the same units: from 1 s to 10 min."""
JITTER = 0.2
"""The fraction by which a wait may be longer, so that retries do not come all at once."""
MAX_RETRY_AFTER_S = 24 * 3600.0


class Schedule:
    """Waits between attempts.

    Args:
        backoff_s: the wait after an event's first failed attempt, in seconds.
        chance: returns a random number from 0 to 1.
    """

    def __init__(self, backoff_s: float, chance: Callable[[], float] = random.random) -> None:
        self._unit_s = backoff_s
        self._chance = chance

    def compute_wait_s(self, attempts: int) -> float | None:
        """Return the wait after this many failed attempts of an event, in seconds. None: the event is given up."""
        return None if attempts >= MAX_ATTEMPTS else self._add_jitter(STEPS[attempts - 1] * self._unit_s)

    def compute_pause_s(self, failures: int) -> float:
        """Return how long a receiver gets no events after this many failures in a row, in seconds."""
        return self._add_jitter(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 20)) * self._unit_s)

    def _add_jitter(self, wait_s: float) -> float:
        return wait_s * (1 + JITTER * self._chance())


def parse_retry_after(header: str | None, now: float) -> float | None:
    """Parse a Retry-After header, which is a number of seconds or a date.

    Returns:
        The seconds from now, at most MAX_RETRY_AFTER_S. None: there is no header, or it is invalid.
    """
    if header is None:
        return None
    try:
        wait_s = float(int(header))
    except ValueError:
        from email.utils import parsedate_to_datetime  # rarely needed, and slow to import

        try:
            moment = parsedate_to_datetime(header)
        except ValueError:
            return None
        wait_s = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    return min(max(0.0, wait_s), MAX_RETRY_AFTER_S)


def to_microseconds(moment: float) -> int:
    """Convert a time in seconds since 1970 to microseconds, as the store keeps it."""
    return int(moment * 1e6)
