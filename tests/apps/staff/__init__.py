"""Host applications whose staff may see the dashboard, by the function that the framework's page in docs/start/ shows.

`/sign-in?name=ada` signs a member of the staff in, and any other name somebody else. `/dashboard/` is a page of the host's own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tests.blocks import BLOCKS

STAFF, RAISES = "ada", "eve"
"""A member of the staff, and somebody at whom the host's own code fails."""
OWN_PAGE = "the host's own dashboard"
SECRET = "a secret of the host's"


def documented_who(framework: str, names: Mapping[str, Any], changes: Mapping[str, str] | None = None) -> Any:
    """The function of a page; or `keys`, if HOST_DASHBOARD says so.

    Args:
        framework: the page's name.
        names: what the function uses of the host.
        changes: what the page says to write in place of what.
    """
    (text,) = [block.text for block in BLOCKS if block.page == f"docs/start/{framework}.md" and "def who(" in block.text]
    for old, new in (changes or {}).items():
        assert old in text
        text = text.replace(old, new)
    scope: dict[str, Any] = dict(names)
    exec(text, scope)
    return os.environ.get("HOST_DASHBOARD") or scope["who"]
