"""Detection of events that no visitor sent: crawlers, headless browsers, pages loaded in advance, the owner's own traffic."""

from __future__ import annotations

import json
import re
from functools import cache, lru_cache, partial
from importlib import resources

from falcon_events.model.sender import Sender

OWN, AHEAD = "own", "prefetch"
"""Values of the property `$bot` other than names of bots."""
KINDS = ("bots", "http-libraries")
"""Groups of patterns. HTTP libraries are a group of their own, because applications send events with them, too."""
USER_AGENTS = 4096
MAX_USER_AGENT = 1024

_find_device = re.compile(r"\((?:Linux|Android)\b(?=[^()]*\bAndroid\b)[^()]*(?:\([^()]*\)[^()]*)*\)").search
_cut_model = partial(re.compile(r"\bAndroid\b.*?(?:\bBuild/[^;)]*|(?=\)$))").sub, "Android", count=1)
_ahead = re.compile(r"\b(?:prefetch|prerender|preview)\b", re.IGNORECASE).search


def find_bot(sender: Sender, *, own: bool, from_a_page: bool) -> str | None:
    """Find the reason why no visitor sent an event.

    Args:
        sender: the sender of the event.
        own: whether the event is marked as the owner's own traffic.
        from_a_page: whether a web page sent it. Otherwise an HTTP library is most likely an application of the owner.

    Returns:
        The value for the property `$bot`, or None if a visitor seems to have sent the event.
    """
    if sender.trusted:
        return None
    if own:
        return OWN
    if sender.purpose and _ahead(sender.purpose):
        return AHEAD
    return _match_user_agent(sender.user_agent[:MAX_USER_AGENT], from_a_page) if sender.user_agent else None


@lru_cache(USER_AGENTS)
def _match_user_agent(user_agent: str, libraries: bool) -> str | None:
    """Return the part of a user agent that names a bot, or None."""
    user_agent = _remove_device(user_agent)
    for pattern, is_library in _load_patterns():
        if (libraries or not is_library) and (found := pattern.search(user_agent)):
            return found[0].strip(" /:;(")
    return None


def _remove_device(user_agent: str) -> str:
    """Remove the model and the build of an Android device. They may contain any word, also one that a bot has as its name."""
    device = _find_device(user_agent)
    if device is None:
        return user_agent
    return user_agent[: device.start()] + _cut_model(device[0]) + user_agent[device.end() :]


@cache
def _load_patterns() -> list[tuple[re.Pattern[str], bool]]:
    """Load the patterns of known bots, each with whether it is a library's. They are loaded on first use to save memory."""
    known = json.loads(resources.files(__package__).joinpath("bots.json").read_bytes())
    return [(re.compile(pattern), is_library) for is_library in (False, True) for pattern in known[KINDS[is_library]]]
