"""Web origins that keys may be used from: their syntax, and patterns for subdomains."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from falcon_events.access.protocol import Principal, Scope
from falcon_events.errors import EventsError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_host = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]").fullmatch


def normalize_origin(text: str) -> str:
    """Check an origin and return it as browsers write it.

    Args:
        text: scheme and host, and the port unless it is the scheme's default (RFC 6454, section 6.2). A host such as
            `*.example.com` stands for every subdomain.

    Raises:
        EventsError: the text is neither an origin nor such a pattern.
    """
    try:
        parts = urlsplit(text.strip().lower())
        port = parts.port
    except ValueError:
        raise _invalid_origin(text) from None
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    default_port = _DEFAULT_PORTS.get(parts.scheme)
    if default_port is None or not _host(host) or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _invalid_origin(text)
    return f"{parts.scheme}://{host}" + ("" if port in (None, default_port) else f":{port}")


def matches_origin(patterns: Iterable[str], origin: str) -> bool:
    """Whether an origin, in upper or lower case, equals one of the patterns or is a subdomain of one with `*.`."""
    origin = origin.lower()
    return any(origin == pattern or _is_subdomain(origin, pattern) for pattern in patterns)


def _is_subdomain(origin: str, pattern: str) -> bool:
    scheme, star, domain = pattern.partition("*")
    return bool(star) and origin.startswith(scheme) and origin.endswith(domain) and len(origin) > len(scheme) + len(domain)


def _invalid_origin(text: str) -> EventsError:
    return EventsError(f"origin {text!r} must be scheme and host, such as https://www.example.com or https://*.example.com.")


def merge_origins(keys: Iterable[Principal]) -> frozenset[str] | None:
    """Return the origins of all keys of scope `ingest`. None: any origin, because one of these keys is not bound to origins."""
    found = [key.origins for key in keys if key.scope is Scope.INGEST]
    return None if None in found else frozenset(origin for origins in found for origin in origins or ())
