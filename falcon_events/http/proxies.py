"""Trusted proxies: which peers are believed when X-Forwarded-For names the client, and which address the client then has."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from falcon_events.settings import Address, Network, parse_networks

THIS_MACHINE = "127.0.0.1"


class Proxies:
    """The trusted proxies.

    Args:
        networks: the networks that contain the proxies' addresses.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks

    @classmethod
    def parse(cls, text: str) -> Proxies | None:
        """Parse the setting `trusted_proxies`; return None if it names no proxy."""
        networks = parse_networks(text)
        return cls(networks) if networks else None

    def find_client(self, peer: str, forwarded: str) -> str:
        """Return the client's address: the first address from the right that is not a trusted proxy.

        Every proxy appends its peer's address to X-Forwarded-For. The list is therefore read from the right, and only as far as
        each address is a trusted proxy: anybody may have written the entries left of that. An entry that is not an address
        ends the search too; the last address before it counts.

        Args:
            peer: the connection's address; empty for a Unix socket, whose peer is on this machine.
            forwarded: the header X-Forwarded-For. Join several headers with commas.
        """
        client = _parse_address(peer or THIS_MACHINE)
        if client is None or not self._trusts(client):
            return peer
        for entry in reversed(forwarded.split(",")):
            if not (entry := entry.strip()):
                continue
            named = _parse_address(entry)
            if named is None:
                break
            client = named
            if not self._trusts(client):
                break
        return str(client)

    def trusts_peer(self, peer: str) -> bool:
        """Whether the peer of a connection is one of the proxies."""
        client = _parse_address(peer or THIS_MACHINE)
        return client is not None and self._trusts(client)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _parse_address(entry: str) -> Address | None:
    """Parse an entry, which some proxies write with a port: 192.0.2.1:4711, [2001:db8::1]:4711. None: not an address."""
    if entry.startswith("["):
        entry = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        entry = entry.partition(":")[0]
    try:
        address = ipaddress.ip_address(entry.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
