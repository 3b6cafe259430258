"""UUIDs: visitors', derived under a secret, so that one owner has one on every node without a look-up; and random ones."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator

RANDOM_BLOCK = 256
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_VERSION_4_BYTE = bytes(byte & 0x0F | 0x40 for byte in range(256))
_VARIANT_BYTE = bytes(byte & 0x3F | 0x80 for byte in range(256))
_GROUPS = struct.Struct("8s4s4s4s12s")


def derive_uuid(namespace: bytes, list_id: int, kind: str, owner: str) -> str:
    """The UUIDv5 (RFC 9562, 5.5) of an owner within a list.

    Args:
        namespace: the store's 16 secret bytes; without them nobody can compute the uuid from an address.
        list_id: the list.
        kind: what `owner` is: "id" or "email".
        owner: the external id, or the address, lower-cased.
    """
    name = f"{list_id}:{kind}:{owner}".encode()
    digits = hashlib.sha1(namespace + name, usedforsecurity=False).hexdigest()
    # The version is the 13th digit; the variant (10 in binary) the first two bits of the 17th (RFC 9562, 4.1 and 4.2).
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:32]}"


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
    """Version and variant are set, and the dashes, for all at once: one after the other they would take three times as long."""
    block = bytearray(os.urandom(16 * RANDOM_BLOCK))
    block[6::16] = block[6::16].translate(_VERSION_4_BYTE)
    block[8::16] = block[8::16].translate(_VARIANT_BYTE)
    return [b"-".join(groups).decode() for groups in _GROUPS.iter_unpack(block.hex().encode())]
