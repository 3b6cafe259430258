"""Who sends a request, as far as its headers and its connection tell."""

from __future__ import annotations

import msgspec


class Sender(msgspec.Struct, frozen=True, gc=False):
    """Who sends a request.

    `bearer` is the key of the header `Authorization: Bearer`, `origin` the web page's that a browser sends for, `purpose` what
    a browser says of a request that is made ahead of a visit. A `trusted` one is the host's own code, which may do without a
    credential, and whose clock is right.
    """

    bearer: str | None = None
    origin: str | None = None
    user_agent: str = ""
    purpose: str = ""
    address: str = ""
    trusted: bool = False


HOST = Sender(trusted=True)
"""The host application's own code."""
