"""What browsers get with GET: the tracker's script."""

from __future__ import annotations

import falcon

from falcon_events.browser.script import script
from falcon_events.contract.answers import Reply

JAVASCRIPT = "text/javascript; charset=utf-8"
FOREVER = "public, max-age=31536000, immutable"
"""For an address that names the content: the snippet's has ?v=."""
A_DAY = "public, max-age=86400"


def script_reply(req: falcon.Request) -> Reply:
    """The tracker's script: 304 where the browser has it."""
    found = script()
    headers = (
        ("Cache-Control", FOREVER if req.params.get("v") == found.version else A_DAY),
        ("ETag", f'W/"{found.version}"'),
        ("Vary", "Accept-Encoding"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cross-Origin-Resource-Policy", "cross-origin"),
        ("Access-Control-Allow-Origin", "*"),
    )
    if f'"{found.version}"' in (req.get_header("If-None-Match") or ""):
        return Reply(304, b"", headers, JAVASCRIPT)
    if _takes_gzip(req.get_header("Accept-Encoding") or ""):
        return Reply(200, found.gzipped, (*headers, ("Content-Encoding", "gzip")), JAVASCRIPT)
    return Reply(200, found.body, headers, JAVASCRIPT)


def _takes_gzip(accepted: str) -> bool:
    """Whether `Accept-Encoding` names gzip, with a weight other than 0 (RFC 9110, 12.5.3)."""
    for item in accepted.lower().split(","):
        coding, _, weight = item.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return weight.strip("0.") != "" or not weight
    return False
