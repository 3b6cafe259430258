"""The dashboard in Chromium: a walk over every page, hostile names, narrow and wide, light and dark, and who reads it aloud."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from falcon_events import EventTracking
from falcon_events.dashboard.options import NAVIGATION
from falcon_events.demo import fill_demo
from tests.harness import Served, serving, wait_until
from tests.npm import AXE, install
from tests.server.browser.common import Browser
from tests.server.browser.dashboard import (
    COLORS,
    LEVELS,
    check_accessibility,
    complete,
    look,
    picture,
    requests_of,
    sign_in,
    visit,
)

HOSTILE = (
    "<script>window.hacked = 1</script>",
    "\"><img src=x onerror='window.hacked=1'>",
    "{{ 7 * 7 }}",
    "\u202egnp.exe\u202c",
    "a\0b",
    "x" * 190,
    "'; drop table events; --",
    "=cmd|' /C calc'!A0",
    "\u05d0\u05d1\u05d2 \u0627\u0644\u0639",
)
PAGES = (
    *(path for path, _ in NAVIGATION),
    "overview.table?by=path",
    "event?name=pageView",
    "event?name=conversion",
    "funnels?step=pageView&step=conversion",
    "retention?unit=week",
    'people?who=["has_done",{"Event":"pageView"}]',
    "person",
    "data.lists",
    "data.keys",
    "data.rules",
    "data.webhooks",
    "data.plan",
    "data.store",
)


class Visited:
    """A running server with a store, the key to sign in with, and a browser."""

    def __init__(self, served: Served, key: str, browser: Browser) -> None:
        self.url = f"{served.url}/dashboard/"
        self.server = served.url
        self.key = key
        self.browser = browser


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store with a month of the demo on list 1, hostile names on list 2 and nothing on list 3, and a key of scope full."""
    db = tmp_path_factory.mktemp("dashboard") / "events.duckdb"
    with EventTracking(db) as tracking:
        tracking.directory.create_account("alice")
        tracking.directory.create_list("alice", "Demo shop", 1)
        tracking.directory.create_list("alice", HOSTILE[0], 2)
        tracking.directory.create_list("alice", "Nothing yet", 3)
        fill_demo(tracking, days=40, people_per_day=8)
        fill_with_hostile_names(tracking, 2)
        return db, tracking.directory.create_key("alice").key


def fill_with_hostile_names(tracking: EventTracking, list_id: int) -> None:
    """Store events whose names, properties, addresses and traits try to break pages."""
    now = datetime.now(UTC)
    for number, text in enumerate(HOSTILE):
        long = text + "y" * 10_000
        moment = (now - timedelta(hours=number)).isoformat()
        tracking.track(
            list_id,
            text,
            email=f"hostile{number}@example.com",
            id=text,
            timestamp=moment,
            properties={text: long, "url": f"https://shop.example/{text}", "price": number, "$os": text, "$browser": text},
            identify_properties={"trait": long, text: text},
        )
        tracking.track(
            list_id,
            "pageView",
            email=f"hostile{number}@example.com",
            timestamp=moment,
            properties={"url": f"https://shop.example/{text}?utm_campaign={text}", "$referrer": text, "$pageTitle": long},
        )


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The text of axe-core."""
    packages = tmp_path_factory.mktemp("npm")
    install(packages, AXE)
    return (packages / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture(scope="module")
def visited(one_flavour_of_module: str, store: tuple[Path, str], shared_browser: Browser) -> Iterator[Visited]:
    """A browser that has signed in."""
    db, key = store
    with serving(db, one_flavour_of_module) as served:
        shared_browser.switch_to.new_window("tab")
        sign_in(shared_browser, served.url, key)
        yield Visited(served, key, shared_browser)
        shared_browser.blank()


@pytest.fixture(scope="module", params=["asgi", "wsgi"])
def one_flavour_of_module(request: pytest.FixtureRequest) -> str:
    """Each flavour of the server in turn."""
    name: str = request.param
    return name


def on(*flavours: str) -> pytest.MarkDecorator:
    """Run a test of what happens in the browser on these flavours alone."""
    return pytest.mark.parametrize("one_flavour_of_module", flavours, indirect=True)


def address_of(visited: Visited, page: str, list_id: int) -> str:
    """Return a page's address; that of a person is the first one's of the list of people."""
    if page == "person":
        visit(visited.browser, f"{visited.url}people?list={list_id}")
        link = visited.browser.find_element(By.CSS_SELECTOR, "td a[href*='person?'], th a[href*='person?']")
        page = str(link.get_dom_attribute("href"))
    return f"{visited.url}{page}{'&' if '?' in page else '?'}list={list_id}"


def assert_shown(browser: Browser, page: str) -> None:
    """No script of a name has run, the policy has stopped nothing, no part is refused, and there is one heading."""
    assert browser.js("window.hacked") is None, page
    assert browser.console() == [], page
    assert [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".refused")] == [], page
    assert len(browser.find_elements(By.TAG_NAME, "h1")) == 1, page


def assert_no_other_host(browser: Browser, server: str) -> None:
    """Every address that the browser has asked for was the server's."""
    asked = [address for address in requests_of(browser) if not address.startswith(("data:", "chrome:", "blob:"))]
    assert asked
    assert [address for address in asked if not address.startswith(server + "/")] == []


@pytest.mark.parametrize(
    ("one_flavour_of_module", "list_id"), [("asgi", 1), ("asgi", 3), ("wsgi", 2)], indirect=["one_flavour_of_module"]
)
def test_every_page_is_shown_without_errors(visited: Visited, list_id: int) -> None:
    """With data, with nothing and with hostile names. The next test does the same on wsgi with data."""
    browser = visited.browser
    browser.console()
    requests_of(browser)
    for page in PAGES:
        if page.startswith(("person", "event?")) and list_id != 1:
            continue
        visit(browser, address_of(visited, page, list_id))
        assert_shown(browser, page)
    assert_no_other_host(browser, visited.server)


@on("wsgi")
@pytest.mark.parametrize(("dark", "widths"), [(False, (1440, 320)), (True, (320, 1440))])
def test_every_page_fits_and_can_be_read_by_everybody(visited: Visited, axe: str, dark: bool, widths: tuple[int, ...]) -> None:
    """No page is wider than its window, also when that becomes narrower or wider, and axe-core finds no violation of WCAG 2.2 AA.

    Dark pages differ in their colors alone. WRITE_PICTURES=1 writes pictures of all into build/pictures.
    """
    browser = visited.browser
    browser.console()
    requests_of(browser)
    pictures = Path(__file__).parents[3] / "build" / "pictures"
    try:
        for page in PAGES:
            for list_id in (1, 2) if page in ("", "events", "people", "live") else (1,):
                look(browser, widths[0], dark=dark)
                visit(browser, address_of(visited, page, list_id))
                assert_shown(browser, page)
                for width in widths:
                    look(browser, width, dark=dark)
                    assert browser.js("document.documentElement.scrollWidth") <= width, page
                    assert check_accessibility(browser, axe, COLORS if dark else LEVELS) == [], page
                    if os.environ.get("WRITE_PICTURES"):
                        pictures.mkdir(parents=True, exist_ok=True)
                        name = "".join(one if one.isalnum() else "-" for one in page or "overview")
                        picture(browser, pictures / f"{name}-{list_id}-{width}{'-dark' if dark else ''}.png")
        assert_no_other_host(browser, visited.server)
    finally:
        look(browser, 1440, dark=False)


@on("wsgi")
def test_the_form_for_signing_in_can_be_read_by_everybody(visited: Visited, axe: str) -> None:
    """It is the first page that people see."""
    browser = visited.browser
    browser.delete_all_cookies()
    visit(browser, visited.url)
    assert "API key" in browser.find_element(By.TAG_NAME, "label").text
    assert check_accessibility(browser, axe) == []
    sign_in(browser, visited.server, visited.key)


def test_a_tab_changes_the_address_and_back_returns(visited: Visited) -> None:
    """So that what is seen can be shared."""
    browser = visited.browser
    visit(browser, f"{visited.url}?list=1")
    browser.find_element(By.LINK_TEXT, "Entry pages").click()
    complete(browser)
    assert "Entry page" in browser.find_element(By.CSS_SELECTOR, "[aria-labelledby=card-pages] table").text
    assert "pages=entry_path" in browser.current_url
    visit(browser, browser.current_url)
    assert "Entry page" in browser.find_element(By.CSS_SELECTOR, "[aria-labelledby=card-pages] table").text
    browser.back()
    complete(browser)
    assert "pages=" not in browser.current_url


def test_a_click_filters_and_a_chip_takes_it_back(visited: Visited) -> None:
    """Every number of the page is then about the events that have the value."""
    browser = visited.browser
    visit(browser, f"{visited.url}?list=1")
    before = browser.find_element(By.CSS_SELECTOR, ".figure .amount").text
    browser.find_element(By.LINK_TEXT, "/pricing").click()
    complete(browser)
    wait_until(lambda: bool(browser.find_elements(By.CSS_SELECTOR, ".figure .amount")), "no figures")
    assert browser.find_element(By.CSS_SELECTOR, ".chips .text").text == "path is /pricing"
    assert browser.find_element(By.CSS_SELECTOR, ".figure .amount").text != before
    browser.find_element(By.CSS_SELECTOR, ".chips a:not(.text)").click()
    complete(browser)
    assert browser.find_element(By.CSS_SELECTOR, ".figure .amount").text == before


def test_events_appear_as_they_arrive(visited: Visited, store: tuple[Path, str]) -> None:
    """Also after a pause, which keeps them."""
    browser = visited.browser
    visit(browser, f"{visited.url}live?list=3")
    wait_until(lambda: browser.find_element(By.ID, "state").text == "Live", "the stream does not begin")
    with EventTracking(store[0], create=False) as tracking:
        tracking.track(3, "first", email="ada@example.com")
        rows = "#live li"
        wait_until(lambda: "first" in " ".join(one.text for one in browser.find_elements(By.CSS_SELECTOR, rows)), "no event")
        browser.find_element(By.ID, "pause").click()
        tracking.track(3, "second", email="ada@example.com")
        wait_until(lambda: "1 new" in browser.find_element(By.ID, "pause").text, "the pause does not count")
        assert "second" not in browser.find_element(By.ID, "live").text
        browser.find_element(By.ID, "pause").click()
        assert "second" in browser.find_element(By.ID, "live").text
        tracking.erase(3, email="ada@example.com")


@on("wsgi")
def test_a_chart_is_saved_as_a_picture(visited: Visited) -> None:
    """As PNG, and as SVG that has the chart's numbers."""
    browser = visited.browser
    visit(browser, f"{visited.url}?list=1")
    browser.execute_script(
        """window.saved = {}; const make = URL.createObjectURL;
        const read = (bytes) => new TextDecoder("latin1").decode(bytes);
        URL.createObjectURL = (blob) => {
          blob.arrayBuffer().then((bytes) => window.saved[blob.type] = read(bytes));
          return make(blob);
        };
        for (const button of document.querySelectorAll(".chart-tools button")) button.click();"""
    )
    wait_until(lambda: len(browser.js("Object.keys(window.saved)")) == 2, "not saved")
    saved: dict[str, str] = browser.js("window.saved")
    assert saved["image/png"][1:4] == "PNG"
    assert saved["image/svg+xml"].startswith("<svg xmlns=")
    assert "<polyline" in saved["image/svg+xml"]


@on("wsgi")
def test_a_slow_question_can_be_stopped(visited: Visited) -> None:
    """The page says how long it has been asking, and is never frozen."""
    browser = visited.browser
    visit(browser, f"{visited.url}?list=1")
    browser.execute_script(
        """const wait = (signal, stop) => signal.addEventListener("abort", () => stop(signal.reason));
        window.fetch = (address, {signal}) => new Promise((_, stop) => wait(signal, stop));
        document.querySelector("a[data-tab*='exit_path']").click();"""
    )
    wait_until(lambda: bool(browser.find_elements(By.CSS_SELECTOR, ".waiting-line progress")), "no progress is shown")
    browser.find_element(By.CSS_SELECTOR, ".waiting-line button").click()
    wait_until(lambda: "Stopped." in browser.find_element(By.CSS_SELECTOR, "[aria-labelledby=card-pages]").text, "not stopped")


def test_a_page_is_complete_without_scripts(visited: Visited) -> None:
    """Each part is a link then, which shows its table."""
    browser = visited.browser
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(f"{visited.url}?list=1")
        browser.find_element(By.LINK_TEXT, "Figures").click()
        assert "Bounce rate" in browser.find_element(By.TAG_NAME, "main").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
