"""Handlers for the OpenAPI document, the page that renders it and the page's script."""

from __future__ import annotations

from collections.abc import Callable

import falcon

from falcon_events.assets.openapi_page import POLICY, RENDERER, load_document, load_renderer, render_page
from falcon_events.contract.replies import Reply
from falcon_events.http.static import A_DAY, FOREVER, serve_file

DOCUMENT = "/openapi.json"
PAGE = "/docs"
RENDERER_PATH = f"{PAGE}/{RENDERER}"
FOR_A_WHILE = "public, max-age=300"

StaticHandler = Callable[[falcon.Request], Reply]


def make_document_handler(path: str) -> StaticHandler:
    """Return a handler for the document that is served at `path`, below the API's root."""

    def serve_document(req: falcon.Request) -> Reply:
        found = load_document(path)
        # Web pages of any origin may read the document: it contains nothing that is not in this package's documentation.
        headers = (("Cache-Control", FOR_A_WHILE), ("Access-Control-Allow-Origin", "*"))
        return serve_file(req, found, headers)

    return serve_document


def serve_page(req: falcon.Request) -> Reply:
    """Return the page. Its links are relative, so it works below any prefix and behind any proxy."""
    found = render_page(DOCUMENT[1:], f"{RENDERER_PATH[1:]}?v={load_renderer().version}")
    headers = (("Cache-Control", FOR_A_WHILE), ("Content-Security-Policy", POLICY), ("Referrer-Policy", "no-referrer"))
    return serve_file(req, found, headers)


def serve_renderer(req: falcon.Request) -> Reply:
    """Return the page's script."""
    found = load_renderer()
    return serve_file(req, found, (("Cache-Control", FOREVER if req.params.get("v") == found.version else A_DAY),))


PAGES: dict[str, StaticHandler] = {DOCUMENT: make_document_handler(DOCUMENT), PAGE: serve_page, RENDERER_PATH: serve_renderer}
"""GET and HEAD handlers that the standalone application has for readers of the API's documentation."""
