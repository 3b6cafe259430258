"""Falcon applications whose middleware says who is signed in: `wsgi`, which takes slashes off addresses, and `asgi`."""

from __future__ import annotations

from typing import Any

import falcon
import falcon.asgi

from falcon_events.http import mount
from tests.apps.common import BROKEN, DETAIL, HELLO, PREFIX, make_tracking
from tests.apps.staff import OWN_PAGE, RAISES, STAFF, documented_who


class Users:
    """The host's middleware."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Says whether a request is one of the staff's."""
        name = req.cookies.get("name")
        req.context.is_staff = name == STAFF
        req.context.is_broken = name == RAISES

    async def process_request_async(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """The same."""
        self.process_request(req, resp)


class Host:
    """The host's own routes."""

    def on_get_hello(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answers."""
        resp.text = HELLO

    def on_get_sign_in(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Signs a user in."""
        resp.set_cookie("name", req.get_param("name"), secure=False)
        resp.text = HELLO

    def on_get_own_page(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A page of the host's own."""
        resp.text = OWN_PAGE


class AsyncHost:
    """The same for a falcon.asgi.App."""

    async def on_get_hello(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answers."""
        Host().on_get_hello(req, resp)

    async def on_get_sign_in(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Signs a user in."""
        Host().on_get_sign_in(req, resp)

    async def on_get_own_page(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """A page of the host's own."""
        Host().on_get_own_page(req, resp)


def fail(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
    """The host's error handler."""
    resp.status, resp.text = 500, BROKEN


def who(request: Any) -> Any:
    """The page's function, and somebody at whom it fails."""
    if request.context.is_broken:
        raise RuntimeError(DETAIL)
    return documented(request)


documented = documented_who("falcon", {})
tracking = make_tracking()
wsgi = falcon.App(middleware=[Users()], cors_enable=True)
wsgi.req_options.strip_url_path_trailing_slash = True
wsgi.add_error_handler(Exception, fail)
asgi = falcon.asgi.App(middleware=[Users()])
host: Any
for app, host in ((wsgi, Host()), (asgi, AsyncHost())):
    app.add_route("/hello", host, suffix="hello")
    app.add_route("/sign-in", host, suffix="sign_in")
    app.add_route("/dashboard" if app is wsgi else "/dashboard/", host, suffix="own_page")
    mount(app, tracking, prefix=PREFIX, dashboard="keys" if documented == "keys" else who)
