"""Shares: what guests see, and what they cannot."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from falcon_events import EventTracking
from falcon_events.access.protocol import Credential, Principal, Scope
from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import Context, Page
from falcon_events.dashboard.cookies import FORMS, make_form_token
from falcon_events.dashboard.pages import PAGES
from falcon_events.dashboard.shared_links import check_guest_question, hide_persons, keep_shared_links
from falcon_events.errors import EventsError, SettingError
from falcon_events.model.boards import NewShare
from falcon_events.runtime.steps import Steps
from falcon_events.settings import Settings
from tests.server.dashboard.conftest import MARCH
from tests.server.dashboard.site import Seen, Site
from tests.shop import ADA, fill_shop


class HostAccess:
    """A host application's accounts and lists."""

    def identify(self, credential: Credential) -> Principal | None:
        """Nobody has a credential."""
        return None

    def owns_list(self, account: str, list_id: int) -> bool:
        """It has every list."""
        return True


OVERVIEW = f"?list=1&range={MARCH}"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventTracking]:
    """A store with the shop's events on list 1 and on list 2, which is alice's."""
    with EventTracking(tmp_path_factory.mktemp("shares") / "events.duckdb") as tracking:
        tracking.directory.create_account("alice")
        tracking.directory.create_list("alice", "Alice's", 2)
        fill_shop(tracking)
        tracking.track(2, "secret-event", email="alice@example.com", timestamp="2026-03-02T10:00:00Z")
        yield tracking


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """New hashes cost little; tests/unit/test_boards.py has real ones."""
    monkeypatch.setattr("falcon_events.access.passwords.N", 1024)
    monkeypatch.setattr("falcon_events.access.passwords.P", 1)


@pytest.fixture
def owner(store: EventTracking, one_flavour: str) -> Site:
    """The dashboard for somebody who may do everything."""
    return Site(store, one_flavour, lambda request: Principal("*"))


@pytest.fixture
def guest(store: EventTracking, one_flavour: str) -> Site:
    """The dashboard for somebody who cannot sign in: it is mounted, and the host's function must not be called for shares."""

    def forbid(request: Any) -> Principal | None:
        if "/shared" in request.path or "/public" in request.path:
            raise AssertionError("who() was called for a share")
        return None

    return Site(store, one_flavour, forbid, prefix="/tracking")


def share(store: EventTracking, location: str = OVERVIEW, list_id: int = 1, **more: Any) -> NewShare:
    """Share a page."""
    return store.boards.create_share(list_id, location, **more)


def address(new: NewShare) -> str:
    """The link of a share."""
    return f"shared?secret={new.secret}"


def leads(seen: Seen) -> list[str]:
    """Every address that a page leads to or loads from, but for those of its styles and scripts."""
    found = re.findall(r'(?:href|action|data-(?:part|tab|values|address))="([^"]*)"', seen.html)
    return [html.unescape(one) for one in found if not one.startswith(("static/", "#"))]


def test_a_guest_sees_the_page_that_is_shared(store: EventTracking, guest: Site) -> None:
    """With its range, and its parts by the same secret, and without signing in."""
    seen = guest.get(address(share(store)))
    assert seen.status == 200
    assert "2026-03-01 to 2026-03-31" in seen.text
    parts = seen.parts()
    assert len(parts) == 6
    texts = [guest.get(part, part=1) for part in parts]
    assert [one.status for one in texts] == [200] * 6
    assert "People 3 +200 % from 1 Views 4" in texts[0].text
    assert texts[1].tables[0][2] == ["2026-03-02", "2", "0"]
    assert texts[2].tables[0][1:] == [["/pricing", "3", "3"], ["/", "1", "1"]]
    assert guest.get(parts[2], csv=1).html.splitlines() == ["path,people,views", "/pricing,3,3", "/,1,1"]


def test_a_shared_page_leads_nowhere_else(store: EventTracking, guest: Site) -> None:
    """Neither to persons nor to other pages; it has no form and no code."""
    page = guest.get(address(share(store, OVERVIEW + "&segment=")))
    for seen in (page, *[guest.get(part, part=1) for part in page.parts()], *[guest.get(part) for part in page.parts()]):
        assert seen.status == 200
        assert all(one.startswith(("./shared?secret=", "./shared.part?secret=")) for one in leads(seen)), leads(seen)
        assert "people?" not in seen.html
        assert "<form" not in seen.html
        assert "as code" not in seen.text
        assert '<nav aria-label="Pages"' not in seen.html
        assert "Shop (1)" not in seen.html
        assert "example.com" not in seen.text.replace("shop.example", "")
        assert ADA not in seen.html
        assert "set-cookie" not in seen.headers
        assert seen.headers["referrer-policy"] == "no-referrer"
        assert seen.headers["x-robots-tag"] == "noindex"
        assert "frame-ancestors 'none'" in seen.headers["content-security-policy"]


def test_a_guest_chooses_tabs_and_nothing_else(store: EventTracking, guest: Site) -> None:
    """The metric, the unit of time and the tables' tabs; other parameters of the URL change nothing."""
    at = address(share(store))
    trend = guest.get(at, metric="views", unit="week").parts()[1]
    assert guest.get(trend).tables[0][0] == ["Time", "Views", "Before"]
    assert len(guest.get(trend).tables[0]) == 1 + 6
    assert guest.get(guest.get(at, pages="exit_path").parts()[2]).tables[0][0] == ["Exit page", "People", "Sessions"]
    plain = [guest.get(part, part=1).html for part in guest.get(at).parts()]
    others = {
        "list": "2",
        "range": "all",
        "compare": "none",
        "filter": '["is","event",["signup"]]',
        "segment": "x",
        "from": "2026-01-01",
        "to": "2026-12-31",
        "dimension": "path",
        "operator": "is",
        "value": "/",
        "name": "x",
        "breakdown": "email",
    }
    for number, part in enumerate(guest.get(at, **others).parts()):
        seen = guest.get(part, part=1, **others)
        assert _ageless(seen.html) == _ageless(plain[number])
    assert guest.get(guest.get(at).parts()[2].replace("by=path", "by=person")).status == 422


def _ageless(text: str) -> str:
    return re.sub(r'<span class="age">.*?</span>', "", text)


@pytest.mark.parametrize(
    "part",
    [
        "people",
        "people.table",
        "person",
        "live",
        "live.stream",
        "data",
        "values",
        "overview.now",
        "boards",
        "board",
        "shares",
        "",
        "x",
    ],
)
def test_only_parts_of_the_page_are_shown(store: EventTracking, guest: Site, part: str) -> None:
    """The secret opens nothing else."""
    new = share(store)
    seen = guest.get("shared.part", secret=new.secret, show=part, uuid=ADA, of="path")
    assert seen.status == 404
    assert seen.headers["referrer-policy"] == "no-referrer"
    assert guest.get(part, secret=new.secret, list=1).status in (401, 403, 404)


def test_other_pages_of_the_dashboard_stay_closed(store: EventTracking, guest: Site, one_flavour: str) -> None:
    """With the secret or its cookie, as with the API."""
    new = share(store, password="sesame")
    _write_password(guest, new, "sesame")
    for page in ("", "overview.figures", "boards", "values", "live.stream", "shares"):
        assert guest.get(page, secret=new.secret).status in (401, 403)
    keys = Site(store, one_flavour, "keys")
    assert keys.get("overview.figures", secret=new.secret).status == 303
    keys.cookies["falcon_events_session"] = new.secret
    assert keys.get("overview.figures").status == 303
    assert keys.get(address(share(store))).status == 200


def test_a_share_shows_its_own_list_only(store: EventTracking, guest: Site) -> None:
    """Whatever list the shared address or the guest names."""
    seen = guest.get(address(share(store, OVERVIEW, list_id=2)), list=1)
    figures = guest.get(seen.parts()[0], part=1, list=1)
    assert "People 1 " in figures.text
    events = next(part for part in seen.parts() if "by=event" in part)
    assert guest.get(events).tables[0][1:] == [["secret-event", "1", "1"]]


@pytest.mark.parametrize("secret", ["", "x", "fe_share_" + "x" * 43, "\0", "é" * 2000, "' or 1=1"])
def test_an_unknown_secret_is_not_found(guest: Site, secret: str) -> None:
    """With one sentence, the same for whatever is not there."""
    for page in ("shared", "shared.part"):
        seen = guest.get(page, secret=secret, show="overview.figures")
        assert seen.status == 404
        assert "There is no such shared page, or it is not shared any more." in seen.text
        assert leads(seen) == []
    assert guest.post("shared", {"password": "x"}, token=False).status == 404


def test_a_revoked_share_ends_at_once(store: EventTracking, guest: Site) -> None:
    """Its page, and the parts of a page that is open."""
    new = share(store, password="sesame", public=True)
    _write_password(guest, new, "sesame")
    parts = guest.get(address(new)).parts()
    assert guest.get(parts[0], part=1).status == 200
    store.boards.revoke_share(new.share_id)
    for one in (address(new), *parts, f"public?list=1&share={new.share_id}"):
        seen = guest.get(one)
        assert seen.status == 404
        assert "not shared any more" in seen.text
    assert guest.post(address(new), {"password": "sesame"}, token=False).status == 404


def test_a_deleted_list_is_not_shared_any_more(store: EventTracking, guest: Site) -> None:
    """Nor a list that is made with its number later."""
    number = 77
    store.directory.ensure_list(number, "Short-lived")
    new, public = share(store, "?range=all", list_id=number), share(store, "?range=all", list_id=number, public=True)
    assert guest.get(address(new)).status == 200
    store.directory.delete_list(number)
    assert guest.get(address(new)).status == 404
    store.directory.ensure_list(number, "Another")
    assert guest.get(address(new)).status == 404
    assert guest.get(f"public?list={number}&share={public.share_id}").status == 404


def _write_password(site: Site, new: NewShare, password: str) -> Seen:
    """Send the form for the password."""
    token = re.search(r'name="token" value="([0-9a-f]{64})"', site.get(address(new)).html)
    return site.post(address(new), {"password": password, "token": token[1] if token else ""})


def test_a_password_is_asked_for(store: EventTracking, guest: Site) -> None:
    """The page and its parts are shown after it; the cookie is of this share and this password only."""
    new, other = share(store, password="sesame"), share(store, password="sesame")
    seen = guest.get(address(new))
    assert seen.status == 200
    assert "This page has a password" in seen.text
    assert seen.parts() == []
    assert seen.headers["referrer-policy"] == "no-referrer"
    part = f"shared.part?secret={new.secret}&show=overview.figures"
    assert guest.get(part, part=1).status == 403
    seen = _write_password(guest, new, "Sesame")
    assert (seen.status, "This is not the password." in seen.text) == (403, True)
    assert guest.get(part, part=1).status == 403
    seen = _write_password(guest, new, "sesame")
    assert (seen.status, seen.headers["location"]) == (303, "./" + address(new))
    assert "HttpOnly; SameSite=Lax" in seen.headers["set-cookie"]
    assert "sesame" not in seen.headers["set-cookie"]
    assert new.secret not in seen.headers["set-cookie"]
    assert len(guest.get(address(new)).parts()) == 6
    assert guest.get(part, part=1).status == 200
    assert guest.get(address(other)).parts() == []
    name = f"falcon_events_{new.share_id}"
    expires, _, signature = guest.cookies[name].partition(".")
    for forged in (
        f"{int(expires) + 9}.{signature}",
        f"{expires}.{signature[:-1]}",
        f"{expires}.",
        "1." + signature,
        "x",
        ".",
        "é.é",
    ):
        guest.cookies[name] = forged
        assert guest.get(part, part=1).status == 403
    guest.cookies = {f"falcon_events_{other.share_id}": f"{expires}.{signature}"}
    assert guest.get(address(other)).parts() == []


def test_a_password_that_is_written_is_asked_for(store: EventTracking, site: Site) -> None:
    """Also where the form still says that the link is enough; a page for everybody has none."""
    form = {"act": "share", "list": "1", "location": "./?list=1", "password": "sesame"}
    seen = site.post("shares", {**form, "access": "link"})
    assert "Whoever has this link and the password may see the page." in seen.text
    assert "password: a page that everybody may see" in site.post("shares", {**form, "access": "public"}).text


def test_a_password_form_of_another_site_is_refused(store: EventTracking, guest: Site) -> None:
    """It lacks the token of this browser."""
    new = share(store, password="sesame")
    seen = guest.post(address(new), {"password": "sesame"}, token=False)
    assert seen.status == 403
    assert not any(name.endswith(new.share_id) for name in guest.cookies)
    assert guest.post(address(share(store)), {"password": ""}, token=False).status == 405
    assert guest.post(f"shared.part?secret={new.secret}", {"password": "sesame"}, token=False).status == 405


def test_a_browser_that_hides_where_forms_come_from(store: EventTracking, guest: Site) -> None:
    """As with `Referrer-Policy: no-referrer`, which pages of shares have, so that nobody else gets the secret."""
    new = share(store, password="sesame")
    token = re.search(r'name="token" value="([0-9a-f]{64})"', guest.get(address(new)).html)
    assert token
    seen = guest.post(address(new), {"password": "sesame", "token": token[1]}, headers={"Origin": "null"})
    assert seen.status == 303


def test_passwords_cannot_be_tried_at_will(store: EventTracking, guest: Site, one_flavour: str) -> None:
    """An address has ten attempts in a minute, also with the right password; another address is not kept waiting."""
    new = share(store, password="sesame")
    other = Site(store, one_flavour, lambda request: None, address="203.0.113.201")
    patient = Site(store, one_flavour, lambda request: None, address="203.0.113.210")
    tried, seen = 0, _write_password(patient, new, "guess")
    while seen.status == 403 and tried < 50:  # a new minute may begin meanwhile
        tried, seen = tried + 1, _write_password(patient, new, "guess" if tried % 2 else "Guess")
    assert tried in range(9, 20)
    assert seen.status == 429
    assert "Too many attempts. Try again in" in seen.text
    while (seen := _write_password(patient, new, "sesame")).status == 303 and tried < 100:
        patient.cookies.pop(f"falcon_events_{new.share_id}")
        tried += 1
    assert seen.status == 429
    assert _write_password(other, new, "sesame").status == 303


def test_an_embedded_share_may_be_framed(store: EventTracking, guest: Site) -> None:
    """By everybody; others, and those with a password, by nobody."""
    new = share(store, embed=True)
    page = guest.get(address(new))
    for seen in (page, guest.get(page.parts()[0])):
        assert seen.headers["content-security-policy"].endswith("frame-ancestors *")
        assert "x-frame-options" not in seen.headers
    for closed in (share(store), share(store, embed=True, password="sesame"), share(store, public=True)):
        seen = guest.get(address(closed))
        assert seen.headers["content-security-policy"].endswith("frame-ancestors 'none'")
        assert seen.headers["x-frame-options"] == "DENY"


def test_a_public_share_needs_no_secret(store: EventTracking, guest: Site) -> None:
    """Search engines may list it. Others cannot be opened by their ids."""
    new, closed = share(store, public=True), share(store)
    seen = guest.get(f"public?list=1&share={new.share_id}")
    assert seen.status == 200
    assert "x-robots-tag" not in seen.headers
    assert "noindex" not in seen.html
    assert len(seen.parts()) == 6
    for part in seen.parts():
        assert part.startswith(f"./public.part?list=1&share={new.share_id}&show=")
        assert guest.get(part, part=1).status == 200
    assert new.secret not in seen.html
    for query in (
        {"list": 1, "share": closed.share_id},
        {"list": 2, "share": new.share_id},
        {"list": 1},
        {"list": "x", "share": new.share_id},
        {"list": 2**70, "share": new.share_id},
        {"share": new.share_id, "secret": new.secret},
    ):
        assert guest.get("public", **query).status == 404
    secured = share(store, public=True, password="sesame")
    assert "has a password" in guest.get(f"public?list=1&share={secured.share_id}").text


def test_a_shared_board_shows_its_views_without_persons(store: EventTracking, guest: Site, owner: Site) -> None:
    """The parts of each, with its own tabs; the name of a view may be whatever it is."""
    board = "Shared board"
    name = "'\"><script>alert(1)</script>\u202e\0&view=x"
    store.boards.save_view(1, board, name, f"overview.trend?list=1&range={MARCH}&metric=views")
    store.boards.save_view(1, board, "Figures", f"?list=2&range={MARCH}")
    store.boards.save_view(1, board, "Persons", "people?list=1")
    store.boards.save_view(1, board, "Settings", "data?list=1")
    new = share(store, f"board?list=1&name={board.replace(' ', '%20')}")
    seen = guest.get(address(new))
    assert seen.status == 200
    assert "<script>alert" not in seen.html
    assert "Persons" not in seen.text
    assert "Settings" not in seen.text
    trend, figures, other_trend = seen.parts()
    assert guest.get(trend, part=1).tables[0][0] == ["Time", "Views", "Before"]
    tabs = [html.unescape(one) for one in re.findall(r'data-tab="([^"]*)"', guest.get(trend, part=1).html)]
    assert len(tabs) == 4
    assert len(guest.get(tabs[2], part=1).tables[0]) == 1 + 6
    assert "People 3" in guest.get(figures, part=1).text
    assert "People" in guest.get(other_trend, part=1).text
    for one in (trend, figures):
        assert all(link.startswith("./shared") for link in leads(guest.get(one, part=1)))
    secret = new.secret
    for query in (
        {"show": "people.table", "view": "Persons"},
        {"show": "overview.figures", "view": name},
        {"show": "overview.figures", "view": "no such view"},
        {"show": "overview.figures"},
        {"show": "overview.table", "view": "Figures"},
        {"show": "data", "view": "Settings"},
    ):
        assert guest.get("shared.part", secret=secret, **query).status == 404
    store.boards.remove_view(1, board, "Figures")
    assert guest.get(figures, part=1).status == 404


@pytest.mark.parametrize(
    "location", ["people?list=1", "person?list=1&uuid=" + ADA, "live?list=1", "data", "values?of=path", "sign-in", "a/b"]
)
def test_pages_of_persons_are_not_shared(store: EventTracking, guest: Site, owner: Site, location: str) -> None:
    """Neither by the form nor if a share of one was created by other means."""
    assert guest.get(address(share(store, location))).status == 404
    count = len(store.boards.shares(1))
    assert owner.post("shares?list=1", {"act": "share", "location": location}).status == 400
    assert len(store.boards.shares(1)) == count


def test_filters_by_person_are_not_read_by_guests(store: EventTracking, guest: Site) -> None:
    """The numbers are those of the filter, whose words leave out who it is."""
    chosen = f'["is_not","person",["{ADA}"]]'
    location = f"{OVERVIEW}&filter={chosen.replace(chr(34), '%22')}"
    seen = guest.get(address(share(store, location)))
    assert ADA not in seen.html
    assert "person is not …" in seen.text
    assert hide_persons(["and", [["is", "trait:name", ["Ada"]], ["not", ["is", "path", ["/"]]]]]) == [
        "and",
        [["is", "trait:name", ["…"]], ["not", ["is", "path", ["/"]]]],
    ]


def test_questions_about_persons_are_not_asked_for_guests() -> None:
    """Whatever page asks them: their answers, or the words of their steps, would name persons."""
    step = {"event": "signup", "filters": [["not", ["is", "trait:name", ["Ada"]]]]}
    for name, arguments in (
        ("people", {}),
        ("timeline", {}),
        ("values", {"dimension": "path"}),
        ("query", {"dimensions": ["event", "person"]}),
        ("query", {"dimensions": ["property:$email"]}),
        ("funnel", {"steps": ["a", "b"], "breakdown": "visitor"}),
        ("funnel", {"steps": ["a", step]}),
        ("retention", {"return_": step}),
    ):
        with pytest.raises(EventsError, match="it would show persons"):
            check_guest_question(name, arguments)
    check_guest_question("query", {"dimensions": ["path", "property:emails_sent"], "filters": [["is", "trait:name", ["Ada"]]]})
    check_guest_question("funnel", {"steps": ["a", {"event": "b", "filters": [["is", "path", ["person"]]]}], "breakdown": None})


def test_what_is_left_of_an_erased_person_shows_nothing_more(store: EventTracking, guest: Site) -> None:
    """A share whose filter is lost or cannot be read any more is not shown without it."""
    assert guest.get(address(share(store, "."))).status == 404
    new = share(store, OVERVIEW + "&filter=(erased)")
    for one in (address(new), f"shared.part?secret={new.secret}&show=overview.figures"):
        seen = guest.get(one)
        assert seen.status == 422
        assert "People" not in seen.text
    board = "Erased board"
    store.boards.save_view(1, board, "One", ".")
    on_board = share(store, f"board?name={board.replace(' ', '%20')}")
    assert guest.get(address(on_board)).parts() == []
    assert guest.get("shared.part", secret=on_board.secret, view="One", show="overview.figures").status == 404


def test_a_host_with_lists_of_its_own_shares_them(tmp_path: Path, one_flavour: str) -> None:
    """The store then does not know whether a list exists; a share of it is there until it is revoked."""
    with EventTracking(tmp_path / "events.duckdb", access=HostAccess()) as tracking:
        new = share(tracking, "?list=5", list_id=5)
        site = Site(tracking, one_flavour, lambda request: None)
        seen = site.get(address(new))
        assert seen.status == 200
        assert "People 0" in site.get(seen.parts()[0], part=1).text
        tracking.boards.revoke_share(new.share_id)
        assert site.get(address(new)).status == 404


def test_a_page_with_a_form_is_shared_without_it(store: EventTracking, guest: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guests see the parts that show its result, with the saved parameters only."""

    def show_form(context: Context) -> Steps[Reply]:
        raise AssertionError("the page with the form was shown")
        yield

    def show_result(context: Context) -> Steps[Reply]:
        text = f"steps {context.request.query.get('step')} of list {context.view.list_id} {context.view.range_text}"
        return context.render("shared_refused.html", title="Result", reasons=[text, context.links.here("funnels", step="c")])
        yield

    monkeypatch.setitem(PAGES, "funnels", Page(show_form))
    monkeypatch.setitem(PAGES, "funnels.result", Page(show_result))
    seen = guest.get(address(share(store, "funnels?step=a&step=b&list=2&range=7d")), step="c")
    assert seen.status == 200
    assert "Funnels" in seen.text
    assert "Last 7 days" in seen.text
    (part,) = seen.parts()
    assert guest.get(part, part=1, step="c").text == "Result steps ['a', 'b'] of list 1 7d"
    assert guest.get(address(share(store, "funnels.result?step=a")), part=1).text == "Result steps ['a'] of list 1 28d"


def test_links_of_stored_text_stay_text() -> None:
    """What is removed are attributes of the templates; escaped text has none."""
    kept = '<a href="./shared?secret=x">a</a> <link href="static/x.css"> <a href="#main">b</a> text &#34; href=&#34;./x&#34;'
    assert keep_shared_links(kept) == kept
    for away in (
        "./people?of=1",
        "people",
        "https://elsewhere.example/",
        "./sharedx?",
        "javascript:x",
        "",
        "./public/../people",
        "/x",
    ):
        assert keep_shared_links(f'<a class="people" href="{away}">3</a>') == '<a class="people">3</a>'
        assert keep_shared_links(f'<div data-part="{away}">') == "<div>"


def test_the_form_makes_a_link_that_is_shown_once(store: EventTracking, owner: Site, guest: Site) -> None:
    """The list of shares has no secret; ending one ends it."""
    seen = owner.post("shares?list=1", {"act": "share", "location": "./" + OVERVIEW, "access": "link", "embed": "1"})
    assert seen.status == 200
    link = html.unescape(re.findall(r'data-address="([^"]*)"', seen.html)[0])
    assert f'<iframe src="{link}"' in html.unescape(seen.html)
    assert guest.get(link).status == 200
    secret = parse_qs(urlsplit(link).query)["secret"][0]
    listed = owner.get("shares")
    assert secret not in listed.html
    assert "Whoever has the link, also within other sites" in listed.text
    made = store.boards.shares(1)[-1]
    assert (made.location, made.embed, made.public, made.needs_password) == (OVERVIEW, True, False, False)
    assert owner.post("shares?list=1", {"act": "revoke", "share": made.share_id}).status == 303
    assert guest.get(link).status == 404
    assert "ended on" in owner.get("shares").text


def test_the_form_makes_public_links_and_passwords(store: EventTracking, owner: Site, guest: Site) -> None:
    """A password is needed where one was chosen, and a frame cannot ask for it."""
    fields = {"act": "share", "location": OVERVIEW}
    seen = owner.post("shares?list=1", {**fields, "access": "public", "password": ""})
    link = html.unescape(re.findall(r'data-address="([^"]*)"', seen.html)[0])
    assert link == f"./public?list=1&share={store.boards.shares(1)[-1].share_id}"
    assert "fe_share_" not in seen.html
    assert guest.get(link).status == 200
    seen = owner.post("shares?list=1", {**fields, "access": "password", "password": "sesame"})
    link = html.unescape(re.findall(r'data-address="([^"]*)"', seen.html)[0])
    assert "has a password" in guest.get(link).text
    for wrong in (
        {"access": "password"},
        {"access": "password", "password": "x", "embed": "1"},
        {"access": "password", "password": "x" * 1001},
        {"access": "everybody"},
        {"location": "?list=2"},
        {"location": "//elsewhere.example"},
        {"act": "burn"},
    ):
        count = len(store.boards.shares(1))
        assert owner.post("shares?list=1", {**fields, **wrong}).status == 400
        assert len(store.boards.shares(1)) == count


def test_a_board_says_what_guests_do_not_see(store: EventTracking, owner: Site) -> None:
    """When it is shared."""
    store.boards.save_view(1, "Partly", "One", "?list=1")
    store.boards.save_view(1, "Partly", "Two", "people?list=1")
    seen = owner.post("shares?list=1", {"act": "share", "location": "board?list=1&name=Partly"})
    assert "Guests do not see 1 of the 2 views, as it shows persons or settings." in seen.text


def test_only_those_who_may_change_the_list_share_it(store: EventTracking, owner: Site, one_flavour: str) -> None:
    """A principal of scope read sees what is shared; one of another list sees and ends nothing."""
    new = share(store, OVERVIEW)
    reader = Site(store, one_flavour, lambda request: Principal("*", Scope.READ))
    seen = reader.get("shares")
    assert seen.status == 200
    assert '<form method="post"' not in seen.html
    assert "Share" not in re.findall(r"<summary>(.*?)</summary>", reader.get().html)
    token = make_form_token(store.store.uuid_namespace, reader.cookies[FORMS])
    for fields in ({"act": "share", "location": OVERVIEW}, {"act": "revoke", "share": new.share_id}):
        assert reader.post("shares?list=1", {**fields, "token": token}).status == 403
    alice = Site(store, one_flavour, lambda request: Principal("alice", list_ids=frozenset({2})))
    for fields in ({"act": "share", "location": OVERVIEW}, {"act": "revoke", "share": new.share_id}):
        assert alice.post("shares?list=2", fields).status == 400
        assert alice.post("shares?list=1", fields).status == 404
    assert owner.post("shares?list=1", {"act": "revoke", "share": new.share_id}, token=False).status == 403
    assert [one.revoked_at for one in store.boards.shares(1) if one.share_id == new.share_id] == [None]


@pytest.mark.parametrize(
    ("setting", "ancestors"),
    [
        ("", "'none'"),
        ("https://intranet.example.com", "https://intranet.example.com"),
        (
            "https://a.example, http://b.example:8080  https://*.c.example",
            "https://a.example http://b.example:8080 https://*.c.example",
        ),
    ],
)
def test_a_setting_names_who_may_embed_the_dashboard(
    store: EventTracking, one_flavour: str, setting: str, ancestors: str
) -> None:
    """Every page of it, but for shares, which say so themselves."""
    with EventTracking(store.store.path, create=False, dashboard_embedders=setting) as tracking:
        site = Site(tracking, one_flavour, lambda request: Principal("*"))
        for page in ("", "boards", "no-such-page"):
            seen = site.get(page)
            assert seen.headers["content-security-policy"].endswith(f"frame-ancestors {ancestors}")
            assert ("x-frame-options" in seen.headers) is (not setting)
        seen = site.get(address(share(store)))
        assert seen.headers["content-security-policy"].endswith("frame-ancestors 'none'")


@pytest.mark.parametrize(
    "setting",
    [
        "*",
        "intranet.example.com",
        "https://a.example; script-src *",
        "https://a.example/path",
        "'self'",
        "https://*",
        "https://a.example\nX-Evil: 1",
        "https://a.example,javascript:x",
    ],
)
def test_a_setting_that_names_no_origin_is_refused(setting: str) -> None:
    """It would change the policy of every page."""
    with pytest.raises(SettingError, match="dashboard_embedders"):
        Settings(dashboard_embedders=setting)
