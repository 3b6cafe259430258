"""The view of a page, as its URL says: list, range of time and filters. A link keeps it, but for what it changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from falcon_events.dashboard.requests import DashboardRequest, decode_parameter

RANGES = {
    "today": "Today",
    "yesterday": "Yesterday",
    "7d": "Last 7 days",
    "28d": "Last 28 days",
    "91d": "Last 91 days",
    "week": "This week",
    "month": "This month",
    "year": "This year",
    "365d": "Last 365 days",
    "all": "All time",
}
"""The ranges that can be chosen by name, with what people read."""
COMPARISONS = {"previous": "against the time before", "year": "against a year before", "none": "against nothing"}
DEFAULT_RANGE, DEFAULT_COMPARISON = "28d", "previous"
KEPT = ("list", "range", "compare", "filter", "segment")
"""The parameters that every link keeps."""
DROPPED = ("part", "csv", "edit")
"""The parameters that no link keeps: they say how a page is shown this time."""


class View(msgspec.Struct, frozen=True):
    """The list, range of time and filters of a page.

    Attributes:
        list_id: the list; 0: none is named.
        range_text: the range of time, as it stands in the URL: `28d`, or two days such as `2026-03-01..2026-03-31`.
        compare_text: `previous`, `year` or `none`.
        filters: conditions on events, as QUERY's `Filters` has them.
        segment: the name of a saved segment whose persons count; empty: all persons.
    """

    list_id: int
    range_text: str = DEFAULT_RANGE
    compare_text: str = DEFAULT_COMPARISON
    filters: tuple[Any, ...] = ()
    segment: str = ""

    @property
    def date_range(self) -> str | list[str]:
        """The range of time, as questions take it."""
        first, between, last = self.range_text.partition("..")
        return [first, last] if between else self.range_text

    @property
    def compare(self) -> str | None:
        """The range to compare with, as questions take it."""
        if self.compare_text == "none" or self.range_text == "all":
            return None
        return self.compare_text

    @property
    def people(self) -> list[Any]:
        """The conditions on persons, as questions take them."""
        return [["in", self.segment]] if self.segment else []

    @property
    def range_label(self) -> str:
        """The range of time, as people read it."""
        first, between, last = self.range_text.partition("..")
        return f"{first} to {last}" if between else RANGES.get(self.range_text, self.range_text)

    @property
    def range_phrase(self) -> str:
        """The range of time as the end of a sentence: in the last 28 days, from 2026-03-01 to 2026-03-31."""
        label = self.range_label
        if ".." in self.range_text:
            return f"from {label}"
        return f"in the {label.lower()}" if label.startswith("Last ") else label.lower()

    def question(self, **more: Any) -> dict[str, Any]:
        """Return the arguments of a question about what this view shows; those given here come on top."""
        arguments: dict[str, Any] = {"date_range": self.date_range}
        if self.filters:
            arguments["filters"] = list(self.filters)
        if self.segment:
            arguments["people"] = self.people
        for name, value in more.items():
            if name in ("filters", "people"):
                arguments[name] = [*arguments.get(name, []), *value]
            else:
                arguments[name] = value
        return {name: value for name, value in arguments.items() if value not in (None, [])}


def read_view(request: DashboardRequest) -> tuple[View, list[str]]:
    """Return what the URL asks to show, and a message for each of its parameters that cannot be read."""
    messages: list[str] = []
    text = request.get("list")
    list_id = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
    if text and not list_id:
        messages.append(f"list: {text[:50]!r} must be the number of a list.")
    filters = []
    for given in request.query.get("filter", []):
        read = decode_parameter(given)
        if isinstance(read, list) and read:
            filters.append(read)
        else:
            messages.append(f"filter: {given[:100]!r} must be a condition as JSON, such as " + '["is","path",["/pricing"]].')
    compare = request.get("compare", DEFAULT_COMPARISON)
    if compare not in COMPARISONS:
        messages.append(f"compare: {compare[:50]!r} must be previous, year or none.")
        compare = DEFAULT_COMPARISON
    return View(list_id, request.get("range", DEFAULT_RANGE), compare, tuple(filters), request.get("segment")), messages


def write_filter(condition: Iterable[Any]) -> str:
    """Return a condition as the URL's parameter `filter` has it."""
    return msgspec.json.encode(condition).decode()


class Links:
    """Writes the URLs of pages, relative to the dashboard's root.

    Args:
        view: what the page shows. Links keep it.
        query: the other parameters of the page's URL.
        base: the way to the dashboard's root, such as `./`.
    """

    def __init__(self, view: View, query: Mapping[str, list[str]], base: str = "./") -> None:
        self._view = view
        self._query = query
        self._base = base

    def to(self, page: str = "", /, **changes: Any) -> str:
        """Return the URL of a page about the same list, range and filters, but for the changes.

        Args:
            page: the page, such as `funnels`; empty: the overview.
            changes: parameters; None removes one, a list gives several values.
        """
        return self._write(page, self._list_kept(), changes)

    def here(self, page: str, /, **changes: Any) -> str:
        """Return the URL of a page with all parameters of this page's URL, but for the changes."""
        kept = self._list_kept()
        others = {name: list(values) for name, values in self._query.items() if name not in (*KEPT, *DROPPED)}
        return self._write(page, {**kept, **others}, changes)

    def filtered(self, page: str, /, *condition: Any, **changes: Any) -> str:
        """Return the URL of a page with one more filter, such as `("is", "path", ["/"])`, and parameters of its own."""
        given = write_filter(condition)
        kept = [write_filter(one) for one in self._view.filters]
        return self.to(page, filter=kept if given in kept else [*kept, given], **changes)

    def unfiltered(self, page: str, number: int) -> str:
        """Return the URL of this page without the filter at this place."""
        kept = [write_filter(one) for place, one in enumerate(self._view.filters) if place != number]
        return self.here(page, filter=kept)

    def _list_kept(self) -> dict[str, list[str]]:
        view = self._view
        kept = {
            "list": [str(view.list_id)] if view.list_id else [],
            "range": [view.range_text] if view.range_text != DEFAULT_RANGE else [],
            "compare": [view.compare_text] if view.compare_text != DEFAULT_COMPARISON else [],
            "filter": [write_filter(one) for one in view.filters],
            "segment": [view.segment] if view.segment else [],
        }
        return {name: values for name, values in kept.items() if values}

    def _write(self, page: str, kept: dict[str, list[str]], changes: Mapping[str, Any]) -> str:
        for name, value in changes.items():
            if value is None or value == []:
                kept.pop(name, None)
            else:
                kept[name] = [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]
        pairs = [(name, value) for name, values in kept.items() for value in values]
        address = self._base + quote(page) if page else self._base
        return f"{address}?{urlencode(pairs, errors='surrogatepass', quote_via=quote)}" if pairs else address
