"""UUIDs: a visitor's, derived from a secret and the visitor's ID or address, so that no lookup is needed; and random ones."""

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
    """Derive the UUIDv5 (RFC 9562, 5.5) of an owner within a list.

    Args:
        namespace: the store's 16 secret bytes, without which the UUID cannot be computed from an address.
        list_id: the list.
        kind: what `owner` is: "id" or "email".
        owner: the external ID, or the address in lower case.
    """
    name = f"{list_id}:{kind}:{owner}".encode()
    digits = hashlib.sha1(namespace + name, usedforsecurity=False).hexdigest()
    # The version is the 13th digit; the variant (binary 10) is the first two bits of the 17th (RFC 9562, 4.1 and 4.2).
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:32]}"


class RandomUUIDs(Iterator[str]):
    """An endless iterator of UUIDv4s (RFC 9562, 5.4) for any number of threads. One system call gives many of them.

    A forked child needs a new one: it would repeat the UUIDs of its parent's.
    """

    def __init__(self) -> None:
        self._block: list[str] = []

    def __next__(self) -> str:
        while True:
            try:
                return self._block.pop()
            except IndexError:
                self._block = _generate_block()


def _generate_block() -> list[str]:
    """Generate RANDOM_BLOCK UUIDs. Setting version and variant for all at once takes a third of the time."""
    block = bytearray(os.urandom(16 * RANDOM_BLOCK))
    block[6::16] = block[6::16].translate(_VERSION_4_BYTE)
    block[8::16] = block[8::16].translate(_VARIANT_BYTE)
    return [b"-".join(groups).decode() for groups in _GROUPS.iter_unpack(block.hex().encode())]
