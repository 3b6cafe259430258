"""Page views of single-page applications: each has the title of its own page, and the page before as its referrer."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from tests.harness import wait_until
from tests.server.browser.common import Browser, hold
from tests.server.browser.conftest import World


@pytest.mark.parametrize("delay_ms", [None, 0, 30, 400])
def test_a_view_has_its_own_title_and_the_page_before(world: World, browser: Browser, delay_ms: int | None) -> None:
    """Though routers set the title after pushState, at once (None) or later; the first referrer is the browser's."""
    address = world.page("/")
    browser.get(world.site.add("/from", "", f"<a href='{address}'>there</a>"))
    browser.find_element("tag name", "a").click()
    wait_until(lambda: browser.js("!!window.oct && !!oct.v"), "the script does not load")
    go = """
        history.pushState({}, '', arguments[0]);
        const set = () => { document.title = arguments[1] };
        if (arguments[2] === null) set(); else setTimeout(set, arguments[2]);
    """
    for number, (path, title) in enumerate((("/shoes?size=9", "Shoes"), ("/cart#top", "Cart"))):
        world.events.arrived(1 + number, "pageView")
        browser.execute_script(go, path, title, delay_ms)
    world.events.arrived(3, "pageView")
    browser.execute_script("oct.eventT('bought')")
    world.events.arrived(4)
    origin = world.site.origin
    assert world.events.values("$pageTitle") == ["A page", "Shoes", "Cart", "Cart"]
    assert world.events.values("$referrer") == [
        f"{origin}/from",
        f"{origin}/",
        f"{origin}/shoes?size=9",
        f"{origin}/shoes?size=9",
    ]
    assert set(world.events.values("$referring_domain")) == {origin.removeprefix("http://")}
    assert world.events.values("$direct") == [None] * 4


STOP_CLOCK = """
const now = Date.now, later = window.setTimeout, stopped = now();
Date.now = () => window.isClockRunning ? now() : stopped;
window.setTimeout = (action, delay) => later(
    function act() { if (delay < 500 || window.isClockRunning) action(); else later(act, 20); }, delay < 500 ? delay : 0
);
"""
"""Nothing that the page does later than in half a second happens, until its clock runs again."""


def test_quick_navigations_keep_each_title(world: World, browser: Browser) -> None:
    """A page that is left before its view was sent has the title that it had then, also when left by going back."""
    browser.get(world.page("/"))
    wait_until(lambda: browser.js("!!window.oct && !!oct.v"), "the script does not load")
    browser.execute_async_script("""
        const done = arguments[0];
        addEventListener('popstate', () => { document.title = 'A page'; done() });
        history.pushState({}, '', '/one'); document.title = 'One';
        history.pushState({}, '', '/two'); document.title = 'Two';
        history.go(-2);
    """)
    world.events.arrived(4)
    origin = world.site.origin
    assert world.events.values("$pageTitle") == ["A page", "One", "Two", "A page"]
    assert world.events.values("$referrer") == ["", f"{origin}/", f"{origin}/one", f"{origin}/two"]
    assert world.events.values("$direct") == [True, None, None, None]


def test_a_page_that_is_left_at_once_is_viewed_with_its_title(world: World, browser: Browser) -> None:
    """The view does not wait for a title when the visitor leaves."""
    browser.get(world.page("/"))
    wait_until(lambda: browser.js("!!window.oct && !!oct.v"), "the script does not load")
    browser.execute_script("history.pushState({}, '', '/last'); document.title = 'Last'; location.href = 'about:blank'")
    world.events.arrived(2)
    assert world.events.values("$pageTitle") == ["A page", "Last"]


def test_an_application_that_routes_by_the_fragment_has_it_in_the_referrer(world: World, browser: Browser) -> None:
    """Where fragments are pages; elsewhere a referrer has none, as with browsers."""
    browser.get(world.page("/", hash="on"))
    wait_until(lambda: browser.js("!!window.oct && !!oct.v"), "the script does not load")
    browser.execute_script("location.hash = '/shoes'")
    world.events.arrived(2)
    browser.execute_script("location.hash = '/cart'")
    world.events.arrived(3)
    assert world.events.values("$referrer")[1:] == [f"{world.site.origin}/", f"{world.site.origin}/#/shoes"]


def test_a_page_without_page_views_by_itself_knows_the_page_before(world: World, browser: Browser) -> None:
    """The application calls eventP() when it has set the title."""
    browser.get(world.page("/", auto="off"))
    wait_until(lambda: browser.js("!!window.oct && !!oct.v"), "the script does not load")
    browser.execute_script("oct.eventP(); history.pushState({}, '', '/shoes'); document.title = 'Shoes'; oct.eventP()")
    world.events.arrived(2)
    assert world.events.values("$pageTitle") == ["A page", "Shoes"]
    assert world.events.values("$referrer") == ["", f"{world.site.origin}/"]


def test_a_view_waits_for_its_title_while_another_request_is_under_way(world: World, browser: Browser) -> None:
    """The end of that request does not send it early."""
    answered = threading.Event()
    browser.get(world.page("/"))
    world.events.arrived(1)
    world.door.tricks = [partial(hold, answered)]
    browser.execute_script("oct.eventT('slow')")
    wait_until(lambda: world.door.posts == 2, "nothing is sent")
    browser.execute_script(STOP_CLOCK)
    browser.execute_script("history.pushState({}, '', '/shoes')")
    answered.set()
    world.events.arrived(2)
    world.events.settle()
    browser.execute_script("document.title = 'Shoes'; window.isClockRunning = true")
    world.events.arrived(3)
    assert world.events.values("$pageTitle")[2] == "Shoes"
