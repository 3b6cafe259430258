"""The sender of a request, as its headers and its connection describe it."""

from __future__ import annotations

import msgspec


class Sender(msgspec.Struct, frozen=True, gc=False):
    """The sender of a request.

    `bearer` is the key in the header `Authorization: Bearer`. `origin` is the origin of the web page that made the request.
    `purpose` is what a browser's headers say about a page loaded in advance, such as `prefetch`. `trusted` is set for the host
    application's own code, which needs no credential and whose clock is right. `imports` is set for lines that may have
    been exported from a store.
    """

    bearer: str | None = None
    origin: str | None = None
    user_agent: str = ""
    purpose: str = ""
    address: str = ""
    trusted: bool = False
    imports: bool = False


HOST = Sender(trusted=True)
"""The host application's own code."""
IMPORT = Sender(trusted=True, imports=True)
"""The import of exported lines."""
