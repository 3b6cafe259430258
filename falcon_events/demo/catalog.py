"""The pages, products and plans of the demo's shop, and where its visitors come from. Its names and hosts are invented."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")

SHOP, ACCOUNT = "shop.example.com", "account.example.com"
"""The hosts of the pages of the shop, and of those for people with an account."""


class Choice(Generic[T]):
    """Values with their weights, to choose one by chance."""

    def __init__(self, weighted: Sequence[tuple[T, float]]) -> None:
        self._values = [value for value, _ in weighted]
        self._weights: list[float] = []
        for _, weight in weighted:
            self._weights.append(weight + (self._weights[-1] if self._weights else 0))

    def choose(self, rng: Random) -> T:
        """Choose a value."""
        return rng.choices(self._values, cum_weights=self._weights)[0]


class ShopPage(msgspec.Struct, frozen=True):
    """A page of the shop."""

    path: str
    title: str
    host: str = SHOP


class Product(msgspec.Struct, frozen=True):
    """A product. Prices are multiples of a quarter, so that a sum of them is exact, in whatever order they are added."""

    name: str
    category: str
    price: float
    page: ShopPage
    tags: list[str]


class TrafficSource(msgspec.Struct, frozen=True):
    """A way to the shop: the page before, the queries that its links end with, and the kind of page they lead to."""

    referrer: str = ""
    queries: tuple[str, ...] = ("",)
    landings: tuple[str, ...] = ("home",)


class DemoDevice(msgspec.Struct, frozen=True):
    """A kind of device with its browser. Both sizes are in CSS pixels."""

    browser: str
    versions: tuple[str, ...]
    os: str
    name: str
    kind: str
    screen: tuple[int, int]
    viewport: tuple[int, int]


def _describe_product(slug: str, name: str, category: str, price: float, *tags: str) -> Product:
    return Product(name, category, price, ShopPage(f"/p/{slug}", f"{name} | Kestrel Coffee"), list(tags))


HOME = ShopPage("/", "Kestrel Coffee")
PRICING = ShopPage("/pricing", "Plans and prices | Kestrel Coffee")
SEARCH = ShopPage("/search", "Search | Kestrel Coffee")
CART = ShopPage("/cart", "Your cart | Kestrel Coffee")
CHECKOUT = ShopPage("/checkout", "Checkout | Kestrel Coffee")
THANKS = ShopPage("/checkout/thanks", "Thank you | Kestrel Coffee")
ABOUT = ShopPage("/about", "About us | Kestrel Coffee")
BLOG = ShopPage("/blog", "The blog | Kestrel Coffee")
SIGN_UP = ShopPage("/sign-up", "Create an account | Kestrel Coffee", ACCOUNT)
SIGN_IN = ShopPage("/sign-in", "Sign in | Kestrel Coffee", ACCOUNT)
ORDERS = ShopPage("/orders", "Your orders | Kestrel Coffee", ACCOUNT)

CATEGORIES = {
    name: ShopPage(f"/c/{name}", f"{name.title()} | Kestrel Coffee") for name in ("beans", "grinders", "brewers", "accessories")
}
PRODUCTS = Choice(
    [
        (_describe_product("espresso-blend", "Espresso Blend", "beans", 12.5, "dark", "blend"), 9),
        (_describe_product("house-filter", "House Filter", "beans", 11.75, "light", "blend"), 8),
        (_describe_product("ethiopia-guji", "Ethiopia Guji", "beans", 16.25, "light", "organic", "single-origin"), 7),
        (_describe_product("decaf", "Decaf", "beans", 13.0, "medium"), 3),
        (_describe_product("hand-grinder", "Hand Grinder", "grinders", 79.0, "travel"), 4),
        (_describe_product("burr-grinder", "Burr Grinder", "grinders", 189.0, "electric", "new"), 3),
        (_describe_product("pour-over-kit", "Pour-over Kit", "brewers", 34.5, "gift"), 5),
        (_describe_product("french-press", "French Press", "brewers", 42.0, "gift"), 3),
        (_describe_product("moka-pot", "Moka Pot", "brewers", 29.75), 3),
        (_describe_product("espresso-machine", "Espresso Machine", "brewers", 649.0, "electric", "new"), 1.5),
        (_describe_product("paper-filters", "Paper Filters", "accessories", 6.5), 5),
        (_describe_product("gooseneck-kettle", "Gooseneck Kettle", "accessories", 89.5, "electric"), 2),
        (_describe_product("scale", "Scale", "accessories", 39.25, "electric"), 2),
        (_describe_product("travel-mug", "Travel Mug", "accessories", 24.0, "gift", "travel"), 3),
    ]
)
POSTS = Choice(
    [
        (ShopPage("/blog/how-to-grind", "How to grind coffee | Kestrel Coffee"), 6),
        (ShopPage("/blog/pour-over-in-five-steps", "Pour-over in five steps | Kestrel Coffee"), 5),
        (ShopPage("/blog/water-matters", "Water matters | Kestrel Coffee"), 3),
        (ShopPage("/blog/a-visit-to-guji", "A visit to Guji | Kestrel Coffee"), 2),
        (ShopPage("/blog/cold-brew", "Cold brew without tears | Kestrel Coffee"), 3),
        (ShopPage("/blog/descale-your-machine", "Descale your machine | Kestrel Coffee"), 2),
    ]
)
SEARCHES = Choice(
    [
        *(("grinder", 6), ("espresso", 6), ("decaf", 4), ("gift", 4), ("filter", 3), ("ethiopia", 3), ("french press", 2)),
        *(
            ("oat milk", 1.5),
            ("grinder under 100", 1),
            ("kaffee", 1),
            ("cold brew maker", 1),
            ("espressomaschine entkalken", 0.5),
        ),
    ]
)
FILTERS = ("in-stock", "organic", "new", "on-sale")
PLANS = Choice([("basic", 6), ("pro", 3), ("business", 1)])
PLAN_PRICES = {"basic": 9.0, "pro": 29.0, "business": 99.0}
TOPICS = ("beans", "recipes", "offers", "events")

_GOOGLE, _INSTAGRAM = "https://www.google.com/", "https://l.instagram.com/"
SOURCES = Choice(
    [
        (TrafficSource(landings=("home", "home", "product", "category", "pricing")), 27),
        (TrafficSource(_GOOGLE, landings=("home", "category", "product", "post", "post", "pricing")), 27),
        (TrafficSource("https://www.bing.com/", landings=("home", "category", "post")), 4),
        (TrafficSource("https://duckduckgo.com/", landings=("home", "product", "post")), 4),
        (
            TrafficSource(
                _GOOGLE,
                (
                    "?utm_source=google&utm_medium=cpc&utm_campaign=brand&utm_term=kestrel+coffee",
                    "?utm_source=google&utm_medium=cpc&utm_campaign=grinders&utm_term=coffee+grinder&utm_content=picture",
                    "?utm_source=google&utm_medium=cpc&utm_campaign=grinders&utm_term=burr+grinder&utm_content=text",
                ),
                ("category", "product"),
            ),
            9,
        ),
        (TrafficSource(_INSTAGRAM, landings=("post", "product", "home")), 5),
        (TrafficSource("https://m.facebook.com/", landings=("post", "product")), 4),
        (TrafficSource("https://www.reddit.com/", landings=("post", "product")), 4),
        (TrafficSource("https://www.youtube.com/", landings=("post", "product")), 3),
        (TrafficSource("https://coffee-notes.example.org/best-grinders", landings=("category", "product")), 3),
        (
            TrafficSource(
                "https://coffee-notes.example.org/offers",
                ("?utm_source=coffee-notes&utm_medium=affiliate&utm_campaign=partners&utm_content=banner",),
                ("product", "pricing"),
            ),
            3,
        ),
        (TrafficSource("https://offices.example.org/coffee", landings=("pricing",)), 3),
    ]
)
SPIKE = TrafficSource(
    _INSTAGRAM,
    tuple(
        f"?utm_source=instagram&utm_medium=social&utm_campaign=birthday-sale&utm_content={kind}"
        for kind in ("story", "reel", "post")
    ),
    ("home", "category", "product", "product"),
)
"""The campaign that brings many people within a few days."""
BACK = Choice(
    [
        (TrafficSource(landings=("home", "product", "category", "post")), 6),
        (TrafficSource(_GOOGLE, landings=("home", "product")), 2),
    ]
)
"""How those come who know the shop."""


def make_newsletter(year: int, week: int) -> TrafficSource:
    """Return the newsletter of a week as a way to the shop."""
    query = f"?utm_source=newsletter&utm_medium=email&utm_campaign=newsletter-{year}-w{week:02}"
    return TrafficSource(
        queries=(f"{query}&utm_content=picture", f"{query}&utm_content=footer"), landings=("product", "post", "category")
    )


_CHROME, _FIREFOX, _EDGE = ("129.0.0.0", "130.0.0.0", "131.0.0.0"), ("131.0", "132.0"), ("130.0.0.0", "131.0.0.0")
DESKTOPS = Choice(
    [
        (DemoDevice("Chrome", _CHROME, "Windows", "Windows", "Desktop", (1920, 1080), (1903, 953)), 20),
        (DemoDevice("Chrome", _CHROME, "Windows", "Windows", "Desktop", (1366, 768), (1349, 641)), 8),
        (DemoDevice("Edge", _EDGE, "Windows", "Windows", "Desktop", (2560, 1440), (2543, 1301)), 8),
        (DemoDevice("Firefox", _FIREFOX, "Windows", "Windows", "Desktop", (1920, 1080), (1903, 955)), 7),
        (DemoDevice("Chrome", _CHROME, "macOS", "Mac", "Desktop", (1728, 1117), (1713, 970)), 8),
        (DemoDevice("Safari", ("17.6", "18.0", "18.1"), "macOS", "Mac", "Desktop", (1440, 900), (1425, 789)), 9),
        (DemoDevice("Firefox", _FIREFOX, "Linux", "Linux", "Desktop", (1920, 1200), (1920, 1075)), 4),
        (DemoDevice("Opera", ("113.0.0.0", "114.0.0.0"), "Windows", "Windows", "Desktop", (1536, 864), (1519, 730)), 2),
        (DemoDevice("Chrome", _CHROME, "Chrome OS", "CrOS", "Desktop", (1366, 768), (1351, 633)), 1),
    ]
)
MOBILES = Choice(
    [
        (DemoDevice("Safari", ("17.6", "18.0", "18.1"), "iOS", "iPhone", "Mobile", (390, 844), (390, 664)), 16),
        (DemoDevice("Safari", ("18.0", "18.1"), "iOS", "iPhone", "Mobile", (393, 852), (393, 659)), 8),
        (DemoDevice("Chrome", _CHROME, "Android", "Android", "Mobile", (412, 915), (412, 785)), 14),
        (DemoDevice("Samsung Internet", ("26.0", "27.0"), "Android", "Android", "Mobile", (360, 800), (360, 668)), 5),
        (DemoDevice("Firefox", _FIREFOX, "Android", "Android", "Mobile", (412, 892), (412, 760)), 2),
        (DemoDevice("Safari", ("17.6", "18.1"), "iOS", "iPad", "Tablet", (820, 1180), (820, 1106)), 4),
        (DemoDevice("Chrome", _CHROME, "Android", "Android", "Tablet", (800, 1280), (800, 1150)), 1),
    ]
)
COUNTRIES = Choice(
    [
        *((("DE", "de-DE"), 25), (("US", "en-US"), 22), (("GB", "en-GB"), 12), (("FR", "fr-FR"), 9), (("NL", "nl-NL"), 7)),
        *((("AT", "de-AT"), 5), (("ES", "es-ES"), 5), (("CH", "de-CH"), 4), (("IT", "it-IT"), 4), (("PL", "pl-PL"), 3)),
        *((("SE", "sv-SE"), 2), (("JP", "ja-JP"), 2)),
    ]
)
"""Countries, each with its browsers' language."""
COMPANY_SIZES = Choice([(1, 50), (4, 15), (12, 14), (35, 10), (120, 7), (600, 3), (2500, 1)])
BOTS = Choice([("Googlebot", 5), ("bingbot", 3), ("GPTBot", 3), ("AhrefsBot", 2), ("facebookexternalhit", 1)])

FIRST_NAMES = (
    *(
        "Ada",
        "Alan",
        "Amara",
        "Anna",
        "Ben",
        "Carla",
        "Chiara",
        "Daniel",
        "Edith",
        "Elif",
        "Emil",
        "Erik",
        "Fatima",
        "Felix",
        "Grace",
    ),
    *("Hana", "Hugo", "Ines", "Jan", "Jonas", "Julia", "Kenji", "Lea", "Leon", "Lina", "Lucas", "Maja", "Marie", "Mia", "Nils"),
    *("Noor", "Olga", "Oscar", "Paul", "Pia", "Rosa", "Samir", "Sofia", "Tom", "Yuki"),
)
LAST_NAMES = (
    *(
        "Adler",
        "Baker",
        "Becker",
        "Blanc",
        "Bruno",
        "Carter",
        "Costa",
        "Dubois",
        "Evans",
        "Fischer",
        "Garcia",
        "Hansen",
        "Hoffmann",
    ),
    *(
        "Ito",
        "Jansen",
        "Keller",
        "Kowalski",
        "Lang",
        "Lindberg",
        "Lopez",
        "Martin",
        "Meyer",
        "Moreau",
        "Novak",
        "Okafor",
        "Olsen",
    ),
    *("Petit", "Quinn", "Rossi", "Sato", "Schmidt", "Silva", "Smith", "Tanaka", "Turner", "Vermeer", "Visser", "Weber", "Wolf"),
)
