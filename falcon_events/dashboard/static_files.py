"""Scripts and styles of the pages, under addresses that change with their content."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from falcon_events.assets.openapi_page import Asset, build_asset

FOLDER = "static"
TYPES = {
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
"""The endings of files that browsers load, with their media types."""


@cache
def load_static(name: str) -> Asset | None:
    """Load a file; None if there is no such file.

    Args:
        name: the file's name, which the browser gave.
    """
    if not any(found.name == name for found in files(__package__).joinpath(FOLDER).iterdir()):
        return None
    media_type = TYPES.get(name.rpartition(".")[2])
    return None if media_type is None else build_asset(files(__package__).joinpath(FOLDER, name).read_bytes(), media_type)


def address_of(name: str) -> str:
    """Return the address of a file, relative to the dashboard's root; another content has another address."""
    found = load_static(name)
    if found is None:
        raise LookupError(f"static/{name}: there is no such file.")
    return f"static/{name}?v={found.version}"
