"""Files that browsers GET and that never change while the server runs, such as the tracker's script."""

from __future__ import annotations

from typing import Protocol

import falcon

from falcon_events.assets.tracker import load_script
from falcon_events.contract.replies import Reply

FOREVER = "public, max-age=31536000, immutable"
"""For URLs that name the content's version: the snippet's URL has ?v=."""
A_DAY = "public, max-age=86400"


class StaticFile(Protocol):
    """A file to serve, plain and compressed, with a version that identifies its content."""

    @property
    def body(self) -> bytes:
        """The file's content."""

    @property
    def gzipped(self) -> bytes:
        """The content compressed by gzip."""

    @property
    def version(self) -> str:
        """The version of the content; another content has another version."""

    @property
    def content_type(self) -> str:
        """The media type."""


def serve_script(req: falcon.Request) -> Reply:
    """Return the tracker's script, or 304 if the browser has it."""
    found = load_script()
    headers = (
        ("Cache-Control", FOREVER if req.params.get("v") == found.version else A_DAY),
        ("Cross-Origin-Resource-Policy", "cross-origin"),
        ("Access-Control-Allow-Origin", "*"),
    )
    return serve_file(req, found, headers)


def serve_file(req: falcon.Request, found: StaticFile, headers: tuple[tuple[str, str], ...]) -> Reply:
    """Return a file, compressed if the client accepts gzip, or 304 if the browser has it.

    Args:
        req: the request.
        found: the file.
        headers: headers that are specific to this file.
    """
    headers = (
        *headers,
        ("ETag", f'W/"{found.version}"'),
        ("Vary", "Accept-Encoding"),
        ("X-Content-Type-Options", "nosniff"),
    )
    if f'"{found.version}"' in (req.get_header("If-None-Match") or ""):
        return Reply(304, b"", headers, found.content_type)
    if accepts_gzip(req.get_header("Accept-Encoding") or ""):
        return Reply(200, found.gzipped, (*headers, ("Content-Encoding", "gzip")), found.content_type)
    return Reply(200, found.body, headers, found.content_type)


def accepts_gzip(accepted: str) -> bool:
    """Return whether `Accept-Encoding` names gzip with a weight other than 0 (RFC 9110, 12.5.3)."""
    for item in accepted.lower().split(","):
        coding, _, weight = item.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return weight.strip("0.") != "" or not weight
    return False
