"""Client addresses, reduced to what is stored: nothing, the network, a hash that changes daily, or the full address."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
from collections.abc import Callable

from falcon_events.link.link import Link
from falcon_events.model.operations import SALT
from falcon_events.runtime.steps import Steps

DAY_S = 86_400
KEPT_BITS = {4: 24, 6: 48}
"""How many bits of an address `truncated` keeps, by IP version: the network, not the machine."""
HASH_BYTES = 16


class ClientAddresses:
    """Reduces client addresses to what may be stored.

    Args:
        store: the link to the store, whose owner has the salt for `hashed`, in memory only.
        kind: the setting `client_address`.
        clock: returns the current time in seconds since 1970.
    """

    def __init__(self, store: Link, kind: str, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._kind = kind
        self._clock = clock
        self._salt = (0, 0, b"")

    def reduce(self, address: str) -> Steps[str | None]:
        """Return what to store of an address; None: nothing, because there is no valid address or none is to be stored."""
        if self._kind == "none" or not address:
            return None
        if self._kind == "full":
            return address
        if self._kind == "truncated":
            return _truncate(address)
        salt = yield from self._get_salt()
        return hmac.digest(salt, address.encode(), hashlib.sha256)[:HASH_BYTES].hex()

    def _get_salt(self) -> Steps[bytes]:
        """Return today's salt. All processes share it until the day in UTC is over or the owner ends; then it is forgotten."""
        day, connection = int(self._clock()) // DAY_S, self._store.connections
        if self._salt[:2] != (day, connection):
            salt = yield self._store.ask(SALT, day)
            self._salt = (day, connection, salt)
        return self._salt[2]


def _truncate(address: str) -> str | None:
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped is not None:
        known = known.ipv4_mapped
    return str(ipaddress.ip_network((known, KEPT_BITS[known.version]), strict=False).network_address)
