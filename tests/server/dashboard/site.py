"""The dashboard as tests visit it: requests, forms, and what a page shows."""

from __future__ import annotations

import gzip
import html
import itertools
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import falcon
import falcon.asgi
import falcon.testing

from falcon_events import EventTracking
from falcon_events.http.asgi import mount_asgi
from falcon_events.http.wsgi import mount_wsgi

ROOT = "/dashboard/"
_numbers = itertools.count()


class Seen:
    """An answer of the dashboard."""

    def __init__(self, url: str, result: Any) -> None:
        self.url = url
        self.status: int = result.status_code
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in result.headers.items()}
        is_small = self.headers.get("content-encoding") == "gzip"
        self.html: str = gzip.decompress(result.content).decode() if is_small else result.text

    @property
    def text(self) -> str:
        """The page's text, with single spaces."""
        without_scripts = re.sub(r"<(script|style)\b.*?</\1>", " ", self.html, flags=re.DOTALL)
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", without_scripts)).split())

    @property
    def tables(self) -> list[list[list[str]]]:
        """The tables, each with its rows, each with the text of its cells."""
        reader = _Tables()
        reader.feed(self.html)
        return reader.tables

    def link(self, text: str) -> str:
        """The address that a link with this text leads to."""
        for address, inner in re.findall(r'<a\b[^>]*?href="([^"]*)"[^>]*>(.*?)</a>', self.html, re.DOTALL):
            if " ".join(html.unescape(re.sub(r"<[^>]*>", "", inner)).split()) == text:
                return html.unescape(address)
        raise AssertionError(f"no link {text!r} in: {self.text[:2000]}")

    def parts(self) -> list[str]:
        """The addresses of the page's parts."""
        return [html.unescape(one) for one in re.findall(r'data-part="([^"]*)"', self.html)]


class Site:
    """The dashboard of an application of one flavour, visited by one browser that keeps cookies.

    Args:
        tracking: the tracker.
        flavour: `asgi` or `wsgi`.
        who: who may see it, as in mount().
        prefix: where it is mounted.
        address: the browser's address; empty: one of its own, so that no other test counts against its limits.
    """

    def __init__(self, tracking: EventTracking, flavour: str, who: Any, prefix: str = "", address: str = "") -> None:
        app: Any
        if flavour == "asgi":
            app = falcon.asgi.App()
            mount_asgi(app, tracking, prefix, who)  # not mount(): its application closes the tracker after each request of a test
        else:
            app = falcon.App()
            mount_wsgi(app, tracking, prefix, who)
        self._client = falcon.testing.TestClient(app)
        self._root = prefix + ROOT
        self._address = address or f"198.51.100.{next(_numbers) % 250}"
        self.cookies: dict[str, str] = {}

    def get(self, address: str = "", headers: Mapping[str, str] | None = None, **query: Any) -> Seen:
        """Visit a page below the dashboard's root: an address of a link, or a path with parameters."""
        if query:
            address += ("&" if "?" in address else "?") + urlencode(query, doseq=True)
        return self._send("GET", address, None, headers)

    def post(
        self, address: str, fields: Mapping[str, Any], *, token: bool = True, headers: Mapping[str, str] | None = None
    ) -> Seen:
        """Send a form, with the token of the dashboard's forms unless told otherwise."""
        sent = dict(fields)
        if token and "token" not in sent:
            sent["token"] = self.form_token()
        return self._send("POST", address, urlencode(sent, doseq=True), headers)

    def form_token(self) -> str:
        """The token that this browser's forms have."""
        for page in ("", "data", "people", "funnels", "sign-in", "person?uuid=0"):
            if found := re.search(r'name="token" value="([0-9a-f]{64})"', self.get(page).html):
                return found[1]
        raise AssertionError("no page has a form")

    def _send(self, method: str, address: str, body: str | None, more: Mapping[str, str] | None = None) -> Seen:
        url = urljoin(f"http://falconframework.org{self._root}", address)
        parts = urlsplit(url)
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        result = self._client.simulate_request(
            method,
            parts.path,
            query_string=parts.query,
            body=body,
            headers={**headers, **(more or {})},
            remote_addr=self._address,
        )
        for name, cookie in result.cookies.items():
            if cookie.max_age == 0:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = cookie.value
        return Seen(url, result)


class _Tables(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self._cell = []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self.tables[-1][-1].append(" ".join("".join(self._cell).split()))
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)
