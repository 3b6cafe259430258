"""Requests in the form that the core reads, and the decompression of bodies. WSGI and ASGI share them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import msgspec

from falcon_events.contract.body import unreadable_body
from falcon_events.contract.schemas import common_error
from falcon_events.errors import InvalidRequest, RequestRefused
from falcon_events.http.proxies import Proxies
from falcon_events.ingest.bodies import HeldBody
from falcon_events.model.sender import Sender

PURPOSES = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")
"""Headers that mark a page as loaded before it is visited. Only the first is in a standard (Fetch, 3.7)."""
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
"""Every header that the core reads, under its name in a WSGI environment (RFC 3875, 4.1.18)."""
_GZIP_BITS = 16 + zlib.MAX_WBITS


class IncomingRequest(msgspec.Struct, frozen=True):
    """A request, independent of WSGI and ASGI.

    `body` is None if it is larger than the limit, or if `refusal` says why it was not read. `query` holds the parameters of
    the query string. `encoding` is the body's Content-Encoding. A `preflight` asks whether another request is allowed
    (Access-Control-Request-Method).
    """

    method: str
    path: str
    body: HeldBody | None
    query: Mapping[str, str | list[str]]
    sender: Sender
    encoding: str = ""
    preflight: bool = False
    refusal: RequestRefused | None = None


def build_request(
    method: str,
    path: str,
    body: HeldBody | RequestRefused | None,
    headers: Mapping[str, str],
    address: str,
    proxies: Proxies | None,
    query: Mapping[str, str | list[str]] | None = None,
) -> IncomingRequest:
    """Build a request from the parts that a WSGI or ASGI application reads.

    Args:
        method: the request's method.
        path: the request's path.
        body: the request's body; None if it is larger than the limit; a refusal if it did not arrive.
        headers: the request's headers, under the names in HEADERS; other headers are ignored.
        address: the peer's address.
        proxies: the proxies trusted to name the client's address; None: no proxy.
        query: the parameters of the query string; None where the endpoint does not read them.
    """
    header = headers.get
    authorization = header("HTTP_AUTHORIZATION")
    sender = Sender(
        _parse_bearer(authorization) if authorization else None,
        header("HTTP_ORIGIN"),
        header("HTTP_USER_AGENT", ""),
        header(PURPOSES[0]) or header(PURPOSES[1]) or header(PURPOSES[2]) or header(PURPOSES[3]) or "",
        address if proxies is None else proxies.find_client(address, header(FORWARDED_FOR, "")),
    )
    is_preflight = "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in headers
    encoding = header("HTTP_CONTENT_ENCODING", "")
    if isinstance(body, RequestRefused):
        return IncomingRequest(method, path, None, query or {}, sender, encoding, is_preflight, body)
    return IncomingRequest(method, path, body, query or {}, sender, encoding, is_preflight)


def inflate(body: HeldBody, encoding: str, max_body_bytes: int) -> None:
    """Decompress a request's body.

    Args:
        body: the body.
        encoding: its Content-Encoding.
        max_body_bytes: the largest decompressed body that is accepted.

    Raises:
        InvalidRequest: the encoding is unknown (415), the body is not valid gzip (400), or it is too large (413).
        StoreUnavailable: too many bodies are held at once.
    """
    if encoding.lower() in ("", "identity"):
        return
    if encoding.lower() not in ("gzip", "x-gzip"):
        raise _make_refusal(415)
    inflater = zlib.decompressobj(_GZIP_BITS)
    try:
        data = inflater.decompress(body.data, max_body_bytes + 1)
    except zlib.error:
        raise unreadable_body() from None
    if len(data) > max_body_bytes:
        raise _make_refusal(413)
    if not inflater.eof or inflater.unused_data:
        raise unreadable_body()
    body.replace(data)


def _make_refusal(code: int) -> InvalidRequest:
    status, failure = common_error(code)
    return InvalidRequest(status, [failure])


def _parse_bearer(authorization: str) -> str | None:
    """Return the key of `Authorization: Bearer KEY` (RFC 6750, 2.1), or None."""
    scheme, _, key = authorization.partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None
