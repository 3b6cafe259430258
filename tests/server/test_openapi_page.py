"""The OpenAPI document as it is served and committed, and the page that renders it."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import falcon
import falcon.asgi
import falcon.testing
import httpx
import pytest
from fastapi import FastAPI

import falcon_events
from falcon_events import EventTracking, SettingError
from falcon_events.assets.openapi_page import RENDERER, load_renderer
from falcon_events.contract.openapi import openapi_document
from falcon_events.http import ASGIMiddleware, asgi_app, mount
from tests.conftest import Api
from tests.harness import EVENT
from tools.write_openapi import FILE, render_document, write_site

PACKAGE = Path(falcon_events.__file__).parent


def test_the_standalone_server_has_the_document(api: Api) -> None:
    """Its one server is wherever the document is; all else is what openapi_document() says."""
    answer = api.client.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.json() == openapi_document(servers=["."])
    assert urljoin("https://events.example/tracking/openapi.json", answer.json()["servers"][0]["url"]) == (
        "https://events.example/tracking/"
    )
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", f"/docs/{RENDERER}"])
def test_a_browser_keeps_what_it_has(api: Api, path: str) -> None:
    """A name for the content, a time to keep it, and 304 without a body for who has it."""
    first = api.client.get(path)
    assert re.fullmatch(r"public, max-age=\d+", first.headers["Cache-Control"])
    assert first.headers["Vary"] == "Accept-Encoding"
    assert first.headers["X-Content-Type-Options"] == "nosniff"
    again = api.client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", f"/docs/{RENDERER}"])
def test_it_comes_compressed_to_who_takes_it_so(api: Api, path: str) -> None:
    """The same bytes in the end; a HEAD has no body, and nothing is changed by POST."""
    plain = httpx.get(api.url + path, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    with httpx.stream("GET", api.url + path, headers={"Accept-Encoding": "gzip"}) as compressed:
        assert compressed.headers["Content-Encoding"] == "gzip"
        sent = b"".join(compressed.iter_raw())
    assert gzip.decompress(sent) == plain.content
    assert len(sent) < len(plain.content)
    assert api.client.head(path).status_code == 200
    assert api.client.post(path).status_code == 405


def test_the_renderers_address_names_its_content(api: Api) -> None:
    """So that it is asked for once; every address of the page is relative, and its own script is the one that is allowed."""
    answer = api.client.get("/docs")
    (source,) = re.findall(r'<script type="module" src="([^"]+)"', answer.text)
    assert source == f"docs/{RENDERER}?v={load_renderer().version}"
    assert "immutable" in api.client.get("/" + source).headers["Cache-Control"]
    assert 'spec-url="openapi.json"' in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self' 'sha256-")
    assert "unsafe-eval" not in policy
    assert not re.search(r"https?:", answer.text + policy)


def test_a_mounted_tracker_leaves_the_hosts_document_alone(db: Path) -> None:
    """FastAPI's /openapi.json and /docs are FastAPI's, mounted, wrapped or below a path; there the tracker has its own."""
    with EventTracking(db) as tracking:
        host: Any = FastAPI(title="Shop")
        host.mount("/tracking", asgi_app(tracking, docs=True))
        for app in (host, ASGIMiddleware(host, tracking)):
            client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop.example")
            own, page, mounted, refused = run(
                client, "/openapi.json", "/docs", "/tracking/openapi.json", "/tracking/docs", post=EVENT
            )
            assert own.json()["info"]["title"] == "Shop"
            assert "swagger" in page.text.lower()
            assert mounted.json() == openapi_document(servers=["."])
            assert refused.status_code == 200


def run(client: httpx.AsyncClient, *paths: str, post: str) -> list[httpx.Response]:
    """The answers to GET."""
    import asyncio

    async def get() -> list[httpx.Response]:
        async with client:
            return [await client.get(path) for path in paths]

    return asyncio.run(get())


@pytest.mark.parametrize("kind", [falcon.App, falcon.asgi.App])
def test_a_mounted_tracker_serves_it_where_the_setting_says(kind: Any, db: Path) -> None:
    """Below the prefix, with a server that leads to the prefix; nowhere without the setting."""
    with EventTracking(db) as without:
        for path, server in (("/openapi.json", "."), ("/about/api.json", "..")):
            app = kind()
            with EventTracking(db, openapi_path=path) as tracking:
                mount(app, tracking, prefix="/tracking")
                found = falcon.testing.TestClient(app).simulate_get("/tracking" + path)
                assert found.json == openapi_document(servers=[server])
                assert urljoin("https://shop.example/tracking" + path, server) == "https://shop.example/tracking/"
        app = kind()
        mount(app, without)
        assert falcon.testing.TestClient(app).simulate_get("/openapi.json").status_code == 404


@pytest.mark.parametrize("path", ["openapi.json", "/docs", "/docs/x", "/api/v1/event", "/healthz", "/tracker.js"])
def test_a_path_that_is_taken_is_refused(path: str) -> None:
    """The endpoints, the server's own pages and the script stand where they stand."""
    with pytest.raises(SettingError, match="openapi_path"):
        EventTracking(openapi_path=path)
    with pytest.raises(SettingError, match="openapi_path"):
        EventTracking(openapi_path="/about", tracker_path="/about")


def test_the_committed_document_is_todays() -> None:
    """docs/openapi.json; `python -m tools.write_openapi` writes it."""
    assert FILE.read_text() == render_document()


def test_the_reference_can_be_a_part_of_a_static_site(tmp_path: Path) -> None:
    """All files that the page asks for are beside it."""
    write_site(tmp_path / "reference")
    page = (tmp_path / "reference" / "index.html").read_text()
    for name in re.findall(r'(?:src|spec-url|href)="([^":]+)"', page):
        assert (tmp_path / "reference" / name).is_file()
    assert "location.href" not in page
    assert (tmp_path / "reference" / "rapidoc.LICENSE.txt").is_file()


def test_the_renderer_is_the_released_one() -> None:
    """Byte for byte, as the note of its licence says; nothing in it is fetched from elsewhere unless it is asked to."""
    content = (PACKAGE / "assets" / RENDERER).read_bytes()
    assert f"sha256 {hashlib.sha256(content).hexdigest()}" in (PACKAGE / "assets" / "rapidoc.LICENSE.txt").read_text()
