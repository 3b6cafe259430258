"""The options of a client, with their defaults, and the checks of its address and key."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

import httpx

from falcon_events.errors import SettingError

_NO_HOST = re.compile(r"""[\s%"'<>\\^`{|}]""")
"""Characters that httpx accepts in a host's name, although no such name can be looked up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A client's options. The arguments of Client describe them.

    Raises:
        SettingError: a value is not a number or is too small.
    """

    timeout_s: float = 10.0
    retry_s: float = 30.0
    queue_events: int = 10_000
    queue_bytes: int = 32 << 20
    linger_s: float = 0.2
    queue_retry_s: float = 3600.0
    exit_s: float = 5.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            least = 1 if field.type == "int" else 0
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= least:
                raise SettingError(f"{field.name}={value!r}: expected a number of at least {least}.")
        if not self.timeout_s:
            raise SettingError("timeout_s=0: expected a number above 0.")


def check_url(url: str) -> str:
    """Return a server's address without its last slash.

    Raises:
        SettingError: it is not the address of a server.
    """
    try:
        parts = httpx.URL(url)
        parts.raw_host.decode().encode("idna")  # as looking up the name does
        is_one = parts.scheme in ("http", "https") and parts.host and not parts.query and not parts.fragment
        is_one = is_one and parts.port != 0 and (parts.port or 1) < 1 << 16 and not _NO_HOST.search(parts.host)
    except (TypeError, UnicodeError, httpx.InvalidURL):
        is_one = False
    if not is_one:
        raise SettingError(f"url={url!r}: expected the server's address, such as https://events.example.com/tracking")
    return url.rstrip("/")


def check_key(api_key: str) -> str:
    """Return an API key without surrounding spaces, as a header can carry it.

    Raises:
        SettingError: it is not a key that a header can carry.
    """
    if not isinstance(api_key, str) or not api_key.isascii() or not api_key.isprintable() or not api_key.strip():
        raise SettingError("api_key: expected an API key, such as `falcon-events keys create` prints.")
    return api_key.strip()
