"""The OpenAPI document, the page that renders it and the page's script, ready to be served."""

from __future__ import annotations

import base64
import gzip
import hashlib
from functools import cache
from importlib.resources import files

import msgspec

from falcon_events.contract.openapi import openapi_document

RENDERER = "rapidoc-min.js"
"""The file of the renderer, RapiDoc. rapidoc.LICENSE.txt has its version, origin and license."""
HTML = "text/html; charset=utf-8"
JAVASCRIPT = "text/javascript; charset=utf-8"
JSON = "application/json"

# RapiDoc resolves a relative server against the host's root. The API is beside the page, so the script sets its full address.
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
        "style-src 'unsafe-inline'",  # the renderer sets the widths of table columns with style attributes
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""The page's Content-Security-Policy: it loads nothing from other hosts and sends nothing to them."""


class Asset(msgspec.Struct, frozen=True):
    """A file to serve, plain and compressed, with its media type and a version that identifies its content."""

    body: bytes
    gzipped: bytes
    content_type: str
    version: str


@cache
def load_document(path: str) -> Asset:
    """Load the OpenAPI document, whose server address is relative to the document.

    Args:
        path: the path at which it is served, below the API's root, such as `/openapi.json`.
    """
    above = path.count("/") - 1
    server = "/".join([".."] * above) if above else "."
    return build_asset(msgspec.json.encode(openapi_document(servers=(server,))), JSON)


@cache
def render_page(document_url: str, renderer_url: str, *, with_server: bool = True) -> Asset:
    """Render the page.

    Args:
        document_url: the URL of the document, relative to the page.
        renderer_url: the URL of the renderer's file, relative to the page.
        with_server: whether the API is served beside the page.
    """
    text = files(__package__).joinpath("openapi_page.html").read_text()
    script = f"<script>{_SCRIPT}</script>" if with_server else ""
    for name, value in (("{document}", document_url), ("{renderer}", renderer_url), ("{script}", script)):
        text = text.replace(name, value)
    return build_asset(text.encode(), HTML)


@cache
def load_renderer() -> Asset:
    """Load the script that renders the document: one file that loads nothing else."""
    return build_asset(files(__package__).joinpath(RENDERER).read_bytes(), JAVASCRIPT)


def build_asset(body: bytes, content_type: str) -> Asset:
    """Build the file to serve from its content."""
    return Asset(body, gzip.compress(body, 9, mtime=0), content_type, hashlib.sha256(body).hexdigest()[:16])
