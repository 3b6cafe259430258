"""Events that are larger than the memory limit: each operation works, or says that the memory does not suffice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from falcon_events.errors import EventsError, QueryTooLong
from falcon_events.model.events import Receipt
from falcon_events.model.persons import Visitor
from falcon_events.model.reports import EVERYTHING, HEALTHY
from falcon_events.query.person_reading import read_people_question, read_timeline_question
from falcon_events.query.question import encode_question
from falcon_events.query.reading import read_funnel, read_question, read_values_question
from falcon_events.settings import Settings
from falcon_events.store.engine.upkeep import Upkeep
from falcon_events.store.store import Store
from tests.unit.test_store import new_event, submit

pytestmark = pytest.mark.database

EVENTS = 100
LITTLE = Settings(memory_limit_mb=128, queue_bytes=1 << 30, query_timeout_s=60)
VISITOR = "00000000-0000-4000-8000-000000000001"
FILTERS = [["is", "property:number", [3]]]
QUESTIONS: dict[str, Callable[[], Any]] = {
    "totals": lambda: read_question({"DateRange": "all"}, 1, "UTC", 0),
    "pages": lambda: read_question({"DateRange": "all", "Dimensions": ["path"]}, 1, "UTC", 0),
    "properties": lambda: read_question({"DateRange": "all", "Dimensions": ["property:number"]}, 1, "UTC", 0),
    "filters": lambda: read_question({"DateRange": "all", "Filters": FILTERS}, 1, "UTC", 0),
    "funnel": lambda: read_funnel({"DateRange": "all", "Steps": [{"Event": "a"}, {"Event": "test"}]}, 1, "UTC", 0),
    "values": lambda: read_values_question({"Dimension": "property:number"}, 1, "UTC", 0),
    "people": lambda: read_people_question({"People": FILTERS}, 1, "UTC", 0),
    "timeline": lambda: read_timeline_question({"UUID": VISITOR}, 1, "UTC", 0),
}
NEED_MEMORY = {"properties", "filters", "people", "timeline", "parquet", "backup", "compact", "personal data", "erase"}
"""What may be refused even if the events are folded."""
reads_events = pytest.mark.parametrize("large", ["unfolded"], indirect=True)
"""Of a test of what reads the events alone, so that folds do not matter."""


@pytest.fixture(scope="module", params=["folded", "unfolded"])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """An open store with a hundred events of a megabyte each. Without folds, as one whose owner was killed before them."""
    db = tmp_path_factory.mktemp("large") / "events.duckdb"
    with pytest.MonkeyPatch.context() as patched:
        if request.param == "unfolded":
            patched.setattr(Upkeep, "fold", lambda *_: None)
            patched.setattr(Upkeep, "fold_columns", lambda *_: False)
        store = Store(db, LITTLE)
        text = "x" * 1_000_000
        events = [new_event(visitor=VISITOR, properties={"number": number, "text": text}) for number in range(EVENTS)]
        assert all(isinstance(outcome, Receipt) for outcome in store.submit(events).result(60))
        store.close()
        store = Store(db, LITTLE)
        store.open()
        yield store
        store.close()


def is_folded(store: Store) -> bool:
    """Whether the events have typed columns."""
    ((folded,),) = store.run(lambda connection: connection.execute("select columns_seq from meta").fetchall()).result(60)
    return bool(folded)


@pytest.mark.parametrize("large", ["folded"], indirect=True)
def test_they_are_taken_in_with_little_memory(large: Store) -> None:
    """A commit of a hundred megabytes: journaled at once, written into the tables in portions, in one transaction, and folded."""
    of_them = "select count(*), count(distinct seq) from {} where event = 'test'"
    for table in ("events", "event_columns"):
        counted = large.run(lambda connection: connection.execute(of_them.format(table)).fetchall())  # noqa: B023
        assert counted.result(60) == [(EVENTS, EVENTS)]
    assert large.properties(1).result(60)["test"] == ["number", "text"]
    assert large.stats().result(60).events >= EVENTS
    assert large.health() == HEALTHY


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_answered_or_refused_with_code_504(name: str, large: Store) -> None:
    """It names the setting; the store goes on, and what reads typed columns is answered."""
    error = large.questions.query(encode_question(QUESTIONS[name]())).exception(120)
    if error is not None:
        assert isinstance(error, QueryTooLong)
        assert [failure.code for failure in error.failures] == [504]
        assert "memory_limit_mb" in str(error)
        assert name in NEED_MEMORY or not is_folded(large)
    assert large.health() == HEALTHY
    assert isinstance(submit(large, new_event(event="small", properties={})).result(60), Receipt)


@reads_events
def test_lines_are_exported_in_portions(large: Store, tmp_path: Path) -> None:
    """Each event is there once, in the order of arrival, and no portion is left."""
    target = tmp_path / "lines.ndjson"
    large.export(EVERYTHING, target, "ndjson").result(300)
    with target.open() as lines:
        numbers = [json.loads(line)["Properties"].get("number") for line in lines]
    assert numbers[:EVENTS] == list(range(EVENTS))
    assert list(tmp_path.iterdir()) == [target]


def test_doctor_and_recount_work(large: Store) -> None:
    """They read every event, and find nothing wrong."""
    checks = {check.name: check for check in large.check().result(600)}
    read = ("table events", "table event_columns", "catalogue", "columns", "keys")
    assert [checks[name] for name in read if not checks[name].ok] == []
    recounted = large.recount(1).result(600)
    assert (recounted.properties["test"], recounted.differs) == (["number", "text"], False)


@reads_events
def test_the_latest_events_are_read(large: Store) -> None:
    """As many as are asked for, the oldest first."""
    found = json.loads(large.latest(1, 0, 3).result(60))
    assert [seq for seq, _ in found] == sorted(seq for seq, _ in found)
    assert len(found) == 3


@reads_events
def test_webhooks_get_large_events(large: Store) -> None:
    """They are read one by one where more do not fit, so that no delivery is tried for ever in vain."""
    large.outbox.set_webhook("https://x.com/", None, "secret", None, None, from_start=True).result(60)
    (target,) = large.outbox.list_targets().result(60)
    position, bodies = 1, 0
    while position <= EVENTS:
        work = large.outbox.read_work(target.webhook_id, position, 1000, 1).result(120)
        assert work is not None
        bodies += len(work.fresh)
        position = work.until + 1
    assert bodies >= EVENTS
    large.outbox.remove("https://x.com/").result(60)


@pytest.mark.parametrize("name", ["parquet", "backup", "compact", "personal data", "stats", "observed", "erase"])
def test_other_operations_work_or_name_the_setting(name: str, large: Store, tmp_path: Path) -> None:
    """One sentence says that the memory does not suffice."""
    run: dict[str, Callable[[], Any]] = {
        "parquet": lambda: large.export(EVERYTHING, tmp_path / "events.parquet", "parquet"),
        "backup": lambda: large.backup(tmp_path / "copy.duckdb"),
        "compact": large.compact,
        "personal data": lambda: large.personal_data(Visitor(1, uuid=VISITOR)),
        "stats": large.stats,
        "erase": lambda: large.erase(Visitor(1, uuid=VISITOR)),
        "observed": lambda: large.observed_properties(1),
    }
    error = run[name]().exception(300)
    if error is not None:
        assert isinstance(error, EventsError)
        assert ("memory_limit_mb" in str(error), "\n" in str(error)) == (True, False)
        assert name in NEED_MEMORY or not is_folded(large)
    assert large.health() == HEALTHY
