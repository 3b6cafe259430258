"""The documented examples, over HTTP, on both flavours."""

from __future__ import annotations

from tests.conftest import Api


def test_the_documented_example_is_answered_as_documented(api: Api) -> None:
    """The seed's request gets the seed's answer, with the visitor's uuid and the id that was sent."""
    answer = api.client.track(**api.credentials.event(id="documented", email="documented@test.com"))
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "success",
        "uuid": answer.json()["uuid"],
        "external_id": "documented",
        "identify_event_sent": True,
    }
