"""The visitor of a request, as each framework reads its cookies: the one that the tracker's script has in the page."""

from __future__ import annotations

import asyncio
from typing import Any

import django.test
import falcon
import falcon.asgi
import falcon.testing
import flask
import pytest
from starlette.requests import Request

from falcon_events.http import visitor_of

ADA = "11111111-2222-4333-8444-555555555555"
BOB = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"


def by_falcon(cookie: str | None) -> Any:
    """A request of a falcon.App."""
    return falcon.Request(falcon.testing.create_environ(headers={"Cookie": cookie} if cookie is not None else None))


def by_falcon_asgi(cookie: str | None) -> Any:
    """A request of a falcon.asgi.App."""
    scope = falcon.testing.create_scope(headers={"Cookie": cookie} if cookie is not None else None)

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    return falcon.asgi.Request(scope, receive)


def by_starlette(cookie: str | None) -> Any:
    """A request of Starlette, which FastAPI passes on."""
    headers = [] if cookie is None else [(b"cookie", cookie.encode("latin-1"))]
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers})


def by_flask(cookie: str | None) -> Any:
    """A request of Flask."""
    environ = falcon.testing.create_environ(headers={"Cookie": cookie} if cookie is not None else None)
    return flask.Request(environ)


def by_django(cookie: str | None) -> Any:
    """A request of Django."""
    from django.conf import settings

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="for tests")
    return django.test.RequestFactory().get("/", **({} if cookie is None else {"HTTP_COOKIE": cookie}))


FRAMEWORKS = [by_falcon, by_falcon_asgi, by_starlette, by_flask, by_django]


@pytest.mark.parametrize(
    ("cookie", "visitor"),
    [
        (f"oct_uuid={ADA}", ADA),
        (f"a=b; oct_uuid={ADA.upper()}; c=d", ADA),
        (f'oct_uuid="{ADA}"', ADA),
        (f"oct_uuid={BOB}; oct_uuid={ADA}", BOB),
        (f"oct_uuid=; oct_uuid={ADA}", ADA),
        (f"not_oct_uuid={ADA}", None),
        (None, None),
        ("", None),
        ("oct_uuid", None),
        ("oct_uuid=", None),
        ("oct_uuid=' or 1=1", None),
        (f"oct_uuid={ADA}x", None),
        (f"oct_uuid={ADA[:-1]}", None),
        (f"oct_uuid={ADA.replace('-', '')}", None),
        ("oct_uuid=\u00e9\u00e8", None),
        ("oct_uuid=" + "9" * 5000, None),
        (";;;=;oct_uuid=a=b;", None),
    ],
)
def test_a_requests_visitor_is_the_trackers(cookie: str | None, visitor: str | None) -> None:
    """The first valid cookie of the name, as in the page; a tampered, cut or foreign one is none, and never an error."""
    assert {make.__name__: visitor_of(make(cookie)) for make in FRAMEWORKS} == {make.__name__: visitor for make in FRAMEWORKS}


def test_cookies_that_a_test_sets_count() -> None:
    """Where a request has no header, as in a test that fills in Django's or another framework's cookies by itself."""
    request = by_django(None)
    request.COOKIES["oct_uuid"] = ADA
    assert visitor_of(request) == ADA


@pytest.mark.parametrize("wrong", [None, "oct_uuid", {"oct_uuid": ADA}, object()])
def test_what_is_no_request_is_refused(wrong: Any) -> None:
    """With the name of its type, so that a mistake in the host's code is not a visitor without a cookie."""
    with pytest.raises(TypeError, match=type(wrong).__name__):
        visitor_of(wrong)


def test_an_asgi_request_is_read_in_a_coroutine() -> None:
    """It needs no waiting."""

    async def read() -> str | None:
        return visitor_of(by_falcon_asgi(f"oct_uuid={ADA}"))

    assert asyncio.run(read()) == ADA
