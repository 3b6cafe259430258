"""The OpenAPI document, the page that renders it and the page's one script, as they are served."""

from __future__ import annotations

import base64
import gzip
import hashlib
from functools import cache
from importlib.resources import files

import msgspec

from falcon_events.contract.openapi import openapi_document

RENDERER = "rapidoc-min.js"
"""The renderer's file: RapiDoc, of which rapidoc.LICENSE.txt tells version, origin and licence."""
HTML = "text/html; charset=utf-8"
JAVASCRIPT = "text/javascript; charset=utf-8"
JSON = "application/json"

# RapiDoc takes a relative server for one below the host's root, so it is told where the API is: beside the page.
_SCRIPT = """
const page = document.querySelector("rapi-doc"), here = new URL(".", location.href).href;
page.setAttribute("server-url", here);
page.setAttribute("default-api-server", here);
"""
_SCRIPT_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
POLICY = "; ".join(
    (
        "default-src 'none'",
        f"script-src 'self' 'sha256-{_SCRIPT_HASH}'",
        "style-src 'unsafe-inline'",  # the renderer lays its table columns out with style attributes
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""The page's Content-Security-Policy: nothing comes from another host, and nothing goes there."""


class Asset(msgspec.Struct, frozen=True):
    """A file as it is served, the same compressed, its type, and a name for exactly this content."""

    body: bytes
    gzipped: bytes
    content_type: str
    version: str


@cache
def document(path: str) -> Asset:
    """The OpenAPI document, whose server is wherever it is served.

    Args:
        path: where that is, below the API's own root, such as `/openapi.json`.
    """
    above = path.count("/") - 1
    server = "/".join([".."] * above) if above else "."
    return asset(msgspec.json.encode(openapi_document(servers=(server,))), JSON)


@cache
def page(document_url: str, renderer_url: str, *, with_server: bool = True) -> Asset:
    """The page.

    Args:
        document_url: the document's address, counted from the page's.
        renderer_url: that of the renderer's file.
        with_server: whether the API is served beside the page.
    """
    text = files(__package__).joinpath("openapi_page.html").read_text()
    script = f"<script>{_SCRIPT}</script>" if with_server else ""
    for name, value in (("{document}", document_url), ("{renderer}", renderer_url), ("{script}", script)):
        text = text.replace(name, value)
    return asset(text.encode(), HTML)


@cache
def renderer() -> Asset:
    """The script that renders the document: one file, which loads nothing else."""
    return asset(files(__package__).joinpath(RENDERER).read_bytes(), JAVASCRIPT)


def asset(body: bytes, content_type: str) -> Asset:
    """A body as it is served."""
    return Asset(body, gzip.compress(body, 9, mtime=0), content_type, hashlib.sha256(body).hexdigest()[:16])
