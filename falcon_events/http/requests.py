"""Requests as the core reads them, and compressed bodies; the same for both flavours."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import msgspec

from falcon_events.contract.body import unreadable
from falcon_events.contract.schemas import common_error
from falcon_events.errors import InvalidRequest
from falcon_events.http.proxies import Proxies
from falcon_events.model.sender import Sender

PURPOSES = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")
"""By which browsers say that nobody looks at a page yet; only the first is of a standard (Fetch, 3.7)."""
FORWARDED_FOR = "HTTP_X_FORWARDED_FOR"
HEADERS = (
    "HTTP_AUTHORIZATION",
    "HTTP_ORIGIN",
    "HTTP_USER_AGENT",
    "HTTP_CONTENT_ENCODING",
    "HTTP_ACCESS_CONTROL_REQUEST_METHOD",
    FORWARDED_FOR,
    *PURPOSES,
)
"""Every header that the core is told, under its name in a WSGI environment (RFC 3875, 4.1.18)."""
_GZIP_BITS = 16 + zlib.MAX_WBITS


class Incoming(msgspec.Struct, frozen=True):
    """What a door has read of a request.

    `body` is None where it is larger than the limit; `query` holds the query string's parameters; `encoding` is the body's;
    a `preflight` asks whether another request may be made (Access-Control-Request-Method).
    """

    method: str
    path: str
    body: bytes | None
    query: Mapping[str, str | list[str]]
    sender: Sender
    encoding: str = ""
    preflight: bool = False


def incoming_of(
    method: str,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str],
    address: str,
    proxies: Proxies | None,
    query: Mapping[str, str | list[str]] | None = None,
) -> Incoming:
    """What a door has read of a request.

    Args:
        method: the request's.
        path: the request's.
        body: the request's, None where it is over the limit.
        headers: at least those of HEADERS that it has, under the names there.
        address: the peer's.
        proxies: whose word counts for the client's address; None for nobody's.
        query: the query string's parameters, where they matter.
    """
    header = headers.get
    authorization = header("HTTP_AUTHORIZATION")
    sender = Sender(
        _bearer(authorization) if authorization else None,
        header("HTTP_ORIGIN"),
        header("HTTP_USER_AGENT", ""),
        header(PURPOSES[0]) or header(PURPOSES[1]) or header(PURPOSES[2]) or header(PURPOSES[3]) or "",
        address if proxies is None else proxies.client(address, header(FORWARDED_FOR, "")),
    )
    is_preflight = "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in headers
    return Incoming(method, path, body, query or {}, sender, header("HTTP_CONTENT_ENCODING", ""), is_preflight)


def inflated(incoming: Incoming, max_body_bytes: int) -> Incoming:
    """The request with its body as it was before it was compressed.

    Args:
        incoming: what the door has read.
        max_body_bytes: how large the body may be then.

    Raises:
        InvalidRequest: the encoding is not known (415), the body is no gzip (400), or too large (413).
    """
    if incoming.encoding.lower() in ("", "identity"):
        return incoming
    if incoming.encoding.lower() not in ("gzip", "x-gzip"):
        raise _refused(415)
    inflater = zlib.decompressobj(_GZIP_BITS)
    try:
        body = inflater.decompress(incoming.body or b"", max_body_bytes + 1)
    except zlib.error:
        raise unreadable() from None
    if len(body) > max_body_bytes:
        raise _refused(413)
    if not inflater.eof or inflater.unused_data:
        raise unreadable()
    return msgspec.structs.replace(incoming, body=body, encoding="")


def _refused(code: int) -> InvalidRequest:
    status, failure = common_error(code)
    return InvalidRequest(status, [failure])


def _bearer(authorization: str) -> str | None:
    """The key of `Authorization: Bearer KEY` (RFC 6750, 2.1), if there is one."""
    scheme, _, key = authorization.partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None
