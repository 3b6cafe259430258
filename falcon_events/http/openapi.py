"""The OpenAPI document and the page that renders it, for browsers and for tools."""

from __future__ import annotations

from collections.abc import Callable

import falcon

from falcon_events.assets.openapi_page import POLICY, RENDERER, document, page, renderer
from falcon_events.contract.replies import Reply
from falcon_events.http.static import A_DAY, FOREVER, static_reply

DOCUMENT = "/openapi.json"
PAGE = "/docs"
RENDERER_PATH = f"{PAGE}/{RENDERER}"
FOR_A_WHILE = "public, max-age=300"

Answering = Callable[[falcon.Request], Reply]


def document_reply(path: str) -> Answering:
    """What answers with the document that is served at a path below the API's root."""

    def reply(req: falcon.Request) -> Reply:
        found = document(path)
        # Tools in web pages of any origin may read it: it says nothing that this package's documentation does not.
        headers = (("Cache-Control", FOR_A_WHILE), ("Access-Control-Allow-Origin", "*"))
        return static_reply(req, found, headers)

    return reply


def page_reply(req: falcon.Request) -> Reply:
    """The page; its addresses are relative, so that it works below any prefix and behind any proxy."""
    found = page(DOCUMENT[1:], f"{RENDERER_PATH[1:]}?v={renderer().version}")
    headers = (("Cache-Control", FOR_A_WHILE), ("Content-Security-Policy", POLICY), ("Referrer-Policy", "no-referrer"))
    return static_reply(req, found, headers)


def renderer_reply(req: falcon.Request) -> Reply:
    """The page's script."""
    found = renderer()
    return static_reply(req, found, (("Cache-Control", FOREVER if req.params.get("v") == found.version else A_DAY),))


PAGES: dict[str, Answering] = {DOCUMENT: document_reply(DOCUMENT), PAGE: page_reply, RENDERER_PATH: renderer_reply}
"""What the standalone application answers to GET and HEAD for people who read about the API."""
