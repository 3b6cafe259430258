"""What a visitor does, and what the store has of it afterwards."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.harness import wait_until
from tests.server.browser.common import PACE, Browser, chromium, hold, lose_answer, lose_request, refuse
from tests.server.browser.conftest import World

CONTEXT = [
    "$browser",
    "$browser_language",
    "$browser_version",
    "$current_url",
    "$device",
    "$device_type",
    "$dsn",
    "$host",
    "$lib",
    "$lib_version",
    "$list_id",
    "$os",
    "$pageTitle",
    "$pathname",
    "$referrer",
    "$referring_domain",
    "$screen_height",
    "$screen_width",
    "$sent_at",
    "$server",
    "$uuid",
    "$viewport_height",
    "$viewport_width",
]
"""The names that the API documentation's example lists for pageView, without url."""
COUNTED = "window.tried = 0; window.fetch = (fetch => (...given) => { tried++; return fetch(...given) })(fetch)"
"""How often a page has tried to send something."""
KEPT = "Object.keys(localStorage).filter(key => key.startsWith('oct_') && key != 'oct_uuid')"


def test_a_page_view_has_the_documented_properties_and_no_others(world: World, browser: Browser) -> None:
    """With a referrer exactly the documented list; without one also $direct."""
    browser.get(world.page("/start", "<a href='/next?b=1#c'>next</a>"))
    world.events.arrived(1, "pageView")
    assert world.names() == {"pageView": sorted([*CONTEXT, "$direct", "url"])}
    assert world.events.values("$direct") == [True]
    world.page("/next")
    browser.find_element("tag name", "a").click()
    world.events.arrived(2, "pageView")
    first, properties = world.events.column("properties")
    assert sorted(properties) == sorted([*CONTEXT, "url"])
    origin = world.site.origin
    sent_at, size = properties.pop("$sent_at"), properties.pop("$screen_width") * properties.pop("$screen_height")
    viewport = properties.pop("$viewport_width") * properties.pop("$viewport_height")
    assert sent_at.endswith("Z")
    assert size >= viewport > 10_000
    assert properties == {
        "$browser": "Chrome",
        "$browser_language": browser.js("navigator.language"),
        "$browser_version": "140.0.0.0",
        "$current_url": f"{origin}/next?b=1#c",
        "$device": "Linux",
        "$device_type": "Desktop",
        "$dsn": f"{world.door.url}/{world.list_id}",
        "$host": origin.removeprefix("http://"),
        "$lib": "falcon-events",
        "$lib_version": browser.js("oct.v"),
        "$list_id": world.list_id,
        "$os": "Linux",
        "$pageTitle": "A page",
        "$pathname": "/next",
        "$referrer": f"{origin}/start",
        "$referring_domain": origin.removeprefix("http://"),
        "$server": world.door.url,
        "$uuid": first["$uuid"],
        "url": f"{origin}/next?b=1#c",
    }
    assert world.events.column("visitor") == [first["$uuid"]] * 2


def test_the_calls_make_the_documented_events(world: World, browser: Browser) -> None:
    """Also those that the page made before the script had loaded, in their order."""
    calls = """<script>
        oct.eventI('Ada@Example.com', {plan: 'free'}, {firstName: 'Ada'});
        oct.eventT('signup', {seats: 3});
        oct.eventC('order-1', 'purchase', 290.5, {currency: 'EUR'});
    </script>"""
    world.site.add("/", world.snippet(auto="off") + calls)
    browser.get(world.site.origin)
    world.events.arrived(3)
    browser.execute_script("oct.eventP('https://example.com/elsewhere', {a: 1}); oct.eventP({b: 2}); oct.eventP(null, {c: 3})")
    world.events.arrived(6)
    assert world.events.column("event") == ["identify", "signup", "conversion", "pageView", "pageView", "pageView"]
    assert world.events.column("email") == ["Ada@Example.com", *[None] * 5]
    own = [
        {name: value for name, value in properties.items() if not name.startswith("$")}
        for properties in world.events.column("properties")
    ]
    here = world.site.origin + "/"
    assert own == [
        {"plan": "free", "emailAddress": "Ada@Example.com"},
        {"seats": 3},
        {"conversion-id": "order-1", "conversion-name": "purchase", "conversion-value": 290.5, "currency": "EUR"},
        {"url": "https://example.com/elsewhere", "a": 1},
        {"url": here, "b": 2},
        {"url": here, "c": 3},
    ]
    assert world.events.traits() == [{"firstName": "Ada"}]
    assert len(set(world.events.column("visitor"))) == 1
    assert world.names()["signup"] == sorted([*CONTEXT, "$direct", "seats"])


def test_navigations_of_a_single_page_application_count_once(world: World, browser: Browser) -> None:
    """pushState, replaceState with a new path, and going back; not what leaves the place as it is."""
    browser.get(world.page("/"))
    browser.execute_script("history.pushState({}, '', '/a')")
    browser.execute_script("history.pushState({}, '', '/a')")  # where the page is already
    browser.execute_script("history.replaceState({}, '', '/a?filter=1')")  # the same path
    browser.execute_script("history.replaceState({}, '', '/b')")
    browser.execute_script("history.pushState({}, '', '/b?page=2')")
    browser.execute_script("location.hash = 'part'")  # the option hash is off
    world.events.arrived(4)
    browser.execute_script("history.go(-2)")
    world.events.arrived(5)
    paths = [url.removeprefix(world.site.origin) for url in world.events.values("url")]
    assert paths == ["/", "/a", "/b", "/b?page=2", "/b"]


def test_hashes_are_pages_where_the_option_says_so(world: World, browser: Browser) -> None:
    """For applications that route by the fragment."""
    browser.get(world.page("/", hash="on"))
    browser.execute_script("location.hash = 'one'")
    browser.execute_script("location.hash = 'one'")
    browser.execute_script("location.hash = 'two'")
    world.events.arrived(3)
    assert [url.partition("#")[2] for url in world.events.values("url")] == ["", "one", "two"]


CLOSING = """<script>
  addEventListener("load", () => {
    let number = location.search.slice(1);
    oct.eventC("order-" + number, "purchase", +number);
    close();
  });
</script>"""


def test_of_50_conversions_in_tabs_closed_at_once_50_arrive(world: World, browser: Browser) -> None:
    """Once each, though the tab is gone before anything was sent: 4 with a process of their own, 46 that share one."""
    address = world.page("/", auto="off")
    browser.get(address)
    first = browser.current_window_handle
    for number in range(4):
        browser.switch_to.new_window("tab")
        browser.get(address)
        wait_until(lambda: browser.js("!!oct.v"), "the script does not load")
        browser.execute_script(f"oct.eventC('order-{number}', 'purchase', {number})")
        browser.close()
        browser.switch_to.window(first)
    closing = world.site.add("/closing", world.snippet(auto="off"), CLOSING)
    browser.execute_script(f"for (let number = 4; number < 50; number++) open('{closing}?' + number)")
    world.events.arrived(50, "conversion")
    assert sorted(world.events.values("conversion-value")) == list(range(50))


def test_100_conversions_survive_60_seconds_offline_and_a_reload(world: World, browser: Browser) -> None:
    """They wait in the outbox, are tried again and again, and are stored once. Time goes by 50 times as fast in the pages."""
    browser.before_pages(COUNTED)
    browser.hurry(50)
    address = world.page("/", auto="off")
    browser.get(address)
    wait_until(lambda: browser.js("!!oct.v"), "the script does not load")
    browser.offline(True)
    for number in range(100):
        browser.execute_script(f"oct.eventC('order-{number}', 'purchase', {number})")
    began = browser.js("Date.now()")
    browser.execute_async_script("setTimeout(arguments[0], 60000)")
    assert browser.js("Date.now()") - began >= 60_000
    assert browser.js("tried") >= 6
    assert world.events.column("event") == []
    browser.offline(False)
    browser.get(address)
    world.events.arrived(100, "conversion")
    assert sorted(world.events.values("conversion-value")) == list(range(100))
    wait_until(lambda: browser.js(KEPT) == [], "the outbox is not emptied")


def test_what_was_offline_goes_out_when_the_network_is_back(world: World, browser: Browser) -> None:
    """Without a reload, and without waiting for the next attempt."""
    browser.before_pages(COUNTED)
    browser.get(world.page("/", auto="off"))
    wait_until(lambda: browser.js("!!oct.v"), "the script does not load")
    browser.offline(True)
    browser.execute_script("oct.eventT('one')")
    wait_until(lambda: browser.js("tried") >= 2, "it is not tried again")
    browser.execute_script("window.setTimeout = () => 0")  # one timer is set, and no other will send it
    wait_until(lambda: browser.js("tried") >= 3, "it is not tried again")
    assert world.events.column("event") == []
    browser.offline(False)
    world.events.arrived(1)


def test_links_and_other_sites_take_nothing_away(world: World, browser: Browser) -> None:
    """An event made in the click that leaves the page is there, as is the next page's view."""
    there = world.page("/there")
    here = world.page("/here", f"<a href='{there}' onclick=\"oct.eventT('click')\">there</a>")
    browser.get(here)
    wait_until(lambda: browser.js("!!oct.v"), "the script does not load")
    browser.find_element("tag name", "a").click()
    world.events.arrived(3)
    assert sorted(world.events.column("event")) == ["click", "pageView", "pageView"]
    browser.execute_script("oct.eventT('last'); location.href = 'about:blank'")
    world.events.arrived(4)


def test_a_hidden_tab_sends_what_it_has(world: World, browser: Browser) -> None:
    """Without waiting for anything."""
    browser.get(world.page("/", auto="off"))
    wait_until(lambda: browser.js("!!oct.v"), "the script does not load")
    browser.execute_script("window.setTimeout = () => 0; oct.eventT('before')")  # no timer will send it
    browser.switch_to.new_window("tab")
    world.events.arrived(1, "before")


@pytest.fixture(scope="module")
def bare_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that blocks cookies, and calls itself what it is."""
    blocked = {"profile.default_content_setting_values.cookies": 2, "profile.cookie_controls_mode": 1}
    with chromium(tmp_path_factory.mktemp("profile") / "profile", agent=None, preferences=blocked) as browser:
        browser.hurry(PACE)
        yield browser


def test_where_cookies_are_blocked_events_still_arrive(world: World, bare_browser: Browser) -> None:
    """With them storage is, too: the visitor is known for as long as the page is there."""
    bare_browser.get(world.page("/"))
    world.events.arrived(1, "pageView")
    bare_browser.execute_script("oct.eventT('test')")
    world.events.arrived(2)
    assert bare_browser.get_cookies() == []
    assert len(set(world.events.column("visitor"))) == 1


def test_where_a_cookie_is_refused_local_storage_has_the_visitor(world: World, browser: Browser) -> None:
    """As under a browser's policy against cookies made by scripts."""
    browser.before_pages("Object.defineProperty(document, 'cookie', {get: () => '', set: () => {}})")
    address = world.page("/")
    browser.get(address)
    world.events.arrived(1)
    assert browser.js("localStorage.oct_uuid") == world.events.column("visitor")[0]
    browser.get(address)
    world.events.arrived(2)
    assert len(set(world.events.column("visitor"))) == 1


def test_the_cookie_is_the_sites_own_lax_and_lasts(world: World, browser: Browser) -> None:
    """For a year, or as long as the option says."""
    address = world.page("/", days="30")
    browser.get(address)
    world.events.arrived(1)
    cookie = browser.get_cookie("oct_uuid")
    assert cookie is not None
    assert (cookie["sameSite"], cookie["domain"], cookie["secure"], cookie["path"]) == ("Lax", "localhost", False, "/")
    lasts = cookie["expiry"] - browser.js("Date.now()") / 1000
    assert 29.9 < lasts / 86400 < 30.1
    assert cookie["value"] == world.events.column("visitor")[0] == str(uuid.UUID(cookie["value"]))


@pytest.mark.parametrize("storage", ["local", "none"])
def test_storage_is_the_pages_choice(world: World, browser: Browser, storage: str) -> None:
    """In localStorage without a cookie, or nothing anywhere and another visitor with each page."""
    address = world.page("/", storage=storage)
    browser.get(address)
    world.events.arrived(1)
    browser.get(address)
    world.events.arrived(2)
    assert browser.get_cookies() == []
    kept = browser.js("Object.keys(localStorage).filter(key => !key.startsWith('oct_10'))")
    assert kept == ([] if storage == "none" else ["oct_uuid"])
    assert len(set(world.events.column("visitor"))) == (2 if storage == "none" else 1)
    if storage == "none":
        assert browser.js("localStorage.length") == 0


def test_two_tabs_are_one_visitor_and_send_nothing_twice(world: World, browser: Browser) -> None:
    """Each its own events, though both see the same outbox."""
    address = world.page("/", auto="off")
    tabs = []
    for _ in range(2):
        browser.switch_to.new_window("tab")
        browser.get(address)
        wait_until(lambda: browser.js("!!oct.v"), "the script does not load")
        tabs.append(browser.current_window_handle)
    for number in range(20):
        browser.switch_to.window(tabs[number % 2])
        browser.execute_script(f"oct.eventT('test', {{number: {number}}})")
    world.events.arrived(20, "test")
    assert sorted(world.events.values("number")) == list(range(20))
    assert len(set(world.events.column("visitor"))) == 1


def test_a_page_from_the_back_forward_cache_is_viewed_again(world: World, browser: Browser) -> None:
    """The browser shows it without running the script anew."""
    other = world.page("/other")
    browser.get(world.page("/"))
    world.events.arrived(1)
    browser.execute_script("window.sameRun = true; addEventListener('pageshow', event => { window.fromCache = event.persisted })")
    browser.get(other)
    world.events.arrived(2)
    browser.back()
    world.events.arrived(3)
    assert browser.js("[window.sameRun, window.fromCache]") == [True, True]
    browser.execute_script("oct.eventT('after')")
    world.events.arrived(4)
    assert world.events.column("event")[-1] == "after"
    paths = world.events.values("$pathname")
    assert paths == ["/", "/other", "/", "/"]


def test_a_strict_content_security_policy_is_kept(world: World, browser: Browser) -> None:
    """No inline code without the nonce, no eval, no connection but to the server."""
    address = world.site.add(
        "/",
        "<script nonce='abc'>addEventListener('securitypolicyviolation', event => { document.title += event.violatedDirective })"
        "</script>" + world.snippet(nonce="abc"),
        Content_Security_Policy=f"default-src 'none'; script-src 'nonce-abc'; connect-src {world.door.url}",
    )
    browser.get(address)
    world.events.arrived(1)
    browser.execute_script("oct.eventC('1', 'purchase', 2)")
    world.events.arrived(2)
    assert browser.title == "A page"
    assert [line for line in browser.console() if "favicon" not in line] == []


def test_a_failing_server_is_tried_again_until_it_takes_the_event(world: World, browser: Browser) -> None:
    """503, 429 with Retry-After, 500, and connections that break before and after the event is stored: once each all the same."""
    address = world.page("/", auto="off")
    browser.get(address)
    wait_until(lambda: browser.js("!!oct.v"), "the script does not load")
    world.door.tricks = [
        refuse,
        partial(refuse, status=429, Retry_After="1"),
        partial(refuse, status=500),
        lose_request,
        lose_answer,
    ]
    browser.execute_script("oct.eventT('one')")
    browser.execute_script("oct.eventT('two', {big: 'x'.repeat(70000)})")  # more than keepalive may have
    wait_until(lambda: browser.js(KEPT) == [], "the outbox is not emptied")
    world.events.arrived(2)
    assert sorted(world.events.column("event")) == ["one", "two"]
    assert world.door.tricks == []


def test_retry_after_is_heeded(world: World, browser: Browser) -> None:
    """The browser waits as long as the server asks."""
    browser.get(world.page("/", auto="off"))
    wait_until(lambda: browser.js("!!oct.v"), "the script does not load")
    world.door.tricks = [partial(refuse, **{"Retry-After": "5"})]
    browser.execute_script("window.began = Date.now(); oct.eventT('one')")
    wait_until(lambda: world.door.posts == 1, "nothing is sent")
    wait_until(lambda: browser.js(KEPT) == [], "the outbox is not emptied")
    assert browser.js("Date.now() - began") >= 5000
    world.events.arrived(1)
    world.events.settle()
    assert world.door.posts == 2


def test_a_server_that_is_away_for_long_is_asked_once_a_minute(world: World, browser: Browser) -> None:
    """Half a second after the first failure, then twice as long each time, up to a minute; however many there are."""
    browser.before_pages(
        "window.delays = []; const later = window.setTimeout;"
        "window.setTimeout = (action, delay) => { delays.push(delay); return later(action, Math.min(delay, 20)) }"
    )
    browser.get(world.page("/", auto="off"))
    wait_until(lambda: browser.js("!!oct.v"), "the script does not load")
    world.door.tricks = [refuse] * 40
    browser.execute_script("oct.eventT('one')")
    world.events.arrived(1)
    world.events.settle()
    assert world.door.posts == 41
    waited = [delay for delay in browser.js("delays") if delay > 400]
    expected = [min(60_000, 500 * 2**failure) for failure in range(40)]
    assert all(delay <= wanted < delay + 100 for delay, wanted in zip(waited, expected, strict=True))


def test_a_slow_server_gets_each_event_once(world: World, browser: Browser) -> None:
    """What comes while a request is under way waits for its end."""
    browser.get(world.page("/", auto="off"))
    wait_until(lambda: browser.js("!!oct.v"), "the script does not load")
    answered = threading.Event()
    world.door.tricks = [partial(hold, answered)]
    browser.execute_script("oct.eventT('one')")
    wait_until(lambda: world.door.posts == 1, "nothing is sent")
    for _ in range(3):
        browser.execute_script("oct.eventT('more')")
    browser.execute_async_script("setTimeout(arguments[0], 500)")
    answered.set()
    world.events.arrived(4)
    world.events.settle()
    assert world.door.posts == 2


def test_much_is_sent_in_pieces_that_a_leaving_page_may_send(world: World, browser: Browser) -> None:
    """Browsers refuse more than 64 KiB at once; the next page sends what was left."""
    address = world.page("/", auto="off")
    browser.get(address)
    wait_until(lambda: browser.js("!!oct.v"), "the script does not load")
    browser.execute_script(
        "for (let number = 0; number < 200; number++) oct.eventT('test', {number, text: 'é'.repeat(1000)});"
        f"location.href = '{address}?again'"
    )
    world.events.arrived(200, "test")
    assert sorted(world.events.values("number")) == list(range(200))
    wait_until(lambda: browser.js(KEPT) == [], "the outbox is not emptied")


def test_the_outbox_is_bounded(world: World, browser: Browser) -> None:
    """The oldest go first."""
    browser.get(world.page("/", auto="off"))
    wait_until(lambda: browser.js("!!oct.v"), "the script does not load")
    browser.offline(True)
    browser.execute_script("for (let number = 0; number < 520; number++) oct.eventT('test', {number})")
    browser.offline(False)
    world.events.arrived(500, "test")
    assert sorted(world.events.values("number")) == list(range(20, 520))


def test_a_refused_event_is_reported_and_keeps_no_other_back(world: World, browser: Browser) -> None:
    """An event that can never be stored is not sent for ever."""
    browser.get(world.page("/", auto="off"))
    wait_until(lambda: browser.js("!!oct.v"), "the script does not load")
    browser.execute_script("oct.eventC('', 'purchase', 1); oct.eventT('fine')")
    world.events.arrived(1)
    wait_until(lambda: browser.js(KEPT) == [], "the outbox is not emptied")
    assert any("conversion" in line for line in browser.console())


def test_what_json_cannot_hold_is_told_to_the_caller_and_keeps_no_other_back(world: World, browser: Browser) -> None:
    """And what is given is stored as it was at the call, whatever the page does with it afterwards."""
    browser.get(world.page("/", auto="off"))
    wait_until(lambda: browser.js("!!oct.v"), "the script does not load")
    told = browser.execute_script(
        "const round = {}; round.round = round;"
        "try { oct.eventT('round', round) } catch (error) { var told = error.name }"
        "const given = {a: 1}; oct.eventT('fine', given); given.a = 2; return told"
    )
    assert told == "TypeError"
    world.events.arrived(1)
    assert world.events.values("a") == [1]


def test_reset_makes_another_visitor(world: World, browser: Browser) -> None:
    """As when somebody signs out."""
    browser.get(world.page("/"))
    world.events.arrived(1)
    browser.execute_script("oct.reset()")
    assert browser.get_cookies() == []
    browser.execute_script("oct.eventT('test')")
    world.events.arrived(2)
    one, two = world.events.column("visitor")
    assert one != two
    assert browser.get_cookie("oct_uuid")["value"] == two  # type: ignore[index]


def test_who_opts_out_is_left_alone_until_they_opt_in(world: World, browser: Browser) -> None:
    """Across pages, and nothing that waited is sent."""
    address = world.page("/")
    browser.get(address)
    world.events.arrived(1)
    browser.execute_script("oct.eventT('unsent'); oct.optOut(); oct.eventT('silent')")
    assert browser.get_cookies() == []
    assert browser.js("Object.keys(localStorage)") == ["oct_optout"]
    browser.get(address)
    wait_until(lambda: browser.js("!!oct.v"), "the script does not load")
    browser.execute_script("oct.eventT('silent'); oct.optIn(); oct.eventT('after')")
    world.events.arrived(2)
    assert world.events.column("event") == ["pageView", "after"]


@pytest.mark.parametrize("wish", ["doNotTrack", "globalPrivacyControl"])
@pytest.mark.parametrize("dnt", ["honour", "ignore"])
def test_a_wish_not_to_be_tracked_is_honoured(world: World, browser: Browser, wish: str, dnt: str) -> None:
    """Unless the page says otherwise."""
    value = {"doNotTrack": "'1'", "globalPrivacyControl": "true"}[wish]
    browser.before_pages(f"Object.defineProperty(navigator, '{wish}', {{get: () => {value}}})")
    browser.get(world.page("/", dnt=dnt))
    wait_until(lambda: browser.js("!!oct.v"), "the script does not load")
    browser.execute_script("oct.eventT('test')")
    browser.execute_async_script("setTimeout(arguments[0], 500)")
    world.events.arrived(2 if dnt == "ignore" else 0)
    if dnt == "honour":
        assert (browser.get_cookies(), browser.js("localStorage.length")) == ([], 0)


def test_a_browser_without_a_window_is_no_visitor(world: World, bare_browser: Browser) -> None:
    """By its user agent; the list's rules say what becomes of it."""
    bare_browser.get(world.page("/"))
    world.events.arrived(1)
    assert world.events.values("$bot") == ["HeadlessChrome"]


def test_the_owners_own_visits_can_be_marked(world: World, browser: Browser) -> None:
    """By a fragment, once in each browser, and unmarked in the same way."""
    address = world.page("/")
    browser.get(address + "#oct-own")
    world.events.arrived(1)
    browser.get(world.page("/second"))
    world.events.arrived(2)
    browser.get(world.page("/third") + "#oct-own=off")
    world.events.arrived(3)
    first, second, third = world.events.values("$bot")
    assert first == second == "own"
    assert third is None


def test_another_name_and_the_snippet_twice(world: World, browser: Browser) -> None:
    """The object is called as the page says, and a page that embeds the tracker twice counts once."""
    snippet = world.snippet(object="stats")
    browser.get(world.site.add("/", snippet + snippet))
    world.events.arrived(1)
    browser.execute_script("stats.eventT('test')")
    world.events.arrived(2)
    assert browser.js("typeof oct") == "undefined"


def test_a_killed_browser_brings_its_events_with_the_next_visit(world: World, tmp_path: Path) -> None:
    """Kill -9 takes every transport away; the outbox is on the visitor's disk.

    Time goes by 20 times as fast in the next visit: the event is left to the killed page for 15 seconds.
    """
    address = world.page("/", auto="off")
    profile = tmp_path / "profile"

    def is_on_disk() -> bool:
        files = profile.glob("*/Local Storage/leveldb/*.log")
        return any(b"order-1" in file.read_bytes() for file in files)

    with chromium(profile) as browser:
        browser.get(address)
        wait_until(lambda: browser.js("!!oct.v"), "the script does not load")
        browser.offline(True)
        browser.execute_script("oct.eventC('order-1', 'purchase', 1)")
        browser.crash_tab()  # what it has put into localStorage is written at once, else now and then
        wait_until(is_on_disk, "the browser does not write localStorage to its disk")
        browser.kill()
    assert world.events.column("event") == []
    with chromium(profile) as browser:
        browser.hurry(20)
        browser.get(address)
        world.events.arrived(1, "conversion")
