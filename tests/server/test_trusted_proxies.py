"""Whose address a request comes from: the connection's, or what proxies that are believed say of it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from hypothesis import given, strategies as st

from falcon_events import EventTracking, SettingError, Settings
from falcon_events.http.proxies import Proxies
from tests.harness import EVENT, FLAVOURS
from tests.server.test_entry_points import doors
from tests.shortcuts import make_store

TRUSTED = "127.0.0.1, 10.0.0.0/8, 2001:db8::/32"
CASES = {
    "no header": ("127.0.0.1", "", "127.0.0.1"),
    "one entry": ("127.0.0.1", "192.0.2.7", "192.0.2.7"),
    "a peer that is no proxy": ("192.0.2.1", "192.0.2.7", "192.0.2.1"),
    "what the client wrote itself": ("127.0.0.1", "203.0.113.9, 192.0.2.7", "192.0.2.7"),
    "a proxy's address that the client wrote": ("127.0.0.1", "10.0.0.1, 192.0.2.7", "192.0.2.7"),
    "a chain of proxies": ("127.0.0.1", "192.0.2.7, 10.1.2.3,10.4.5.6", "192.0.2.7"),
    "a chain with a stranger in it": ("127.0.0.1", "192.0.2.7, 198.51.100.1, 10.4.5.6", "198.51.100.1"),
    "proxies only": ("127.0.0.1", "10.1.2.3, 10.4.5.6", "10.1.2.3"),
    "an entry with a port": ("127.0.0.1", "192.0.2.7:4711", "192.0.2.7"),
    "IPv6": ("2001:db8::1", "2a02:0:0::7", "2a02::7"),
    "IPv6 with a port": ("2001:db8::1", "[2a02::7]:4711", "2a02::7"),
    "IPv6 with a zone": ("127.0.0.1", "fe80::7%eth0", "fe80::7"),
    "IPv4 in IPv6": ("::ffff:127.0.0.1", "::ffff:192.0.2.7", "192.0.2.7"),
    "a Unix socket": ("", "192.0.2.7", "192.0.2.7"),
    "empty entries": ("127.0.0.1", " ,192.0.2.7, ,", "192.0.2.7"),
    "no address": ("127.0.0.1", "unknown", "127.0.0.1"),
    "no address behind a proxy": ("127.0.0.1", "192.0.2.7, unknown, 10.1.2.3", "10.1.2.3"),
    "a peer that is no address": ("testclient", "192.0.2.7", "testclient"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_clients_address_is_the_last_one_that_no_proxy_has(case: str) -> None:
    """Counted from the right; what is not an address ends the list, and what a stranger wrote is never reached."""
    peer, forwarded, client = CASES[case]
    proxies = Proxies.parse(TRUSTED)
    assert proxies is not None
    assert proxies.find_client(peer, forwarded) == client


@pytest.mark.parametrize(
    ("trusted", "believed", "others"),
    [
        ("::ffff:10.0.0.1", ["10.0.0.1", "::ffff:10.0.0.1"], ["10.0.0.2", "::1"]),
        ("::ffff:10.0.0.0/104", ["10.0.0.1", "10.255.0.1"], ["11.0.0.1"]),
        ("::ffff:0:0/96", ["10.0.0.1", "192.0.2.1"], ["::1", "2001:db8::1"]),
        ("::1", ["::1"], ["127.0.0.1"]),
    ],
)
def test_an_ipv4_address_in_ipv6_is_one_of_ipv4(trusted: str, believed: list[str], others: list[str]) -> None:
    """In the setting as in a request, whichever of the two a server tells."""
    proxies = Proxies.parse(trusted)
    assert proxies is not None
    assert {proxies.find_client(peer, "192.0.2.7") for peer in believed} == {"192.0.2.7"}
    for peer in others:
        assert proxies.find_client(peer, "192.0.2.7") == peer


@given(st.text(alphabet=st.sampled_from("0123456789abcdef.:,[]% \x00\xe9-/"), max_size=200))
def test_no_header_breaks_anything_or_reaches_past_a_stranger(garbage: str) -> None:
    """Whatever stands to the left of an entry that a proxy has added for a stranger is not even read."""
    proxies = Proxies.parse(TRUSTED)
    assert proxies is not None
    assert proxies.find_client("127.0.0.1", f"{garbage},192.0.2.7") == "192.0.2.7"
    assert proxies.find_client("192.0.2.1", garbage) == "192.0.2.1"
    assert proxies.find_client("127.0.0.1", garbage)


def test_without_the_setting_nobody_is_asked() -> None:
    """So that a request costs nothing for it."""
    assert Proxies.parse(Settings().trusted_proxies) is None
    assert Proxies.parse(Settings(trusted_proxies=" , ").trusted_proxies) is None


@pytest.mark.parametrize("value", ["localhost", "127.0.0.1/33", "10.0.0.1/8", "*", "127.0.0.1;10.0.0.1", "1.2.3.4,bad"])
def test_what_is_neither_address_nor_network_is_refused(value: str) -> None:
    """With the setting's name, and what would be right."""
    with pytest.raises(SettingError, match=r"^trusted_proxies=.*expected"):
        EventTracking(trusted_proxies=value)


@pytest.mark.parametrize("trusted", ["", "192.0.2.1", "192.0.2.2"])
def test_every_door_believes_whom_the_setting_names(db: Path, trusted: str) -> None:
    """The peer is 192.0.2.1: its header counts only where the setting has it; of two headers, both count."""
    credentials = make_store(db)
    with EventTracking(db, client_address="full", trusted_proxies=trusted) as tracking:
        for flavour in FLAVOURS:
            send, apps = doors(flavour, tracking)
            for app in apps:
                body = httpx.Request("POST", "http://a", json=credentials.event(event=flavour)).content
                headers = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "198.51.100.7")]
                assert send(app, EVENT, [*headers, ("Content-Length", str(len(body)))], [body])[0] == 200
            found = {event.client_address for _, event in tracking.latest(94) if event.event == flavour}
            assert found == {"198.51.100.7" if trusted == "192.0.2.1" else "192.0.2.1"}
