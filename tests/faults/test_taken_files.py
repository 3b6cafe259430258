"""Files of a running store that are deleted, moved or replaced, and stores of other users: nothing acknowledged is lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import falcon_events
from falcon_events import EventTracking, StoreError
from falcon_events.admin.store import StoreAdmin
from falcon_events.files.lockfile import lock_path
from falcon_events.files.paths import journals_of, log_of
from falcon_events.settings import Settings
from falcon_events.store.store import Store
from tests.harness import is_held, owner_of, rows, serving, wait_until
from tests.shortcuts import command, make_store

ROOT = Path(__file__).parents[2]
NOBODY = 65534
COUNT = "select count(*), count(distinct event_id) from events where event = 'load'"
EVENTS = 20
TAKE = f"""
import os, sys, time
from pathlib import Path
from falcon_events.model.events import NewEvent, Receipt
from falcon_events.settings import Settings
from falcon_events.store.store import Store

db, name, how = sys.argv[1:]
store = Store(Path(db), Settings())
store.open()


def is_stored():
    now, own = int(time.time() * 1e6), "11111111-1111-4111-8111-111111111111"
    event = NewEvent(None, "alice", 94, "load", own, "", "a@example.com", now, now, b"{{}}", None, 100)
    try:
        return isinstance(store.submit([event]).result()[0], Receipt)
    except Exception:
        return False


for number in range({EVENTS}):
    assert is_stored()
store.stats().result()
path = Path(db + name)
if how == "cut":
    os.truncate(path, 0)
elif how != "delete":
    path.rename(db + ".aside")
if how == "delete":
    path.unlink()
if how == "replace":
    path.write_bytes(Path(db + ".aside").read_bytes())
if how == "foreign":
    path.write_bytes(b"something else" * 100)
    while not list(path.parent.glob(path.name + ".replaced-*")):
        time.sleep(0.02)
stored = 0
while stored < {EVENTS}:
    stored += is_stored() or time.sleep(0.02) or 0
os.kill(os.getpid(), 9)
"""


def take(db: Path, name: str, how: str) -> None:
    """Have a process, such as an owner is, store events; take a file of the store away; store more events, and kill it."""
    make_store(db)
    done = subprocess.run([sys.executable, "-c", TAKE, str(db), name, how], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    wait_until(lambda: not is_held(db), "the store is held")


def reopen(db: Path) -> None:
    """Open a store in this process and close it."""
    store = Store(db, Settings())
    store.open()
    store.close()


@pytest.mark.parametrize("how", ["delete", "move", "replace", "foreign", "cut"])
@pytest.mark.parametrize("name", [".journal-a", ".journal-b"])
def test_a_journal_that_is_taken_away_loses_no_event(db: Path, name: str, how: str) -> None:
    """What is acknowledged afterwards is in a journal that the next process finds; a foreign file in its place is kept."""
    take(db, name, how)
    if how == "foreign":
        (kept,) = db.parent.glob(f"{db.name}{name}.replaced-*")
        assert kept.read_bytes().startswith(b"something else")
    reopen(db)
    assert rows(db, COUNT) == [(2 * EVENTS,) * 2]


@pytest.mark.database
@pytest.mark.parametrize("how", ["delete", "move", "replace"])
def test_a_database_log_that_is_taken_away_loses_no_event(db: Path, how: str) -> None:
    """The database would write on to a file that nobody finds: it takes everything into its own file instead."""
    take(db, ".wal", how)
    reopen(db)
    assert rows(db, COUNT) == [(2 * EVENTS,) * 2]


def test_an_idle_store_notices_that_its_journal_is_gone(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without any event, a new journal is there soon, and the log says what happened."""
    make_store(db)
    with EventTracking(db) as tracking:
        for path in journals_of(db):
            path.rename(path.with_name(f"{path.name}.aside"))
        wait_until(lambda: all(path.exists() for path in journals_of(db)), "it is not made anew")
        wait_until(lambda: tracking.health() is None, "it does not resume")
        wait_until(lambda: "was deleted, moved or replaced" in caplog.text, "nothing is said")


def test_a_deleted_socket_or_lock_file_is_made_anew(db: Path) -> None:
    """Processes that come later reach the same owner, and the earlier ones stay connected."""
    credentials = make_store(db)
    with serving(db) as served:
        pid = owner_of(db)
        for taken in (["sock"], ["lock"], ["sock", "lock"], ["lock"]):
            paths = [db.with_name(f"{db.name}.{ending}") for ending in taken]
            for path in paths:
                path.unlink()
            assert served.client.track(**credentials.event()).status_code == 200
            wait_until(lambda paths=paths: all(path.exists() for path in paths), "they are not made anew", served)  # type: ignore[misc]
            wait_until(lambda: is_held(db) and lock_path(db).read_text().count("\n") == 3, "nobody holds the lock", served)
            done = command("owner", "--json", "--db", str(db))
            assert done.returncode == 0, done.stderr
            assert f'"pid":{pid},'.encode() in done.stdout
        assert served.stop() == 0
    assert not db.with_name(f"{db.name}.sock").exists()


def test_a_file_in_the_place_of_the_socket_is_not_deleted(db: Path) -> None:
    """The error names it."""
    make_store(db)
    own = db.with_name(f"{db.name}.sock")
    own.write_text("precious")
    with pytest.raises(StoreError, match="is not a socket"):
        EventTracking(db).open()
    assert own.read_text() == "precious"


def test_a_link_in_the_place_of_the_lock_file_is_not_followed(db: Path, tmp_path: Path) -> None:
    """Its owner process would write to the file that it leads to."""
    make_store(db)
    precious = tmp_path / "precious"
    precious.write_text("precious")
    lock_path(db).unlink(missing_ok=True)
    lock_path(db).symlink_to(precious)
    with pytest.raises(StoreError, match="lock"):
        EventTracking(db).open()
    assert precious.read_text() == "precious"


@pytest.mark.needs("root")
def test_root_exports_no_file_that_the_user_has_put_in_the_place(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The export of another user's store is written to a folder of this user; a link there is not followed."""
    make_store(db)
    secret, out = tmp_path / "secret", tmp_path / "out.ndjson"
    secret.write_text("secret")

    def link_to_secret(self: StoreAdmin, target: str, *_: object) -> int:
        Path(target).symlink_to(secret)
        return 1

    with EventTracking(db) as tracking:
        tracking.track(94, "load", email="a@example.com")
        with monkeypatch.context() as patch:
            patch.setattr(StoreAdmin, "export", link_to_secret)
            done = command("export", "-o", str(out), "--db", str(db))
        assert done.returncode == 2, done.stdout
        assert "cannot be written" in done.stderr.decode()
        assert not out.exists()
        done = command("export", "-o", str(out), "--db", str(db))
        assert done.returncode == 0, done.stderr
    assert "a@example.com" in out.read_text()


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user may enter. Each run of pytest that begins closes pytest's own to other users."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def as_nobody(script: str, *arguments: str, public: Path, user: bool = True) -> subprocess.CompletedProcess[str]:
    """Run Python as nobody, or as root, where this installation can be read by everybody."""
    packages, checkout = public / "packages", public / "checkout"
    for folder in (packages, checkout):
        folder.mkdir(exist_ok=True)
    switch = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups" if user else ""
    shell = f"""
        mount --bind '{sysconfig.get_path("purelib")}' '{packages}' && mount --bind '{ROOT}' '{checkout}' &&
        PYTHONPATH='{checkout}:{packages}' HOME=/tmp exec {switch} /usr/bin/python3 -c "$0" "$@"
    """
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", shell, script, *arguments]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd="/")


def has_same_python() -> bool:
    """Whether the system's Python, which every user can run, has the version of this one."""
    code = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    python = "/usr/bin/python3"
    return Path(python).exists() and subprocess.run([python, "-c", code], check=False, capture_output=True).returncode == 0


SAME_PYTHON = pytest.mark.skipif(not has_same_python(), reason="the system's Python has another version than this one")


@pytest.mark.needs("mounts", "setpriv")
@SAME_PYTHON
@pytest.mark.parametrize("is_new", [False, True])
def test_roots_owner_process_leaves_the_store_to_its_user(public: Path, is_new: bool) -> None:
    """Root's command comes first and its owner is killed: every file is the user's, who goes on with all events."""
    folder = public / "data"
    folder.mkdir()
    db = folder / "events.duckdb"
    if not is_new:
        make_store(db)
        shutil.chown(db, NOBODY, NOBODY)
    os.chown(folder, NOBODY, NOBODY)
    script = """
import os, sys
from falcon_events import EventTracking, StoreError
from falcon_events.admin.store import StoreAdmin
tracking = EventTracking(sys.argv[1]).open()
if not tracking.directory.accounts():
    tracking.directory.create_account("a")
    tracking.directory.create_list("a", "n", 94)
tracking.track(94, "load", email="a@example.com")
owner = tracking.owner().pid
with tracking.store._lock:
    os.kill(owner, 9)
    os.kill(os.getpid(), 9)
"""
    done = as_nobody(script, str(db), public=public, user=False)
    assert done.returncode in (-9, 137), done.stderr
    wait_until(lambda: not is_held(db), "the owner lives on")
    assert {path.name: path.lstat().st_uid for path in folder.iterdir() if path.lstat().st_uid != NOBODY} == {}
    count = "import sys, falcon_events as f; print(f.EventTracking(sys.argv[1]).open().stats().events)"
    done = as_nobody(count, str(db), public=public)
    assert done.stdout == "2\n", done.stderr


@pytest.mark.needs("root", "mounts")
def test_root_is_told_as_whom_to_run_if_the_user_cannot(db: Path, tmp_path: Path) -> None:
    """The user of the store cannot read this installation: one sentence, and the files stay as they are."""
    make_store(db)
    shutil.chown(db, NOBODY, NOBODY)
    package, private = Path(falcon_events.__file__).parent, tmp_path / "private"
    shutil.copytree(package, private)
    private.chmod(0o700)
    shell = f"mount --bind '{private}' '{package}' && exec '{sys.executable}' -m falcon_events stats --db '{db}'"
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", shell]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout
    assert re.search(r"belongs to user \w+, but its owner process cannot be started as this user", done.stderr), done.stderr
    assert [path.name for path in db.parent.iterdir() if path != private] == [db.name]


@pytest.mark.needs("mounts", "setpriv")
@SAME_PYTHON
def test_another_users_commands_say_permission_denied(public: Path) -> None:
    """`owner` does not say that nobody holds the store."""
    db = public / "data" / "events.duckdb"
    db.parent.mkdir(mode=0o755)
    make_store(db)
    main = "import sys; from falcon_events.cli.main import main; main()"
    with EventTracking(db):
        for name in ("owner", "stats", "doctor"):
            done = as_nobody(main, name, "--db", str(db), public=public)
            assert done.returncode == 2, done.stdout
            assert "permission denied" in done.stderr
            assert done.stderr.count("\n") == 1
    assert log_of(db).exists() is False
