"""Rate limits for all processes that use a store, by the library `limits`; counted in the owner, where they all meet."""

from __future__ import annotations

import math
import threading
import time
from typing import Any


class Limits:
    """Counts requests by who makes them, in a sliding window of a minute."""

    def __init__(self) -> None:
        self._limiter: Any = None
        self._starting = threading.Lock()

    def hit(self, kind: str, who: str, per_minute: int) -> int:
        """Counts a request: 0 where it is allowed, else after how many seconds the next one may be."""
        from limits import RateLimitItemPerMinute

        item = RateLimitItemPerMinute(per_minute)
        limiter = self._started()
        if limiter.hit(item, kind, who):
            return 0
        reset_at: float = limiter.get_window_stats(item, kind, who).reset_time
        return max(1, math.ceil(reset_at - time.time()))

    def _started(self) -> Any:
        from limits.storage import MemoryStorage
        from limits.strategies import SlidingWindowCounterRateLimiter

        with self._starting:
            if self._limiter is None:
                self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
            return self._limiter
