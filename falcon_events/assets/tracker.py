"""The tracker's script, as it is served."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.resources import files

import msgspec


class Script(msgspec.Struct, frozen=True):
    """The script, the same compressed, and a name for exactly this content."""

    body: bytes
    gzipped: bytes
    version: str
    content_type: str = "text/javascript; charset=utf-8"


@cache
def script() -> Script:
    """The minified script of this release."""
    body = files(__package__).joinpath("tracker.min.js").read_bytes()
    return Script(body, gzip.compress(body, 9, mtime=0), hashlib.sha256(body).hexdigest()[:16])
