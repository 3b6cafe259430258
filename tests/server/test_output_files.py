"""Files that commands write: never one of a store, under any name, and no existing one without --force."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from falcon_events import EventsError, EventTracking
from falcon_events.cli.main import main
from falcon_events.files.paths import journals_of
from tests.shortcuts import command, make_store

Run = Callable[..., tuple[object, str]]
BESIDE = ("", ".wal", ".journal-a", ".lock", ".sock", ".refused.ndjson", ".wal.torn-17")
REJECTED = b'{"ListID":94,"event":"","email":"a@example.com"}\n'


@contextlib.contextmanager
def in_use(db: Path) -> Iterator[EventTracking]:
    """A new store that is open, with an event in its logs, as while a server runs."""
    make_store(db)
    with EventTracking(db) as tracking:
        tracking.track(94, "load", email="a@example.com")
        yield tracking


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventTracking]:
    """A store in use, which tests only add to."""
    with in_use(tmp_path_factory.mktemp("held") / "events.duckdb") as tracking:
        yield tracking


@pytest.fixture
def held_db(held: EventTracking) -> Path:
    """The path of that store."""
    return held.store.path


def writers(db: Path, out: Path) -> list[tuple[str, ...]]:
    """The commands that write a file, each with --force where it has that."""
    rejected = db.with_name("rejected.ndjson")
    rejected.write_bytes(REJECTED)
    return [
        ("export", "--format", "ndjson", "--force", "-o", str(out), "--db", str(db)),
        ("export", "--format", "parquet", "--force", "-o", str(out), "--db", str(db)),
        ("export", "--visitor", "--list", "94", "--email", "a@example.com", "--force", "-o", str(out), "--db", str(db)),
        ("import", str(rejected), "--rejects", str(out), "--db", str(db)),
        ("backup", str(out), "--force", "--db", str(db)),
    ]


def files_of(db: Path) -> dict[str, int]:
    """The inodes of a store's files. The database itself removes its log and creates another one."""
    paths = (db, *journals_of(db), db.with_name(f"{db.name}.lock"), db.with_name(f"{db.name}.sock"))
    return {path.name: path.stat().st_ino for path in paths}


def names_of(target: Path, folder: Path) -> list[Path]:
    """Paths that lead to a file of a store, which may be missing: its own, a roundabout one, and links."""
    (folder / "folder").symlink_to(target.parent)
    (folder / "link").symlink_to(target)
    names = [target, target.parent / ".." / target.parent.name / target.name, folder / "folder" / target.name, folder / "link"]
    if target.is_file() and target.suffix != ".duckdb":  # a store with two names is refused as a whole
        os.link(target, folder / "hard link")
        names.append(folder / "hard link")
    return names


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs the command in this process, and returns its exit code and what it has said on standard error."""
    umask = os.umask(0o077)

    def run(*words: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["falcon-events", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capfd.readouterr().err

    yield run
    os.umask(umask)


@pytest.mark.parametrize("ending", BESIDE)
def test_no_command_writes_over_a_file_of_the_store(
    held: EventTracking, held_db: Path, tmp_path: Path, ending: str, run: Run
) -> None:
    """Not under any name, not with --force, and not where the file is missing at the moment."""
    (tmp_path / "names").mkdir()
    before, events = files_of(held_db), held.stats().events
    for out in names_of(held_db.with_name(held_db.name + ending), tmp_path / "names"):
        for words in writers(held_db, out):
            code, said = run(*words)
            assert code == 2, words
            assert said.count("\n") == 1, said
            assert "another path" in said or "a socket" in said
    assert files_of(held_db) == before
    held.track(94, "load", email="a@example.com")
    assert held.stats().events == events + 1


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The path of another store in use, whose name does not tell."""
    with in_use(tmp_path_factory.mktemp("other") / "shop.duckdb") as tracking:
        yield tracking.store.path


@pytest.mark.parametrize("ending", ["", ".journal-a", ".wal", ".lock"])
def test_no_command_writes_over_another_store(held_db: Path, other: Path, ending: str) -> None:
    """One in use, or its logs; its name need not tell."""
    before = files_of(other)
    for words in writers(held_db, other.with_name(other.name + ending)):
        assert command(*words).returncode == 2, words
    assert files_of(other) == before


def test_the_python_api_writes_over_no_store(held: EventTracking, held_db: Path, tmp_path: Path) -> None:
    """Neither an export nor a backup replaces the store or its logs; other files are replaced, as documented."""
    link = tmp_path / "link"
    link.symlink_to(held_db.with_name(f"{held_db.name}.journal-a"))
    for target in (held_db, link, held_db.with_name(f"{held_db.name}.wal")):
        with pytest.raises(EventsError, match="another path"):
            held.export(target, "ndjson")
        with pytest.raises(EventsError, match="another path"):
            held.backup(target)
    copy = tmp_path / "copy.duckdb"
    held.backup(copy)
    held.backup(copy)
    with pytest.raises(EventsError, match="is a database"):
        held.export(copy, "ndjson")


def test_an_existing_file_is_replaced_only_with_force(held: EventTracking, held_db: Path, tmp_path: Path) -> None:
    """Without it, the error names --force; a link to the file stays a link."""
    out, link = tmp_path / "out.ndjson", tmp_path / "link.ndjson"
    out.write_text("precious")
    link.symlink_to(out)
    export = ("export", "--format", "ndjson", "--db", str(held_db), "-o")
    for path in (out, link):
        done = command(*export, str(path))
        assert done.returncode == 2
        assert b"--force" in done.stderr
    done = command("backup", str(out), "--db", str(held_db))
    assert done.returncode == 2
    assert b"--force" in done.stderr
    assert out.read_text() == "precious"
    assert command(*export, str(link), "--force").returncode == 0
    assert link.is_symlink()
    assert {json.loads(line)["Event"] for line in out.read_text().splitlines()} == {"identify", "load"}
    for option in ("--force", "--replace"):
        assert command("backup", str(out), option, "--db", str(held_db)).returncode == 0
    assert command("stats", "--db", str(out)).returncode == 0


def test_pipes_and_devices_need_no_force(held: EventTracking, held_db: Path, tmp_path: Path) -> None:
    """They are written to, and stay what they are; a socket is refused."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    export = ("export", "--format", "ndjson", "--db", str(held_db), "-o")
    assert command(*export, str(pipe)).returncode == 0
    reader.join()
    assert len(read[0].splitlines()) == held.stats().events
    assert command(*export, "/dev/null").returncode == 0
    assert not Path("/dev/null").is_file()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "app.sock"))
        assert command(*export, str(tmp_path / "app.sock"), "--force").returncode == 2


def test_an_import_keeps_every_earlier_file_of_rejected_lines(held: EventTracking, held_db: Path, tmp_path: Path) -> None:
    """Also one that a link leads to."""
    lines, rejects, link = tmp_path / "lines.ndjson", tmp_path / "rejects.ndjson", tmp_path / "link.ndjson"
    lines.write_bytes(REJECTED)
    rejects.write_text("precious")
    link.symlink_to(rejects)
    assert command("import", str(lines), "--rejects", str(link), "--db", str(held_db)).returncode == 0
    assert rejects.with_name("rejects.ndjson.1").read_text() == "precious"
    assert json.loads(rejects.read_text())["codes"] == [5]


def test_a_store_is_not_created_in_the_place_of_another_ones_log(db: Path) -> None:
    """The name of a log belongs to its store even while there is no log."""
    make_store(db)
    for ending in (".wal", ".journal-b", ".lock"):
        other = db.with_name(db.name + ending)
        other.unlink(missing_ok=True)
        done = command("accounts", "create", "acme", "--db", str(other))
        assert done.returncode == 2
        assert f"is a file of the store {db}" in done.stderr.decode()
        assert not other.exists()


def test_a_backup_leaves_files_beside_its_target_alone(held: EventTracking, held_db: Path, tmp_path: Path) -> None:
    """The unfinished copy has a name that no other file has."""
    copy, own = tmp_path / "copy.duckdb", tmp_path / "copy.duckdb.unfinished"
    own.write_text("precious")
    assert command("backup", str(copy), "--db", str(held_db)).returncode == 0
    assert own.read_text() == "precious"
    assert subprocess.run(["ls", str(tmp_path)], capture_output=True, text=True, check=True).stdout.count("copy.duckdb") == 2
