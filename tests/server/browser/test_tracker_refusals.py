"""Refusals: what becomes of an event that is refused, and of those behind it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import httpx
import pytest

from falcon_events import EventTracking
from tests.harness import wait_until
from tests.server.browser.common import Browser, _DoorHandler
from tests.server.browser.conftest import World

KEPT = "Object.keys(localStorage).filter(key => key.startsWith('oct_') && key != 'oct_uuid')"
WAYS: dict[str, tuple[int, str, bool]] = {
    "a firewall": (403, "<h1>Forbidden</h1>", True),
    "a proxy's limit": (413, "<h1>Request Entity Too Large</h1>", True),
    "an API gateway": (403, '{"message": "Forbidden"}', True),
    "a wrong path": (404, "Not found", True),
    "a bad gateway": (502, "<h1>Bad Gateway</h1>", True),
    "a firewall that scripts cannot read": (403, "<h1>Forbidden</h1>", False),
    "a page for everything": (200, "<h1>Welcome</h1>", True),
}


def refuse_bodies(word: bytes, status: int, text: str, readable: bool, handler: _DoorHandler) -> bool:
    """Refuses requests that have a word in their body, as a proxy does."""
    if word not in handler.body:
        return True
    headers = {"Content-Type": "text/html"}
    if readable:
        headers["Access-Control-Allow-Origin"] = handler.headers["Origin"]
    handler.answer(httpx.Response(status, text=text, headers=headers))
    return False


def start(world: World, browser: Browser) -> None:
    """Opens a page that sends no page views."""
    browser.get(world.page("/", auto="off"))
    wait_until(lambda: browser.js("!!window.oct && !!oct.v"), "the script does not load")


class Always(list[Callable[[_DoorHandler], bool]]):
    """A trick that is not used up."""

    def pop(self, _: object = 0) -> Callable[[_DoorHandler], bool]:
        """The trick."""
        return self[0]


@pytest.mark.parametrize(
    ("way", "together"), [*((way, True) for way in WAYS), ("a firewall", False), ("a page for everything", False)]
)
def test_one_refused_event_keeps_no_other_back(world: World, browser: Browser, way: str, together: bool) -> None:
    """Whether others are sent with it or come later; what answers is not the server."""
    start(world, browser)
    world.door.tricks = Always([partial(refuse_bodies, b"union select", *WAYS[way])])
    good = "for (let number = 0; number < 20; number++) oct.eventT('good', {number});"
    bad = "oct.eventT('search', {q: '1 union select 2'});"
    browser.execute_script(good + bad + good if together else bad)
    if not together:
        wait_until(lambda: world.door.posts >= 1, "nothing is sent")
        browser.execute_script(good + good)
    world.events.arrived(40, "good")
    status, _, readable = WAYS[way]
    if readable and 400 <= status < 500:
        wait_until(lambda: browser.js(KEPT) == [], "the refused event is kept")
        assert any("search" in line and str(status) in line for line in browser.console())
    else:  # this may be an outage, so the event is kept
        wait_until(lambda: len(browser.js(KEPT)) == 1, "another event is kept, too")
        world.door.tricks = []
        world.events.arrived(41)


def test_events_that_are_all_refused_are_not_sent_in_a_storm(world: World, browser: Browser) -> None:
    """As where the path is wrong for a while: few are given up, and all others are stored afterwards."""
    start(world, browser)
    world.door.tricks = Always([partial(refuse_bodies, b"", 404, "Not found", True)])
    browser.execute_script("for (let number = 0; number < 64; number++) oct.eventT('good', {number})")
    wait_until(lambda: world.door.posts >= 9, "the batch is not halved")
    browser.execute_async_script("setTimeout(arguments[0], 2500)")
    assert world.door.posts <= 12
    world.door.tricks = []
    wait_until(lambda: len(world.events.column("event")) >= 58, "the others are not stored")


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_may_not_is_told_once_and_not_tried_again(world: World, browser: Browser, status: int) -> None:
    """The console says why, and the events stay for a page that may send them."""
    address = world.page("/", auto="off")
    other = world.site.origin.replace("localhost", "127.0.0.1")
    page = world.site.pages["/"]
    if status == 401:
        right, page.body = page.body, page.body.replace('data-key="', 'data-key="x')
    else:
        address = other + "/"
    browser.get(address)
    wait_until(lambda: browser.js("!!window.oct && !!oct.v"), "the script does not load")
    browser.execute_script("oct.eventT('one')")
    wait_until(lambda: world.door.posts == 1, "nothing is sent")
    wait_until(lambda: not browser.js("performance.getEntriesByType('resource').some(one => !one.responseEnd)"), "no answer")
    browser.execute_script("oct.eventT('two')")
    browser.execute_async_script("setTimeout(arguments[0], 2500)")
    assert world.door.posts == 1
    said = [line for line in browser.console() if "may not" in line or "credential" in line.lower() or "key" in line.lower()]
    assert len(said) == 1
    assert len(browser.js(KEPT)) == 2
    if status == 401:
        page.body = right
    else:
        with EventTracking(world.db, create=False) as tracking:
            snippet = tracking.snippet(world.list_id, url=world.door.url, origins=[other], auto="off")
        world.site.add("/", snippet)
    browser.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
    browser.get(address)
    world.events.arrived(2)


def test_half_a_character_costs_no_event(world: World, browser: Browser) -> None:
    """In values, names, event types, addresses of pages and titles: it is stored as U+FFFD, and the others as they are."""
    start(world, browser)
    browser.execute_script(
        "oct.eventC('o-1', 'purchase', 99);"
        "const cut = 'nice 😀'.substring(0, 6);"
        "oct.eventT('share', {text: cut, [cut]: [cut], whole: '😀', written: '\\\\ud83d', low: '\\udc00\\ud83d'});"
        "oct.eventT(cut); document.title = cut; oct.eventT('titled');"
        "oct.eventC('o-2', 'purchase', 50)"
    )
    world.events.arrived(5)
    assert world.events.column("event") == ["conversion", "share", "nice \ufffd", "titled", "conversion"]
    text, named, whole, written, low = (
        world.events.values(name)[1] for name in ("text", "nice \ufffd", "whole", "written", "low")
    )
    assert (text, named, whole, written, low) == ("nice \ufffd", ["nice \ufffd"], "😀", "\\ud83d", "\ufffd\ufffd")
    assert world.events.values("$pageTitle")[3:] == ["nice \ufffd"] * 2


def test_an_event_that_makes_its_batch_unreadable_keeps_no_other_back(world: World, browser: Browser) -> None:
    """Too deep, too large, too many names: it is reported, and the others are stored."""
    start(world, browser)
    browser.execute_script(
        "oct.eventT('first');"
        "let deep = {}; for (let level = 0; level < 5000; level++) deep = {deep};"
        "oct.eventT('deep', deep);"
        "oct.eventT('large', {text: 'x'.repeat(1100000)});"
        "oct.eventT('wide', Object.fromEntries(Array.from({length: 1500}, (_, number) => ['n' + number, 1])));"
        "oct.eventT('last', {number: Infinity})"
    )
    wait_until(lambda: len(world.events.column("event")) == 2, "events are kept back")
    wait_until(lambda: browser.js(KEPT) == [], "the outbox is not emptied")
    assert sorted(world.events.column("event")) == ["first", "last"]
