"""Rate limits for all processes that use a store. The owner process counts the requests, with the library `limits`."""

from __future__ import annotations

import math
import threading
import time
from typing import Any


class RateLimiter:
    """Counter of requests by sender, in a sliding window of one minute."""

    def __init__(self) -> None:
        self._limiter: Any = None
        self._starting = threading.Lock()

    def hit(self, kind: str, who: str, per_minute: int) -> int:
        """Count a request. Return 0 if it is allowed, or else the seconds until the next one is."""
        from limits import RateLimitItemPerMinute

        item = RateLimitItemPerMinute(per_minute)
        limiter = self._get_limiter()
        if limiter.hit(item, kind, who):
            return 0
        reset_at: float = limiter.get_window_stats(item, kind, who).reset_time
        return max(1, math.ceil(reset_at - time.time()))

    def _get_limiter(self) -> Any:
        from limits.storage import MemoryStorage
        from limits.strategies import SlidingWindowCounterRateLimiter

        with self._starting:
            if self._limiter is None:
                self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
            return self._limiter
