"""What browsers get with GET: the tracker's script, and whatever else never changes while the server runs."""

from __future__ import annotations

from typing import Protocol

import falcon

from falcon_events.assets.tracker import script
from falcon_events.contract.replies import Reply

FOREVER = "public, max-age=31536000, immutable"
"""For an address that names the content: the snippet's has ?v=."""
A_DAY = "public, max-age=86400"


class Content(Protocol):
    """A file as it is served, the same compressed, and a name for exactly this content."""

    @property
    def body(self) -> bytes:
        """The file."""

    @property
    def gzipped(self) -> bytes:
        """The same, compressed."""

    @property
    def version(self) -> str:
        """Its name."""

    @property
    def content_type(self) -> str:
        """Its media type."""


def script_reply(req: falcon.Request) -> Reply:
    """The tracker's script: 304 where the browser has it."""
    found = script()
    headers = (
        ("Cache-Control", FOREVER if req.params.get("v") == found.version else A_DAY),
        ("Cross-Origin-Resource-Policy", "cross-origin"),
        ("Access-Control-Allow-Origin", "*"),
    )
    return static_reply(req, found, headers)


def static_reply(req: falcon.Request, found: Content, headers: tuple[tuple[str, str], ...]) -> Reply:
    """A file, compressed for those that take it so; 304 where the browser has it.

    Args:
        req: the request.
        found: the file.
        headers: those of its own.
    """
    headers = (
        *headers,
        ("ETag", f'W/"{found.version}"'),
        ("Vary", "Accept-Encoding"),
        ("X-Content-Type-Options", "nosniff"),
    )
    if f'"{found.version}"' in (req.get_header("If-None-Match") or ""):
        return Reply(304, b"", headers, found.content_type)
    if _takes_gzip(req.get_header("Accept-Encoding") or ""):
        return Reply(200, found.gzipped, (*headers, ("Content-Encoding", "gzip")), found.content_type)
    return Reply(200, found.body, headers, found.content_type)


def _takes_gzip(accepted: str) -> bool:
    """Whether `Accept-Encoding` names gzip, with a weight other than 0 (RFC 9110, 12.5.3)."""
    for item in accepted.lower().split(","):
        coding, _, weight = item.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return weight.strip("0.") != "" or not weight
    return False
