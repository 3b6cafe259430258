"""What is not a visitor: crawlers, headless browsers, pages that are loaded ahead, and the owner's own traffic."""

from __future__ import annotations

import json
import re
from functools import cache, lru_cache
from importlib import resources

from falcon_events.model.sender import Sender

OWN, AHEAD = "own", "prefetch"
"""Values of the property `$bot` beside the names of bots."""
KINDS = ("bots", "http-libraries")
"""Programs' HTTP clients are kept apart: by their names applications send their own events, too."""
USER_AGENTS = 4096
MAX_USER_AGENT = 1024

_ahead = re.compile(r"\b(?:prefetch|prerender|preview)\b", re.IGNORECASE).search


def find_bot(sender: Sender, *, own: bool, from_a_page: bool) -> str | None:
    """Why an event is not a visitor's, or None where it seems to be one's.

    Args:
        sender: who sends it.
        own: whether it bears the mark of the owner's own traffic.
        from_a_page: whether a web page sends it; else an HTTP library is most likely an application of the owner's.
    """
    if sender.trusted:
        return None
    if own:
        return OWN
    if sender.purpose and _ahead(sender.purpose):
        return AHEAD
    return _bot(sender.user_agent[:MAX_USER_AGENT], from_a_page) if sender.user_agent else None


@lru_cache(USER_AGENTS)
def _bot(user_agent: str, libraries: bool) -> str | None:
    """The name by which a user agent shows itself as a bot's."""
    for pattern, is_library in _patterns():
        if (libraries or not is_library) and (found := pattern.search(user_agent)):
            return found[0].strip(" /:;(")
    return None


@cache
def _patterns() -> list[tuple[re.Pattern[str], bool]]:
    """The known bots' patterns, and whether each is a library's; they cost some memory, so they are read with the first use."""
    known = json.loads(resources.files(__package__).joinpath("bots.json").read_bytes())
    return [(re.compile(pattern), is_library) for is_library in (False, True) for pattern in known[KINDS[is_library]]]
