"""One visit to the demo's shop, page by page."""

from __future__ import annotations

from random import Random
from typing import Any
from urllib.parse import urlsplit

from falcon_events.demo import catalog
from falcon_events.demo.catalog import FILTERS, PLAN_PRICES, TOPICS, Product, ShopPage, TrafficSource
from falcon_events.demo.shoppers import Crowd, DemoEvent, ShopBrowser, Shopper

FIRST_ORDER = 10_000
COUPON = 5.0
COUPON_FROM = 40.0
"""From this sum on, a coupon may be used."""


class Visit:
    """A visit: its events, and what comes of it.

    Args:
        rng: the source of chance.
        crowd: gives addresses and UUIDs.
        shopper: who comes.
        browser: with which of the shopper's browsers.
        source: from where.
        start: when, in milliseconds since 1970.
        orders: the ids of all orders so far; the visit adds its own.
    """

    def __init__(
        self,
        rng: Random,
        crowd: Crowd,
        shopper: Shopper,
        browser: ShopBrowser,
        source: TrafficSource,
        start: int,
        orders: list[str],
    ) -> None:
        self.events: list[DemoEvent] = []
        self.has_trial = False
        """Whether a trial was started."""
        self.order: str | None = None
        """The id of the order that was made."""
        self._rng = rng
        self._crowd = crowd
        self._shopper = shopper
        self._browser = browser
        self._source = source
        self._at = start
        self._orders = orders
        self._page: dict[str, Any] = {}
        self._referrer = source.referrer
        self._url = ""
        self._cart: list[tuple[Product, int]] = []

    def run(self, purpose: str | None = None) -> None:
        """Make the visit.

        Args:
            purpose: `subscribe` or `review`; None: what chance decides.
        """
        rng = self._rng
        if purpose == "subscribe":
            self._subscribe()
            return
        if purpose == "review":
            self._review()
            return
        landing = rng.choice(self._source.landings)
        product = self._land(landing)
        interest = self._shopper.loyalty + (0.25 if self._shopper.orders else 0)
        if rng.random() < 0.4 - 0.25 * interest:
            return
        if self._shopper.email is not None and not self._browser.is_known and rng.random() < 0.5:
            self._sign_in()
        if landing == "post":
            self._read()
        elif landing == "pricing":
            self._compare_plans()
        if product is not None:
            self._consider(product)
        if rng.random() < 0.45 + 0.4 * interest:
            self._browse()
        if self._cart and rng.random() < 0.72:
            self._check_out()

    def _land(self, kind: str) -> Product | None:
        """Open the first page; return the product that it shows."""
        rng = self._rng
        query = rng.choice(self._source.queries)
        product = catalog.PRODUCTS.choose(rng) if kind == "product" else None
        if product is not None:
            page = product.page
        elif kind == "post":
            page = catalog.POSTS.choose(rng)
        elif kind == "category":
            page = rng.choice(list(catalog.CATEGORIES.values()))
        else:
            page = catalog.PRICING if kind == "pricing" else catalog.HOME
        self._open(page, query)
        return product

    def _browse(self) -> None:
        rng = self._rng
        while rng.random() < 0.74:
            chance = rng.random()
            if chance < 0.22:
                self._open(rng.choice(list(catalog.CATEGORIES.values())))
            elif chance < 0.36:
                self._search()
            elif chance < 0.84:
                product = catalog.PRODUCTS.choose(rng)
                self._open(product.page)
                self._consider(product)
            elif chance < 0.92:
                self._read()
            elif chance < 0.96:
                self._open(catalog.ABOUT)
            else:
                self._compare_plans()

    def _search(self) -> None:
        rng = self._rng
        text = catalog.SEARCHES.choose(rng)
        self._open(catalog.SEARCH, "?q=" + text.replace(" ", "+"))
        filters = rng.sample(FILTERS, rng.choice((0, 0, 0, 1, 2)))
        self._track("search", 1, {"query": text, "results": 0 if len(text) > 14 else rng.randint(1, 14), "filters": filters})

    def _consider(self, product: Product) -> None:
        """Look at a product, and maybe put it into the cart."""
        rng = self._rng
        if rng.random() < 0.12:
            seconds = round(rng.triangular(3, 95, 30), 1)
            self._track("video-played", 20, {"video": product.name, "seconds": seconds, "completed": seconds > 70})
        if rng.random() < 0.2 + 0.15 * self._shopper.loyalty:
            count = rng.choice((1, 1, 1, 2, 3)) if product.category == "beans" else 1
            self._cart.append((product, count))
            item = {"product": product.name, "category": product.category, "price": product.price, "quantity": count}
            self._track("add-to-cart", 25, {**item, "tags": product.tags})

    def _read(self) -> None:
        rng, shopper = self._rng, self._shopper
        if rng.random() < 0.3:
            self._open(catalog.BLOG)
        while rng.random() < 0.45:
            self._open(catalog.POSTS.choose(rng), seconds=140)
        if not shopper.is_subscribed and rng.random() < 0.14:
            shopper.is_subscribed = True
            topics = sorted(rng.sample(TOPICS, rng.randint(1, 3)))
            self._track("newsletter-subscribed", 30, {"topics": topics, "place": rng.choice(("footer", "popup", "post"))})

    def _compare_plans(self) -> None:
        """Look at the plans, and maybe start a trial of one."""
        rng, shopper = self._rng, self._shopper
        if self._page.get("$pathname") != catalog.PRICING.path:
            self._open(catalog.PRICING)
        if shopper.plan != "free" or rng.random() > 0.22 + 0.2 * shopper.loyalty:
            return
        if shopper.email is None:
            self._sign_up()
        elif not self._browser.is_known:
            self._sign_in()
        if rng.random() < 0.6:
            shopper.plan = catalog.PLANS.choose(rng)
            seats = 1 if shopper.plan == "basic" else rng.randint(2, 25)
            price = PLAN_PRICES[shopper.plan]
            self._track("trial-started", 40, {"plan": shopper.plan, "seats": seats, "price": price, "yearly": rng.random() < 0.3})
            self._identify()
            self.has_trial = True

    def _check_out(self) -> None:
        rng, shopper = self._rng, self._shopper
        self._open(catalog.CART)
        if len(self._cart) > 1 and rng.random() < 0.15:
            product, _ = self._cart.pop(0)
            self._track("remove-from-cart", 10, {"product": product.name, "price": product.price})
        if rng.random() < 0.35 - 0.15 * shopper.loyalty:
            return
        total = sum(product.price * count for product, count in self._cart)
        items = sum(count for _, count in self._cart)
        self._open(catalog.CHECKOUT)
        self._track("checkout-started", 3, {"items": items, "total": total, "express": rng.random() < 0.3})
        if rng.random() < (0.3 if total < 150 else 0.45):
            return
        if shopper.email is None:
            self._crowd.name_shopper(shopper)
        if not self._browser.is_known:
            self._identify()
        coupon = rng.random() < 0.2 and total >= COUPON_FROM
        self._open(catalog.THANKS)
        order: dict[str, Any] = {
            "conversion-name": "order",
            "conversion-value": total - COUPON if coupon else total,
            "items": items,
            "products": [product.name for product, _ in self._cart],
            "payment": rng.choice(("card", "card", "paypal", "invoice")),
            "gift": rng.random() < 0.1,
        }
        if coupon:
            order["coupon"] = f"WELCOME{COUPON:.0f}"
        self._convert(order)
        if rng.random() < 0.02:  # the page is loaded again, which makes no second order
            self._open(catalog.THANKS)
            self._track("conversion", 0, {"conversion-id": self.order, **order})

    def _subscribe(self) -> None:
        """Come at the end of a trial, and pay."""
        rng, shopper = self._rng, self._shopper
        self._open(catalog.PRICING)
        if not self._browser.is_known:
            self._sign_in()
        if rng.random() < 0.45:
            shopper.plan = "free"
            self._track("trial-ended", 10, {"reason": rng.choice(("too expensive", "not needed", "other"))})
            self._identify()
            return
        self._open(catalog.CHECKOUT)
        price = PLAN_PRICES[shopper.plan]
        self._track("checkout-started", 3, {"items": 1, "total": price, "express": False})
        self._open(catalog.THANKS)
        self._convert({"conversion-name": "subscription", "conversion-value": price, "plan": shopper.plan})

    def _review(self) -> None:
        """Come some days after an order, and say what the product is like."""
        rng = self._rng
        self._open(catalog.ORDERS)
        if not self._browser.is_known:
            self._sign_in()
        if rng.random() < 0.7:
            product = catalog.PRODUCTS.choose(rng)
            self._open(product.page)
            stars = rng.choice((5, 5, 5, 4, 4, 3, 2, 1))
            self._track("review-written", 90, {"product": product.name, "stars": stars, "words": rng.randint(4, 180)})

    def _sign_up(self) -> None:
        rng, shopper = self._rng, self._shopper
        self._open(catalog.SIGN_UP)
        self._crowd.name_shopper(shopper)
        method = rng.choice(("email", "email", "google"))
        self._track("signup", 35, {"method": method, "newsletter": shopper.is_subscribed, "company-size": shopper.company_size})
        self._identify()

    def _sign_in(self) -> None:
        self._open(catalog.SIGN_IN)
        self._track("login", 12, {"method": self._rng.choice(("email", "google"))})
        self._identify()

    def _identify(self) -> None:
        """Tell the shopper's address and traits."""
        shopper = self._shopper
        self._browser.is_known = True
        if shopper.email is None:
            self._crowd.name_shopper(shopper)
        self._track("identify", 0, {}, shopper)

    def _convert(self, order: dict[str, Any]) -> None:
        self.order = f"order-{FIRST_ORDER + len(self._orders) + 1}"
        self._orders.append(self.order)
        self._shopper.orders += 1
        self._track("conversion", 0, {"conversion-id": self.order, **order})

    def _open(self, page: ShopPage, query: str = "", seconds: float = 35) -> None:
        """Open a page after about so many seconds on the one before."""
        if self._url:
            self._wait(seconds)
            self._referrer = self._url
        self._url = url = f"https://{page.host}{page.path}{query}"
        self._page = {
            "$current_url": url,
            "$host": page.host,
            "$pageTitle": page.title,
            "$pathname": page.path,
            "$referrer": self._referrer,
            "$referring_domain": urlsplit(self._referrer).netloc,
        }
        if not self._referrer:
            self._page["$direct"] = True
        self._track("pageView", 0, {"url": url})

    def _track(self, name: str, seconds: float, properties: dict[str, Any], shopper: Shopper | None = None) -> None:
        """Track an event after about so many seconds on the page; with a shopper, one that tells who that is."""
        self._wait(seconds)
        every = {**self._browser.properties, **self._page, **properties}
        if shopper is None:
            self.events.append(DemoEvent(self._at, name, self._browser.visitor, every))
            return
        external_id, traits = f"customer-{shopper.number}", shopper.list_traits()
        self.events.append(DemoEvent(self._at, name, self._browser.visitor, every, shopper.email, external_id, traits))

    def _wait(self, seconds: float) -> None:
        """Let time go by, at most ten minutes: a visit is one session."""
        self._at += 150 + min(int(self._rng.expovariate(1) * seconds * 1000), 600_000)
