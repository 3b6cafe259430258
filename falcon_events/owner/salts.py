"""A random salt for each day, in the owner's memory only: what was hashed with it is nobody's to find out afterwards."""

from __future__ import annotations

import secrets
import threading

SALT_BYTES = 32


class Salts:
    """The salts of the days that processes ask for: today, and around midnight the day before."""

    def __init__(self) -> None:
        self._of: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def of(self, day: int) -> bytes:
        """The salt of a day, counted in days since 1970; those of earlier days are forgotten."""
        with self._lock:
            salt = self._of.setdefault(day, secrets.token_bytes(SALT_BYTES))
            self._of = {known: kept for known, kept in self._of.items() if known >= day - 1}
            return salt
