"""A Falcon shop (ASGI) that tracks from coroutines, and from a page with a Content Security Policy.

README.md beside this file says how to start it and what to send.
"""

import asyncio
import secrets
from typing import Any

import falcon
import falcon.asgi

from falcon_events import EventTracking, RequestRefused
from falcon_events.http import mount

READERS = 1
PAGE = """<!doctype html>
<html lang="en">
<head><title>News</title>
{snippet}
</head>
<body><h1>News</h1></body>
</html>
"""

tracking = EventTracking("events.duckdb")


class News:
    """What visitors see; makes what tracking needs when the server starts."""

    key: str

    async def process_startup(self, scope: dict[str, Any], event: dict[str, Any]) -> None:
        """Makes the list and its key for web pages, where they are missing; both wait for the disk, so they do so in a thread."""
        await asyncio.to_thread(tracking.directory.ensure_list, READERS, "Readers", "news")
        self.key = await asyncio.to_thread(tracking.directory.page_key, READERS)

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """The page; only scripts with its nonce may run, and only this host is talked to."""
        nonce = secrets.token_urlsafe(16)
        resp.set_header("Content-Security-Policy", f"default-src 'self'; script-src 'nonce-{nonce}'")
        resp.content_type = falcon.MEDIA_HTML
        resp.text = PAGE.format(snippet=tracking.snippet(READERS, self.key, url="/tracking", nonce=nonce))


class Subscriptions:
    """Who reads the news."""

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Stores an event; the event loop goes on while the commit is under way."""
        form = await req.get_media()
        tracked = await tracking.atrack(READERS, "subscribe", email=form.get("email"), properties={"topic": form.get("topic")})
        resp.status = falcon.HTTP_201
        resp.media = {"reader": tracked.uuid, "new": tracked.identify_event_sent}


class Properties:
    """What was tracked."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """The property names of the list, by event type."""
        resp.media = await tracking.aproperties(READERS)


async def refused(req: falcon.asgi.Request, resp: falcon.asgi.Response, error: RequestRefused, params: object) -> None:
    """The application's own words for what tracking refuses."""
    raise falcon.HTTPUnprocessableEntity(description=str(error))


news = News()
app = falcon.asgi.App(middleware=[news])
app.add_error_handler(RequestRefused, refused)
app.add_route("/", news)
app.add_route("/subscriptions", Subscriptions())
app.add_route("/properties", Properties())
mount(app, tracking, prefix="/tracking")
