"""How a client behaves: each option with its unit, default and reason."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

import httpx

from falcon_events.errors import SettingError

_NO_HOST = re.compile(r"""[\s%"'<>\\^`{|}]""")
"""What httpx would take for a part of a name, though nobody could look it up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A client's options; the arguments of Client tell what each is for.

    Raises:
        SettingError: a value is not a number, or below the least that works.
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
                raise SettingError(f"{field.name}={value!r}: a number of {least} or more needed.")
        if not self.timeout_s:
            raise SettingError("timeout_s=0: a number above 0 needed.")


def checked_url(url: str) -> str:
    """A server's address without its last slash.

    Raises:
        SettingError: it is none.
    """
    try:
        parts = httpx.URL(url)
        parts.raw_host.decode().encode("idna")  # as the look-up of its address does
        is_one = parts.scheme in ("http", "https") and parts.host and not parts.query and not parts.fragment
        is_one = is_one and parts.port != 0 and (parts.port or 1) < 1 << 16 and not _NO_HOST.search(parts.host)
    except (TypeError, UnicodeError, httpx.InvalidURL):
        is_one = False
    if not is_one:
        raise SettingError(f"url={url!r}: the server's address is needed, such as https://events.example.com/tracking")
    return url.rstrip("/")


def checked_key(api_key: str) -> str:
    """An API key, as a header can carry it.

    Raises:
        SettingError: it is none.
    """
    if not isinstance(api_key, str) or not api_key.isascii() or not api_key.isprintable() or not api_key.strip():
        raise SettingError("api_key: an API key is needed, such as `falcon-events keys create` prints.")
    return api_key.strip()
