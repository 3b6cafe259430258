"""Disks that are full, slow, read-only; files that are deleted or replaced: 503 meanwhile, nothing lost, no restart."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from falcon_events import EventTracking, Tracked
from falcon_events.files.paths import journals_of
from tests.faults.common import Clients, Shared, assert_whole
from tests.harness import fill_store, owner_of, rows, serving, wait_until
from tests.needs import require
from tests.shortcuts import make_store

DISK_MB = 24


class Disk:
    """A small disk of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._fill = folder / "fill"

    def fill(self) -> None:
        """Takes all the room that there is, again and again, as the database may give some back."""
        with self._fill.open("ab", buffering=0) as filling, contextlib.suppress(OSError):
            while True:
                filling.write(b"\0" * 65536)
        with self._fill.open("ab", buffering=0) as filling, contextlib.suppress(OSError):
            while True:
                filling.write(b"\0" * 512)

    def empty(self) -> None:
        """Gives the room back."""
        self._fill.unlink(missing_ok=True)

    def remount(self, how: str) -> None:
        """Mounts it anew, read-only (`ro`) or not (`rw`)."""
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.folder)], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small tmpfs."""
    folder = tmp_path / "disk"
    folder.mkdir()
    require("mounts")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=700", "none", str(folder)], check=True)
    yield Disk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def injected(db: Path, calls: str, fault: str, *paths: Path) -> Iterator[None]:
    """The owner of a store, for which some system calls, on these files or on any, are as the fault says."""
    require("root", "strace")
    command = ["strace", "-f", "-q", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}"]
    only = [word for path in paths for word in ("-P", str(path))]
    tracer = subprocess.Popen([*command, *only, "-p", str(owner_of(db))], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        tracer.terminate()
        tracer.wait()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A server, the credentials of its store, and the store. Tests leave it in service, whatever its disk did."""
    db = tmp_path_factory.mktemp("shared") / "events.duckdb"
    credentials = make_store(db)
    with serving(db) as served:
        yield (shared := Shared(served, credentials, db))
        shared.end()


def test_a_full_disk_refuses_and_resumes(flavour: str, disk: Disk) -> None:
    """Full while the log is written: 503, queries go on; with room again, service goes on by itself; nothing lost or doubled."""
    db = disk.folder / "events.duckdb"
    credentials = make_store(db)
    with serving(db, flavour) as served, Clients(served.url, credentials) as clients:
        for _ in range(2):
            clients.wait_for(50)
            before = clients.refused[503]
            disk.fill()
            wait_until(lambda before=before: disk.fill() or clients.refused[503] > before + 10, "it takes events", served)  # type: ignore[misc]
            names = served.client.properties(APIKey=credentials.full, ListID=94)
            assert names.status_code == 200
            assert "load" in names.json()["Properties"]
            disk.empty()
        clients.wait_for(50)
        clients.stop()
        assert not clients.given_up
        assert clients.unanswered == 0
        assert served.client.get("/healthz").status_code == 200
        assert served.stop() == 0
    disk.empty()
    assert_whole(db, clients.acknowledged)


@pytest.mark.database
def test_a_disk_that_is_full_at_a_checkpoint_refuses_and_resumes(flavour: str, disk: Disk) -> None:
    """The database is dead after a failed checkpoint; it is opened again when there is room, without a restart."""
    db = disk.folder / "events.duckdb"
    credentials = make_store(db)
    env = {"FALCON_EVENTS_CHECKPOINT_WAL_MB": "1"}
    with serving(db, flavour, env=env) as served, Clients(served.url, credentials) as clients:
        for _ in range(2):
            clients.wait_for(100)
            before = clients.refused[503]
            log = db.with_name("events.duckdb.wal")
            filling = disk.folder / "fill"
            free = os.statvfs(disk.folder).f_bavail * os.statvfs(disk.folder).f_frsize
            with contextlib.suppress(OSError):  # somebody else may have taken some of it
                filling.write_bytes(b"\0" * max(0, free - 400_000))  # some more of the logs, no checkpoint
            wait_until(lambda before=before: clients.refused[503] > before + 10, f"it takes events, {log}", served)  # type: ignore[misc]
            disk.empty()
        clients.wait_for(50)
        clients.stop()
        assert not clients.given_up
        assert served.stop() == 0
    assert_whole(db, clients.acknowledged)


@pytest.mark.needs("strace")
def test_a_disk_that_has_become_read_only_refuses_and_resumes(shared: Shared) -> None:
    """Every write fails with EROFS, as after an error of the disk: 503; when writes work again, so does the server."""
    served, credentials, db = shared.served, shared.credentials, shared.db
    with Clients(served.url, credentials) as clients:
        for _ in range(2):
            clients.wait_for(30)
            before = clients.refused[503]
            with injected(db, "write,pwrite64,fsync,fdatasync,ftruncate", "error=EROFS"):
                wait_until(lambda before=before: clients.refused[503] > before + 10, "it takes events", served)  # type: ignore[misc]
                assert served.client.properties(APIKey=credentials.full, ListID=94).status_code == 200
        clients.wait_for(30)
        clients.stop()
        assert not clients.given_up
    shared.check(clients)


@pytest.mark.needs("strace")
def test_a_failed_sync_is_followed_by_a_new_journal(shared: Shared) -> None:
    """Only the journal's syncs fail: 503, and nothing is acknowledged before its files have been made anew; nothing is lost."""
    served, credentials, db = shared.served, shared.credentials, shared.db
    with Clients(served.url, credentials) as clients:
        for _ in range(2):
            clients.wait_for(30)
            before = clients.refused[503]
            with contextlib.ExitStack() as held:  # so that no new file gets an old one's number
                files = [held.enter_context(path.open("rb")) for path in journals_of(db)]
                unfinished = [path.with_name(f"{path.name}.new") for path in journals_of(db)]
                with injected(db, "fdatasync", "error=EIO", *journals_of(db), *unfinished):
                    wait_until(lambda before=before: clients.refused[503] > before + 10, "it takes events", served)  # type: ignore[misc]
                    at = len(clients.acknowledged)
                    assert served.client.properties(APIKey=credentials.full, ListID=94).status_code == 200
                    assert "journal" in served.client.get("/healthz").text
                    assert len(clients.acknowledged) == at
                clients.wait_for(30)
                assert not {path.stat().st_ino for path in journals_of(db)} & {os.fstat(file.fileno()).st_ino for file in files}
        clients.stop()
        assert not clients.given_up
    shared.check(clients)


def test_a_journal_that_is_deleted_is_made_anew(shared: Shared) -> None:
    """What was in it is in memory still, and goes into the database; the next events wait for the new one."""
    served, credentials, db = shared.served, shared.credentials, shared.db
    with Clients(served.url, credentials) as clients:
        for _ in range(2):
            clients.wait_for(30)
            for path in journals_of(db):
                path.unlink()
            wait_until(lambda: all(path.exists() for path in journals_of(db)), "it is not made anew", served)
        clients.wait_for(30)
        clients.stop()
        assert not clients.given_up
    shared.check(clients)


@pytest.mark.needs("strace")
def test_a_slow_disk_delays_and_loses_nothing(shared: Shared) -> None:
    """Each sync takes a fifth of a second longer: latency, no refusal."""
    served, credentials, db = shared.served, shared.credentials, shared.db
    with Clients(served.url, credentials) as clients:
        clients.wait_for(20)
        with injected(db, "fsync,fdatasync", "delay_exit=200000"):
            clients.longest_s = 0.0
            wait_until(lambda: clients.longest_s > 0.2, "the disk is not slow", served)
            clients.wait_for(30)
        clients.wait_for(20)
        clients.stop()
        assert clients.refused == {}
        assert clients.unanswered == 0
    shared.check(clients)


def test_a_deleted_file_is_not_written_to(shared: Shared) -> None:
    """Moved away under a running server: 503 with the reason in /healthz; put back, service goes on with all that was there."""
    served, credentials, db = shared.served, shared.credentials, shared.db
    assert served.client.track(**credentials.event(event="moved")).status_code == 200
    away = db.with_name("away.duckdb")
    db.rename(away)
    assert served.client.track(**credentials.event(event="moved")).status_code == 503
    health = served.client.get("/healthz")
    assert health.status_code == 503
    assert "was deleted or moved" in health.json()["Errors"][0]["Message"]
    assert not db.exists()
    away.rename(db)
    wait_until(lambda: served.client.track(**credentials.event(event="moved")).status_code == 200, "it does not resume", served)
    with EventTracking(db) as tracking:
        assert [event.event for _, event in tracking.latest(94)].count("moved") == 2


def test_a_file_deleted_for_good_makes_no_new_one_behind_anybodys_back(db: Path) -> None:
    """The server says that the store is missing, also after its owner has died; nothing is made in its place."""
    credentials = make_store(db)
    with serving(db) as served:
        assert served.client.track(**credentials.event()).status_code == 200
        db.unlink()
        os.kill(owner_of(db), 9)
        wait_until(lambda: "missing" in str(served.client.get("/healthz").text), "no word of it", served)
        assert served.client.track(**credentials.event()).status_code == 503
        assert not db.exists()


def test_a_replaced_file_takes_over(shared: Shared) -> None:
    """A backup moved into the place of a store in use: its events go on, the old one's log is kept beside it, and it is told."""
    served, credentials, db = shared.served, shared.credentials, shared.db
    assert served.client.track(**credentials.event(event="kept")).status_code == 200
    copy = db.with_name("copy.duckdb")
    with EventTracking(db) as tracking:
        tracking.backup(copy)
    assert served.client.track(**credentials.event(event="lost")).status_code == 200
    copy.rename(db)
    wait_until(lambda: served.client.track(**credentials.event(event="new")).status_code == 200, "it does not resume", served)
    names = served.client.properties(APIKey=credentials.full, ListID=94).json()["Properties"]
    assert {"kept", "new"} <= names.keys()
    assert "lost" not in names
    assert list(db.parent.glob("events.duckdb.journal-*.replaced-*"))


@pytest.mark.database
def test_a_backup_of_a_live_store_is_a_store(shared: Shared, tmp_path: Path) -> None:
    """Made under load, it holds a moment of it, whole; started from, it goes on."""
    served, credentials, db = shared.served, shared.credentials, shared.db
    with Clients(served.url, credentials) as clients:
        clients.wait_for(60)
        before = set(clients.acknowledged)
        copy = tmp_path / "copy.duckdb"
        with EventTracking(db) as tracking:
            size = tracking.backup(copy)
        assert size == copy.stat().st_size
        assert copy.stat().st_mode & 0o777 == 0o600
        clients.wait_for(10)
        clients.stop()
    assert_whole(copy, before)
    with EventTracking(copy) as tracking:
        assert not tracking.recount(94).differs
        assert tracking.track(94, "load", email="a@example.com").event_id


def test_a_backup_that_does_not_fit_leaves_nothing(disk: Disk, db: Path) -> None:
    """The error names the file; the store goes on."""
    with EventTracking(db) as tracking:
        fill_store(tracking)
        disk.fill()
        with pytest.raises(Exception, match=r"copy\.duckdb cannot be written"):
            tracking.backup(disk.folder / "copy.duckdb")
        assert [path.name for path in disk.folder.iterdir()] == ["fill"]
        assert tracking.track(94, "load", email="a@example.com").event_id


@pytest.mark.database
def test_compacting_under_load_gives_room_back_and_loses_nothing(db: Path) -> None:
    """The file is replaced by a smaller one while clients send; everybody waits, nobody is refused."""
    credentials = make_store(db)
    properties = [{str(name): os.urandom(400).hex() for name in range(200)} for _ in range(40)]
    bulk = [{"ListID": 95, "event": "bulk", "email": "a@example.com", "properties": own} for own in properties]
    with EventTracking(db) as tracking:
        assert all(isinstance(outcome, Tracked) for outcome in tracking.track_many([json.dumps(body).encode() for body in bulk]))
    with EventTracking(db) as tracking:
        tracking.directory.delete_list(95)
    with serving(db) as served, Clients(served.url, credentials) as clients:
        clients.wait_for(50)
        with EventTracking(db) as tracking:
            sizes = tracking.compact()
        assert sizes.after < sizes.before / 2
        clients.wait_for(50)
        clients.stop()
        assert clients.refused == {}
        assert served.stop() == 0
    assert_whole(db, clients.acknowledged)
    assert rows(db, "select count(*) from lists") == [(2,)]
