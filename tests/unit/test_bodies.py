"""Bodies of requests count by the memory that they take, until they are let go."""

from __future__ import annotations

import gzip

import pytest

from falcon_events.errors import StoreUnavailable
from falcon_events.http.requests import inflate
from falcon_events.ingest.bodies import SMALL_BYTES, ArrivingBody, Bodies
from falcon_events.settings import Settings

SIZE = 3 * SMALL_BYTES


def arrive(bodies: Bodies) -> ArrivingBody:
    """A compressed body that has arrived."""
    body = bodies.begin()
    body.data = gzip.compress(b" " * SIZE)
    bodies.count(body, len(body.data))
    bodies.check(body)
    return body


def test_decompressed_bodies_count_by_their_decompressed_size() -> None:
    """One that does not fit gets 503, and fits when another one has been let go."""
    bodies = Bodies(Settings(max_body_bytes=SIZE, body_bytes=2 * SIZE + SMALL_BYTES))
    held = [arrive(bodies) for _ in range(2)]
    for body in held:
        inflate(body, "gzip", SIZE)
        assert len(body.data) == SIZE
    third = arrive(bodies)
    with pytest.raises(StoreUnavailable):
        inflate(third, "gzip", SIZE)
    held[0].let_go()
    inflate(third, "gzip", SIZE)
    for body in (*held, third):
        body.let_go()
    bodies.recount(bodies.begin(), 2 * SIZE)  # nothing is counted any more
