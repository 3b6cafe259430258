"""Where the executable unpacks itself: once, whole, where nobody else can write to; and no version stays for ever."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
from pathlib import Path

import pytest

from tests.artefacts.test_executable import greeted
from tests.executable import BUILT, UNPACKED, Bare, in_a_bare_root
from tests.harness import free_port, running, wait_until

pytestmark = [pytest.mark.checkout, pytest.mark.needs("executable")]
TRAILER = struct.Struct("<16s64sQQQQ")
"""As packaging/build.py has it: a mark, the folder's name, where the archive is and how long, how many files and bytes it has."""
VARIABLE = "FALCON_EVENTS_CACHE"
BELOW = "falcon-events-unpacked"
"""Where it unpacks itself in a folder that it is given."""
SCRATCH = "falcon-events-scratch"


@pytest.fixture(scope="session")
def executable() -> Path:
    """The file."""
    return BUILT


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder to unpack into, which does not exist yet."""
    return tmp_path / "cache" / BELOW


def run(executable: Path, cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the executable to its end, with nothing in its environment but the folder that has this one."""
    words = [executable, *(arguments or ("--version",))]
    return subprocess.run(words, env={VARIABLE: str(cache.parent)}, capture_output=True, text=True, check=False)


def assert_one_line(done: subprocess.CompletedProcess[str], *texts: str) -> None:
    """Exit code 2, one line on standard error that has these texts, and nothing else."""
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert all(text in done.stderr for text in texts), done.stderr


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def unpacked(cache: Path) -> list[str]:
    """The versions in a folder, and whatever else there is but for the lock."""
    return sorted(path.name for path in cache.iterdir() if path.name != "lock")


def other_version(executable: Path, path: Path, name: str) -> Path:
    """A copy that unpacks into a folder of another name, as another version does."""
    shutil.copy(executable, path)
    with path.open("r+b") as file:
        file.seek(-TRAILER.size, os.SEEK_END)
        mark, _, *numbers = TRAILER.unpack(file.read())
        file.seek(-TRAILER.size, os.SEEK_END)
        file.write(TRAILER.pack(mark, name.encode(), *numbers))
    return path


def test_it_is_unpacked_once_and_for_this_user_only(executable: Path, cache: Path) -> None:
    """A second start changes nothing, and no start leaves anything in the temporary folder."""
    assert run(executable, cache).returncode == 0
    (name,) = unpacked(cache)
    before = {path: path.stat() for path in cache.rglob("*")}
    assert all(found.st_mode & 0o077 == 0 for path, found in before.items() if not path.is_symlink())
    assert run(executable, cache).returncode == 0
    after = {path: path.stat() for path in cache.rglob("*")}
    assert {path: found.st_mtime_ns for path, found in before.items()} == {
        path: found.st_mtime_ns for path, found in after.items()
    }
    assert name.startswith("falcon-events-")


def test_many_first_starts_at_once_unpack_one_program(executable: Path, cache: Path) -> None:
    """All of them work."""
    started = [
        subprocess.Popen([executable, "--version"], env={VARIABLE: str(cache.parent)}, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    said = {process.communicate()[0] for process in started}
    assert [process.returncode for process in started] == [0] * 8
    assert len(said) == 1
    assert len(unpacked(cache)) == 1


def test_what_a_kill_9_left_half_unpacked_is_replaced(executable: Path, cache: Path) -> None:
    """And is no program that anybody runs."""
    process = subprocess.Popen([executable, "--version"], env={VARIABLE: str(cache.parent)})
    wait_until(lambda: any((cache / SCRATCH).rglob("*.so*")), "nothing is unpacked")
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert unpacked(cache) == [SCRATCH]
    assert run(executable, cache).returncode == 0
    (name,) = unpacked(cache)
    assert name != SCRATCH


def test_a_program_that_lacks_a_file_is_unpacked_again(executable: Path, cache: Path) -> None:
    """Whoever cleans temporary folders takes what is old, file by file."""
    assert run(executable, cache).returncode == 0
    whole = contents(cache)
    (library,) = cache.rglob("_duckdb*.so")
    library.unlink()
    assert run(executable, cache).returncode == 0
    assert contents(cache) == whole


def test_a_version_is_removed_by_the_next_one_once_nobody_runs_it(executable: Path, cache: Path, tmp_path: Path) -> None:
    """Not while a server runs from it, whose workers and store's process are still to be started; and nothing else is touched."""
    assert run(executable, cache).returncode == 0
    (current,) = unpacked(cache)
    names = [f"falcon-events-{number}.0-{number:032x}" for number in range(4)]
    second, third = (other_version(executable, tmp_path / name, name) for name in names[2:])
    for name in (names[0], f"{names[1]}-mine"):
        (cache / name).mkdir()
        (cache / name / "falcon-events").touch()
    (cache / names[1]).mkdir()  # no program is in it
    (cache / "falcon-events-note").write_text("mine")
    kept = sorted([names[1], f"{names[1]}-mine", "falcon-events-note"])
    port = free_port()
    words = [str(executable), "serve", "--db", str(tmp_path / "events.duckdb"), "--port", str(port)]
    with running(words, tmp_path / "log", port=port, env={VARIABLE: str(cache.parent)}) as served:
        assert run(second, cache).returncode == 0
        assert unpacked(cache) == sorted([names[2], current, *kept])
        assert served.client.track(**greeted(served)).status_code == 200
        assert served.stop() == 0
    wait_until(lambda: is_unlocked(cache / current), "the store's process lives on")
    assert run(third, cache).returncode == 0
    assert unpacked(cache) == sorted([names[3], *kept])


def test_nothing_else_in_the_folder_that_is_given_is_touched(executable: Path, cache: Path, tmp_path: Path) -> None:
    """A home folder, say: what is called as the program's own folders are, and holds something else, stays."""
    home = cache.parent
    old = f"falcon-events-1.0-{1:032x}"
    for name in ("scratch", SCRATCH, "falcon-events-backups", old):
        (home / name).mkdir(parents=True)
        (home / name / "falcon-events").write_text("mine")
    before = contents(home)
    newer = other_version(executable, tmp_path / "newer", f"falcon-events-9.0-{9:032x}")
    for variables in ({VARIABLE: str(home)}, {"CACHE_DIRECTORY": str(home)}):
        for program in (executable, newer):
            assert subprocess.run([program, "--version"], env=variables, stdout=subprocess.DEVNULL, check=False).returncode == 0
        assert unpacked(cache) == [f"falcon-events-9.0-{9:032x}"]
        shutil.rmtree(cache)
        assert contents(home) == before


def is_unlocked(folder: Path) -> bool:
    """Whether no process runs from it."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(opened)
    return True


def test_a_file_that_is_cut_off_says_so(executable: Path, cache: Path, tmp_path: Path) -> None:
    """A copy that was interrupted."""
    short = tmp_path / "short"
    shutil.copy(executable, short)
    os.truncate(short, executable.stat().st_size - 100_000)
    assert_one_line(run(short, cache), "damaged or incomplete", "Copy it anew")
    assert not cache.parent.exists()


@pytest.mark.parametrize("part", [0.01, 0.5, 0.999999])
def test_a_file_that_is_damaged_says_so(executable: Path, cache: Path, tmp_path: Path, part: float) -> None:
    """Wherever it is, by its checksum; and nothing of it stays."""
    damaged = tmp_path / "damaged"
    shutil.copy(executable, damaged)
    with damaged.open("r+b") as file:
        file.seek(-TRAILER.size, os.SEEK_END)
        _, _, offset, length, *_ = TRAILER.unpack(file.read())
        at = offset + int(length * part)
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    assert_one_line(run(damaged, cache), "this file is damaged. Copy it anew.")
    assert unpacked(cache) == []


def test_a_folder_that_cannot_be_made_is_named(executable: Path, tmp_path: Path) -> None:
    """Below a file, and by a relative path."""
    (tmp_path / "file").touch()
    assert_one_line(run(executable, tmp_path / "file" / BELOW), str(tmp_path / "file"), "Not a directory", VARIABLE)
    assert_one_line(run(executable, Path("cache") / BELOW), "no absolute path", VARIABLE)


def test_a_folder_that_others_can_write_to_is_refused(executable: Path, cache: Path) -> None:
    """They could put a program of theirs there; and nothing is made in one that is given, unless it is sticky as /tmp is."""
    cache.parent.mkdir()
    for mode in (0o777, 0o770):
        cache.parent.chmod(mode)
        assert_one_line(run(executable, cache), str(cache), "belongs to other users, or can be changed by them", VARIABLE)
        assert not cache.exists()
    cache.parent.chmod(0o1777)
    for mode in (0o777, 0o1777, 0o770):
        cache.mkdir(exist_ok=True)
        cache.chmod(mode)
        assert_one_line(run(executable, cache), str(cache), "belongs to other users, or can be changed by them", VARIABLE)
        assert unpacked(cache) == []
    cache.rmdir()
    assert run(executable, cache).returncode == 0


@pytest.mark.needs("mounts")
@pytest.mark.parametrize(("options", "reason"), [("noexec", "is mounted noexec"), ("size=20m", "No space left on device")])
def test_a_file_system_that_cannot_hold_the_program_is_named(executable: Path, cache: Path, options: str, reason: str) -> None:
    """And nothing stays on it."""
    cache.parent.mkdir()
    script = (
        'mount -t tmpfs -o mode=700,$0 none "$1" && { env -i '
        + VARIABLE
        + '="$1" "$2" --version; code=$?; find "$1" -type f -size +0; exit $code; }'
    )
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, options, str(cache.parent), str(executable)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert_one_line(done, str(cache), reason, VARIABLE)


class Strangers:
    """A bare root folder in which one user runs the executable, and another one has been before.

    Args:
        bare: the root folder.
    """

    def __init__(self, bare: Bare) -> None:
        self.bare = bare
        self.user, self.other = random.SystemRandom().sample(range(200_000, 1_000_000_000), 2)
        self.place = bare.path / "tmp" / f"falcon-events-unpacked-{self.user}"

    def run(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """The user's start."""
        words = self.bare.words("--version", **variables)
        at = words.index(str(self.bare.path))
        words.insert(at, f"--userspec={self.user}:{self.user}")
        return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.fixture
def strangers(executable: Path, tmp_path: Path) -> Strangers:
    """Two users."""
    return Strangers(Bare.make(tmp_path / "root", executable))


@in_a_bare_root
def test_users_have_folders_of_their_own(strangers: Strangers) -> None:
    """In /tmp, where there is no better place."""
    assert strangers.run().returncode == 0
    assert strangers.bare.run("--version").returncode == 0
    assert strangers.place.stat().st_uid == strangers.user
    assert strangers.place.stat().st_mode & 0o777 == 0o700
    assert (strangers.bare.path / UNPACKED[1:]).stat().st_uid == 0


@in_a_bare_root
def test_a_folder_that_another_user_has_made_is_not_used(strangers: Strangers) -> None:
    """Be it open to all or not; another place is taken where there is one."""
    for mode in (0o755, 0o777):
        strangers.place.mkdir(exist_ok=True)
        os.chown(strangers.place, strangers.other, strangers.other)
        strangers.place.chmod(mode)
        assert_one_line(strangers.run(), "belongs to other users, or can be changed by them", VARIABLE)
    assert list(strangers.place.iterdir()) == []
    home = strangers.bare.path / "data" / "home"
    home.mkdir()
    os.chown(home, strangers.user, strangers.user)
    assert strangers.run(HOME="/data/home").returncode == 0
    assert list((home / ".cache" / "falcon-events").glob("falcon-events-*"))


@in_a_bare_root
def test_nothing_is_made_in_another_users_home(strangers: Strangers) -> None:
    """Root that has the HOME of a user, as with sudo -E, would leave folders there that the user cannot use."""
    home = strangers.bare.path / "data" / "users-home"
    home.mkdir(mode=0o755)
    os.chown(home, strangers.user, strangers.user)
    for variables in ({"HOME": "/data/users-home"}, {"XDG_CACHE_HOME": "/data/users-home/.cache"}):
        assert strangers.bare.run("--version", **variables).returncode == 0
        assert list(home.iterdir()) == []
    assert (strangers.bare.path / UNPACKED[1:]).is_dir()
    refused = strangers.bare.run("--version", **{VARIABLE: "/data/users-home/own"})
    assert (refused.returncode, b"belongs to other users" in refused.stderr, list(home.iterdir())) == (2, True, [])
    assert strangers.run(HOME="/data/users-home").returncode == 0  # the user's own
    assert list((home / ".cache" / "falcon-events").glob("falcon-events-*"))


@in_a_bare_root
def test_a_link_that_another_user_has_made_is_not_followed(strangers: Strangers) -> None:
    """It could lead to any folder of this user's."""
    own = strangers.bare.path / "data" / "own"
    own.mkdir(mode=0o700)
    (own / SCRATCH).mkdir()
    (own / SCRATCH / "letter").write_text("dear")
    for path in (own, own / SCRATCH, own / SCRATCH / "letter"):
        os.chown(path, strangers.user, strangers.user)
    strangers.place.symlink_to("/data/own")
    os.lchown(strangers.place, strangers.other, strangers.other)
    assert_one_line(strangers.run(), "belongs to other users, or can be changed by them", VARIABLE)
    assert contents(own) == {f"{SCRATCH}/letter": b"dear"}
    os.lchown(strangers.place, strangers.user, strangers.user)
    shutil.rmtree(own / SCRATCH)
    assert strangers.run().returncode == 0  # the user's own link is fine


@in_a_bare_root
def test_a_folder_that_the_user_may_not_write_to_is_named(strangers: Strangers) -> None:
    """With what the system says, and with how much room is needed."""
    closed = strangers.bare.path / "data" / "closed"
    closed.mkdir(mode=0o755)
    place = f"/data/closed/{BELOW}"
    assert_one_line(strangers.run(**{VARIABLE: "/data/closed"}), f"{place} cannot be made or opened (Permission denied)")
    (closed / BELOW).mkdir(mode=0o755)
    assert_one_line(strangers.run(**{VARIABLE: "/data/closed"}), f"{place} cannot hold the program", "MB (Permission denied)")
