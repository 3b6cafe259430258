"""A FastAPI application that knows its staff by a dependency: the tracker around it (`wrapped`), or below a path (`mounted`)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import PlainTextResponse
from starlette.middleware.sessions import SessionMiddleware

from falcon_events.http import ASGIMiddleware, asgi_app
from tests.apps.common import DETAIL, HELLO, PREFIX, make_tracking
from tests.apps.staff import OWN_PAGE, RAISES, SECRET, STAFF, documented_who


class User:
    """A user of the host."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_staff = name == STAFF


async def current_user(request: Request) -> User:
    """The dependency: who is signed in."""
    name = request.session.get("name")
    if name is None:
        raise HTTPException(401, "Sign in first.")
    if name == RAISES:
        raise RuntimeError(DETAIL)
    return User(name)


def make_app() -> FastAPI:
    """The host application, without a tracker."""
    app = FastAPI()

    @app.get("/hello", response_class=PlainTextResponse)
    async def hello() -> str:
        return HELLO

    @app.get("/me", response_class=PlainTextResponse)
    async def me(user: Annotated[User, Depends(current_user)]) -> str:
        return user.name

    @app.get("/sign-in", response_class=PlainTextResponse)
    async def sign_in(request: Request, name: str) -> str:
        request.session["name"] = name
        return HELLO

    @app.get("/dashboard/", response_class=PlainTextResponse)
    async def own_page() -> str:
        return OWN_PAGE

    return app


def secure(app: FastAPI) -> None:
    """Adds the host's middlewares."""
    app.add_middleware(CORSMiddleware, allow_origins=["https://shop.example"])
    app.add_middleware(GZipMiddleware)
    app.add_middleware(SessionMiddleware, secret_key=SECRET)


tracking = make_tracking()
names: dict[str, Any] = {"Request": Request, "current_user": current_user}
who = documented_who("fastapi", names)
wrapped = make_app()
wrapped.add_middleware(ASGIMiddleware, tracking=tracking, prefix=PREFIX, dashboard=who)
secure(wrapped)
mounted = make_app()
mounted.mount(PREFIX, asgi_app(tracking, dashboard=who))
secure(mounted)
