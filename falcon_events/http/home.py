"""The first page of the standalone server: that it runs, and what to do next."""

from __future__ import annotations

import asyncio
import secrets
from html import escape
from importlib.resources import files

import falcon
import falcon.asgi

from falcon_events._version import __version__
from falcon_events.contract.replies import Reply
from falcon_events.http.responses import send
from falcon_events.tracking import EventTracking

HOME = "/"
POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
WITH_DEMO = '<a href="tracker">The tracker at work</a>: events of this page as they arrive'
WITH_DASHBOARD = '<a href="dashboard/">The dashboard</a>: sign in with an API key of scope read or full.'
WITHOUT_DASHBOARD = "The dashboard is not installed: <code>pip install 'falcon-events[dashboard]'</code>"
WITHOUT_DEMO = (
    "The tracker at work: start the server with <code>falcon-events serve --demo</code>, and open <code>/tracker</code>"
)


class HomePage:
    """The page as a resource of a falcon.App.

    Args:
        tracking: the tracker.
        has_demo: whether the server also has the page of `serve --demo`.
        has_dashboard: whether the server also has the dashboard.
    """

    def __init__(self, tracking: EventTracking, *, has_demo: bool, has_dashboard: bool = False) -> None:
        self._tracking = tracking
        self._has_demo = has_demo
        self._has_dashboard = has_dashboard

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send the page."""
        send(resp, self._render(req.prefix))

    def on_head(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send the page's headers."""
        self.on_get(req, resp)

    def _render(self, base: str) -> Reply:
        reason = self._tracking.store.health().reason
        nonce = secrets.token_urlsafe(16)
        filled = {
            "NONCE": nonce,
            "BAD": " bad" if reason else "",
            "STATE": f"The server runs, but the store accepts no events now: {reason}" if reason else "The server runs.",
            "VERSION": __version__,
            "BASE": base,
        }
        text = files("falcon_events.assets").joinpath("home.html").read_text("utf-8")
        for name, value in filled.items():
            text = text.replace("{{" + name + "}}", escape(value))
        text = text.replace("{{DASHBOARD}}", WITH_DASHBOARD if self._has_dashboard else WITHOUT_DASHBOARD)
        text = text.replace("{{TRACKER}}", WITH_DEMO if self._has_demo else WITHOUT_DEMO)
        headers = (
            ("Content-Security-Policy", POLICY.format(nonce=nonce)),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
        )
        return Reply(200, text.encode(), headers, "text/html; charset=utf-8")


class AsyncHomePage(HomePage):
    """The page as a resource of a falcon.asgi.App."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:  # type: ignore[override]
        """Send the page."""
        send(resp, await asyncio.to_thread(self._render, req.prefix))

    async def on_head(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:  # type: ignore[override]
        """Send the page's headers."""
        await self.on_get(req, resp)
