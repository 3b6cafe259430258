"""Values, paths and processes of host applications that are not the usual ones."""

from __future__ import annotations

import enum
import json
import os
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from falcon_events import EventTracking, IncomingEvent, InvalidRequest
from falcon_events.client.events import Event, QueuedEvent
from falcon_events.contract.body import read_body
from falcon_events.errors import RequestRefused
from tests.conftest import Api
from tests.harness import EVENT, Credentials
from tests.shortcuts import make_store

SOME_ID = uuid.UUID("13f8e79a-f063-4b80-90e4-b65a699a2f56")


class Color(enum.Enum):
    """An enumeration of texts."""

    RED = "red"


class Price(enum.Enum):
    """An enumeration of decimals."""

    LOW = Decimal("0.10")


CONVERTED = {
    "decimal": (Decimal("12.50"), 12.5),
    "whole decimal": (Decimal("12.00"), 12),
    "large decimal": (Decimal("123456789012345678901234567890"), 123456789012345678901234567890),
    "aware datetime": (datetime(2026, 1, 2, 3, 4, 5, 6, UTC), "2026-01-02T03:04:05.000006Z"),
    "naive datetime": (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),
    "date": (date(1981, 2, 2), "1981-02-02"),
    "time": (time(3, 4), "03:04:00"),
    "UUID": (SOME_ID, str(SOME_ID)),
    "enum": ([Color.RED, Price.LOW], ["red", 0.1]),
    "set": ({"b", "a"}, ["a", "b"]),
    "frozen set of several types": (frozenset({"a", 1}), [1, "a"]),
    "mapping in a tuple": ((MappingProxyType({"a": Decimal(1)}),), [{"a": 1}]),
}
REFUSED: dict[str, tuple[Any, list[str]]] = {
    "bytes": (b"x", ["properties['order']['total'][1]", "bytes"]),
    "an object": (object(), ["properties['order']['total'][1]", "object"]),
    "a timedelta": (timedelta(1), ["total", "datetime.timedelta"]),
    "not a number": (float("nan"), ["total", "nan"]),
    "a huge number": (10**5000, ["total", "int", "1.8e308"]),
    "infinity": (Decimal("Infinity"), ["total", "decimal.Decimal"]),
    "a decimal beyond a double": (Decimal("0.1234567890123456789"), ["total", "decimal.Decimal", "exactly"]),
    "a huge decimal": (Decimal("1E+999999"), ["total", "decimal.Decimal"]),
    "bytes in a set": ({b"x"}, ["total", "bytes"]),
    "a name of another type": ({SOME_ID: 1}, ["total", "uuid.UUID"]),
}


class Hooked:
    """A tracker, another one of the same store whose hook sets a property, and what the store has."""

    def __init__(self, db: Path) -> None:
        self.value: Any = None
        make_store(db)
        self.tracking, self.hooked = EventTracking(db), EventTracking(db, before_store=self._set)

    def _set(self, event: IncomingEvent) -> None:
        event.properties["order"] = self.value

    def stored(self) -> list[tuple[str, Any]]:
        """The type and the property of each event."""
        return [(one.event, one.properties["order"]) for _, one in self.tracking.latest(94, most=1000)]


@pytest.fixture(scope="module")
def trackers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hooked]:
    """The trackers that all values are tried with."""
    made = Hooked(tmp_path_factory.mktemp("values") / "events.duckdb")
    with made.tracking, made.hooked:
        yield made


@pytest.mark.parametrize("case", CONVERTED)
def test_a_value_that_json_lacks_is_converted(trackers: Hooked, case: str) -> None:
    """By track(), by the client, and where a hook has set it."""
    trackers.value, expected = CONVERTED[case]
    properties = {"order": trackers.value}
    trackers.tracking.track(94, "order", email="a@example.com", properties=properties)
    trackers.hooked.track(94, "hooked", email="a@example.com")
    assert trackers.stored()[-2:] == [("order", expected), ("hooked", expected)]
    assert read_body(QueuedEvent(Event(94, "order", properties=properties), 0).body)["properties"] == {"order": expected}


@pytest.mark.parametrize("case", REFUSED)
def test_a_value_that_cannot_be_converted_is_named(trackers: Hooked, case: str, caplog: pytest.LogCaptureFixture) -> None:
    """With its place and type; nothing is stored. If a hook has set it, the log names it."""
    value, words = REFUSED[case]
    before = trackers.stored()
    properties = {"order": {"total": ["fine", value]}}
    for call in (
        lambda: trackers.tracking.track(94, "order", email="a@example.com", properties=properties),
        lambda: QueuedEvent(Event(94, "order", properties=properties), 0),
    ):
        with pytest.raises(InvalidRequest) as refused:
            call()
        assert refused.value.codes == (100000,)
        assert all(word in str(refused.value) for word in words), str(refused.value)

    trackers.value = properties["order"]
    with pytest.raises(RequestRefused):
        trackers.hooked.track(94, "hooked", email="a@example.com")
    assert all(word in caplog.text for word in words)
    assert trackers.stored() == before


def test_arguments_take_the_types_that_they_stand_for(tracking: EventTracking, credentials: Credentials) -> None:
    """A datetime as the timestamp, UUIDs as the visitor and the EventID."""
    at: Any = datetime(2026, 1, 2, tzinfo=UTC)
    some: Any = SOME_ID
    tracked = tracking.track(94, "e", uuid=some, event_id=some, timestamp=at)
    assert (tracked.uuid, tracked.event_id) == (str(SOME_ID), str(SOME_ID))
    assert [one.occurred_at for _, one in tracking.latest(94)] == ["2026-01-02T00:00:00.000000+00:00"]


def test_a_store_opens_where_neither_its_own_nor_the_temporary_folder_has_room_for_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MacOS has temporary folders with long paths."""
    for name in ("x" * 100, "t" * 90):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("t" * 90)))
    monkeypatch.setattr("tempfile.tempdir", None)
    db = tmp_path / ("x" * 100) / "events.duckdb"
    make_store(db)
    with EventTracking(db) as first, EventTracking(db) as second:
        first.track(94, "e", email="a@example.com")
        assert [one.event for _, one in second.latest(94)] == ["identify", "e"]


def test_a_frozen_program_starts_no_endless_row_of_itself(tmp_path: Path) -> None:
    """With freeze_support() it is its own owner process; without, the store says what is missing."""
    program, main = tmp_path / "program", tmp_path / "main.py"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {main} "$@"\n')
    program.chmod(0o755)
    source = """
        import sys
        sys.frozen, sys.executable = True, {program!r}
        print("started", file=open({trace!r}, "a"))
        import falcon_events
        {support}
        with falcon_events.EventTracking({db!r}) as tracking:
            tracking.directory.ensure_list(1, "one")
            tracking.track(1, "e", email="a@example.com")
        print("stored")
    """
    for support in ("", "falcon_events.freeze_support()"):
        trace, db = tmp_path / f"trace{len(support)}", tmp_path / f"store{len(support)}"
        names = {"program": str(program), "trace": str(trace), "db": str(db), "support": support}
        main.write_text(textwrap.dedent(source).format(**names))
        done = subprocess.run([program], capture_output=True, text=True, check=False, env={**os.environ})
        if support:
            assert (done.returncode, done.stdout) == (0, "stored\n"), done.stderr
            assert len(trace.read_text().split()) == 2
        else:
            assert "falcon_events.freeze_support()" in done.stderr
            assert len(trace.read_text().split()) == 1


@pytest.mark.parametrize("early", [True, False])
def test_gevent_must_patch_before_the_import(tmp_path: Path, early: bool) -> None:
    """Afterwards the threads would hang, so the store refuses to open and says what to do."""
    patch = (
        "import types; m = types.ModuleType('gevent.monkey'); m.is_module_patched = lambda name: True; "
        "sys.modules['gevent.monkey'] = m"
    )
    lines = ["import sys", "import falcon_events.link.link", "import falcon_events"]
    lines.insert(1 if early else 3, patch)
    lines.append(f"falcon_events.EventTracking({str(tmp_path / 'events.duckdb')!r}).open().close()")
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is early, done.stderr
    assert ("monkey.patch_all()" in done.stderr) is not early


@pytest.mark.parametrize("spelling", [{}, {"EVENT": "first"}])
def test_a_byte_order_mark_is_ignored(api: Api, spelling: dict[str, str]) -> None:
    """.NET and PowerShell write one; a second one is no JSON."""
    body = json.dumps({**spelling, **api.credentials.event()}).encode()
    for path in (EVENT, "/api/v1/website_events.properties"):
        assert api.client.post(path, content=b"\xef\xbb\xbf" + body).status_code == 200
    batch = json.dumps({"APIKey": api.credentials.full, "Events": [{**spelling, **api.credentials.event()}]}).encode()
    assert "uuid" in api.client.post("/api/v1/events", content=b"\xef\xbb\xbf" + batch).json()["Results"][0]
    assert api.client.post(EVENT, content=b"\xef\xbb\xbf" * 2 + body).status_code == 400


@pytest.mark.parametrize("address", ["user@münchen.de", "user@例子.世界", "jörg@example.de"])
def test_an_internationalized_address_is_refused(api: Api, address: str) -> None:
    """As the documented platform does; the domain's punycode form is the way in."""
    answer = api.client.track(**api.credentials.event(email=address))
    assert (answer.status_code, answer.json()["Errors"][0]["Code"]) == (422, 7)
    assert api.client.track(**api.credentials.event(email="user@xn--mnchen-3ya.de")).status_code == 200
