"""When to try again: one event by the schedule that Standard Webhooks recommends, a whole receiver by doubling pauses."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

STEPS = (1, 60, 360, 1440, 3600, 7200, 10_080, 14_400, 17_280)
"""The waits after the first, second, ... failed attempt, in units of the first: 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 h."""
ATTEMPTS = len(STEPS) + 1
"""After so many failed attempts an event is given up."""
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 120.0
"""Of a receiver that is out of order, in the same units: from 1 s to 10 min."""
JITTER = 0.2
"""By this part a wait may be longer, so that not all come at once."""
MAX_RETRY_AFTER_S = 24 * 3600.0


class Schedule:
    """How long to wait.

    Args:
        backoff_s: the wait after an event's first failed attempt, in seconds.
        chance: a random number from 0 to 1.
    """

    def __init__(self, backoff_s: float, chance: Callable[[], float] = random.random) -> None:
        self._unit_s = backoff_s
        self._chance = chance

    def after(self, attempts: int) -> float | None:
        """The wait after so many failed attempts, in seconds; None where the event is given up."""
        return None if attempts >= ATTEMPTS else self._varied(STEPS[attempts - 1] * self._unit_s)

    def pause(self, failures: int) -> float:
        """How long a receiver is left alone that has been out of order so many times without a success in between, in seconds."""
        return self._varied(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 20)) * self._unit_s)

    def _varied(self, wait_s: float) -> float:
        return wait_s * (1 + JITTER * self._chance())


def retry_after_s(header: str | None, now: float) -> float | None:
    """What a Retry-After header asks for, in seconds from now: of two forms, and at most MAX_RETRY_AFTER_S; None for none."""
    if header is None:
        return None
    try:
        wait_s = float(int(header))
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
        except ValueError:
            return None
        wait_s = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    return min(max(0.0, wait_s), MAX_RETRY_AFTER_S)


def microseconds(moment: float) -> int:
    """A time in seconds since 1970 as the store has it."""
    return int(moment * 1e6)
