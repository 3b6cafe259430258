"""What a door has read of a request, and compressed bodies."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import msgspec

from falcon_events.contract.body import unreadable
from falcon_events.contract.schemas import common_error
from falcon_events.errors import InvalidRequest
from falcon_events.senders import Sender

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
