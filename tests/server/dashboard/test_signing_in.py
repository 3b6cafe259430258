"""Signing in with a key, and what ends it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from falcon_events import EventTracking
from falcon_events.access.keys import NewKey
from falcon_events.access.protocol import Principal, Scope
from falcon_events.dashboard.sign_in import COOKIE_S, ENDED, ENDED_BEFORE_CHANGE, SESSION_S
from tests.server.dashboard.site import Site
from tests.shop import fill_shop


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventTracking]:
    """A store with two accounts: alice's lists 1 and 2, and bob's list 3."""
    with EventTracking(tmp_path_factory.mktemp("accounts") / "events.duckdb") as tracking:
        tracking.directory.create_account("alice")
        tracking.directory.create_account("bob")
        for list_id, account in ((1, "alice"), (2, "alice"), (3, "bob")):
            tracking.directory.create_list(account, f"List of {account}", list_id)
        fill_shop(tracking)
        yield tracking


@pytest.fixture
def site(store: EventTracking, flavour: str) -> Site:
    """Its dashboard, for a browser that has never been there."""
    return Site(store, flavour, "keys")


def make_key(store: EventTracking, scope: Scope = Scope.READ, **bound: Any) -> NewKey:
    """A key of alice."""
    return store.directory.create_key("alice", scope, **bound)


def sign_in(site: Site, key: NewKey) -> None:
    """Sign in with a key."""
    assert site.post("sign-in", {"key": key.key}).status == 303


def test_whoever_is_not_signed_in_is_asked_to(site: Site) -> None:
    """And is back on the page that was asked for after signing in."""
    seen = site.get("overview.table", by="os", list=1)
    assert (seen.status, seen.headers["location"]) == (303, "./sign-in?next=.%2Foverview.table%3Flist%3D1%26by%3Dos")
    assert site.get("overview.table", part=1).status == 401
    assert "API key" in site.get(seen.headers["location"]).text


def test_a_key_becomes_a_session(site: Site, store: EventTracking) -> None:
    """The cookie cannot be read by scripts, and the key is not in it."""
    key = make_key(store)
    seen = site.post("sign-in", {"key": f" {key.key}\n", "next": "./overview.table?by=os"})
    assert (seen.status, seen.headers["location"]) == (303, "./overview.table?by=os")
    cookie = seen.headers["set-cookie"]
    assert key.key not in cookie
    assert "HttpOnly; SameSite=Strict" in cookie
    assert site.get().status == 200
    assert "List of alice (1)" in site.get().text
    assert "List of bob" not in site.get().text


def test_a_browser_behind_https_gets_a_secure_cookie(store: EventTracking, flavour: str) -> None:
    """A proxy that is trusted says so."""
    with_proxy = EventTracking(store.store.path, create=False, trusted_proxies="127.0.0.1")
    try:
        site = Site(with_proxy, flavour, "keys", address="127.0.0.1")
        site.get("sign-in")
        seen = site.post("sign-in", {"key": make_key(store).key}, headers={"X-Forwarded-Proto": "https"}, token=False)
        assert seen.status == 403  # the form's cookie is one of plain HTTP
        assert "__Host-falcon_events_forms=" in seen.headers["set-cookie"]
        assert seen.headers["set-cookie"].endswith("; Secure")
    finally:
        with_proxy.close()


@pytest.mark.parametrize("key", ["", "no-such-key", "fe_read_" + "x" * 43, "\0", "é" * 2000])
def test_a_wrong_key_is_refused(site: Site, key: str) -> None:
    """With a sentence that says how to get one."""
    seen = site.post("sign-in", {"key": key})
    assert seen.status in (403, 429)
    assert "falcon_events_session" not in site.cookies


def test_a_key_for_sending_events_is_refused(site: Site, store: EventTracking) -> None:
    """It stands in web pages, where everybody can read it."""
    seen = site.post("sign-in", {"key": make_key(store, Scope.INGEST).key})
    assert seen.status == 403
    assert "scope ingest, which allows sending events only" in seen.text


def test_a_revoked_key_ends_its_sessions(site: Site, store: EventTracking) -> None:
    """At once, also in the middle of a visit."""
    key = make_key(store)
    sign_in(site, key)
    assert site.get().status == 200
    store.directory.revoke_key(key.key_id)
    assert site.get("overview.figures", part=1).status == 401
    sent = site.post("views?list=1", {"act": "save", "board": "Main", "name": "late", "location": "./?list=1"})
    assert (sent.status, ENDED_BEFORE_CHANGE in sent.text) == (401, True)
    assert store.boards.views(1) == []
    seen = site.get()
    assert (seen.status, ENDED in site.get(seen.headers["location"]).text) == (303, True)
    sign_in(site, make_key(store))
    assert ENDED not in site.get("sign-in").text


def test_the_browser_knows_for_longer_that_there_was_a_session(site: Site, store: EventTracking) -> None:
    """Somebody who comes back after it ended reads why the form is there; who comes for the first time does not."""
    assert ENDED not in site.get("sign-in").text
    seen = site.post("sign-in", {"key": make_key(store).key})
    (kept_s,) = re.findall("Max-Age=([0-9]+);", seen.headers["set-cookie"])
    assert int(kept_s) == COOKIE_S > SESSION_S


def test_no_site_shows_the_form_in_a_frame(store: EventTracking, flavour: str) -> None:
    """Not even one that may show the dashboard: a key is typed where the address says whose form it is."""
    with EventTracking(store.store.path, create=False, dashboard_embedders="https://intranet.example.com") as tracking:
        site = Site(tracking, flavour, "keys")
        assert site.get("no-such-page").status == 303
        for seen in (site.get("sign-in"), site.post("sign-in", {"key": "guess"}), site.post("views", {"act": "save"})):
            assert "Sign in" in seen.text
            assert seen.headers["content-security-policy"].endswith("frame-ancestors 'none'")


def test_signing_out_ends_the_session_everywhere(site: Site, store: EventTracking, flavour: str) -> None:
    """A copy of the cookie is worth nothing after it."""
    sign_in(site, make_key(store))
    thief = Site(store, flavour, "keys")
    thief.cookies = dict(site.cookies)
    assert thief.get().status == 200
    assert site.post("sign-out", {}).status == 303
    assert site.get().status == 303
    assert thief.get().status == 303


def test_a_form_needs_the_token_of_its_browser(site: Site, store: EventTracking, flavour: str) -> None:
    """Neither none, nor one of another browser, nor a form of another site."""
    key = make_key(store)
    assert site.post("sign-in", {"key": key.key}, token=False).status == 403
    other = Site(store, flavour, "keys")
    assert site.post("sign-in", {"key": key.key, "token": other.form_token()}).status == 403
    token = site.form_token()
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "same-site"}):
        assert site.post("sign-in", {"key": key.key, "token": token}, headers=headers).status == 403
    assert site.post("sign-in", {"key": key.key, "token": token}, headers={"Origin": "http://falconframework.org"}).status == 303


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "./../../x", "\\\\evil", "./x\r\nSet-Cookie: a=b", "x"]
)
def test_signing_in_leads_to_the_dashboard_only(site: Site, store: EventTracking, target: str) -> None:
    """Nobody can send a reader elsewhere with a link to the form."""
    seen = site.post("sign-in", {"key": make_key(store).key, "next": target})
    assert (seen.status, seen.headers["location"]) == (303, "./")


def test_rights_are_those_of_the_key(site: Site, store: EventTracking) -> None:
    """Which lists it is for, whatever the URL says."""
    sign_in(site, make_key(store, list_ids=[2]))
    assert "(2)" in site.get().text
    assert "(1)" not in site.get().text
    for list_id in (1, 3, 99, 2**63, 0):
        assert site.get("overview.figures", list=list_id).status == 404
    assert site.get("overview.figures", list=2).status == 200


def test_too_many_attempts_have_to_wait(store: EventTracking, flavour: str) -> None:
    """So that nobody can try keys; other addresses are not kept from signing in."""
    site = Site(store, flavour, "keys", address="203.0.113.7" if flavour == "asgi" else "203.0.113.8")
    codes = [site.post("sign-in", {"key": "wrong"}).status for _ in range(12)]
    assert codes[:10] == [403] * 10
    assert codes[10:] == [429] * 2
    assert "Try again in" in site.post("sign-in", {"key": make_key(store).key}).text
    other = Site(store, flavour, "keys", address="203.0.113.77" if flavour == "asgi" else "203.0.113.78")
    assert other.post("sign-in", {"key": make_key(store).key}).status == 303


def test_a_host_says_who_may_come_in(store: EventTracking, flavour: str) -> None:
    """Its function gets the request; there is no form for signing in then."""
    alice = next(one for one in store.directory.accounts() if one.name == "alice")

    async def read_only(request: Any) -> Principal | None:
        return Principal("alice", Scope.READ) if request.get_header("X-User") else None

    for who in (lambda request: Principal("alice") if request.get_header("X-User") else None, read_only):
        site = Site(store, flavour, who, prefix="/tracking")
        assert site.get().status == 403
        assert site.get("sign-in").status == 403
        seen = site.get(headers={"X-User": "ada"})
        assert seen.status == 200
        assert "List of alice (1)" in seen.text
        assert "Sign out" not in seen.text
        assert "List of bob" not in seen.text
    by_id = Site(store, flavour, lambda request: Principal(alice.account_id, list_ids=frozenset({2, 3})))
    assert "(2)" in by_id.get().text
    assert by_id.get(list=3).status == 404
    for nobody in (None, "alice", True, Principal("alice", Scope.INGEST), Principal("nobody")):
        assert "List of" not in Site(store, flavour, lambda request, nobody=nobody: nobody).get().text


def test_a_store_with_a_new_key_of_the_web(tmp_path: Path, flavour: str) -> None:
    """An account without lists is told how to make one."""
    with EventTracking(tmp_path / "events.duckdb") as tracking:
        tracking.directory.create_account("new")
        site = Site(tracking, flavour, "keys")
        assert site.post("sign-in", {"key": tracking.directory.create_key("new").key}).status == 303
        assert "falcon-events lists create" in site.get().text


def test_requests_are_logged_without_what_they_ask(tmp_path: Path, flavour: str, caplog: pytest.LogCaptureFixture) -> None:
    """So that an operator sees who tries keys, and the log has neither a key nor the secret of a share."""
    caplog.set_level(logging.INFO, "falcon_events.requests")
    with EventTracking(tmp_path / "events.duckdb", log_requests=True) as tracking:
        site = Site(tracking, flavour, "keys")
        site.post("sign-in", {"key": "fe_read_wrong"})
        site.get("shared", secret="fe_share_secret")
    lines = [record.getMessage() for record in caplog.records if record.name == "falcon_events.requests"]
    assert [line.rsplit(" ", 2)[0] for line in lines if "POST" in line or "shared" in line] == [
        "POST /dashboard/sign-in 403",
        "GET /dashboard/shared 404",
    ]
    assert "secret" not in " ".join(lines)
