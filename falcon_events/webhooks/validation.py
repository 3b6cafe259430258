"""What a webhook may be: its URL, its secret, its filters; and what posting needs to be installed."""

from __future__ import annotations

import base64
import binascii
import importlib.util
import secrets
from collections.abc import Iterable
from typing import TypeVar
from urllib.parse import urlsplit

from falcon_events.errors import EventsError

T = TypeVar("T")
MAX_URL = 2000
SECRET_PREFIX = "whsec_"
SECRET_BYTES = (24, 64)
"""The least and the most bytes that Standard Webhooks allows."""
NEEDED = ("standardwebhooks", "httpx")


def check_installed() -> None:
    """Raises EventsError where the extra is missing."""
    if any(importlib.util.find_spec(name) is None for name in NEEDED):
        raise EventsError("Delivering events to webhooks needs: pip install 'falcon-events[deliver]'.")


def checked_url(url: str) -> str:
    """The URL of a receiver.

    Raises:
        EventsError: it is none that events can be posted to.
    """
    try:
        parts = urlsplit(known_url(url))
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise EventsError(f"url={url!r}: {error}.") from None
    if parts.username is not None or parts.password is not None:
        raise EventsError("url has credentials in it; a receiver knows us by the signature, so leave them out.")
    if parts.scheme not in ("http", "https") or not host:
        raise EventsError(f"url={url!r}: one that begins with https:// or http:// and names a host is needed.")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise EventsError(f"url={url!r}: spaces and letters beyond ASCII have to be percent-encoded, a host's by punycode.")
    if parts.fragment or len(url) > MAX_URL:
        raise EventsError(f"url={url[:100]!r}: at most {MAX_URL} characters without a fragment (#) are needed.")
    return url


def known_url(url: str) -> str:
    """The URL of a webhook that there may be; raises EventsError where it is no text."""
    if not _is_text(url):
        raise EventsError(f"url={url!r}: a text is needed.")
    return url


def checked_secret(secret: str) -> str:
    """A secret as Standard Webhooks writes it.

    Raises:
        EventsError: it is none; the message does not repeat it.
    """
    least, most = SECRET_BYTES
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True) if isinstance(secret, str) else b""
    except (binascii.Error, ValueError):
        key = b""
    if not least <= len(key) <= most or not secret.startswith(SECRET_PREFIX):
        raise EventsError(f"secret: {SECRET_PREFIX} and the base64 of {least} to {most} bytes are needed.")
    return secret


def new_secret() -> str:
    """A random secret."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def checked_lists(list_ids: Iterable[int] | None) -> list[int] | None:
    """The lists whose events are delivered, or None for all."""
    if list_ids is None:
        return None
    chosen = _members(list_ids)
    if not chosen or not all(type(list_id) is int and 0 < list_id < 2**63 for list_id in chosen):
        raise EventsError(f"lists={list_ids!r}: ids of lists are needed, or None for all lists.")
    return sorted(set(chosen))


def checked_events(events: Iterable[str] | None) -> list[str] | None:
    """The event types that are delivered, or None for all."""
    if events is None:
        return None
    chosen = [events] if isinstance(events, str) else _members(events)
    if not chosen or not all(_is_text(event) and event for event in chosen):
        raise EventsError(f"events={events!r}: event types are needed, or None for all of them.")
    return sorted(set(chosen))


def checked_most(most: int) -> int:
    """How many are asked for; raises EventsError."""
    if type(most) is not int or not 0 < most < 2**63:
        raise EventsError(f"most={most!r}: a whole number from 1 is needed.")
    return most


def _members(given: Iterable[T]) -> list[T]:
    """What is given one by one; nothing, where it is nothing that has members."""
    return list(given) if isinstance(given, Iterable) else []


def _is_text(given: object) -> bool:
    """Whether it is a string of Unicode characters, without halves of such."""
    if not isinstance(given, str):
        return False
    try:
        given.encode()
    except UnicodeEncodeError:
        return False
    return True
