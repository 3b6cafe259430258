"""Web origins: which ones a key may be used from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from falcon_events.access.protocol import Principal, Scope
from falcon_events.errors import EventsError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_host = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]").fullmatch


def checked_origin(text: str) -> str:
    """An origin as browsers write it, or a pattern for every subdomain of one, such as `https://*.example.com`.

    Args:
        text: scheme and host, and a port where it is not the scheme's own (RFC 6454, section 6.2).

    Raises:
        EventsError: it is neither.
    """
    try:
        parts = urlsplit(text.strip().lower())
        port = parts.port
    except ValueError:
        raise _refused(text) from None
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    default_port = _DEFAULT_PORTS.get(parts.scheme)
    if default_port is None or not _host(host) or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _refused(text)
    return f"{parts.scheme}://{host}" + ("" if port in (None, default_port) else f":{port}")


def admits(patterns: Iterable[str], origin: str) -> bool:
    """Whether an origin, in any case, is among these, or below one that begins with `*.`."""
    origin = origin.lower()
    return any(origin == pattern or _is_below(origin, pattern) for pattern in patterns)


def _is_below(origin: str, pattern: str) -> bool:
    scheme, star, domain = pattern.partition("*")
    return bool(star) and origin.startswith(scheme) and origin.endswith(domain) and len(origin) > len(scheme) + len(domain)


def _refused(text: str) -> EventsError:
    return EventsError(f"origin {text!r}: scheme and host are needed, such as https://www.example.com or https://*.example.com.")


def joint_origins(keys: Iterable[Principal]) -> frozenset[str] | None:
    """The origins of all keys for web pages; None for any, where one of these keys is not bound."""
    found = [key.origins for key in keys if key.scope is Scope.INGEST]
    return None if None in found else frozenset(origin for origins in found for origin in origins or ())
