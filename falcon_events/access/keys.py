"""API keys: random ones, and keys for web pages, which are derived. The store keeps only their hashes."""

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
    """New key. This is the only time that the key itself is shown."""

    key_id: str
    key: str


def hash_secret(secret: str) -> bytes:
    """Return the hash that the store keeps of a key or session id."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def generate_key(scope: Scope) -> NewKey:
    """Return a random key."""
    return NewKey(f"key_{secrets.token_hex(6)}", f"fe_{scope}_{secrets.token_urlsafe(32)}")


def derive_page_key(store_secret: bytes, owner: str, list_id: int, origins: Sequence[str] | None, turn: int) -> NewKey:
    """Derive a key of scope `ingest`, which is the same in every process that uses the store.

    Args:
        store_secret: the store's secret bytes, without which nobody can compute the key.
        owner: the id of the account that the key belongs to.
        list_id: the list that the key is bound to.
        origins: the web origins that the key is bound to, sorted. None: any origin.
        turn: the number of such keys that were revoked before this one.
    """
    subject = json.dumps(["page key", owner, list_id, origins, turn]).encode()
    digest = hmac.digest(store_secret, subject, "sha256")
    key = f"fe_{Scope.INGEST}_{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
    return NewKey(f"key_{hash_secret(key).hex()[:12]}", key)
