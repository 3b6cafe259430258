"""Validation of a webhook's URL, secret and filters, and of the packages that deliveries need."""

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
"""The smallest and the largest number of bytes that Standard Webhooks allows."""
REQUIRED_PACKAGES = ("standardwebhooks", "httpx")


def check_installed() -> None:
    """Check that the extra `deliver` is installed. Raises EventsError."""
    if any(importlib.util.find_spec(name) is None for name in REQUIRED_PACKAGES):
        raise EventsError("Delivering events to webhooks needs: pip install 'falcon-events[deliver]'.")


def check_url(url: str) -> str:
    """Check the URL of a receiver and return it.

    Raises:
        EventsError: events cannot be posted to this URL.
    """
    try:
        parts = urlsplit(check_known_url(url))
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise EventsError(f"url={url!r}: {error}.") from None
    if parts.username is not None or parts.password is not None:
        raise EventsError("url contains credentials. Leave them out; the receiver verifies the signature instead.")
    if parts.scheme not in ("http", "https") or not host:
        raise EventsError(f"url={url!r} must begin with https:// or http:// and name a host.")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise EventsError(
            f"url={url!r} has spaces or characters beyond ASCII; they must be percent-encoded, in a host by punycode."
        )
    if parts.fragment or len(url) > MAX_URL:
        raise EventsError(f"url={url[:100]!r} must have at most {MAX_URL} characters and no fragment (#).")
    return url


def check_known_url(url: str) -> str:
    """Check that the URL of an existing webhook is a string that UTF-8 can encode. Raises EventsError."""
    if not _is_text(url):
        raise EventsError(f"url={url!r} must be a string.")
    return url


def check_secret(secret: str) -> str:
    """Check that a secret has the format of Standard Webhooks, and return it.

    Raises:
        EventsError: the secret is invalid; the message does not repeat it.
    """
    least, most = SECRET_BYTES
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True) if isinstance(secret, str) else b""
    except (binascii.Error, ValueError):
        key = b""
    if not least <= len(key) <= most or not secret.startswith(SECRET_PREFIX):
        raise EventsError(f"secret must be {SECRET_PREFIX} and the base64 of {least} to {most} bytes.")
    return secret


def generate_secret() -> str:
    """Return a random secret."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check_lists(list_ids: Iterable[int] | None) -> list[int] | None:
    """Check the lists whose events are delivered, and return them sorted. None: all lists. Raises EventsError."""
    if list_ids is None:
        return None
    chosen = _to_list(list_ids)
    if not chosen or not all(type(list_id) is int and 0 < list_id < 2**63 for list_id in chosen):
        raise EventsError(f"lists={list_ids!r} must be ids of lists, or None for all lists.")
    return sorted(set(chosen))


def check_events(events: Iterable[str] | None) -> list[str] | None:
    """Check the event types that are delivered, and return them sorted. None: all types. Raises EventsError."""
    if events is None:
        return None
    chosen = [events] if isinstance(events, str) else _to_list(events)
    if not chosen or not all(_is_text(event) and event for event in chosen):
        raise EventsError(f"events={events!r} must be event types, or None for all event types.")
    return sorted(set(chosen))


def check_most(most: int) -> int:
    """Check the largest number of rows asked for, and return it. Raises EventsError."""
    if type(most) is not int or not 0 < most < 2**63:
        raise EventsError(f"most={most!r} must be a whole number from 1.")
    return most


def _to_list(given: Iterable[T]) -> list[T]:
    """Return the items of an iterable. Anything else gives an empty list."""
    return list(given) if isinstance(given, Iterable) else []


def _is_text(given: object) -> bool:
    """Whether a value is a string that UTF-8 can encode, so one without lone surrogates."""
    if not isinstance(given, str):
        return False
    try:
        given.encode()
    except UnicodeEncodeError:
        return False
    return True
