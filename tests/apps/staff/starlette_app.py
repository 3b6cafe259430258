"""A Starlette application with sessions; the tracker is mounted below a path of it."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from falcon_events.http import asgi_app
from tests.apps.common import HELLO, PREFIX, make_tracking
from tests.apps.staff import OWN_PAGE, SECRET, STAFF, documented_who


async def hello(request: Request) -> PlainTextResponse:
    """Answers."""
    return PlainTextResponse(HELLO)


async def sign_in(request: Request) -> PlainTextResponse:
    """Signs a user in."""
    request.session["is_staff"] = request.query_params["name"] == STAFF
    return PlainTextResponse(HELLO)


async def own_page(request: Request) -> PlainTextResponse:
    """A page of the host's own."""
    return PlainTextResponse(OWN_PAGE)


app = Starlette(
    routes=[
        Route("/hello", hello),
        Route("/sign-in", sign_in),
        Route("/dashboard/", own_page),
        Mount(PREFIX, asgi_app(make_tracking(), dashboard=documented_who("starlette", {}))),
    ],
    middleware=[Middleware(SessionMiddleware, secret_key=SECRET)],
)
