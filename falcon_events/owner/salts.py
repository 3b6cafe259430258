"""Random salts, one for each day, kept in the owner's memory only: once a salt is gone, its hashes cannot be reversed."""

from __future__ import annotations

import secrets
import threading

SALT_BYTES = 32


class DailySalts:
    """Salts of the days that processes ask for: today, and around midnight also the day before."""

    def __init__(self) -> None:
        self._salts: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def get(self, day: int) -> bytes:
        """Return the salt of a day, counted in days since 1970, and delete the salts from before the preceding day."""
        with self._lock:
            salt = self._salts.setdefault(day, secrets.token_bytes(SALT_BYTES))
            self._salts = {known: kept for known, kept in self._salts.items() if known >= day - 1}
            return salt
