"""The owner dies at each step of an event's way through the journal; the journal's files are torn, damaged, foreign."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from falcon_events import EventTracking, StoreError
from falcon_events.files.paths import journals_of, logs_of
from tests.faults.common import Clients, assert_whole
from tests.harness import fill_store, is_held, rows, serving, wait_until
from tests.shortcuts import make_store

ROOT = Path(__file__).parents[2]
DIES = """
import os, signal
from pathlib import Path
from falcon_events.store.engine import backlog, journal, tables

ORDER = Path(os.environ["DIE_ORDER"])
journal.ROTATED_BYTES = 4096


def is_ordered(step):
    try:
        return step is not None and ORDER.read_text() == step
    except FileNotFoundError:
        return False


def die(step):
    if is_ordered(step):
        os.remove(ORDER)
        os.kill(os.getpid(), signal.SIGKILL)


def wrap(owner, name, before=None, after=None):
    function = getattr(owner, name)

    def wrapped(*arguments, **named):
        die(before)
        result = function(*arguments, **named)
        die(after)
        return result

    setattr(owner, name, wrapped)


write = journal._write


def torn(descriptor, data, at):
    if is_ordered("in the write") and data[:1] != bytes(1):
        write(descriptor, data[: len(data) // 2], at)
        die("in the write")
    write(descriptor, data, at)


journal._write = torn
wrap(journal.Journal, "append", before="before the write", after="after the sync")
wrap(journal, "_sync", before="before the sync")
wrap(backlog.Backlog, "peek", before="after the answer")
wrap(tables.Tables, "_write", after="in the application")
wrap(journal.Journal, "mark_applied", before="after the application", after="after the journal's part is free")
wrap(journal._File, "restart", after="in the rotation")
wrap(journal.Journal, "close", before="before the journal is removed")
wrap(journal._File, "close", after="while the journal is closed")
wrap(Path, "unlink", after="between the removal of its files")
"""
STEPS = [
    "before the write",
    "in the write",
    "before the sync",
    "after the sync",
    "after the answer",
    "in the application",
    "after the application",
    "after the journal's part is free",
    "in the rotation",
]


def dying(tmp_path: Path) -> tuple[dict[str, str], Path]:
    """The environment in which an owner dies at the step that is written to a file, and that file."""
    hooks, order = tmp_path / "hooks", tmp_path / "order"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(DIES)
    return {"PYTHONPATH": os.pathsep.join([str(hooks), str(ROOT)]), "DIE_ORDER": str(order)}, order


@pytest.mark.database
def test_an_owner_may_die_at_any_step(flavour: str, db: Path, tmp_path: Path) -> None:
    """Whatever step an event has come to: acknowledged ones are stored, each once, and requests in flight succeed."""
    env, order = dying(tmp_path)
    credentials = make_store(db)
    with serving(db, flavour, env=env) as served, Clients(served.url, credentials) as clients:
        for step in STEPS:
            clients.wait_for(10)
            order.write_text(step)
            wait_until(lambda: not order.exists(), f"nobody dies {step}", served)
            clients.wait_for(10)
            assert not clients.given_up, step
            assert clients.refused.keys() <= {503}, step
        clients.stop()
        assert not clients.given_up
        assert clients.refused.keys() <= {503}
        assert served.stop() == 0, served.log()
    assert_whole(db, clients.acknowledged)
    assert not any(path.exists() for path in journals_of(db))


@pytest.mark.parametrize(
    "step", ["before the journal is removed", "while the journal is closed", "between the removal of its files"]
)
def test_an_owner_may_die_at_the_very_end(db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """When everything is in the database, and the journal is on its way out: the next start finds all of it, once."""
    env, order = dying(tmp_path)
    make_store(db)
    with monkeypatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        with EventTracking(db) as tracking:
            for number in range(20):
                tracking.track(94, "load", email=f"v{number % 5}@example.com")
            order.write_text(step)
        wait_until(lambda: not is_held(db), "the owner lives on")
    assert not order.exists()
    assert any(path.exists() for path in journals_of(db))
    with EventTracking(db) as tracking:
        assert tracking.track(94, "more", email="a@example.com").event_id
    assert_whole(db, set())
    assert rows(db, "select event, count(*) from events group by all order by all") == [
        ("identify", 6),
        ("load", 20),
        ("more", 1),
    ]
    assert not any(path.exists() for path in journals_of(db))


CRASH = """
import os, sys
from pathlib import Path
from falcon_events import EventTracking
from falcon_events.files.lockfile import holder

db = Path(sys.argv[1])
tracking = EventTracking(db).open()
for number in range(int(sys.argv[2])):
    tracking.track(94, "load", email=f"v{number}@example.com", id=number, properties={f"name {number}": number})
with tracking.store._lock:  # no new owner comes for this process
    os.kill(holder(db), 9)
    os.kill(os.getpid(), 9)
"""
EVENTS = 40


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store whose owner has died with EVENTS events that only the journal has, and their identify events."""
    folder = tmp_path_factory.mktemp("crash")
    db, hooks = folder / "events.duckdb", tmp_path_factory.mktemp("hooks")
    make_store(db)
    (hooks / "sitecustomize.py").write_text("from falcon_events.store.engine import backlog\nbacklog.APPLIED_AFTER_S = 600\n")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(hooks), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", CRASH, str(db), str(EVENTS)], cwd=ROOT, env=env, check=False)
    assert done.returncode == -9
    wait_until(lambda: not is_held(db), "the owner lives on")
    return folder


@pytest.fixture
def crashed(crash: Path, db: Path) -> Path:
    """A copy of the store of `crash`, with its journal."""
    for path in crash.iterdir():
        if path.is_file():
            shutil.copy(path, db.with_name(path.name))
    return db


def newest(db: Path) -> Path:
    """The file of the journal that has its entries."""
    return max(journals_of(db), key=lambda path: path.stat().st_size)


@pytest.mark.database
def test_what_only_the_journal_has_is_taken_in_once(crashed: Path) -> None:
    """Also where the database has been opened before, and the journal's files are still there: as after a crash in between."""
    kept = {path: path.read_bytes() for path in journals_of(crashed)}
    for _ in range(2):
        with EventTracking(crashed) as tracking:
            assert tracking.stats().events == 2 * EVENTS
            names = tracking.properties(94)
            assert names["load"] == sorted(f"name {number}" for number in range(EVENTS))
            assert names["identify"] == sorted([*names["load"], "emailAddress"])
            assert not tracking.track(94, "more", email="v0@example.com", id=0, properties={"isTest": True}).identify_event_sent
            assert not tracking.recount(94).differs
            assert [check for check in tracking.check() if not check.ok and check.name != "disk"] == []
        assert not any(path.exists() for path in logs_of(crashed))
        for path, content in kept.items():
            path.write_bytes(content)
            path.chmod(0o600)


def test_a_torn_end_is_cut_off_and_told(crashed: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The last entry lacks its end: it was never acknowledged, so the store opens without it, and says so."""
    path = newest(crashed)
    content = path.read_bytes().rstrip(b"\0")
    path.write_bytes(content[:-20])
    with caplog.at_level(logging.WARNING, "falcon_events"), EventTracking(crashed) as tracking:
        assert tracking.stats().events == 2 * (EVENTS - 1)
        tracking.track(94, "load", email="new@example.com")
    assert any("is incomplete" in record.getMessage() for record in caplog.records)
    with EventTracking(crashed) as tracking:
        assert tracking.stats().events == 2 * EVENTS


@pytest.mark.parametrize("left", ["nothing", "some bytes", "zeros"])
def test_a_journal_that_was_cut_is_said_to_lack_events(crashed: Path, caplog: pytest.LogCaptureFixture, left: str) -> None:
    """By the next owner, as a critical log line, and by doctor until what was left of it is deleted."""
    path = newest(crashed)
    size = path.stat().st_size
    os.truncate(path, 10 if left == "some bytes" else 0)
    if left == "zeros":
        os.truncate(path, size)
    with caplog.at_level(logging.WARNING, "falcon_events"), EventTracking(crashed) as tracking:
        assert tracking.track(94, "load", email="new@example.com").event_id
        critical = [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]
        assert len(critical) == 1
        assert f"{path} was cut" in critical[0]
        (kept,) = crashed.parent.glob("*.cut-*")
        assert kept.name in critical[0]
        assert [check.name for check in tracking.check() if not check.ok and check.name != "disk"] == [f"file {kept.name}"]
        kept.unlink()
        assert [check for check in tracking.check() if not check.ok and check.name != "disk"] == []


def test_a_journal_without_the_entries_that_the_tables_have_was_cut(
    crashed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Even if it was cut behind its head. A journal that has them, but none that the tables lack, is whole."""
    journals = {path: path.read_bytes() for path in journals_of(crashed)}
    EventTracking(crashed).open().close()  # the tables have its entries now
    for path, content in journals.items():
        path.write_bytes(content)
        path.chmod(0o600)
    for is_cut in (False, True):
        if is_cut:
            for path in journals:
                path.write_bytes(journals[path][:40])
                path.chmod(0o600)
        with caplog.at_level(logging.WARNING, "falcon_events"), EventTracking(crashed) as tracking:
            assert tracking.stats().events == 2 * EVENTS
        assert any(record.levelno == logging.CRITICAL for record in caplog.records) == is_cut


@pytest.mark.parametrize("damage", ["middle", "first", "foreign", "gap"])
def test_a_damaged_journal_stops_the_start_and_nothing_is_deleted(crashed: Path, damage: str) -> None:
    """The error names the files and a way out that loses nothing; set aside, the store opens with what the database has."""
    path = newest(crashed)
    content = bytearray(path.read_bytes())
    middle = content.index(b"name 20")
    if damage == "foreign":
        with EventTracking(crashed.with_name("other.duckdb")) as tracking:
            fill_store(tracking)
        shutil.copy(crashed.with_name("other.duckdb"), crashed)
    elif damage == "gap":
        content[content.index(b"\xfeFEJ") : content.index(b"name 3")] = b"\0" * (
            content.index(b"name 3") - content.index(b"\xfeFEJ")
        )
    else:
        at = middle if damage == "middle" else content.index(b"name 0")
        content[at : at + 5] = b"XXXXX"
    path.write_bytes(content)
    before = {path: path.read_bytes() for path in (crashed, *journals_of(crashed))}
    with pytest.raises(StoreError, match=r"journal-.*(so that nothing is lost.*backup|Move it back)"):
        EventTracking(crashed).open()
    assert before == {path: path.read_bytes() for path in before}
    for path in journals_of(crashed):
        path.rename(path.with_name(f"aside{path.suffix}"))
    with EventTracking(crashed) as tracking:
        assert tracking.stats().events == 0


def test_a_missing_file_whose_journal_is_there_is_not_made_anew(crashed: Path) -> None:
    """The journal has what was acknowledged: the error says that it is there."""
    crashed.rename(crashed.with_name("away"))
    for path in logs_of(crashed)[:1]:
        path.unlink(missing_ok=True)
    with pytest.raises(StoreError, match="journal-a exists"):
        EventTracking(crashed).open()
    crashed.with_name("away").rename(crashed)
    with EventTracking(crashed) as tracking:
        assert tracking.stats().events == 2 * EVENTS
