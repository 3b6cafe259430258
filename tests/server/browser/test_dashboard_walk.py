"""The dashboard from signing in to the last page, with exact numbers: by itself on both flavours, and in hosts behind nginx."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from falcon_events import EventTracking
from falcon_events.access.keys import NewKey
from falcon_events.access.protocol import Credential
from falcon_events.dashboard.cookies import SESSION
from falcon_events.dashboard.sign_in import ENDED, ENDED_BEFORE_CHANGE
from tests.apps.common import HELLO, PREFIX
from tests.apps.staff import STAFF
from tests.harness import FLAVOURS, serving, wait_until
from tests.needs import require
from tests.server.browser import walk_pages
from tests.server.browser.common import Browser, chromium
from tests.server.browser.dashboard import complete, look, wait_in_page
from tests.server.browser.walk_store import MANY, MARCH, SHOP, make_walk_store
from tests.server.browser.walker import REPORT, Walker
from tests.server.dashboard.test_mounted import HOSTS, hosting
from tests.server.test_reverse_proxies import nginx

IS_TITLED = "document.querySelector('h1')?.textContent === given"
RANGE = "..".join(MARCH)
HELD = """const ask = window.fetch, held = new Promise((release) => (window.release = release));
window.fetch = async (...given) => (await held, ask(...given));"""
"""Has pages ask for no part until release() is called."""
IMPATIENT = """const later = window.setTimeout;
window.setTimeout = (act, delay, ...given) => later(() => {
  if (delay >= 1000 && document.hidden) localStorage.waited = "hidden";
  act(...given);
}, delay / 20);"""
"""Has pages wait for a twentieth of the time, and tell other tabs when they have waited for long while they were hidden."""
MOUNTED = ("django-wsgi", "fastapi-mounted")
"""Hosts that sign their users in themselves, behind an nginx that takes a prefix off the address."""


@dataclass
class Place:
    """A running dashboard: its address, its store, the address of the host's form for signing in (empty: it has its own form)."""

    root: str
    db: Path
    host_form: str = ""

    def enter(self, walker: Walker, key: str) -> None:
        """Sign in."""
        walker.forget()
        if self.host_form:
            walker.browser.get(self.host_form)
            assert HELLO in walker.read("body")
            walker.forget()
            walker.visit()
            return
        walker.visit()
        walker.write("[name=key]", key)
        walker.click("Sign in", "form")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The browser of this module's walks."""
    profile = tmp_path_factory.mktemp("profile") / "profile"
    with chromium(profile, network_log=True, flags=("--lang=en-US",)) as driver:
        yield driver


@pytest.fixture
def walker(browser: Browser, place: Place) -> Iterator[Walker]:
    """Somebody with a fresh browser, who has seen nothing of the place yet."""
    browser.blank()
    look(browser, 1280, dark=False)
    with Walker(browser, place.root) as walker:
        walker.before_pages(REPORT)
        walker.forget()
        yield walker


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Place]]:
    """Starts a dashboard when it is first asked for: in a server of its own, over a copy of the store."""
    with contextlib.ExitStack() as running:

        @functools.cache
        def start(name: str) -> Place:
            folder = tmp_path_factory.mktemp(name)
            if name in FLAVOURS:
                db = make_walk_store().copy_to(folder)
                return Place(f"{running.enter_context(serving(db, name)).url}/dashboard/", db)
            require("nginx")
            make_walk_store().copy_to(folder / "host")
            host = running.enter_context(hosting(folder / "host", *HOSTS[name]))
            port = running.enter_context(nginx(folder, "nginx-prefix", host.served.port))
            base = f"http://127.0.0.1:{port}/tracking"
            return Place(f"{base}{PREFIX}/dashboard/", host.db, f"{base}/sign-in?name={STAFF}")

        yield start


@pytest.fixture
def place(request: pytest.FixtureRequest, places: Callable[[str], Place]) -> Place:
    """One of the dashboards."""
    return places(request.param)


@pytest.mark.parametrize("place", [*FLAVOURS, *MOUNTED], indirect=True)
def test_every_page_shows_the_exact_numbers(place: Place, walker: Walker) -> None:
    """From signing in to signing out, by clicks; the browser asks nobody else meanwhile, and no page has a fault."""
    place.enter(walker, make_walk_store().key)
    walk_pages.walk_overview(walker)
    walk_pages.walk_events(walker)
    walk_pages.walk_funnels(walker)
    walk_pages.walk_retention(walker)
    walk_pages.walk_person(walker)
    walk_pages.walk_people(walker)
    walk_pages.walk_boards(walker)
    with EventTracking(place.db, create=False) as tracking:
        walk_pages.walk_live(walker, lambda: tracking.track(SHOP, "surprise", uuid=walk_pages.VISITOR))
    walk_pages.walk_data(walker)
    if not place.host_form:
        walker.click("Sign out", "header")
        assert walker.read("h1") == "Sign in"
    walker.check_behavior()
    assert len(walker.asked) > 100


@dataclass
class Visit:
    """Somebody who is signed in by a key of their own, of scope full."""

    walker: Walker
    place: Place
    key: NewKey

    def begin(self, page: str) -> None:
        """Sign in and open a page."""
        self._carry(self._open_session(self.key.key, 3600))
        self.walker.visit(page)

    def revoke_key(self) -> None:
        """Have somebody else revoke the key."""
        with EventTracking(self.place.db, create=False) as tracking:
            tracking.directory.revoke_key(self.key.key_id)

    def expire(self) -> None:
        """Have the browser carry a session that has expired, as after two weeks without a visit."""
        session = self._open_session(make_walk_store().key, 1)
        with EventTracking(self.place.db, create=False) as tracking:
            wait_until(lambda: tracking.directory.identify(Credential("session", session)) is None, "the session does not end")
        self._carry(session)

    def see_form(self, sentence: str = ENDED) -> str:
        """Wait for the form for signing in, which says why it is there. Return the page that it leads to."""
        wait_in_page(self.walker.browser, IS_TITLED, "Sign in", "the form for signing in does not come")
        complete(self.walker.browser)
        assert self.walker.read(".message") == sentence
        return str(self.walker.find("[name=next]").get_property("value"))

    def _open_session(self, key: str, seconds: int) -> str:
        with EventTracking(self.place.db, create=False) as tracking:
            return tracking.directory.sign_in(key, seconds)

    def _carry(self, session: str) -> None:
        """Put a session into the browser's cookie, in place of the one that it has."""
        cookie = {"name": SESSION, "value": f"{session}.{int(time.time())}", "url": self.place.root, "path": "/"}
        self.walker.browser.execute_cdp_cmd("Network.setCookie", {**cookie, "httpOnly": True})


@pytest.fixture
def visit(walker: Walker, place: Place) -> Visit:
    """A person who has not begun yet."""
    with EventTracking(place.db, create=False) as tracking:
        return Visit(walker, place, tracking.directory.create_key(make_walk_store().account))


ended = pytest.mark.parametrize(("place", "end"), [("asgi", Visit.revoke_key), ("wsgi", Visit.expire)], indirect=["place"])
own_place = pytest.mark.parametrize("place", FLAVOURS, indirect=True)


@ended
def test_an_ended_session_leads_to_the_form_and_back(visit: Visit, end: Callable[[Visit], None]) -> None:
    """With a sentence; after signing in again, the page shows what was chosen last."""
    walker = visit.walker
    visit.begin(f"?list={SHOP}&range={RANGE}")
    end(visit)
    walker.find("[data-tab*=entry_path]").click()
    assert visit.see_form() == f"./?list={SHOP}&range={RANGE}&pages=entry_path"
    walker.write("[name=key]", make_walk_store().key)
    walker.click("Sign in", "form")
    assert walker.read("h1") == "Overview"
    assert walker.card("pages") == walk_pages.tell_rows("people", "sessions", by="entry_path")
    visit.expire()
    walker.browser.find_element(By.LINK_TEXT, "Events").click()
    assert visit.see_form() == f"./events?list={SHOP}&range={RANGE}"


@ended
def test_a_session_that_ends_before_the_parts_are_there_leads_to_the_form(visit: Visit, end: Callable[[Visit], None]) -> None:
    """Each part is refused then; the page leads to the form as a whole."""
    browser = visit.walker.browser
    visit.walker.before_pages(HELD)
    visit.begin(f"live?list={SHOP}")
    browser.get(f"{visit.place.root}?list={SHOP}")
    wait_until(lambda: len(visit.walker.read_all("[aria-busy]")) == 7, "the parts are not asked for")
    end(visit)
    browser.execute_script("release()")
    assert visit.see_form() == f"./?list={SHOP}"


@own_place
def test_a_live_page_whose_key_is_revoked_leads_to_the_form(visit: Visit) -> None:
    """The server ends the stream some seconds after."""
    visit.begin(f"live?list={SHOP}&event=login")
    wait_until(lambda: visit.walker.read("#state") == "Live", "the stream does not begin")
    visit.revoke_key()
    assert visit.see_form() == f"./live?list={SHOP}&event=login"


@pytest.mark.parametrize("place", FLAVOURS[1:], indirect=True)
def test_a_form_of_an_ended_session_changes_nothing(visit: Visit) -> None:
    """It leads to the form for signing in, which says so."""
    walker = visit.walker
    visit.begin(f"?list={SHOP}")
    visit.expire()
    walker.click("Save this view")
    walker.write(".keep[open] [name=name]", "too late")
    walker.click("Save", ".keep[open]")
    assert visit.see_form(ENDED_BEFORE_CHANGE) == ""
    with EventTracking(visit.place.db, create=False) as tracking:
        assert "too late" not in [one.name for one in tracking.boards.views(SHOP)]


@pytest.mark.parametrize("place", FLAVOURS[:1], indirect=True)
def test_what_was_chosen_in_place_is_kept_by_what_is_chosen_next(visit: Visit) -> None:
    """By figures, comparisons and filters, whose numbers are exact; the browser's button takes each back."""
    visit.begin(f"?list={SHOP}&range={RANGE}")
    walk_pages.walk_choices(visit.walker)


@pytest.mark.parametrize("place", FLAVOURS[:1], indirect=True)
def test_a_page_that_was_hidden_goes_on_when_it_is_seen_again(visit: Visit) -> None:
    """The part that asks again and again does so after a time in another tab, too."""
    walker, browser = visit.walker, visit.walker.browser
    walker.before_pages(IMPATIENT)
    visit.begin(f"data?list={SHOP}")
    first = browser.current_window_handle
    browser.switch_to.new_window("tab")
    browser.get(f"{walker.root}static/icon.svg")
    wait_until(lambda: browser.js("localStorage.waited") == "hidden", "it does not want to ask while it is hidden")
    with EventTracking(visit.place.db, create=False) as tracking:
        tracking.track(SHOP, "meanwhile", uuid=walk_pages.VISITOR)
    browser.switch_to.window(first)
    wait_until(lambda: "The last event, meanwhile," in walker.read(".arrived"), "it does not ask again")


@pytest.mark.parametrize("place", FLAVOURS[:1], indirect=True)
def test_a_list_of_very_many_names_stays_usable(visit: Visit) -> None:
    """Of 10,000 event types and 100,000 properties, the search finds one; pages turn, and are small."""
    walker = visit.walker
    visit.begin(f"events?list={SHOP}&range={RANGE}")
    walker.choose("#list", f"Many ({MANY})")
    walker.go("Events")
    walker.choose("#range", "All time")
    assert walker.read(".turn") == "1 to 50 of 10,000 event types Next"
    walker.click("Next", ".turn")
    assert walker.read(".turn span") == "51 to 100 of 10,000 event types"
    walker.write(".search [type=search]", "E-07777")
    wait_until(lambda: [row[0] for row in walker.table("table.seen-events")] == ["type-07777"], "no type is found")
    walker.write(".search [type=search]", "wide")
    wait_until(lambda: [row[:3] for row in walker.table("table.seen-events")] == [["wide", "125", "1"]], "no type is found")
    walker.click("wide", "#event-types")
    assert walker.read("#property-names .turn") == "1 to 15 of 100,000 properties Next"
    walker.click("Next", "#property-names")
    assert walker.table("#property-names")[0][0] == "name-000015"
    walker.write(".search [type=search]", "054321")
    wait_until(lambda: [row[0] for row in walker.table("#property-names")] == ["name-054321"], "no property is found")
    walker.click("name-054321", "#property-names")
    assert walker.table("#property .part ~ .scroll") == [["(none)", "124", "1"], ["1", "1", "1"]]
    assert walker.browser.js("document.getElementsByTagName('*').length") < 2_000
