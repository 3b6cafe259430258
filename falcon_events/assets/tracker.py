"""The tracker's script, ready to be served."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.resources import files

import msgspec


class Script(msgspec.Struct, frozen=True):
    """The script, plain and compressed, with a version that identifies its content."""

    body: bytes
    gzipped: bytes
    version: str
    content_type: str = "text/javascript; charset=utf-8"


@cache
def load_script() -> Script:
    """Load the minified script of this release."""
    body = files(__package__).joinpath("tracker.min.js").read_bytes()
    return Script(body, gzip.compress(body, 9, mtime=0), hashlib.sha256(body).hexdigest()[:16])
