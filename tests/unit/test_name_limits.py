"""Limits of names: how many property names and event types a list may have, and what is refused beyond."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from falcon_events import EventTracking, InvalidRequest, RequestRefused
from falcon_events.model.events import NewEvent
from falcon_events.model.sender import Sender
from falcon_events.settings import Settings
from falcon_events.store.engine import name_limits
from falcon_events.store.engine.name_limits import NameLimits, Room
from tests.harness import fill_store

pytestmark = pytest.mark.database


def track(tracking: EventTracking, event: str, *names: str, list_id: int = 94, **changes: Any) -> tuple[int, ...]:
    """Track an event of a known visitor with these properties; return the codes of its refusal, or nothing."""
    try:
        tracking.track(list_id, event, properties=dict.fromkeys(names, 1), **{"email": "a@example.com", **changes})
    except InvalidRequest as refused:
        return refused.codes
    return ()


@pytest.mark.parametrize("fold_events", [1, 5_000], ids=["folded", "unfolded"])
def test_names_beyond_the_limit_are_refused_and_known_ones_accepted(db: Path, fold_events: int) -> None:
    """For each event type; also after the store is opened again. Other lists have limits of their own."""
    settings: dict[str, Any] = {"max_property_names": 6, "fold_events": fold_events}
    with EventTracking(db, **settings) as tracking:
        fill_store(tracking)
        assert track(tracking, "a", "x") == ()  # and its identify event has x and emailAddress
        assert [track(tracking, "a", f"n{number}") for number in range(5)] == [(), (), (), (19,), (19,)]
        for _ in range(20):
            assert track(tracking, "a", "x", "n0", "n2") == ()
        assert track(tracking, "a", "x", "y") == track(tracking, "b", "x") == (19,)
        assert track(tracking, "b") == ()
        assert track(tracking, "a", "x", email="new@example.com") == ()
        assert track(tracking, "a", "n0", email="newer@example.com") == (19,)  # its identify event would have n0
        assert track(tracking, "a", "y", list_id=95) == ()
    with EventTracking(db, **settings) as tracking:
        assert track(tracking, "a", "x", "n0", "n1", "n2") == ()
        assert track(tracking, "a", "y") == (19,)
        assert tracking.properties(94) == {"a": ["n0", "n1", "n2", "x"], "b": [], "identify": ["emailAddress", "x"]}
        tracking.erase(94, email="a@example.com")
        assert not tracking.recount(94).differs


def test_event_types_beyond_the_limit_are_refused_and_known_ones_accepted(db: Path) -> None:
    """Code 20; in a batch it concerns the event alone."""
    with EventTracking(db, max_event_types=3) as tracking:
        key = fill_store(tracking).full
        events = [{"event": name, "email": "a@example.com"} for name in "abcbadab"]
        body = json.dumps({"ListID": 94, "Events": events}).encode()
        results = json.loads(tracking.waiter.run(tracking.pipeline.events_reply(body, Sender(key))).body)["Results"]
        assert [[error["Code"] for error in result.get("Errors", ())] for result in results] == [
            [], [], [20], [], [], [20], [], []
        ]  # fmt: skip
        assert track(tracking, "c") == (20,)
        assert sorted(tracking.properties(94)) == ["a", "b", "identify"]


def test_events_with_few_names_are_accepted_however_many_they_are(db: Path) -> None:
    """Names that events repeat count once, though they are counted exactly near the limit only."""
    body = json.dumps(
        {"ListID": 94, "event": "e", "email": "a@example.com", "properties": {str(n): ":" for n in range(20)}}
    ).encode()
    with EventTracking(db, max_property_names=100, fold_events=200) as tracking:
        fill_store(tracking)
        assert not any(isinstance(result, RequestRefused) for result in tracking.track_many([body] * 3_000))
        assert [len(names) for names in tracking.properties(94).values()] == [20, 21]


def test_a_deleted_list_makes_room(db: Path) -> None:
    """Its names count no more."""
    with EventTracking(db, max_property_names=3) as tracking:
        fill_store(tracking)
        assert [track(tracking, "a", "x"), track(tracking, "a", "y"), track(tracking, "a", "z")] == [(), (19,), (19,)]
        account = tracking.directory.lists()[0].account
        tracking.directory.delete_list(94)
        tracking.directory.create_list(account, "again", list_id=94)
        assert [track(tracking, "b", "y"), track(tracking, "b", "z")] == [(), (19,)]


class FullLists:
    """Limits of lists that have all the names that they may have: n0, n1, n2. To load those of one takes a tenth of a second."""

    def __init__(self) -> None:
        self.now = 0.0
        self.loaded: list[int] = []
        self.limits = NameLimits(Settings(max_property_names=3), self._load, lambda: self.now)

    def _load(self, list_id: int) -> list[tuple[str, list[str]]]:
        self.loaded.append(list_id)
        self.now += 0.1
        return [("e", ["n0", "n1", "n2"])]

    def track(self, list_id: int, name: str) -> int:
        """The code of an event's refusal; 0: it is stored."""
        event = NewEvent(
            event_id=None,
            account_id="account",
            list_id=list_id,
            event="e",
            visitor="00000000-0000-4000-8000-000000000000",
            external_id="owner",
            email=None,
            occurred_at=0,
            received_at=0,
            properties=b'{"%b":1,"n1":1,"n2":1,"n2":1}' % name.encode(),
            traits=None,
            size=100,
        )
        self.limits.begin_draft()
        refusal = self.limits.find_refusal(event, sends_identify=False)
        return 0 if refusal is None else refusal.codes[0]


def test_the_names_of_many_full_lists_are_loaded_once() -> None:
    """Their events are accepted or refused by what is in memory, in whatever order the lists have them."""
    full = FullLists()
    for _ in range(3):
        for list_id in range(17):
            assert [full.track(list_id, name) for name in ("n0", "other")] == [0, 19]
    assert full.loaded == list(range(17))


def test_loading_names_takes_a_bounded_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """If more lists are full than fit into memory: each event is judged exactly, or refused until later."""
    monkeypatch.setattr(name_limits, "EXACT_BYTES", 8 * name_limits.LIST_BYTES)
    full = FullLists()
    seen: Counter[int] = Counter()
    for number in range(10_000):
        seen[full.track(number % 17, "n0")] += 1
        seen[full.track(number % 17, "other")] += 1
        full.now += 0.01
    assert seen.keys() == {0, 19, 503}
    assert len(full.loaded) * 0.1 <= name_limits.LOAD_BURST_S + full.now * name_limits.LOAD_SHARE + 0.1
    assert len(full.limits._exact) < 8


def test_names_of_a_list_that_is_loaded_again_in_one_draft_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that neither the tables nor the journal have yet count as well, even if the list was forgotten in between."""
    monkeypatch.setattr(name_limits, "EXACT_BYTES", 1)
    full = FullLists()
    monkeypatch.setattr(full.limits, "_most_names", 4)
    monkeypatch.setattr(full.limits, "begin_draft", lambda: None)
    full.limits._rooms = {1: Room(0, 0), 2: Room(0, 0)}
    codes = [full.track(list_id, name) for list_id, name in ((1, "x"), (2, "x"), (1, "y"), (1, "x"), (2, "y"))]
    assert codes == [0, 0, 19, 0, 19]
    assert full.loaded == [1, 2, 1, 2]
