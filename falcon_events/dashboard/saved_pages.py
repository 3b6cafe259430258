"""Pages that are saved by their URL: which of their parts show them on a board, and what guests of a share may see of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode

import msgspec

from falcon_events.dashboard.requests import DashboardRequest, parse_fields
from falcon_events.dashboard.view import DROPPED, View, read_view
from falcon_events.errors import EventsError

BOARD = "board"
MAIN_PARTS = {
    "": ("overview.figures", "overview.trend"),
    "overview.figures": ("overview.figures",),
    "overview.trend": ("overview.trend",),
    "overview.table": ("overview.table",),
    "funnels": ("funnels.result",),
    "funnels.result": ("funnels.result",),
    "retention": ("retention.cohorts",),
    "retention.cohorts": ("retention.cohorts",),
    "events": ("events.table",),
    "events.table": ("events.table",),
    "event": ("event.figures", "event.trend"),
    "event.figures": ("event.figures",),
    "event.trend": ("event.trend",),
    "event.breakdown": ("event.breakdown",),
    "people": ("people.table",),
}
"""The parts that show a page on a board, by the page. A board links to other pages."""
GUEST_PARTS: dict[str, frozenset[str]] = {
    "overview.figures": frozenset({"metric"}),
    "overview.trend": frozenset({"metric", "unit"}),
    "overview.table": frozenset({"by"}),
    "funnels.result": frozenset(),
    "retention.cohorts": frozenset({"as"}),
    "events.table": frozenset(),
    "event.figures": frozenset({"metric"}),
    "event.trend": frozenset({"metric", "unit"}),
}
"""The parts that guests of a share may see, with the parameters that they may choose. What is not here, they never see."""
GUEST_PAGES: dict[str, tuple[str, ...]] = {
    "": ("overview.figures", "overview.trend", "overview.table"),
    **{page: parts for page, parts in MAIN_PARTS.items() if page and all(part in GUEST_PARTS for part in parts)},
}
"""The pages that can be shared, beside boards, with all the parts of a page."""
CHOICES = {"": frozenset({"metric", "unit", "pages", "sources", "devices"})}
"""The parameters of a shared page that guests may choose, beside those of its parts."""
TITLES = {
    "": "Overview",
    "board": "Board",
    "overview.figures": "Figures",
    "overview.trend": "Trend",
    "overview.table": "Table",
    "event": "Event",
    "data": "Data",
}
"""The names of pages, as people read them, if they are not their paths."""
SIZES = {"figures": "figures-part", "trend": "trend-part"}
"""The class of a part that keeps its place while it loads, by the end of its path."""
_DROPPED = frozenset({*DROPPED, "do", "token"})
_is_page = re.compile(r"[a-z0-9_-]*(?:\.[a-z0-9_-]+)?").fullmatch


class SavedPage(msgspec.Struct, frozen=True):
    """A page that is saved by its URL.

    Attributes:
        page: its path; empty for the overview.
        query: the parameters, whose `list` is that of the view or share.
    """

    page: str
    query: Mapping[str, list[str]]

    @property
    def location(self) -> str:
        """The URL, relative to the dashboard's root."""
        return self.write(self.page).removeprefix("./")

    @property
    def view(self) -> View:
        """The view of the page: list, range and filters."""
        return read_view(self.build_request())[0]

    @property
    def title(self) -> str:
        """The page's name, as people read it."""
        return TITLES.get(self.page) or self.page.partition(".")[0].capitalize()

    @property
    def name(self) -> str:
        """The name that the page's URL has, such as that of a board."""
        return self.query.get("name", [""])[-1]

    def describe(self, describe_filter: Callable[[Any], str]) -> str:
        """Return what the page shows, in words.

        Args:
            describe_filter: returns a filter in words.
        """
        view, words = self.view, [f"{self.title} {self.name}".strip()]
        if self.page != BOARD:
            words += [view.range_label, *map(describe_filter, view.filters)]
            words += [f"segment {view.segment}"] if view.segment else []
        return " · ".join(words)

    def write(self, page: str) -> str:
        """Return the URL of a page or part with the same parameters."""
        pairs = [(name, value) for name, values in self.query.items() for value in values]
        return f"./{quote(page)}?{urlencode(pairs, errors='surrogatepass', quote_via=quote)}"

    def list_parts(self) -> list[tuple[str, str]]:
        """Return the addresses of the parts that show the page, each with the class of its place."""
        return [(self.write(part), SIZES.get(part.rpartition(".")[2], "")) for part in MAIN_PARTS.get(self.page, ())]

    def build_request(self, page: str | None = None, **choices: str) -> DashboardRequest:
        """Return a request for the page or one of its parts, as nobody in particular sends it.

        Args:
            page: the page or part; None: the page.
            choices: parameters that take the place of the page's own.
        """
        query = {**self.query, **{name: [value] for name, value in choices.items()}}
        return DashboardRequest("GET", self.page if page is None else page, query, {}, {}, {}, "", False, None)


def read_location(location: str, list_id: int) -> SavedPage | None:
    """Return the page that a URL leads to; None if it is not the URL of a page.

    Args:
        location: the URL, relative to the dashboard's root.
        list_id: the list of the view or share, whatever the URL says.
    """
    address = location.partition("#")[0]
    path, _, text = address.partition("?")
    page = unquote(path).removeprefix("./")
    page = "" if page == "." else page
    try:
        query = parse_fields(text)
    except ValueError:
        return None
    if not _is_page(page):
        return None
    kept = {name: values for name, values in query.items() if name not in _DROPPED and name != "list"}
    return SavedPage(page, {"list": [str(list_id)], **kept})


def read_shared_location(location: str, list_id: int) -> SavedPage | None:
    """Return the page that guests may see by a URL, which may be a board; None if there is none.

    The URL `.` is what is left where a person was erased from one: its filters are gone, so it would show too much.
    """
    found = None if location == "." else read_location(location, list_id)
    return found if found is not None and (found.page == BOARD or found.page in GUEST_PAGES) else None


def read_own_location(location: str, list_id: int) -> SavedPage:
    """Return the page that a form saves.

    Raises:
        EventsError: it is no page of the dashboard, or shows another list.
    """
    saved = read_location(location, list_id)
    if saved is None:
        raise EventsError(f"location: {location[:60]!r} must be the URL of a page of the dashboard.")
    for text in parse_fields(location.partition("#")[0].partition("?")[2]).get("list", []):
        if text != str(list_id):
            raise EventsError(f"location: {location[:60]!r} shows another list than {list_id}.")
    return saved
