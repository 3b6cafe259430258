"""UUIDs: visitors', derived under a secret, so that one owner has one on every node without a look-up; and random ones."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator

RANDOM_BLOCK = 256


def derived_uuid(namespace: bytes, list_id: int, kind: str, owner: str) -> str:
    """The UUIDv5 (RFC 9562, 5.5) of an owner within a list.

    Args:
        namespace: the store's 16 secret bytes; without them nobody can compute the uuid from an address.
        list_id: the list.
        kind: what `owner` is: "id" or "email".
        owner: the external id, or the address, lower-cased.
    """
    name = f"{list_id}:{kind}:{owner}".encode()
    digest = bytearray(hashlib.sha1(namespace + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def random_uuids() -> Iterator[str]:
    """UUIDv4s (RFC 9562, 5.4) without end; many from one system call, during which another thread may take over."""
    while True:
        block = os.urandom(16 * RANDOM_BLOCK)
        for start in range(0, len(block), 16):
            yield str(uuid.UUID(bytes=block[start : start + 16], version=4))
