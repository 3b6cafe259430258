"""Stand-in until the other branch is merged."""

from collections.abc import Mapping
from typing import Any

import msgspec


class Spellings(msgspec.Struct):
    http: str
    json: str
    command: str | None
    python: str


def spell(name: str, list_id: int, arguments: Mapping[str, Any]) -> Spellings:
    return Spellings("/api/v1/website_events." + name, str(arguments), "falcon-events " + name, "tracking." + name)
