"""UUIDs: visitors', derived under a secret, so that one owner has one on every node without a look-up; and random ones."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

RANDOM_BLOCK = 256
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def derived_uuid(namespace: bytes, list_id: int, kind: str, owner: str) -> str:
    """The UUIDv5 (RFC 9562, 5.5) of an owner within a list.

    Args:
        namespace: the store's 16 secret bytes; without them nobody can compute the uuid from an address.
        list_id: the list.
        kind: what `owner` is: "id" or "email".
        owner: the external id, or the address, lower-cased.
    """
    name = f"{list_id}:{kind}:{owner}".encode()
    return _as_version(5, hashlib.sha1(namespace + name, usedforsecurity=False).hexdigest())


class RandomUUIDs(Iterator[str]):
    """UUIDv4s (RFC 9562, 5.4) without end, for any number of threads; many from one system call.

    A child must not go on with its parent's: it makes one of its own.
    """

    def __init__(self) -> None:
        self._block: list[str] = []

    def __next__(self) -> str:
        while True:
            try:
                return self._block.pop()
            except IndexError:
                self._block = _random_block()


def _random_block() -> list[str]:
    text = os.urandom(16 * RANDOM_BLOCK).hex()
    return [_as_version(4, text[start : start + 32]) for start in range(0, len(text), 32)]


def _as_version(version: int, digits: str) -> str:
    """The version stands in the 13th digit, the variant (10 in binary) in the first two bits of the 17th."""
    return f"{digits[:8]}-{digits[8:12]}-{version}{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:32]}"
