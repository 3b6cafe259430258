"""Reports of a list's event types, and of the properties of one of them, from the catalogue and what it still lacks."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from falcon_events import EventTracking
from falcon_events.model.reports import SeenEvent, SeenProperty


@pytest.mark.parametrize("fold_events", [1, 3, 1_000])
def test_names_are_exact_whatever_the_catalogue_lacks(db: Path, fold_events: int) -> None:
    """Every acknowledged event counts, once; another list's do not."""
    with EventTracking(db, fold_events=fold_events) as tracking:
        for list_id in (1, 2):
            tracking.directory.ensure_list(list_id, "news")
        for day in range(1, 8):
            properties = {"n": day if day % 2 else "text", "$lib": "test", "Rare" if day == 7 else "often": None}
            tracking.track(1, "order", email="a@example.com", timestamp=f"2026-03-0{day}T10:00:00Z", properties=properties)
        tracking.track(1, "Other", email="a@example.com")
        tracking.track(2, "order", email="a@example.com", timestamp="2020-01-01T00:00:00Z", properties={"elsewhere": 1})
        seen = tracking.admin.seen_events(1, ["order", "none"], search="OTH")
        first, last = datetime(2026, 3, 1, 10, tzinfo=UTC), datetime(2026, 3, 7, 10, tzinfo=UTC)
        assert (seen.types, seen.count) == ([SeenEvent("order", 7, first, last)], 1)
        assert tracking.admin.seen_events(1).count == 3  # with identify
        found = tracking.admin.seen_properties(1, "order")
        assert found.count == 4
        assert found.properties == [
            SeenProperty("n", 7, {"UBIGINT": 4, "VARCHAR": 3}),
            SeenProperty("often", 6, {"NULL": 6}),
            SeenProperty("Rare", 1, {"NULL": 1}),
            SeenProperty("$lib", 7, {"VARCHAR": 7}),
        ]
        page = tracking.admin.seen_properties(1, "order", most=2, skipped=2)
        assert ([one.name for one in page.properties], page.count) == (["Rare", "$lib"], 4)
        page = tracking.admin.seen_properties(1, "order", search="R", most=1)
        assert ([one.name for one in page.properties], page.count) == (["Rare"], 1)


def test_a_type_of_an_erased_person_is_not_seen(db: Path) -> None:
    """What the catalogue counts of them is erased, too."""
    with EventTracking(db) as tracking:
        tracking.directory.ensure_list(1, "news")
        tracking.track(1, "order", email="a@example.com", properties={"n": 1})
        tracking.erase(1, email="a@example.com")
        assert tracking.admin.seen_events(1, ["order"]).types == []
        assert tracking.admin.seen_properties(1, "order").properties == []
