"""Saved views and the boards that show them."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest

from falcon_events import EventTracking
from falcon_events.access.protocol import Principal, Scope
from falcon_events.dashboard.cookies import FORMS, make_form_token
from falcon_events.dashboard.pages import PAGES
from falcon_events.dashboard.saved_pages import GUEST_PARTS, MAIN_PARTS, read_location
from tests.server.dashboard.conftest import MARCH
from tests.server.dashboard.site import Seen, Site
from tests.shop import fill_shop

_names = (f"Board {number}" for number in itertools.count())
HOSTILE = [
    "<script>alert(1)</script>",
    "'\"><img src=x onerror=alert(1)>",
    "\u202eevil\u2066",
    "a\0b\x1b[2J",
    "x" * 200,
    "../..",
    "?&#%00",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventTracking]:
    """A store with the shop's events on list 1, and two lists of other accounts."""
    with EventTracking(tmp_path_factory.mktemp("boards") / "events.duckdb") as tracking:
        tracking.directory.create_account("alice")
        tracking.directory.create_account("bob")
        fill_shop(tracking)
        tracking.directory.create_list("alice", "Alice's", 2)
        tracking.directory.create_list("bob", "Bob's", 3)
        yield tracking


@pytest.fixture
def site(store: EventTracking, one_flavour: str) -> Site:
    """Its dashboard, for somebody who may do everything."""
    return Site(store, one_flavour, lambda request: Principal("*"))


@pytest.fixture
def board() -> str:
    """The name of a board that no other test uses."""
    return next(_names)


def save(site: Site, board: str, name: str, location: str, list_id: int = 1, **more: Any) -> Seen:
    """Send the form that saves a view."""
    return site.post(f"views?list={list_id}", {"act": "save", "board": board, "name": name, "location": location, **more})


def keys_of(seen: Seen) -> list[str]:
    """What the forms of a board call its views."""
    return re.findall(r'name="view" value="([0-9a-f]+)"', seen.html)


def test_a_page_offers_to_save_it(site: Site) -> None:
    """Its form has the page's own address, with the range, the filters and the tabs that are chosen."""
    seen = site.get(range=MARCH, filter='["is","path",["/"]]', metric="views", pages="exit_path")
    (location,) = {html.unescape(one) for one in re.findall(r'name="location" value="([^"]*)"', seen.html)}
    saved = read_location(location, 1)
    assert saved is not None
    assert saved.query == {
        "list": ["1"],
        "range": [MARCH],
        "filter": ['["is","path",["/"]]'],
        "metric": ["views"],
        "pages": ["exit_path"],
    }


def test_a_board_shows_its_views_in_order(site: Site, board: str) -> None:
    """Each by the parts that show its page, with the link that opens it."""
    assert save(site, board, "Overview in March", f"./?list=1&range={MARCH}").status == 303
    seen = save(site, board, "Browsers", f"overview.table?list=1&by=browser&range={MARCH}&compare=none")
    assert (seen.status, seen.headers["location"]) == (303, f"./board?list=1&name={board.replace(' ', '%20')}")
    seen = site.get(seen.headers["location"])
    assert seen.text.index("Overview in March") < seen.text.index("Browsers")
    assert seen.link("Overview in March") == f"./?list=1&range={MARCH}"
    figures, trend, table = seen.parts()
    assert "People 3" in site.get(figures, part=1).text
    assert len(site.get(trend, part=1).tables[0]) == 1 + 31
    assert site.get(table, part=1).tables[0][0] == ["Browser", "People", "Events"]
    assert seen.html.count("data-lazy") == 3, "a board with many views loads what is in view"
    assert f"{board} 2 views" in site.get("boards").text


def test_a_view_is_replaced_by_one_of_its_name_and_removed(site: Site, board: str) -> None:
    """A board is there as long as it has a view."""
    save(site, board, "One", "?list=1")
    save(site, board, "Two", "?list=1&range=7d")
    save(site, board, "One", "?list=1&range=91d")
    seen = site.get("board", name=board)
    assert "One Overview · Last 91 days" in seen.text
    first, second = keys_of(seen)
    seen = site.post("views?list=1", {"act": "remove", "view": first})
    assert "name=" in seen.headers["location"]
    assert "One" not in site.get("board", name=board).text
    assert site.post("views?list=1", {"act": "remove", "view": first}).status == 400
    assert site.post("views?list=1", {"act": "remove", "view": second}).headers["location"] == "./boards?list=1"
    assert board not in site.get("boards").text


def test_an_empty_board_says_what_to_do(site: Site, store: EventTracking) -> None:
    """As does a list without boards."""
    store.directory.ensure_list(12, "New")
    assert "This board has no views. Open a page such as the Overview" in site.get("board", name="no such board").text
    assert "There is no board yet." in site.get("boards", list=12).text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_shown_and_removed(site: Site, board: str, name: str) -> None:
    """As text, whatever their characters are; forms and links still mean the view."""
    hostile = f"{name[:180]}{board}"
    seen = save(site, hostile, name, "?list=1")
    assert seen.status == 303
    for page in (site.get(seen.headers["location"]), site.get("boards")):
        assert page.status == 200
        assert "<script>alert" not in page.html
        assert "<img src=x" not in page.html
        assert "\u202e" not in page.html
        assert "\0" not in page.html
    (key,) = keys_of(site.get(seen.headers["location"]))
    assert site.post("views?list=1", {"act": "remove", "view": key}).headers["location"] == "./boards?list=1"


@pytest.mark.parametrize(
    "location",
    [
        "https://elsewhere.example/",
        "//elsewhere.example/",
        "/dashboard/",
        "javascript:alert(1)",
        "../api/v1/events",
        "a/b",
        "%2e%2e/x",
        "./\\elsewhere.example",
        "?list=2",
        "?list=1&list=2",
        "?list=1&name=" + "x" * 8000,
    ],
)
def test_only_pages_of_the_list_are_saved(site: Site, store: EventTracking, board: str, location: str) -> None:
    """Not what leads elsewhere, or shows another list."""
    assert save(site, board, "One", location).status == 400
    assert store.boards.views(1, board) == []


def test_a_view_shows_its_own_list_only(site: Site, store: EventTracking, board: str) -> None:
    """Also one that was saved by other means with another list in its address."""
    store.boards.save_view(2, board, "One", "?list=1&range=7d")
    store.boards.save_view(2, board, "Two", "no/such/page?list=1")
    store.boards.save_view(2, board, "Three", "?" + "&".join(["a"] * 2000))
    store.boards.save_view(2, board, "Four", ".")
    seen = site.get("board", list=2, name=board)
    assert seen.status == 200
    assert len(seen.parts()) == 4
    assert all("list=2" in part and "list=1" not in part for part in seen.parts())
    assert seen.text.count("is not one of the dashboard's pages") == 2


def test_a_view_without_a_name_is_refused(site: Site, board: str) -> None:
    """And one whose name is too long."""
    for name in ("", "  ", "x" * 201):
        seen = save(site, board, name, "?list=1")
        assert seen.status == 400
        assert "must be text of 1 to 200 characters" in seen.text
    assert save(site, board, "x", "?list=1", act="burn").status == 400


def test_two_hundred_views_load_when_they_are_seen(site: Site, store: EventTracking) -> None:
    """The page itself asks nothing of the events."""
    store.directory.ensure_list(10, "Full")
    for number in range(200):
        store.boards.save_view(10, "Full", f"View {number}", f"?range={number + 1}d")
    seen = site.get("board", list=10, name="Full")
    assert len(seen.parts()) == 400
    assert seen.html.count("data-lazy") == 400
    assert "which is the limit" in save(site, "Full", "One more", "?list=10", list_id=10).text


def test_whoever_may_only_read_changes_nothing(site: Site, store: EventTracking, one_flavour: str, board: str) -> None:
    """Boards can be read; there are no forms, and sending one is refused."""
    save(site, board, "One", "?list=1")
    (key,) = keys_of(site.get("board", name=board))
    reader = Site(store, one_flavour, lambda request: Principal("*", Scope.READ))
    seen = reader.get("board", name=board)
    assert "One" in seen.text
    assert '<form method="post"' not in seen.html
    assert "Save this view" not in reader.get().text
    token = make_form_token(store.store.uuid_namespace, reader.cookies[FORMS])
    assert reader.post("views?list=1", {"act": "remove", "view": key, "token": token}).status == 403
    assert save(reader, board, "Two", "?list=1", token=token).status == 403
    assert [view.name for view in store.boards.views(1, board)] == ["One"]


def test_other_lists_are_out_of_reach(store: EventTracking, one_flavour: str, board: str) -> None:
    """Neither read nor changed, whatever the form says; nor without the form's token."""
    store.boards.save_view(3, board, "Bob's", "?list=3")
    alice = Site(store, one_flavour, lambda request: Principal("alice", list_ids=frozenset({2})))
    for page in ("boards", "board", "boards.names", "shares"):
        assert alice.get(page, list=3, name=board).status == 404
    assert save(alice, board, "Mine", "?list=3", list_id=3).status == 404
    assert save(alice, board, "Mine", "?list=3", list_id=2).status == 400
    key = keys_of(Site(store, one_flavour, lambda request: Principal("*")).get("board", list=3, name=board))[0]
    for list_id in (2, 3):
        assert alice.post(f"views?list={list_id}", {"act": "remove", "view": key}).status in (400, 404)
    assert alice.post("views?list=2", {"act": "save"}, token=False).status == 403
    assert alice.get("views", list=2).status == 405
    assert [view.name for view in store.boards.views(3, board)] == ["Bob's"]


def test_boards_offer_their_names(site: Site, board: str) -> None:
    """To the field of the form that saves a view."""
    save(site, board, "One", "?list=1")
    assert f'<option value="{board}">' in site.get("boards.names", part=1).html
    assert site.get("board", name=board).html.count('aria-current="page">Boards') == 1


def test_main_parts_are_pages() -> None:
    """Every part that shows a page on a board exists if the page does, and guests see parts only."""
    for page, parts in MAIN_PARTS.items():
        if page in PAGES:
            assert all(PAGES[part].show for part in parts), page
    assert not {part for part in GUEST_PARTS if part.startswith(("people", "person", "live", "data", "values"))}
    assert all(PAGES[part].act is None for part in GUEST_PARTS if part in PAGES)
