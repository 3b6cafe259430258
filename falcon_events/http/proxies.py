"""Which peers are proxies that say in X-Forwarded-For for whom they ask, and whose address a request then comes from."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from falcon_events.settings import Address, Network, networks_of

THIS_MACHINE = "127.0.0.1"


class Proxies:
    """The proxies that are believed.

    Args:
        networks: where they are.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks

    @classmethod
    def of(cls, text: str) -> Proxies | None:
        """The proxies of the setting `trusted_proxies`; None where there are none, so that nobody has to ask them."""
        networks = networks_of(text)
        return cls(networks) if networks else None

    def client(self, peer: str, forwarded: str) -> str:
        """The client's address: what the last proxy that is not believed, or the client itself, connects from.

        A proxy adds its peer's address at the end of X-Forwarded-For, so the list counts from the right as far as proxies are
        believed; what stands to the left of that, anybody may have written. An entry that is no address ends it, too.

        Args:
            peer: the connection's address; empty for a Unix socket, whose other end is on this machine.
            forwarded: the header X-Forwarded-For; of several, all of them, separated by commas.
        """
        client = _address_of(peer or THIS_MACHINE)
        if client is None or not self._believes(client):
            return peer
        for entry in reversed(forwarded.split(",")):
            if not (entry := entry.strip()):
                continue
            named = _address_of(entry)
            if named is None:
                break
            client = named
            if not self._believes(client):
                break
        return str(client)

    def _believes(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _address_of(entry: str) -> Address | None:
    """The address of an entry, which some proxies write with a port: 192.0.2.1:4711, [2001:db8::1]:4711."""
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
