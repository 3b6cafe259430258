"""Cursors: where the next page of an answer begins, in a text that only this package reads.

A cursor fixes the time of the first page and the newest event that it looked at. So no later event moves a person or an event
from one page to another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec

from falcon_events.query.question import PeopleQuestion, TimelineQuestion, encode_question
from falcon_events.query.ranges import LATEST_US


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The beginning of a page: after the row with this `key`, and among rows of equal keys after the one with this `tie`."""

    digest: bytes
    now_us: int
    as_of: int
    key: int | str | None
    tie: str | int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Cursor).decode


def digest_question(question: PeopleQuestion | TimelineQuestion) -> bytes:
    """Return what tells a question from others, whatever its page."""
    base = msgspec.structs.replace(question.base, now_us=0)
    bare = msgspec.structs.replace(question, base=base, cursor=None, limit=0)
    if isinstance(bare, PeopleQuestion) and bare.of is not None:
        counted = msgspec.structs.replace(bare.of.question, now_us=0)
        bare = msgspec.structs.replace(bare, of=msgspec.structs.replace(bare.of, question=counted))
    return hashlib.blake2b(encode_question(bare), digest_size=8).digest()


def write_cursor(cursor: Cursor) -> str:
    """Return the text of a cursor."""
    return base64.urlsafe_b64encode(_encode(cursor)).decode().rstrip("=")


def read_cursor(text: str, question: PeopleQuestion | TimelineQuestion) -> Cursor | None:
    """Return the cursor that a text stands for; None if it is not one of this question's."""
    try:
        cursor = _decode(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
    except (msgspec.DecodeError, binascii.Error, ValueError):
        return None
    is_timeline = isinstance(question, TimelineQuestion)
    fits = isinstance(cursor.tie, int) is is_timeline and (not is_timeline or isinstance(cursor.key, int))
    if isinstance(question, PeopleQuestion):
        fits = fits and (isinstance(cursor.key, int) is (question.order_by[0] != "email"))
    counts = [one for one in (cursor.as_of, cursor.key, cursor.tie) if isinstance(one, int)]
    in_range = 0 <= cursor.now_us < LATEST_US and all(abs(one) < 2**62 for one in counts)
    return cursor if fits and in_range and cursor.digest == digest_question(question) else None
