"""Applications that are started again after their shutdown, and CORS beside the host application's own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import falcon
import falcon.asgi
import falcon.testing
import pytest
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware

from falcon_events import EventTracking
from falcon_events.errors import StoreClosed
from falcon_events.http import ASGIMiddleware, asgi_app, mount
from tests.harness import EVENT, Credentials, rows
from tests.shortcuts import make_store

ORIGIN = "https://www.example.com"
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}


def mounted(tracking: EventTracking) -> Any:
    """Routes of a Falcon application."""
    app = falcon.asgi.App()
    mount(app, tracking)
    return app


def wrapped(tracking: EventTracking) -> Any:
    """A wrapped application."""
    return ASGIMiddleware(falcon.asgi.App(), tracking)


@pytest.mark.parametrize("build", [mounted, wrapped, asgi_app])
def test_an_application_serves_again_after_its_shutdown(db: Path, build: Callable[[EventTracking], Any]) -> None:
    """As often as a server starts it; between two lives the file is released, and hooks are called in each."""
    credentials = make_store(db)
    seen: list[str] = []
    tracking = EventTracking(db, after_commit=lambda events: seen.extend(event.event for event in events))
    app = build(tracking)

    async def live(name: str) -> int:
        async with falcon.testing.ASGIConductor(app) as client:
            answer = await client.simulate_post(EVENT, json=credentials.event(event=name))
            return int(answer.status_code)

    for life in ("first", "second"):
        assert asyncio.run(live(life)) == 200
        assert not tracking.store.is_open
        with pytest.raises(StoreClosed):
            tracking.stats()
    assert seen == ["first", "second"]
    tracking.reopen()
    tracking.close()
    assert rows(db, "select count(*) from events where event in ('first', 'second')") == [(2,)]


def test_a_preflight_is_answered_beside_falcons_own_cors(tracking: EventTracking, credentials: Credentials) -> None:
    """In Falcon's test clients, too, which check that a reply without content has no type."""
    tracking.directory.create_key("alice", "ingest", origins=[ORIGIN])
    for make, cors in itertools.product((falcon.App, falcon.asgi.App), (False, True)):
        app: Any = make(cors_enable=cors)
        mount(app, tracking)
        client = falcon.testing.TestClient(app)
        answer = client.simulate_options(EVENT, headers=PREFLIGHT)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert "Content-Type" not in answer.headers
        posted = client.simulate_post(EVENT, json=credentials.event(), headers={"Origin": ORIGIN}, remote_addr="192.0.2.1")
        assert (posted.status_code, posted.headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)


@pytest.mark.parametrize("is_last", [True, False])
def test_starlettes_cors_works_in_either_order(db: Path, is_last: bool) -> None:
    """Added last, the tracker answers for its keys' origins; added first, the host's middleware must list them, too."""
    credentials = make_store(db)
    with EventTracking(db) as tracking:
        tracking.directory.create_key("alice", "ingest", origins=[ORIGIN])
        for listed in ([], [ORIGIN]):
            app = Starlette()
            if is_last:
                app.add_middleware(CORSMiddleware, allow_origins=listed, allow_methods=["POST"])
            app.add_middleware(ASGIMiddleware, tracking=tracking)
            if not is_last:
                app.add_middleware(CORSMiddleware, allow_origins=listed, allow_methods=["POST"])
            client = falcon.testing.TestClient(_AsFalcon(app))
            preflight = client.simulate_options(EVENT, headers=PREFLIGHT)
            if is_last or listed:
                assert preflight.status_code in (200, 204)
                assert preflight.headers["Access-Control-Allow-Origin"] == ORIGIN
            else:
                assert (preflight.status_code, preflight.text) == (400, "Disallowed CORS origin")
            posted = client.simulate_post(EVENT, json=credentials.event(), headers={"Origin": ORIGIN})
            assert (posted.status_code, posted.headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)


class _AsFalcon(falcon.asgi.App):
    """Has Falcon's test client call another application."""

    def __init__(self, app: Any) -> None:
        super().__init__()
        self._other = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # type: ignore[override]
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            return
        await self._other({**scope, "headers": [tuple(header) for header in scope["headers"]]}, receive, send)
