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
HOST_BITS = 64
"""How many bits of an IPv6 address name the network of one host or household (RFC 4291, 2.5.4; RFC 6177)."""
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


def group_address(address: str) -> str:
    """Return what a rate limit counts for an address: the address itself for IPv4, the /64 network for IPv6.

    A host with IPv6 has a whole /64, and may send each request from another of its addresses.
    """
    if "." in address and ":" not in address:  # most addresses
        return address
    known = _parse(address)
    if not isinstance(known, ipaddress.IPv6Address):
        return address if known is None else str(known)
    return str(ipaddress.ip_network((known, HOST_BITS), strict=False))


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse an address without its zone; None if it is not valid. An IPv4 address in its IPv6 form is an IPv4 address."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return (known.ipv4_mapped or known) if isinstance(known, ipaddress.IPv6Address) else known


def _truncate(address: str) -> str | None:
    known = _parse(address)
    if known is None:
        return None
    return str(ipaddress.ip_network((known, KEPT_BITS[known.version]), strict=False).network_address)
