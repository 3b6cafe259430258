"""`on_error="log"`: whatever keeps an event from being stored, the host's call goes on and the log says why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from falcon_events import EventRefused, EventsError, EventTracking, Tracked, event

Track = Callable[..., Tracked | None]


def by_flavour(tracking: EventTracking, flavour: str) -> Track:
    """A plain call, or a coroutine in an event loop of its own."""
    if flavour == "track":
        return tracking.track
    return lambda *args, **named: asyncio.run(tracking.atrack(*args, **named))


@event("order")
class Order:
    """An event of a declared class."""


def refuse(incoming: Any) -> None:
    """A hook that refuses, or that is broken."""
    if incoming.event == "refused":
        raise EventRefused("No.")
    if incoming.event == "broken":
        raise ZeroDivisionError("a hook's mistake")


@pytest.fixture(scope="module")
def hooked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventTracking]:
    """A tracker with a list and the hook, which all cases use."""
    with EventTracking(tmp_path_factory.mktemp("hooked") / "events.duckdb", before_store=refuse) as tracking:
        tracking.directory.ensure_list(1, "Customers")
        yield tracking


@pytest.mark.parametrize("flavour", ["track", "atrack"])
@pytest.mark.parametrize(
    ("event_type", "arguments"),
    [
        ("signup", {"email": "mistyped"}),
        ("signup", {"uuid": "tampered", "email": "ada@example.com"}),
        ("signup", {}),
        ("", {"email": "ada@example.com"}),
        (None, {"email": "ada@example.com"}),
        (object(), {"email": "ada@example.com"}),
        ("signup", {"email": "ada@example.com", "properties": {"price": object()}}),
        ("signup", {"email": "ada@example.com", "properties": 7}),
        ("signup", {"email": "ada@example.com", "timestamp": "yesterday"}),
        ("signup", {"email": "ada@example.com", "event_id": "1"}),
        ("conversion", {"email": "ada@example.com"}),
        ("signup", {"email": "ada@example.com", "api_key": "guessed"}),
        ("refused", {"email": "ada@example.com"}),
        ("broken", {"email": "ada@example.com"}),
    ],
)
def test_what_cannot_be_stored_is_logged_and_none(
    flavour: str, event_type: object, arguments: dict[str, Any], hooked: EventTracking, caplog: pytest.LogCaptureFixture
) -> None:
    """One line with the reason and neither the address nor the values; the next event is stored."""
    track, before = by_flavour(hooked, flavour), hooked.latest(1, most=10_000)
    with pytest.raises(Exception):  # noqa: B017, PT011  # each has an error of its own
        track(1, event_type, **arguments)
    with caplog.at_level(logging.ERROR, "falcon_events.tracking"):
        assert track(1, event_type, **arguments, on_error="log") is None
    (record,) = (record for record in caplog.records if record.name == "falcon_events.tracking")
    assert "was not tracked: " in record.getMessage()
    assert "ada@example.com" not in caplog.text
    assert hooked.latest(1, most=10_000) == before
    stored = track(1, "signup", email="ada@example.com", on_error="log")
    assert stored is not None
    assert hooked.latest(1, most=1)[0][1].event_id == stored.event_id


@pytest.mark.parametrize("flavour", ["track", "atrack"])
def test_a_store_that_is_not_there_stops_nobody(flavour: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A list that does not exist, a folder that does not exist, a tracker that is closed."""
    tracking = EventTracking(tmp_path / "events.duckdb")
    tracking.directory.ensure_list(1, "Customers")
    track = by_flavour(tracking, flavour)
    assert track(99, "signup", email="ada@example.com", on_error="log") is None
    tracking.close()
    assert track(1, "signup", email="ada@example.com", on_error="log") is None
    lost = EventTracking(tmp_path / "no folder" / "events.duckdb")
    assert by_flavour(lost, flavour)(1, "signup", email="ada@example.com", on_error="log") is None
    lines = [record.getMessage() for record in caplog.records if record.name == "falcon_events.tracking"]
    assert [line.partition(" was not tracked: ")[0] for line in lines] == [
        "The event 'signup' of list 99",
        "The event 'signup' of list 1",
        "The event 'signup' of list 1",
    ]
    assert "tracking.directory.ensure_list(99, 'its name')" in lines[0]
    assert "closed" in lines[1]


@pytest.mark.parametrize("flavour", ["track", "atrack"])
@pytest.mark.parametrize("wrong", ["ignore", None, True])
def test_another_value_is_refused_by_name(flavour: str, wrong: Any, hooked: EventTracking) -> None:
    """A mistake in the argument itself is not logged away."""
    with pytest.raises(EventsError, match=r"on_error=.*'raise' or 'log'"):
        by_flavour(hooked, flavour)(1, "signup", email="ada@example.com", on_error=wrong)


def test_a_canceled_call_stays_canceled(db: Path) -> None:
    """The host cancels a coroutine; that is no failure to log."""

    async def cancel() -> None:
        waiting = asyncio.Event()

        async def hook(incoming: object) -> None:
            waiting.set()
            await asyncio.Event().wait()

        with EventTracking(db, before_store=hook) as tracking:
            await asyncio.to_thread(tracking.directory.ensure_list, 1, "Customers")
            task = asyncio.create_task(tracking.atrack(1, "signup", email="ada@example.com", on_error="log"))
            await waiting.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancel())
