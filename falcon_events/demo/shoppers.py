"""The demo's people: their browsers, what they are like, and what an event of theirs is."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec

from falcon_events._version import __version__
from falcon_events.demo import catalog
from falcon_events.demo.catalog import DemoDevice


class DemoEvent(msgspec.Struct, frozen=True):
    """An event of the demo, as the tracker would send it. `at` is when it happened, in milliseconds since 1970."""

    at: int
    name: str
    visitor: str
    properties: dict[str, Any]
    email: str | None = None
    external_id: str | None = None
    traits: dict[str, Any] | None = None


class ShopBrowser(msgspec.Struct):
    """A browser of somebody: its visitor, the properties that all of its events have, and whether the shop knows whose it is."""

    visitor: str
    properties: dict[str, Any]
    is_known: bool = False


class Shopper(msgspec.Struct):
    """Somebody who visits the shop.

    `loyalty` is between 0 and 1. `email` is None until the shopper has given an address.
    """

    number: int
    country: str
    language: str
    loyalty: float
    browsers: list[ShopBrowser]
    company_size: int
    name: str = ""
    email: str | None = None
    plan: str = "free"
    is_subscribed: bool = False
    orders: int = 0

    def list_traits(self) -> dict[str, Any]:
        """Return what the shop tells of the shopper."""
        return {
            "name": self.name,
            "plan": self.plan,
            "country": self.country,
            "company-size": self.company_size,
            "newsletter": self.is_subscribed,
        }


class Crowd:
    """Makes people, by chance.

    Args:
        rng: the source of chance.
        list_id: the list that their events belong to.
    """

    def __init__(self, rng: Random, list_id: int) -> None:
        self._rng = rng
        self._list_id = list_id
        self._count = 0
        self._names: dict[str, int] = {}

    def make_uuid(self) -> str:
        """Return a random UUID."""
        digits = f"{self._rng.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def make_shopper(self) -> Shopper:
        """Return somebody new with one or two browsers."""
        rng = self._rng
        self._count += 1
        country, language = catalog.COUNTRIES.choose(rng)
        kinds = [catalog.DESKTOPS, catalog.MOBILES]
        if rng.random() < 0.45:
            kinds.reverse()
        browsers = [self._make_browser(kind.choose(rng), language) for kind in kinds[: 2 if rng.random() < 0.2 else 1]]
        return Shopper(self._count, country, language, rng.random() ** 1.7, browsers, catalog.COMPANY_SIZES.choose(rng))

    def name_shopper(self, shopper: Shopper) -> None:
        """Give somebody a name and an address."""
        first, last = self._rng.choice(catalog.FIRST_NAMES), self._rng.choice(catalog.LAST_NAMES)
        shopper.name = f"{first} {last}"
        count = self._names[shopper.name] = self._names.get(shopper.name, 0) + 1
        domain = "example.com" if shopper.company_size == 1 else "example.org"
        shopper.email = f"{first}.{last}{count if count > 1 else ''}@{domain}".lower()

    def _make_browser(self, device: DemoDevice, language: str) -> ShopBrowser:
        visitor = self.make_uuid()
        properties = {
            "$browser": device.browser,
            "$browser_language": language,
            "$browser_version": self._rng.choice(device.versions),
            "$device": device.name,
            "$device_type": device.kind,
            "$dsn": f"https://events.example.com/{self._list_id}",
            "$lib": "falcon-events",
            "$lib_version": __version__,
            "$list_id": self._list_id,
            "$os": device.os,
            "$screen_height": device.screen[1],
            "$screen_width": device.screen[0],
            "$server": "https://events.example.com",
            "$uuid": visitor,
            "$viewport_height": device.viewport[1],
            "$viewport_width": device.viewport[0],
        }
        return ShopBrowser(visitor, properties)
