"""Links on the pages that guests of a share see: they lead nowhere but to the share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from falcon_events.dashboard.saved_pages import BOARD, CHOICES, GUEST_PAGES, GUEST_PARTS, SavedPage
from falcon_events.dashboard.view import Links
from falcon_events.errors import EventsError
from falcon_events.query.names import OPERATORS, PERSON_DIMENSIONS

SHARED, PUBLIC = "shared", "public"
"""The pages that show a share: to those who have its secret, and to everybody."""
PART = ".part"
QUESTIONS = frozenset({"query", "funnel", "retention"})
"""The questions that are asked for guests."""
HIDDEN = "…"
_leading_away = re.compile(
    r"\s(?:href|action|formaction|data-(?:part|tab|values|suggest|offer|stream|address))="
    r'"(?!\./(?:shared|public)(?:\.part)?\?|static/|#[a-z])[^"]*"'
)
_ADDRESS = r"(?:property|trait):\W*e[-_ ]?mail(?:[-_ ]?address)?\W*"
_naming = re.compile("|".join((*PERSON_DIMENSIONS, _ADDRESS)), re.IGNORECASE).fullmatch
"""Matches dimensions whose values name persons."""
_personal = re.compile("|".join((*PERSON_DIMENSIONS, _ADDRESS, "trait:.*")), re.IGNORECASE | re.DOTALL).fullmatch
"""Matches dimensions whose values in a filter may name a person."""


class SharedLinks(Links):
    """Writes the URLs of a share. A link to anything else is empty.

    Args:
        credential: the parameters that open the share, such as its secret.
        root: the page that shows the share: SHARED or PUBLIC.
        shared: the page that is shared.
        saved: the page that is shown: that one, or a view of the board that is shared.
        part: the part that is shown; empty: the whole page.
        view_name: the view of the board, if one is shown.
        query: the parameters of the page's own URL.
    """

    def __init__(
        self,
        credential: Mapping[str, str],
        root: str,
        shared: SavedPage,
        saved: SavedPage,
        *,
        part: str = "",
        view_name: str | None = None,
        query: Mapping[str, list[str]],
    ) -> None:
        super().__init__(saved.view, query)
        self._credential = credential
        self._root = root
        self._shared = shared
        self._saved = saved
        self._part = part
        self._view_name = view_name

    def to_root(self) -> str:
        """Return the URL of the share."""
        return self._spell(self._root, {})

    def to_part(self, part: str, view_name: str | None = None, **choices: str) -> str:
        """Return the URL of a part of the share."""
        named = {} if view_name is None else {"view": view_name}
        return self._spell(self._root + PART, {"show": part, **named, **choices})

    def _write(self, page: str, kept: dict[str, list[str]], changes: Mapping[str, Any]) -> str:
        is_on_board = self._shared.page == BOARD
        if is_on_board and page == self._saved.page:
            page = self._part
        is_whole = not is_on_board and page == self._shared.page and page not in GUEST_PARTS
        if not is_whole and page not in list_guest_parts(self._saved, is_on_board):
            return ""
        allowed = CHOICES.get(page, frozenset()) if is_whole else GUEST_PARTS[page] | {"csv"}
        given = {name: str(value) for name, value in changes.items() if value is not None}
        if not given.keys() <= allowed:
            return ""
        choices = {name: values[-1] for name, values in kept.items() if name in allowed} | given
        if is_whole:
            return self._spell(self._root, choices)
        return self.to_part(page, self._view_name, **choices)

    def _spell(self, path: str, choices: Mapping[str, str]) -> str:
        return f"./{path}?{urlencode({**self._credential, **choices}, errors='surrogatepass', quote_via=quote)}"


def list_guest_parts(saved: SavedPage, is_on_board: bool) -> tuple[str, ...]:
    """Return the parts of a page that guests may see: on a board, those that show it there."""
    parts = GUEST_PAGES.get(saved.page, ())
    on_board = {one.partition("?")[0].removeprefix("./") for one, _ in saved.list_parts()}
    return tuple(part for part in parts if part in on_board) if is_on_board else parts


def keep_shared_links(text: str) -> str:
    """Remove from a page's HTML every link and address but those of shares and static files.

    Stored text cannot be taken for one, as its quotes are escaped.
    """
    return _leading_away.sub("", text)


def check_guest_question(name: str, arguments: Mapping[str, Any]) -> None:
    """Check that a question may be asked for guests.

    Raises:
        EventsError: it would show persons.
    """
    dimensions = [*(arguments.get("dimensions") or []), arguments.get("breakdown") or ""]
    steps = [arguments.get(name) for name in ("steps", "start", "return_")]  # pages show their conditions in words
    if name not in QUESTIONS or any(_naming(str(one)) for one in dimensions) or _has_personal_condition(steps):
        raise EventsError("This is not shown here, as it would show persons.")


def hide_persons(condition: Any) -> Any:
    """Return a condition on events without the values of dimensions that name persons."""
    match condition:
        case [("and" | "or") as word, [*inner]]:
            return [word, [hide_persons(one) for one in inner]]
        case ["not", inner]:
            return ["not", hide_persons(inner)]
        case [str(operator), str(dimension), [*_], *_] if _personal(dimension):
            return [operator, dimension, [HIDDEN]]
    return condition


def _has_personal_condition(value: Any) -> bool:
    """Whether a condition on events within a value has a dimension that may name a person."""
    match value:
        case [str(operator), str(dimension), *_] if operator in OPERATORS and _personal(dimension):
            return True
        case dict():
            return any(map(_has_personal_condition, value.values()))
        case list() | tuple():
            return any(map(_has_personal_condition, value))
    return False
