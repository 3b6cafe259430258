"""UUIDs: visitors', derived under a secret, so that one owner has one on every node without a look-up; and random ones."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import lru_cache

RANDOM_BLOCK = 256
OWNERS = 4_096
"""How many owners' uuids are remembered: whoever comes sends more than one event, and to derive one costs ten times as much."""

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""The variant is 10 in binary: the first two bits of the 17th digit."""
_AS_VARIANT = bytes.maketrans("".join(_VARIANT).encode(), "".join(_VARIANT.values()).encode())
_PATTERN = b"00000000-0000-4000-8000-000000000000"
_DIGITS = [place for place, character in enumerate(_PATTERN.decode()) if character != "-"]


@lru_cache(OWNERS)
def derived_uuid(namespace: bytes, list_id: int, kind: str, owner: str) -> str:
    """The UUIDv5 (RFC 9562, 5.5) of an owner within a list.

    Args:
        namespace: the store's 16 secret bytes; without them nobody can compute the uuid from an address.
        list_id: the list.
        kind: what `owner` is: "id" or "email".
        owner: the external id, or the address, lower-cased.
    """
    name = f"{list_id}:{kind}:{owner}".encode()
    text = hashlib.sha1(namespace + name, usedforsecurity=False).hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


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
    """One column of digits after the other for all of them: slices cost less than a block of texts put together singly."""
    digits = os.urandom(16 * RANDOM_BLOCK).hex().encode()
    text = bytearray(_PATTERN * RANDOM_BLOCK)
    for column, place in enumerate(_DIGITS):
        if column != 12:
            text[place::36] = digits[column::32]
    text[19::36] = digits[16::32].translate(_AS_VARIANT)
    made = text.decode()
    return [made[start : start + 36] for start in range(0, len(made), 36)]
