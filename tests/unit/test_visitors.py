"""UUIDs as RFC 9562 has them: those that are stored must come out the same in every release."""

from __future__ import annotations

import uuid

from hypothesis import given, strategies as st

from falcon_events.model.ids import RANDOM_BLOCK, RandomUUIDs, derive_uuid


@given(
    st.binary(min_size=16, max_size=16), st.integers(1), st.sampled_from(["id", "email"]), st.text(st.characters(codec="utf-8"))
)
def test_a_derived_uuid_is_the_standard_librarys(namespace: bytes, list_id: int, kind: str, owner: str) -> None:
    """UUIDv5 of list, kind and owner under the store's secret."""
    assert derive_uuid(namespace, list_id, kind, owner) == str(
        uuid.uuid5(uuid.UUID(bytes=namespace), f"{list_id}:{kind}:{owner}")
    )


def test_random_uuids_are_of_version_4_and_differ() -> None:
    """In lower case with dashes, over more than one block."""
    ids = RandomUUIDs()
    made = [next(ids) for _ in range(3 * RANDOM_BLOCK)]
    assert len(set(made)) == len(made)
    for text in made:
        read = uuid.UUID(text)
        assert (str(read), read.version, read.variant) == (text, 4, uuid.RFC_4122)
