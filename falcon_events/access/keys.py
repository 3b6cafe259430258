"""Keys and what is kept of them: made at random, or derived for web pages; only hashes are stored."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence

import msgspec

from falcon_events.access.protocol import Scope


class NewKey(msgspec.Struct, frozen=True):
    """A key just made: the only time that the key itself is shown."""

    key_id: str
    key: str


def hash_of(secret: str) -> bytes:
    """What the store keeps of a key or a session id."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def random_key(scope: Scope) -> NewKey:
    """A key that nobody can make again."""
    return NewKey(f"key_{secrets.token_hex(6)}", f"fe_{scope}_{secrets.token_urlsafe(32)}")


def page_key(store_secret: bytes, owner: str, list_id: int, origins: Sequence[str] | None, turn: int) -> NewKey:
    """A key of scope `ingest` that every process of a store makes alike.

    Args:
        store_secret: the store's secret bytes; without them nobody can compute the key.
        owner: the id of the account that it belongs to.
        list_id: the list that it is bound to.
        origins: the web origins that it is bound to, sorted; None for any.
        turn: how many such keys were revoked before this one.
    """
    subject = json.dumps(["page key", owner, list_id, origins, turn]).encode()
    digest = hmac.digest(store_secret, subject, "sha256")
    key = f"fe_{Scope.INGEST}_{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
    return NewKey(f"key_{hash_of(key).hex()[:12]}", key)
