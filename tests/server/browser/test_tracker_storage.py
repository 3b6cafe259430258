"""What the tracker keeps in the browser: cookies of every scope, its share of localStorage, and what other scripts do to it."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.harness import wait_until
from tests.server.browser.common import Browser
from tests.server.browser.conftest import World

PLAN = "['one', {deep: ['two']}]"


@pytest.fixture
def domain_browser(world: World, browser: Browser) -> Browser:
    """A browser for which the world's site is at www.shop.example.test."""
    world.site.origin = world.site.origin.replace("localhost", "www.shop.example.test")
    return browser


def load(browser: Browser, address: str) -> None:
    """Opens a page and waits for the tracker."""
    browser.get(address)
    wait_until(lambda: browser.js("!!window.oct && !!oct.v"), "the script does not load")


def seed(world: World, browser: Browser, code: str) -> None:
    """Runs code on a page of the site that has no tracker."""
    browser.get(world.site.add("/empty", ""))
    browser.execute_script(code)


@pytest.mark.parametrize("call", ["reset", "optOut"])
@pytest.mark.parametrize(("first", "second"), [("", "example.test"), ("example.test", ""), ("example.test", "shop.example.test")])
def test_cookies_of_every_scope_are_forgotten(world: World, domain_browser: Browser, call: str, first: str, second: str) -> None:
    """A site that changes the cookie's domain has two of one name; reset() and optOut() leave neither."""
    browser = domain_browser
    for number, domain in enumerate((first, second)):
        load(browser, world.page(f"/{number}", auto="off", **({"domain": domain} if domain else {})))
        browser.execute_script(f"oct.eventT('visit-{number}')")
        world.events.arrived(1 + number)
    browser.execute_script(f"document.cookie = 'oct_uuid={uuid.uuid4()};path=/'; oct.{call}()")
    assert "oct_uuid" not in browser.js("document.cookie")
    assert browser.js("localStorage.getItem('oct_uuid')") is None
    if call == "reset":
        browser.execute_script("oct.eventI('bob@example.com')")
        world.events.arrived(3)
        one, two, other = world.events.column("visitor")
        assert one == two != other
        assert browser.js("document.cookie") == f"oct_uuid={other}"


def test_a_cookie_for_the_domain_replaces_the_hosts_own(world: World, domain_browser: Browser) -> None:
    """The visitor stays who they are, and one cookie is left."""
    browser = domain_browser
    for number, options in enumerate(({}, {"domain": "example.test"}, {"domain": "example.test"})):
        load(browser, world.page(f"/{number}", auto="off", **options))
        browser.execute_script("oct.eventT('visit')")
        world.events.arrived(1 + number)
    assert [cookie["domain"] for cookie in browser.get_cookies()] == [".example.test"]
    assert len(set(world.events.column("visitor"))) == 1


@pytest.mark.parametrize("storage", ["cookie", "local", "none"])
def test_a_visitor_is_forgotten_wherever_they_were_kept(world: World, browser: Browser, storage: str) -> None:
    """Also where the option storage was another one before."""
    seed(world, browser, f"document.cookie = 'oct_uuid={uuid.uuid4()};path=/'; localStorage.oct_uuid = '{uuid.uuid4()}'")
    load(browser, world.page("/", auto="off", storage=storage))
    browser.execute_script("oct.reset()")
    assert (browser.get_cookies(), browser.js("localStorage.length")) == ([], 0)


@pytest.mark.parametrize("kept", ["undefined", "1-2-3", "-" * 36, "0b8e1a55-7c1e-4b0b-9a50-0d0f1d6b8f9ex"])
def test_a_visitor_that_is_no_uuid_is_replaced(world: World, browser: Browser, kept: str) -> None:
    """Otherwise the server would refuse every event; another cookie whose name ends alike is none of ours."""
    seed(world, browser, f"document.cookie = 'oct_uuid={kept};path=/'; document.cookie = 'my_oct_uuid={uuid.uuid4()};path=/'")
    browser.execute_script(f"localStorage.oct_uuid = '{kept}'")
    load(browser, world.page("/"))
    world.events.arrived(1)
    visitor = world.events.column("visitor")[0]
    assert f"; oct_uuid={visitor};" in f"; {browser.js('document.cookie')};"
    assert f"my_oct_uuid={visitor}" not in browser.js("document.cookie")


@pytest.mark.parametrize(
    "code",
    [
        "Array.prototype.toJSON = function () { return '[' + this.join(', ') + ']' }",
        "Object.prototype.toJSON = function () { return 'object' }",
        "String.prototype.toJSON = function () { return '\"' + this + '\"' }",
        "Date.prototype.toJSON = function () { return '\"' + this + '\"' }",
        "Object.defineProperty(Array.prototype, 'toJSON', {value: () => null})",
    ],
)
def test_a_page_that_changes_how_json_is_written_changes_no_event(world: World, browser: Browser, code: str) -> None:
    """As scripts of old do: neither what it sends itself, nor what it leaves in the browser for the next page."""
    calls = f"oct.eventT('test', {{plan: {PLAN}, text: 'x', at: 3}})"
    browser.get(world.site.add("/", f"<script>{code}</script>{world.snippet()}<script>{calls}</script>"))
    world.events.arrived(2)
    properties = world.events.column("properties", "test")[0]
    assert (properties["plan"], properties["text"], properties["at"]) == (["one", {"deep": ["two"]}], "x", 3)
    leave = "addEventListener('load', () => { oct.eventT('left', [1]); location.href = '/next' })"
    world.page("/next")
    browser.get(world.site.add("/leaving", f"<script>{code}</script>{world.snippet()}<script>{leave}</script>"))
    world.events.arrived(5)


def test_entries_that_are_no_events_are_deleted(world: World, browser: Browser) -> None:
    """What other scripts or other versions have left under the outbox's names; events among them are sent."""
    prefix = f"oct_{world.list_id}_"
    event: dict[str, object] = {"Event": "kept", "EventID": str(uuid.uuid4()), "UUID": str(uuid.uuid4()), "Properties": {}}
    names = [str(uuid.uuid4()) for _ in range(20)]
    entries = {
        prefix + names[0]: "no JSON",
        prefix + names[1]: json.dumps("[..., [object Object]]"),
        prefix + names[2]: "null",
        prefix + names[3]: "[]",
        prefix + names[4]: "[0, null]",
        prefix + names[5]: json.dumps([0, {**event, "EventID": names[5], "Timestamp": "2026-01-01T00:00:00Z"}]),  # too old
        prefix + names[6]: json.dumps([0, {**event, "Timestamp": "NOW"}]),  # the name of another event
        prefix + names[7]: json.dumps([0, {"EventID": names[7], "Timestamp": "NOW"}]),  # without properties
        prefix + names[8]: json.dumps([0, {"EventID": names[8], "Timestamp": "NOW", "Properties": "x"}]),
        prefix + names[9]: json.dumps([0, {"EventID": names[9], "Timestamp": "soon", "Properties": {}}]),
        prefix + names[10]: json.dumps([9e15, {"EventID": names[10], "Timestamp": "2100-01-01T00:00:00Z", "Properties": {}}]),
        prefix + "undefined": json.dumps([0, {"Timestamp": "NOW", "Properties": {}}]),
        prefix: "{}",
        prefix + names[11]: json.dumps([0, {"EventID": names[11], "Timestamp": "NOW", "Properties": {"x": "x" * 1_000_000}}]),
        f"{prefix}{event['EventID']}": json.dumps([0, {**event, "Timestamp": "NOW"}]),
        "oct_other": "of somebody else",
    }
    seed(
        world,
        browser,
        "for (const [key, value] of Object.entries(" + json.dumps(entries) + "))"
        " localStorage[key] = value.replace('NOW', new Date().toISOString())",
    )
    load(browser, world.page("/", auto="off"))
    world.events.arrived(1, "kept")
    wait_until(lambda: browser.js("Object.keys(localStorage)") == ["oct_other"], "entries are left")


def test_a_call_that_fails_before_the_script_has_loaded_keeps_no_other_back(world: World, browser: Browser) -> None:
    """Nor anything else that the tracker does when it starts."""
    calls = "<script>const round = {}; round.round = round; oct.eventT('round', round); oct.eventT('fine')</script>"
    load(browser, world.site.add("/", world.snippet(auto="off") + calls))
    browser.execute_script("oct.eventT('left'); location.href = 'about:blank'")
    world.events.arrived(2)
    assert sorted(world.events.column("event")) == ["fine", "left"]


def test_the_outbox_leaves_room_for_the_site(world: World, browser: Browser) -> None:
    """It is bounded in bytes, a page's oldest events go first, and it is one bound for all pages."""
    address = world.page("/", auto="off")
    kept = f"Object.keys(localStorage).filter(key => key.startsWith('oct_{world.list_id}')).map(key => localStorage[key].length)"
    for _ in range(2):
        load(browser, address)
        browser.offline(True)
        browser.execute_script("for (let number = 0; number < 60; number++) oct.eventT('big', {number, text: 'x'.repeat(40000)})")
        sizes = browser.js(kept)
        assert 900_000 < sum(sizes) <= 1_000_000 + max(sizes)  # a page keeps its newest event in any case
        browser.execute_script("localStorage.site = 'x'.repeat(1500000)")
        browser.offline(False)
    wait_until(lambda: browser.js(kept) == [], "the outbox is not emptied")
    assert max(world.events.values("number")) == 59
    browser.execute_script("oct.eventT('huge', {text: 'x'.repeat(1200000)}); oct.eventT('fine')")
    world.events.arrived(1, "fine")


def test_where_the_sites_storage_is_full_events_still_arrive(world: World, browser: Browser) -> None:
    """They are in memory alone; the site's entries stay."""
    seed(
        world,
        browser,
        "for (let size = 4194304; size; size >>= 1)"
        " try { for (;;) localStorage['f' + Math.random()] = 'x'.repeat(size) } catch {}",
    )
    count = browser.js("localStorage.length")
    load(browser, world.page("/"))
    browser.execute_script("oct.eventT('test')")
    world.events.arrived(2)
    assert browser.js("localStorage.length") == count
