"""A Falcon news site (ASGI) that tracks from coroutines, and from a page with a Content Security Policy.

README.md beside this file says how to start it and which requests to send.
"""

import asyncio
import secrets
from typing import Any

import falcon
import falcon.asgi

from falcon_events import EventTracking, RequestRefused
from falcon_events.http import mount, visitor_of

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
    """The site's page; creates the list and its key when the server starts."""

    key: str

    async def process_startup(self, scope: dict[str, Any], event: dict[str, Any]) -> None:
        """Create the list and its page key if they are missing; both calls wait for the disk, so they run in threads."""
        await asyncio.to_thread(tracking.directory.ensure_list, READERS, "Readers", "news")
        self.key = await asyncio.to_thread(tracking.directory.page_key, READERS)

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Return the page; only scripts with its nonce may run, and it may connect to this host only."""
        nonce = secrets.token_urlsafe(16)
        resp.set_header("Content-Security-Policy", f"default-src 'self'; script-src 'nonce-{nonce}'")
        resp.content_type = falcon.MEDIA_HTML
        resp.text = PAGE.format(snippet=tracking.snippet(READERS, self.key, url="/tracking", nonce=nonce))


class Subscriptions:
    """Subscriptions to the news."""

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Store an event; the event loop is not blocked during the commit."""
        form = await req.get_media()
        tracked = await tracking.atrack(
            READERS, "subscribe", email=form.get("email"), uuid=visitor_of(req), properties={"topic": form.get("topic")}
        )
        resp.status = falcon.HTTP_201
        resp.media = {"reader": tracked.uuid, "new": tracked.identify_event_sent}


class Properties:
    """The properties that were tracked."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Return the property names of the list, by event type."""
        resp.media = await tracking.aproperties(READERS)


async def refused(req: falcon.asgi.Request, resp: falcon.asgi.Response, error: RequestRefused, params: object) -> None:
    """Turn a refusal by tracking into the application's own answer."""
    raise falcon.HTTPUnprocessableEntity(description=str(error))


news = News()
app = falcon.asgi.App(middleware=[news])
app.add_error_handler(RequestRefused, refused)
app.add_route("/", news)
app.add_route("/subscriptions", Subscriptions())
app.add_route("/properties", Properties())
mount(app, tracking, prefix="/tracking")
