"""One store under several names: links, relative paths, mounts. Its logs are beside the file itself, or it is not opened."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from falcon_events import EventTracking, StoreError, StoreUnavailable
from falcon_events.files.lockfile import lock_path
from falcon_events.files.paths import journals_of
from tests.harness import is_held, owner_of, rows, wait_until
from tests.shortcuts import command, make_store

EVENTS = 30
COUNT = "select count(*) from events where event = 'load'"
CRASH = f"""
import os, sys
from falcon_events import EventTracking

tracking = EventTracking(sys.argv[1]).open()
for number in range({EVENTS}):
    tracking.track(94, "load", email="a@example.com", properties={{"n": number}})
owner = tracking.owner().pid
with tracking.store._lock:  # no new owner comes for this process
    os.kill(owner, 9)
    os.kill(os.getpid(), 9)
"""
OPEN = "import sys; from falcon_events import EventTracking; EventTracking(sys.argv[1]).open()"


def crash(name: Path | str, file: Path, cwd: Path | None = None) -> None:
    """Store events through a name of the store, then end its owner and its only user with SIGKILL at once."""
    done = subprocess.run([sys.executable, "-c", CRASH, str(name)], cwd=cwd, capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    wait_until(lambda: not is_held(file), "the owner lives on")


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A store in a folder of its own."""
    path = tmp_path / "data" / "events.duckdb"
    path.parent.mkdir()
    make_store(path)
    return path


def link_file(folder: Path, real: Path) -> Path:
    """A link to the file."""
    link = folder / "link.duckdb"
    link.symlink_to(real)
    return link


def link_relatively(folder: Path, real: Path) -> Path:
    """A link to the file, relative to the link's folder."""
    (folder / "release").mkdir()
    link = folder / "release" / "events.duckdb"
    link.symlink_to(Path("..", "data", real.name))
    return link


def link_within_folder(folder: Path, real: Path) -> Path:
    """Another name in the file's own folder."""
    link = real.with_name("current.duckdb")
    link.symlink_to(real.name)
    return link


def link_folder(folder: Path, real: Path) -> Path:
    """A link to the file's folder."""
    link = folder / "current"
    link.symlink_to(real.parent)
    return link / real.name


def link_in_chain(folder: Path, real: Path) -> Path:
    """A link to a link in a linked folder."""
    first = link_file(folder, link_folder(folder, real))
    second = folder / "second.duckdb"
    second.symlink_to(first.name)
    return second


@pytest.mark.parametrize("make_link", [link_file, link_relatively, link_within_folder, link_folder, link_in_chain])
def test_events_acknowledged_through_a_link_are_found_through_every_name(tmp_path: Path, real: Path, make_link) -> None:  # type: ignore[no-untyped-def]
    """After a crash they are there by the link, and by the real path; all files of the store are beside the real file."""
    link = make_link(tmp_path, real)
    crash(link, real)
    assert journals_of(real)[0].exists()
    with EventTracking(real) as tracking, EventTracking(link) as linked:
        assert tracking.track(94, "load", email="b@example.com")
        assert linked.owner().pid == tracking.owner().pid
        assert linked.latest(94)[-1][1].event == "load"
        linked.compact()
    assert rows(real, COUNT) == rows(link, COUNT) == [(EVENTS + 1,)]
    assert link.resolve() == real
    assert [path for path in tmp_path.rglob("*duckdb.*") if path.parent.resolve() != real.parent] == []
    assert lock_path(real).exists()


def test_a_link_is_followed_once_when_the_tracker_is_made(tmp_path: Path, real: Path) -> None:
    """A release that moves the link meanwhile changes nothing for a running tracker, and the next one uses the new store."""
    other = tmp_path / "other.duckdb"
    make_store(other)
    link = link_file(tmp_path, real)
    tracking = EventTracking(link)
    link.unlink()
    link.symlink_to(other)
    with tracking:
        tracking.track(94, "load", email="a@example.com")
    assert (rows(real, COUNT), rows(link, COUNT)) == ([(1,)], [(0,)])


def test_a_link_to_no_file_yet_makes_the_store_where_it_leads(tmp_path: Path) -> None:
    """The link stays a link."""
    target = tmp_path / "data" / "events.duckdb"
    target.parent.mkdir()
    link = tmp_path / "link.duckdb"
    link.symlink_to(target)
    done = command("accounts", "create", "acme", "--db", str(link))
    assert done.returncode == 0
    assert f"store: {target}" in done.stderr.decode()
    assert link.is_symlink()
    assert target.is_file()


def test_a_circle_of_links_is_refused(tmp_path: Path) -> None:
    """The error says so, and the links stay."""
    first, second = tmp_path / "a.duckdb", tmp_path / "b.duckdb"
    first.symlink_to(second)
    second.symlink_to(first)
    with pytest.raises(StoreError, match="leads in a circle"):
        EventTracking(first).open()
    assert first.is_symlink()


def test_a_relative_path_belongs_to_the_folder_in_which_the_tracker_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that changes its folder afterwards uses the same store."""
    made, used = tmp_path / "made", tmp_path / "used"
    made.mkdir()
    used.mkdir()
    monkeypatch.chdir(made)
    tracking = EventTracking("events.duckdb")
    monkeypatch.chdir(used)
    with tracking:
        assert tracking.stats().events == 0
    assert (made / "events.duckdb").exists()
    assert list(used.iterdir()) == []


def test_commands_say_where_a_link_leads(real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On standard error, so that output can be read by programs; of a relative path only on a terminal."""
    link = link_file(tmp_path, real)
    monkeypatch.chdir(real.parent)
    with EventTracking(real):
        done = command("stats", "--json", "--db", str(link))
        assert done.stderr.decode() == f"store: {real}\n"
        for name in (str(real), real.name, f"../data/{real.name}"):
            assert command("stats", "--json", "--db", name).stderr == b""
        near, far = os.openpty()
        shown = [sys.executable, "-m", "falcon_events", "stats", "--json", "--db", real.name]
        subprocess.run(shown, check=True, stdout=subprocess.DEVNULL, stderr=far)
        os.close(far)
        assert os.read(near, 1000).decode().strip() == f"store: {real}"
        os.close(near)
        assert f"store          {real}\n" in command("stats", "--db", str(real)).stdout.decode()


def test_a_second_hard_link_is_refused_under_both_names(real: Path, tmp_path: Path) -> None:
    """Also while a process holds the file: nobody starts a second journal. Without the other name, it opens again."""
    other = tmp_path / "other.duckdb"
    with EventTracking(real) as tracking:
        os.link(real, other)
        done = command("stats", "--db", str(other))
        assert done.returncode == 2
        assert "2 names (hard links)" in done.stderr.decode()
        assert tracking.health() is None
        with pytest.raises(StoreError, match="hard links"):
            tracking.compact()
        (check,) = [check for check in tracking.check() if check.name == f"file {real.name}"]
        assert not check.ok
        assert "hard links" in check.found
    for name in (real, other):
        with pytest.raises(StoreError, match="hard links"):
            EventTracking(name).open()
    other.unlink()
    with EventTracking(real) as tracking:
        assert tracking.stats().events == 0


def test_a_journal_beside_a_link_is_not_passed_over(real: Path, tmp_path: Path) -> None:
    """Earlier releases wrote it there: the error says where it belongs, and there its events are found."""
    crash(real, real)
    link = link_file(tmp_path, real)
    for beside, own in zip(journals_of(link), journals_of(real), strict=True):
        own.rename(beside)
    with pytest.raises(StoreError, match="move it to the file") as refused:
        EventTracking(link).open()
    assert f"mv -n {journals_of(link)[0]} {journals_of(real)[0]}" in str(refused.value)
    for beside, own in zip(journals_of(link), journals_of(real), strict=True):
        beside.rename(own)
    EventTracking(link).open().close()
    assert rows(real, COUNT) == [(EVENTS,)]


def test_a_file_that_is_moved_and_linked_in_use_gets_no_events_until_it_is_back(real: Path) -> None:
    """Its logs stayed behind, and whoever opens the new place would miss them."""
    moved = real.with_name("moved.duckdb")
    with EventTracking(real) as tracking:
        real.rename(moved)
        real.symlink_to(moved)
        wait_until(lambda: tracking.health() is not None, "nobody notices")
        assert f"was moved to {moved}" in str(tracking.health())
        with pytest.raises(StoreUnavailable):
            tracking.track(94, "load", email="a@example.com")
        real.unlink()
        moved.rename(real)
        wait_until(lambda: tracking.health() is None, "it does not resume")


@pytest.mark.needs("mounts")
def test_a_file_that_is_mounted_by_itself_is_refused(real: Path, tmp_path: Path) -> None:
    """Its logs would stay in the folder below it, which a container throws away. A mounted folder is fine."""
    there, folder = tmp_path / "there" / "ev nts.duckdb", tmp_path / "folder"
    there.parent.mkdir()
    there.touch()
    folder.mkdir()
    script = f"""
        mount --bind '{real}' '{there}'
        mount --bind '{real.parent}' '{folder}'
        {sys.executable} -c '{OPEN}' '{folder / real.name}' && echo opened
        {sys.executable} -c '{OPEN}' '{there}'
    """
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout == "opened\n"
    assert done.returncode == 1
    assert "is mounted as a single file" in done.stderr
    assert list(there.parent.iterdir()) == [there]


@pytest.mark.needs("mounts")
def test_a_server_in_another_mount_namespace_uses_the_same_owner(real: Path, tmp_path: Path) -> None:
    """Two containers that share a folder under different paths reach the owner by the socket beside the file."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with EventTracking(real) as tracking:
        pid = owner_of(real)
        script = f"mount --bind '{real.parent}' '{folder}' && mount -t tmpfs none '{real.parent}'"
        count = f"from falcon_events import EventTracking; print(EventTracking({str(folder / real.name)!r}).owner().pid)"
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", f"{script} && exec {sys.executable} -c \"$0\"", count],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.stdout == f"{pid}\n", done.stderr
        assert tracking.health() is None
