"""The dashboard in other people's applications: their users see it, below their prefix and behind their proxy."""

from __future__ import annotations

import asyncio
import contextlib
import html
import logging
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from wsgiref.util import setup_testing_defaults

import falcon
import httpx
import pytest

from falcon_events import EventsError, EventTracking, Principal, Scope
from falcon_events.dashboard.pages import PAGES
from falcon_events.http import asgi_app, wsgi_app
from tests.apps.common import DETAIL, HELLO, PREFIX, SyncAccess
from tests.apps.staff import OWN_PAGE, RAISES, STAFF
from tests.harness import Served, free_port, running
from tests.needs import require
from tests.server.dashboard.conftest import MARCH, fill_closed_shop
from tests.server.dashboard.site import Site
from tests.server.test_mounting import ROOT, server_command
from tests.server.test_reverse_proxies import nginx
from tests.shortcuts import write_store

HOSTS = {
    "django-wsgi": ("gunicorn", "django_app:wsgi"),
    "django-asgi": ("uvicorn", "django_app:asgi"),
    "fastapi-wrapped": ("uvicorn", "fastapi_app:wrapped"),
    "fastapi-mounted": ("granian-asgi", "fastapi_app:mounted"),
    "starlette": ("uvicorn", "starlette_app:app"),
    "flask": ("gunicorn", "flask_app:app"),
    "falcon-wsgi": ("granian-wsgi", "falcon_app:wsgi"),
    "falcon-asgi": ("uvicorn", "falcon_app:asgi"),
}
FIGURES = "People 3 Views 4 Sessions 6 Bounce rate 66.7 % Session time 2 min 30 s Conversions 2 Revenue 1,150.50"
"""What the shop's March is, as tests/server/dashboard/test_overview.py says."""
TOKEN = re.compile(r'name="token" value="([0-9a-f]{64})"')


def text_of(page: httpx.Response) -> str:
    """A page's text, with single spaces."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.text)).split())


_clients: list[httpx.Client] = []


@pytest.fixture(autouse=True)
def browsers_end() -> Iterator[None]:
    """Each test's browsers close their connections at its end."""
    yield
    while _clients:
        _clients.pop().close()


class Browser:
    """A browser without scripts, which keeps cookies and asks only for what pages link to.

    Args:
        base: the host's address, with the path that a proxy adds.
    """

    def __init__(self, base: str) -> None:
        self.base = base
        self.client = httpx.Client(timeout=60, follow_redirects=True)
        _clients.append(self.client)
        self.root = f"{base}{PREFIX}/dashboard/"

    def sign_in(self, name: str) -> None:
        """Sign in to the host."""
        assert self.client.get(f"{self.base}/sign-in", params={"name": name}).text == HELLO

    def get(self, address: str = "") -> httpx.Response:
        """Visit a page below the dashboard's root."""
        return self.client.get(urljoin(self.root, address))

    def figures(self) -> str:
        """The text of the overview's figures."""
        return text_of(self.get(f"overview.figures?range={MARCH}&compare=none"))


@dataclass
class Host:
    """A running host application, with the server and the application's name."""

    served: Served
    db: Path
    kind: tuple[str, str]

    def browser(self) -> Browser:
        """A new browser."""
        return Browser(self.served.url)


@contextlib.contextmanager
def hosting(folder: Path, server: str, app: str, **env: str) -> Iterator[Host]:
    """A host application whose store has the shop's events."""
    folder.mkdir(exist_ok=True)
    db = folder / "events.duckdb"
    if not db.exists():
        write_store(db, fill_closed_shop())
    port = free_port()
    search_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with running(
        server_command(server, f"staff.{app}", port),
        folder / "log",
        port=port,
        ready="/hello",
        env={"HOST_DB": str(db), "PYTHONPATH": search_path, **env},
    ) as served:
        yield Host(served, db, (server, app))


@pytest.fixture(scope="module", params=HOSTS)
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Each host in turn."""
    with hosting(tmp_path_factory.mktemp(request.param), *HOSTS[request.param]) as found:
        yield found


@pytest.fixture
def staff(host: Host) -> Browser:
    """The browser of somebody who may see the dashboard."""
    browser = host.browser()
    browser.sign_in(STAFF)
    return browser


def test_the_hosts_staff_sees_the_numbers(staff: Browser) -> None:
    """By the function that the framework's page shows, on a real server; nobody is asked for a key."""
    page = staff.get()
    assert (page.status_code, str(page.url)) == (200, staff.root)
    assert "Shop (1)" in text_of(page)
    assert "Sign out" not in text_of(page)
    assert FIGURES in staff.figures()


def test_nobody_else_sees_anything(host: Host) -> None:
    """Neither who is not signed in, nor who is no member of the staff."""
    bob = host.browser()
    bob.sign_in("bob")
    for browser in (host.browser(), bob):
        for address in (
            "",
            "overview.figures",
            f"overview.table?by=path&range={MARCH}",
            "live.stream",
            "sign-in",
            "no-such-page",
        ):
            answer = browser.get(address)
            assert answer.status_code == (401 if address == "live.stream" else 403)
            assert "Shop" not in answer.text
        assert "You are not signed in, or may not see this." in text_of(browser.get())


def test_a_page_loads_what_it_names_and_links_lead_to_pages(staff: Browser) -> None:
    """Every address is relative, and below the dashboard's own root."""
    page = staff.get(f"?range={MARCH}")
    files = [html.unescape(one) for one in re.findall(r'(?:src|data-chart|data-uplot|link [^>]*href)="([^"]+)"', page.text)]
    assert len(files) > 3
    for address in files:
        found = staff.client.get(urljoin(str(page.url), address))
        assert (found.status_code, found.headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable"), address
    links = [html.unescape(one) for one in re.findall(r'(?:<a [^>]*href|data-part|action)="([^"#]+)"', page.text)]
    assert len(links) > 10
    for address in links:
        target = urlsplit(urljoin(str(page.url), address))
        assert target.geturl().startswith(staff.root), address
        found = PAGES.get(target.path.rpartition("/")[2])
        if found is not None and found.show is not None:  # some take forms only
            assert staff.client.get(target.geturl()).status_code == 200, address


def test_the_address_without_its_slash_leads_to_the_dashboard(staff: Browser) -> None:
    """By a relative address, with its parameters, and not in a circle."""
    address = f"{staff.root[:-1]}?range={MARCH}"
    redirect = staff.client.get(address, follow_redirects=False)
    assert (redirect.status_code, redirect.headers["Location"]) == (307, f"dashboard/?range={MARCH}")
    page = staff.client.get(address)
    assert (page.status_code, str(page.url)) == (200, f"{staff.root}?range={MARCH}")


def test_a_page_named_dashboard_of_the_host_is_its_own(host: Host) -> None:
    """The tracker's is below the prefix."""
    assert httpx.get(f"{host.served.url}/dashboard/", timeout=60).text == OWN_PAGE


def test_events_arrive_live(staff: Browser) -> None:
    """The stream of events passes the host's middlewares at once."""
    with staff.client.stream("GET", urljoin(staff.root, "live.stream?list=1")) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert next(line for line in stream.iter_lines() if line.startswith("data:"))


def test_pages_keep_their_rules_for_browsers(staff: Browser) -> None:
    """Whatever rules the host sets for its own pages."""
    page = staff.get()
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    assert page.headers["Content-Security-Policy"].endswith("frame-ancestors 'none'")
    assert page.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("host", ["fastapi-wrapped", "fastapi-mounted", "falcon-wsgi", "falcon-asgi"], indirect=True)
def test_a_function_that_fails_tells_the_log_alone(host: Host) -> None:
    """The browser gets a page with 500, and the stream an error; the next request is answered."""
    browser = host.browser()
    browser.sign_in(RAISES)
    for address in ("", "overview.figures?part=1", "live.stream"):
        answer = browser.get(address)
        assert answer.status_code == 500
        assert DETAIL not in answer.text
    log = host.served.log()
    assert DETAIL in log
    assert "The function given as dashboard= raised an exception" in log
    browser.sign_in(STAFF)
    assert browser.get().status_code == 200


@pytest.mark.needs("nginx")
def test_behind_nginx_all_is_as_without(host: Host, tmp_path: Path) -> None:
    """Below a prefix that it keeps, and below one more that it takes off: no address leaves the prefix."""
    for mark, prefix in (("nginx", ""), ("nginx-prefix", "/tracking")):
        with nginx(tmp_path, mark, host.served.port) as port:
            browser = Browser(f"http://127.0.0.1:{port}{prefix}")
            assert browser.get().status_code == 403
            browser.sign_in(STAFF)
            assert FIGURES in browser.figures()
            test_the_address_without_its_slash_leads_to_the_dashboard(browser)
            if prefix:  # without one, the addresses are the host's own
                test_a_page_loads_what_it_names_and_links_lead_to_pages(browser)


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("name", ["django-wsgi", "fastapi-mounted", "flask", "falcon-asgi"])
def test_forms_work_behind_nginx(tmp_path: Path, name: str) -> None:
    """Signing in with a key and signing out, with the header Origin of a browser; the host's checks of forms are for its own."""
    with hosting(tmp_path / "host", *HOSTS[name], HOST_DASHBOARD="keys") as host:
        with EventTracking(host.db) as tracking:
            key = tracking.directory.create_key("default", Scope.READ).key
        with nginx(tmp_path, "nginx-prefix", host.served.port) as port:
            browser = Browser(f"http://127.0.0.1:{port}/tracking")
            page = browser.get(f"overview.figures?range={MARCH}")
            assert urlsplit(str(page.url)).path == "/tracking/tracking/dashboard/sign-in"
            (next_page,) = re.findall(r'name="next" value="([^"]*)"', page.text)
            form = {"key": key, "next": html.unescape(next_page), "token": TOKEN.findall(page.text)[0]}
            foreign = browser.client.post(str(page.url), data=form, headers={"Origin": "https://evil.example"})
            assert foreign.status_code == 403
            own = {"Origin": f"http://127.0.0.1:{port}"}  # nginx passes the host on without its port
            seen = browser.client.post(str(page.url), data=form, headers=own)
            assert (seen.status_code, urlsplit(str(seen.url)).path) == (200, "/tracking/tracking/dashboard/overview.figures")
            assert FIGURES in browser.figures()
            token = TOKEN.findall(browser.get().text)[0]
            out = browser.client.post(urljoin(browser.root, "sign-out"), data={"token": token}, headers=own)
            assert urlsplit(str(out.url)).path == "/tracking/tracking/dashboard/sign-in"
            assert urlsplit(str(browser.get().url)).path == "/tracking/tracking/dashboard/sign-in"


@pytest.mark.parametrize("host", ["django-wsgi", "django-asgi"], indirect=True)
def test_djangos_own_checks_of_a_session_count(host: Host, staff: Browser, tmp_path: Path) -> None:
    """A change of the password ends it; one of SECRET_KEY does not, and the dashboard changes no session of Django's."""
    assert staff.get().status_code == 200
    shutil.copy(host.db.with_name("db.sqlite3"), tmp_path)
    with hosting(tmp_path, *host.kind, HOST_SECRET="two") as later:
        staff.root = later.browser().root
        assert staff.get().status_code == 200
        assert staff.get().status_code == 200
        home = f"{later.served.url}/hello"
        assert staff.client.get(home).text == f"{HELLO} {STAFF}"
        thief = later.browser()
        thief.client.cookies.set("sessionid", "x" * 32)
        assert thief.get().status_code == 403
        assert staff.client.get(f"{later.served.url}/change-password", params={"name": STAFF}).text == HELLO
        assert staff.get().status_code == 403


def test_flask_logins_user_is_let_in(tmp_path: Path) -> None:
    """By the two lines that the page of Flask names."""
    require("flask-login")
    with hosting(tmp_path, "gunicorn", "flask_app:with_login", HOST_LOGIN="1") as host:
        browser = host.browser()
        assert browser.get().status_code == 403
        browser.sign_in("bob")
        assert browser.get().status_code == 403
        browser.sign_in(STAFF)
        assert FIGURES in browser.figures()


def test_below_the_path_of_an_application(shop: EventTracking, flavour: str) -> None:
    """SCRIPT_NAME of WSGI and root_path of ASGI stand in no address."""
    app: Any = (asgi_app if flavour == "asgi" else wsgi_app)(shop, dashboard=lambda request: Principal("*"))
    if flavour == "asgi":
        transport: Any = httpx.ASGITransport(app, root_path="/sub")
        pages = _get_async(transport, ("/sub/dashboard", "/sub/dashboard/", "/dashboard/"))
    else:
        with httpx.Client(transport=httpx.WSGITransport(app, script_name="/sub"), base_url="http://host.example") as client:
            pages = [client.get(path) for path in ("/dashboard", "/dashboard/")]
    assert pages[0].headers["Location"] == "dashboard/"
    for page in pages[1:]:
        assert page.status_code == 200
        assert "Shop (1)" in text_of(page)
        assert not re.search(r'(?:href|src|action|data-part)="(?:/|https?:)', page.text)


def _get_async(transport: httpx.ASGITransport, paths: tuple[str, ...]) -> list[httpx.Response]:
    async def get() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=transport, base_url="http://host.example") as client:
            return [await client.get(path) for path in paths]

    return asyncio.run(get())


def test_without_the_argument_there_is_no_dashboard(shop: EventTracking, flavour: str) -> None:
    """Its paths are the host's."""
    site = Site(shop, flavour, None)
    assert [site.get(address).status for address in ("", "overview.figures", "static/dashboard.js")] == [404] * 3


@pytest.mark.parametrize(
    ("nobody", "named"),
    [
        (True, "returned a bool,"),
        ("alice", "returned a str,"),
        (Principal("*", Scope.INGEST), "returned a Principal of scope ingest, which may not read,"),
        (Principal(7), "returned a Principal whose account is a int in place of a str,"),  # type: ignore[arg-type]
    ],
)
def test_a_function_that_returns_something_else_is_told_once(
    shop: EventTracking, flavour: str, nobody: Any, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log, without the value, which may be secret; nobody is let in."""
    site = Site(shop, flavour, lambda request: nobody)
    with caplog.at_level(logging.ERROR):
        assert [site.get().status for _ in range(3)] == [403] * 3
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"The function given as dashboard= {named}")
    assert 'Principal("*")' in message
    assert "alice" not in message


class Refused(Exception):
    """An exception as frameworks raise them: with `status_code` in FastAPI, with `code` in Flask."""

    def __init__(self, name: str, status: int) -> None:
        super().__init__(DETAIL)
        setattr(self, name, status)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Refused("status_code", 401), 403),
        (Refused("status_code", 403), 403),
        (Refused("code", 401), 403),
        (falcon.HTTPUnauthorized(), 403),
        (Refused("status_code", 500), 500),
        (Refused("code", "401"), 500),
        (StopIteration(), 500),
        (falcon.HTTPNotFound(), 500),
        (EventsError(DETAIL), 500),
    ],
)
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_an_exception_that_says_nobody_is_no_failure(
    shop: EventTracking, flavour: str, error: Exception, status: int, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Frameworks' own exceptions for 401 and 403 turn somebody away, and any other one is a failure, which the log has."""

    def plain(request: Any) -> Principal | None:
        raise error

    async def coroutine(request: Any) -> Principal | None:
        raise error

    site = Site(shop, flavour, plain if kind == "plain" else coroutine)
    seen = site.get()
    assert seen.status == status
    assert DETAIL not in seen.html
    assert bool(caplog.records) == (status == 500)


def read_stream(app: Any, flavour: str) -> bytes:
    """The stream of live events, to its end, as a server reads it."""
    if flavour == "wsgi":
        environ: dict[str, Any] = {"PATH_INFO": "/dashboard/live.stream", "QUERY_STRING": "list=1"}
        setup_testing_defaults(environ)
        return b"".join(app(environ, lambda status, headers: None))
    parts = []

    async def receive() -> dict[str, Any]:
        if not parts:
            parts.append(b"")
            return {"type": "http.request"}
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def send(message: dict[str, Any]) -> None:
        parts.append(message.get("body", b""))

    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "headers": [], "scheme": "http"}
    scope |= {"path": "/dashboard/live.stream", "query_string": b"list=1", "server": ("127.0.0.1", 80)}
    asyncio.run(app(scope, receive, send))
    return b"".join(parts)


def test_a_live_stream_asks_again_who_reads_it(
    shop: EventTracking, flavour: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On the same event loop, to which a host's connections may belong; it ends once the function fails or says nobody."""
    monkeypatch.setattr("falcon_events.dashboard.pages.live.CHECKED_EVERY_S", 0.0)
    for last in (None, RuntimeError(DETAIL)):
        loops: list[object] = []

        async def who(request: Any, loops: list[object] = loops, last: Exception | None = last) -> Principal | None:
            loops.append(asyncio.get_running_loop())
            if len(loops) < 3:
                return Principal("*")
            if last is not None:
                raise last
            return None

        assert b"data:" in read_stream((asgi_app if flavour == "asgi" else wsgi_app)(shop, dashboard=who), flavour)
        assert (len(loops), len(set(loops))) == (3, 1)
        assert (DETAIL in caplog.text) == (last is not None)


def test_lists_of_the_hosts_own_accounts_are_those_that_the_principal_names(tmp_path: Path, one_flavour: str) -> None:
    """The store need not know them; the host's Access has the last word."""
    with EventTracking(tmp_path / "events.duckdb", access=SyncAccess()) as tracking:
        tracking.track(7, "signup", email="ada@example.com")
        site = Site(tracking, one_flavour, lambda request: Principal("account-7", list_ids=frozenset({7, 8})))
        page = site.get()
        assert page.status == 200
        assert "List 7 (7)" in page.text
        assert "People 1 " in site.get("overview.figures", range="today").text
        assert site.get("overview.figures", list=8).status == 404
        assert site.get("overview.figures", list=9).status == 404
        unnamed = Site(tracking, one_flavour, lambda request: Principal("account-7"))
        assert unnamed.get(list=7).status == 200
        assert unnamed.get(list=8).status == 404
        everything = Site(tracking, one_flavour, lambda request: Principal("*", list_ids=frozenset({7, 8})))
        assert "List 8 (8)" in everything.get().text


@pytest.mark.parametrize(("trusted", "secure"), [("127.0.0.1", True), ("", False)])
def test_only_a_trusted_proxy_says_that_the_browser_uses_https(
    shop: EventTracking, flavour: str, trusted: str, secure: bool
) -> None:
    """And by which host: the cookies and the check of forms follow it."""
    with EventTracking(shop.store.path, create=False, trusted_proxies=trusted) as tracking:
        site = Site(tracking, flavour, "keys", prefix=PREFIX, address="127.0.0.1")
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "www.example.com"}
        page = site.get("sign-in", headers=headers)
        assert page.headers["set-cookie"].endswith("; Secure") == secure
        form = {"key": tracking.directory.create_key("default").key, "token": TOKEN.findall(page.html)[0]}
        for origin, expected in (("https://evil.example", False), ("https://www.example.com", secure)):
            sent = site.post("sign-in", form, headers={**headers, "Origin": origin})
            assert (sent.status == 303) == expected
