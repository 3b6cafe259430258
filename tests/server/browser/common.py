"""Sites, browsers and a door in front of the server that can be slow, broken or shut."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from falcon_events import EventTracking
from tests.harness import wait_until
from tests.needs import require

PERSON = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
"""What Chromium calls itself where somebody looks at it; without a window it calls itself HeadlessChrome."""
MOST = 10_000
"""More events than any test has in its list."""
PACE = 10
"""How many times as fast time goes by in pages whose waiting a test would have to wait for."""
QUICK = """(origin, pace) => {
  const {now, later} = window.unhurried ??= {now: Date.now, later: window.setTimeout};
  Date.now = () => origin + (now() - origin) * pace;
  window.setTimeout = (action, delay, ...given) => later(action, delay / pace, ...given);
}"""
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-gpu",
    "--disable-extensions",
    "--kiosk",  # without tabs and buttons of its own, which cost it more than most pages of tests
    "--host-resolver-rules=MAP *.example.test 127.0.0.1",
)
HIDDEN = {"host", "connection", "transfer-encoding", "content-encoding", "content-length"}


class Browser(Chrome):
    """Chromium, driven from outside."""

    def js(self, code: str, *arguments: Any) -> Any:
        """What an expression of JavaScript is in the page."""
        return self.execute_script(f"return {code}", *arguments)

    def offline(self, is_offline: bool) -> None:
        """Takes the network away from the present tab, or gives it back."""
        self.execute_cdp_cmd("Network.enable", {})
        conditions = {"offline": is_offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)

    def before_pages(self, code: str) -> None:
        """Runs code in every page of the present tab before the page's own."""
        self.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": code})

    def hurry(self, pace: int) -> None:
        """Lets time go by so many times as fast in every page of the present tab, by what scripts know of it.

        The last call counts.
        """
        self.before_pages(f"({QUICK})({time.time() * 1000}, {pace})")

    def crash_tab(self) -> None:
        """End the process of the present tab, which gives its page no chance to do anything."""
        with contextlib.suppress(WebDriverException):
            self.execute_cdp_cmd("Page.crash", {})

    def kill(self) -> None:
        """Kill -9 to all of it."""
        profile = str(self.capabilities["chrome"]["userDataDir"])
        subprocess.run(["pkill", "-KILL", "-f", f"user-data-dir={profile}"], check=False)

    def blank(self) -> None:
        """Forget everything: only the first tab is left, without a page, and cookies and localStorage are empty."""
        first, *others = self.window_handles
        for handle in others:
            self.switch_to.window(handle)
            self.close()
        self.switch_to.window(first)
        if self.current_url != "about:blank":
            self.get("about:blank")
        self.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": "*", "storageTypes": "local_storage"})
        self.console()

    def console(self) -> list[str]:
        """What the present tab's console has said since the last call."""
        return [entry["message"] for entry in self.get_log("browser")]


@contextlib.contextmanager
def chromium(
    folder: Path,
    *,
    agent: str | None = PERSON,
    preferences: dict[str, Any] | None = None,
    flags: tuple[str, ...] = (),
    network_log: bool = False,
) -> Iterator[Browser]:
    """A browser with a profile of its own."""
    require("chromium")
    browser, driver_path = shutil.which("chromium"), shutil.which("chromedriver")
    options = ChromeOptions()
    for flag in (*FLAGS, *flags):
        options.add_argument(flag)
    if agent is not None:
        options.add_argument(f"--user-agent={agent}")
    options.add_argument(f"--user-data-dir={folder}")
    options.add_experimental_option("prefs", preferences or {})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", **({"performance": "ALL"} if network_log else {})})
    options.binary_location = str(browser)
    driver = Browser(options, Service(driver_path))
    try:
        yield driver
    finally:
        driver.quit()


@dataclass
class Page:
    """A page of a site."""

    body: str
    headers: dict[str, str] = field(default_factory=dict)


class Site:
    """A web site on an origin of its own."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_SiteHandler, self))
        self.origin = f"http://localhost:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def add(self, path: str, head: str, body: str = "", *, title: str = "A page", **headers: str) -> str:
        """Puts a page up; its address."""
        text = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>{head}</head><body>{body}</body>'
        )
        self.pages[path] = Page(text, {name.replace("_", "-"): value for name, value in headers.items()})
        return self.origin + path

    def close(self) -> None:
        """Takes the site down."""
        self._server.shutdown()
        self._server.server_close()


class _SiteHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, site: Site, *arguments: Any) -> None:
        self._site = site
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Answers with the page."""
        page = self._site.pages.get(self.path.partition("?")[0])
        body = (page.body if page else "").encode()
        self.send_response(200 if page else 404)
        for name, value in (page.headers if page else {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""


class Door:
    """What stands in front of the server: passes requests on, unless it is told to do something else with the next ones.

    Args:
        server: where requests go.
    """

    def __init__(self, server: str) -> None:
        self.server = server
        self.tricks: list[Callable[[_DoorHandler], bool]] = []
        """Each is used up by one POST; it says whether the request is passed on after all."""
        self.posts = 0
        self.client = httpx.Client(timeout=30)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_DoorHandler, self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stands there no more."""
        self._server.shutdown()
        self._server.server_close()
        self.client.close()


class _DoorHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, door: Door, *arguments: Any) -> None:
        self._door = door
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Passes on."""
        self.answer(self.passed_on(b""))

    def do_POST(self) -> None:
        """Plays a trick, or passes on."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.body = body
        self._door.posts += 1
        if self._door.tricks and not self._door.tricks.pop(0)(self):
            return
        self.answer(self.passed_on(body))

    def passed_on(self, body: bytes) -> httpx.Response:
        """The server's answer."""
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HIDDEN}
        return self._door.client.request(self.command, self._door.server + self.path, content=body, headers=headers)

    def answer(self, answer: httpx.Response) -> None:
        """Gives an answer to the browser, if it is still there."""
        with contextlib.suppress(ConnectionError):
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name.lower() not in HIDDEN:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""


def refuse(handler: _DoorHandler, status: int = 503, **headers: str) -> bool:
    """The server is overloaded."""
    origin = handler.headers["Origin"]
    always = {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "Retry-After"}
    handler.answer(httpx.Response(status, headers={**always, **headers}))
    return False


def hold(until: threading.Event, handler: _DoorHandler) -> bool:
    """The server takes its time: until the event is set."""
    return until.wait()


def lose_answer(handler: _DoorHandler) -> bool:
    """The event is stored, and the connection breaks before the browser knows."""
    handler.passed_on(handler.body)
    handler.close_connection = True
    return False


def lose_request(handler: _DoorHandler) -> bool:
    """The connection breaks before the server knows."""
    handler.close_connection = True
    return False


class Events:
    """What the store has of a list.

    Args:
        db: the store's path.
        list_id: the list.
    """

    def __init__(self, db: Path, list_id: int) -> None:
        self._tracking = EventTracking(db, create=False)
        self._list_id = list_id
        self._expected: dict[str | None, int] = {}

    def close(self) -> None:
        """Lets go of the store."""
        self._tracking.close()

    def column(self, name: str, event: str | None = None) -> list[Any]:
        """A field of StoredEvent for each event, of one type or all, in order of arrival."""
        # Not by SQL, which starts a process: this is asked again and again.
        stored = self._tracking.latest(self._list_id, most=MOST)
        assert len(stored) < MOST
        return [getattr(one, name) for _, one in stored if event in (None, one.event)]

    def values(self, name: str) -> list[Any]:
        """The value of a property for each event."""
        return [properties.get(name) for properties in self.column("properties")]

    def traits(self) -> list[Any]:
        """The traits of each visitor with an address."""
        rows = self._tracking.sql(f"select traits from bindings where list_id = {self._list_id}").rows
        return [json.loads(text) for (text,) in rows]

    def arrived(self, count: int, event: str | None = None) -> None:
        """Wait until that many events are there and assert that it is not one more, now and in the next settle()."""
        wait_until(lambda: len(self.column("event_id", event)) >= count, f"{count} events have not arrived")
        if event is None:
            self._expected.clear()
        else:
            self._expected.pop(None, None)
        self._expected[event] = count
        self._assert_expected()

    def settle(self) -> None:
        """Wait a moment for one event too many, and assert that none has come: longer than a page view waits for its title."""
        time.sleep(1.5 / PACE)
        self._assert_expected()

    def _assert_expected(self) -> None:
        for event, count in self._expected.items():
            found = self.column("event_id", event)
            assert len(found) == len(set(found)) == count
