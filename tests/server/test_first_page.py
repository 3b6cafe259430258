"""What the standalone server has beside the API: a first page; and that a mounted application has nothing of it unasked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import httpx
import pytest

from falcon_events import EventTracking
from falcon_events.http import asgi_app, wsgi_app
from tests.conftest import Api

EXTRAS = ("/", "/docs", "/docs/rapidoc-min.js", "/openapi.json", "/readyz", "/metrics", "/tracker")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventTracking]:
    """An empty store."""
    with EventTracking(tmp_path_factory.mktemp("mounted") / "events.duckdb") as tracking:
        yield tracking


def test_the_first_page_says_that_the_server_runs_and_what_to_do(api: Api) -> None:
    """Its commands name this server, its links lead somewhere, and it loads nothing from elsewhere."""
    answer = api.client.get("/")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "The server runs." in answer.text
    assert f"curl {api.url}/api/v1/event" in answer.text
    assert "{{" not in answer.text
    policy = answer.headers["Content-Security-Policy"]
    (nonce,) = re.findall(r'<style nonce="([^"]+)">', answer.text)
    assert f"style-src 'nonce-{nonce}'" in policy
    assert "script" not in answer.text
    assert '<html lang="en">' in answer.text
    assert "prefers-color-scheme: dark" in answer.text
    links = re.findall(r'<a href="([^"]+)"', answer.text)
    assert {"dashboard/", "docs", "openapi.json", "healthz", "readyz", "metrics"} == set(links)
    for link in links:
        assert httpx.get(f"{api.url}/{link}", follow_redirects=True).status_code == 200, link
    assert api.client.head("/").status_code == 200
    assert api.client.post("/", content=b"{}").status_code == 405


def test_the_first_page_shows_no_markup_of_a_request(api: Api) -> None:
    """The Host header is the visitor's own, and is escaped."""
    answer = api.client.get("/", headers={"Host": '"><script>alert(1)</script>'})
    assert "<script>" not in answer.text


@pytest.mark.parametrize("wanted", [{}, {"docs": True}, {"operations": True}, {"home": True}])
@pytest.mark.parametrize("flavour", ["wsgi", "asgi"])
def test_a_mounted_application_publishes_what_is_asked_for(flavour: str, wanted: dict[str, bool], store: EventTracking) -> None:
    """By default only the API, the script and whether it works."""
    found = set(read(wsgi_app(store, **wanted) if flavour == "wsgi" else asgi_app(store, **wanted)))
    pages = {"docs": {"/docs", "/docs/rapidoc-min.js", "/openapi.json"}, "operations": {"/readyz", "/metrics"}, "home": {"/"}}
    assert found == {"/healthz", "/tracker.js"}.union(*(pages[name] for name in wanted))


def read(app: object) -> list[str]:
    """The paths that an application answers with 200."""
    paths = (*EXTRAS, "/healthz", "/tracker.js")
    if "ASGI" not in type(app).__name__:
        with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://host") as client:  # type: ignore[arg-type]
            return [path for path in paths if client.get(path).status_code == 200]

    async def ask() -> list[str]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://host") as client:  # type: ignore[arg-type]
            return [path for path in paths if (await client.get(path)).status_code == 200]

    return asyncio.run(ask())


def test_a_server_logs_its_start_and_its_errors(api: Api, flavour: str) -> None:
    """Without any option: when it began to serve, what, and where; and each error with its time."""
    api.client.get("/healthz")
    (line,) = [line for line in api.served.log().splitlines() if " INFO falcon_events.server: " in line]
    assert str(api.served.db) in line
    assert api.url in line
    assert flavour in line
