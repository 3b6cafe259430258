"""The snippet: the HTML that embeds the tracker in a page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from urllib.parse import urlsplit

from falcon_events.assets.tracker import load_script
from falcon_events.errors import EventsError

METHODS = ("eventP", "eventI", "eventT", "eventC", "reset", "optOut", "optIn")
OPTIONS = {
    "object": r"[A-Za-z_$][\w$]*",
    "endpoint": r"https?://\S+|/\S*",
    "storage": "cookie|local|none",
    "days": r"[1-9]\d{0,3}",
    "domain": r"\.?[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*",
    "dnt": "honour|ignore",
    "hash": "on",
    "auto": "on|off",
}
"""The options of a page in addition to the key and the list (`data-NAME`, docs/tracker.md), with patterns of their values."""
_is_path = re.compile(r"(?:/[A-Za-z0-9._~-]+)+/?").fullmatch
# Calls made before the script has loaded wait in this queue. The script then runs them in order.
_QUEUE = (
    "window.{name}=window.{name}||{{q:[]}};[{methods}].forEach(function(m){{"
    "{name}[m]={name}[m]||function(){{{name}.q.push([m,arguments])}}}})"
)


def render_snippet(
    list_id: int, key: str, *, url: str = "", path: str = "/tracker.js", nonce: str = "", options: Mapping[str, str] | None = None
) -> str:
    """Render the HTML for a page's head.

    Args:
        list_id: the list that the page's events belong to.
        key: an API key of scope `ingest`. Everybody who can read the page can read the key.
        url: the address of the tracker with its prefix, such as `https://events.example.com`. If the page is on the same host,
            the prefix alone, such as `/tracking`; empty: no prefix.
        path: the setting `tracker_path`.
        nonce: the page's Content-Security-Policy nonce; empty: none.
        options: the page's options, see OPTIONS.

    Raises:
        EventsError: an argument is invalid; the message names it.
    """
    given = dict(options or {})
    for name, value in given.items():
        if name not in OPTIONS:
            raise EventsError(f"{name!r} is not an option of a page; the options are {', '.join(OPTIONS)}.")
        if not re.fullmatch(OPTIONS[name], value):
            raise EventsError(f"option {name}={value!r}: expected a value that matches {OPTIONS[name]}")
    if url and not _is_path(url) and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
        raise EventsError(
            f"url={url!r}: expected an address with scheme and host, such as https://events.example.com, or a prefix, such as"
            " /tracking."
        )
    base = url.rstrip("/")
    if path.count("/") > 1:  # otherwise the tracker finds the endpoint next to the script
        given.setdefault("endpoint", f"{base}/api/v1/events")
    attributes = {"src": f"{base}{path}?v={load_script().version}", "data-key": key, "data-list": str(list_id)}
    attributes |= {f"data-{option}": value for option, value in given.items()}
    if nonce:
        attributes = {"nonce": nonce, **attributes}
    queue = _QUEUE.format(name=given.get("object", "oct"), methods=",".join(f'"{method}"' for method in METHODS))
    opening = f'<script nonce="{escape(nonce)}">' if nonce else "<script>"
    written = "".join(f' {attribute}="{escape(value)}"' for attribute, value in attributes.items())
    return f"{opening}{queue}</script>\n<script async{written}></script>\n"
