"""Passwords of shares, of which the store keeps only hashes by scrypt: `scrypt$n$r$p$salt$hash`, the last two in hexadecimal."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata

from falcon_events.errors import EventsError

MAX_PASSWORD = 1000
N, R, P = 1 << 14, 8, 5
"""The cost of a new hash: 16 MiB of memory, and some 0.2 s."""
SALT_BYTES = 16
_METHOD = "scrypt"


def hash_password(password: str) -> str:
    """Return a hash of a password with a random salt. Raises EventsError if the password is empty or too long."""
    if not 0 < len(password) <= MAX_PASSWORD:
        raise EventsError(f"password must be text of 1 to {MAX_PASSWORD} characters.")
    salt = secrets.token_bytes(SALT_BYTES)
    return f"{_METHOD}${N}${R}${P}${salt.hex()}${_derive(password, salt, N, R, P).hex()}"


def matches_password(password: str, password_hash: str) -> bool:
    """Whether a password is the one that was hashed. The time it takes does not tell how much of it is right."""
    method, *numbers, salt, expected = password_hash.split("$")
    n, r, p = map(int, numbers)
    if method != _METHOD:
        raise ValueError(f"Unknown method of hashing: {method}")
    if len(password) > MAX_PASSWORD:
        return False
    return hmac.compare_digest(_derive(password, bytes.fromhex(salt), n, r, p), bytes.fromhex(expected))


def _derive(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    # The same characters may be typed as different code points.
    written = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(written, salt=salt, n=n, r=r, p=p, maxmem=2 * 128 * n * r, dklen=32)
