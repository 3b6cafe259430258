"""The socket and the files: for this user's processes that know the secret, and nobody else's."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from falcon_events import EventTracking, StoreError
from falcon_events.files.lockfile import FileLock, find, is_held as held
from falcon_events.link import connector, messages
from falcon_events.link.channel import Channel, Refused, show_secret
from tests.harness import Credentials, fill_store, wait_until
from tests.needs import require

ROOT = Path(__file__).parents[2]
NOBODY = 65534
GREETING = messages.encode(messages.Hello(messages.PROTOCOL, "this", 1, "x", 0))
STRANGER = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
db, address = sys.argv[1:]
for path in (db, db + ".wal", db + ".lock"):
    try:
        open(path, "rb")
        print("could read", path)
    except OSError:
        pass
try:
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(20)
    peer.connect(address)
    print("got", peer.recv(100))
except OSError:
    pass
"""


def connected(tracking: EventTracking) -> socket.socket:
    """A connection to the owner that has said nothing yet."""
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(30)
    peer.connect(tracking.owner().socket)
    return peer


def ends(peer: socket.socket) -> bool:
    """Whether the owner ends the connection."""
    try:
        while peer.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


@pytest.mark.database
def test_everything_the_store_makes_is_its_users_alone(db: Path, tracking: EventTracking, credentials: Credentials) -> None:
    """File, log, lock and socket have mode 0600, whatever the umask."""
    tracking.track(94, "test", email="a@example.com")
    tracking.stats()  # has the database's log written
    made = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in db.parent.iterdir()}
    assert made == {f"{db.name}{end}": 0o600 for end in ("", ".wal", ".journal-a", ".journal-b", ".lock", ".sock")}


def let_through(path: Path) -> None:
    """Lets every user pass the folders of the tests, which are root's own."""
    for folder in path.parents:
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)


def test_another_user_gets_nowhere(tracking: EventTracking, credentials: Credentials) -> None:
    """Not to the files, not to the socket; and not past it where somebody has opened both to everybody."""
    require("root", "system-python")
    path, address = tracking.store.path, tracking.owner().socket
    let_through(path)
    interpreter = "/usr/bin/python3"
    done = subprocess.run([interpreter, "-c", STRANGER, str(path), address], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    os.chmod(address, 0o777)  # noqa: PTH101
    done = subprocess.run([interpreter, "-c", STRANGER, str(path), address], capture_output=True, text=True, check=True)
    assert done.stdout in ("", "got b''\n")
    assert tracking.track(94, "test", email="a@example.com").event_id


AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
READING = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
"""It may read this interpreter, which can be in a folder of root's own."""
USER = """
import sys
from falcon_events import EventTracking
with EventTracking(sys.argv[1]) as tracking:
    tracking.directory.create_account("acme")
    tracking.directory.create_list("acme", "News", 94)
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_root_may_use_the_store_of_another_users_server(db: Path) -> None:
    """As it may the files: `sudo falcon-events stats` works beside a server that has an account of its own."""
    require("root", "setpriv")
    os.chown(db.parent, NOBODY, NOBODY)
    let_through(db)
    words = [*AS_NOBODY, *READING, sys.executable, "-c", USER, str(db)]
    server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    with server:
        assert server.stdout
        assert server.stdout.readline() == "ready\n"
        with EventTracking(db) as tracking:
            assert tracking.track(94, "test", email="a@example.com").event_id
        server.communicate()
    assert server.returncode == 0
    assert {path.stat().st_uid for path in db.parent.iterdir()} == {NOBODY}


def test_who_is_never_let_in_is_told(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that holds the store and ends every connection is not waited for without end."""
    monkeypatch.setattr(connector, "SHUT_OUT_S", 0.5)
    lock = FileLock(db, 0)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{db}.sock")
        listener.listen()
        lock.publish(f"{db}.sock", b"secret")

        def refuse() -> None:
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return

        refusing = threading.Thread(target=refuse)
        refusing.start()
        with pytest.raises(StoreError, match=f"process {os.getpid()}, which refuses this process"):
            EventTracking(db).open()
        listener.shutdown(socket.SHUT_RDWR)
        refusing.join()
    lock.release()


@pytest.mark.parametrize(
    "noise",
    [b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100_000, struct.pack("!I", 2**32 - 1), struct.pack("!I", 20) + b"x" * 20],
    ids=["nothing", "a byte", "http", "ones", "a huge frame", "no answer to the challenge"],
)
def test_who_does_not_know_the_secret_is_turned_away(tracking: EventTracking, credentials: Credentials, noise: bytes) -> None:
    """Whatever it sends, the owner ends the connection and goes on."""
    with connected(tracking) as peer:
        peer.sendall(noise)
        if noise not in (b"", b"\0"):
            assert ends(peer)
        assert tracking.track(94, "test", email="a@example.com").event_id


def test_a_wrong_secret_is_turned_away(tracking: EventTracking, credentials: Credentials) -> None:
    """The challenge's answer must be made with the secret of the lock file."""
    with connected(tracking) as peer, pytest.raises(Refused):
        show_secret(Channel(peer), b"another")


@pytest.mark.parametrize(
    "frames",
    [
        [b"\xc1"],
        [messages.encode(messages.Leave())],
        [messages.encode(messages.Hello(99, "another", 1, "x", 0))],
        [GREETING, b"\x93\xa5Batch\x01\xc4\x01{"],
        [GREETING, messages.encode(messages.Ask(1, "_change", []))],
        [GREETING, messages.encode(messages.Ask(1, "properties", ["x", "y"]))],
        [GREETING, b"\xdd\xff\xff\xff\xff"],
    ],
    ids=["no message", "no greeting", "another protocol", "no batch", "no operation", "odd arguments", "a lie"],
)
def test_who_knows_the_secret_and_talks_nonsense_harms_nobody(
    tracking: EventTracking, credentials: Credentials, frames: list[bytes]
) -> None:
    """A garbage peer cannot crash or stall the owner."""
    owner = tracking.owner().pid
    place = find(tracking.store.path)
    assert place is not None
    with connected(tracking) as peer:
        channel = Channel(peer)
        show_secret(channel, place.secret)
        for frame in frames:
            channel.send_bytes(frame)
        assert tracking.track(94, "test", email="a@example.com").event_id
    assert tracking.owner().pid == owner


def test_silent_and_slow_peers_keep_nobody_waiting(tracking: EventTracking, credentials: Credentials) -> None:
    """Hundreds that connect and say nothing: events are taken meanwhile, and new processes get in."""
    peers = []
    for _ in range(300):
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(5)
        peer.connect(tracking.owner().socket)
        peers.append(peer)
    assert tracking.track(94, "test", email="a@example.com").event_id
    with EventTracking(tracking.store.path) as other:
        assert other.track(94, "test", email="a@example.com").event_id
    for peer in peers:
        peer.close()


def test_a_peer_that_reads_nothing_is_cut_off(tracking: EventTracking, credentials: Credentials) -> None:
    """Its answers fill the socket: the writer goes on for all others."""
    place = find(tracking.store.path)
    assert place is not None
    with connected(tracking) as peer:
        channel = Channel(peer)
        show_secret(channel, place.secret)
        channel.send_bytes(GREETING)

        def ask() -> None:
            try:
                for number in range(50_000):
                    channel.send_bytes(messages.encode(messages.Ask(number, "stats", [])))
            except OSError:
                pass

        asking = threading.Thread(target=ask)
        asking.start()
        for _ in range(20):
            assert tracking.track(94, "test", email="a@example.com").event_id
        asking.join(60)
        assert not asking.is_alive()


def test_a_path_longer_than_a_sockets_name_works(tmp_path: Path) -> None:
    """The socket is then in a folder of this user's own."""
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    with EventTracking(folder / "events.duckdb") as tracking:
        fill_store(tracking)
        address = Path(tracking.owner().socket)
        assert len(os.fsencode(address)) < 108
        assert stat.S_IMODE(address.parent.stat().st_mode) == 0o700
        with EventTracking(folder / "events.duckdb") as other:
            assert other.owner().pid == tracking.owner().pid
    assert not address.exists()


def test_a_folder_for_sockets_that_others_can_enter_is_refused(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Somebody else's, or open: the message says what to do."""
    temporary = Path(tempfile.mkdtemp(dir="/tmp"))  # short enough for a socket
    request.addfinalizer(lambda: shutil.rmtree(temporary))
    (temporary / f"falcon-events-{os.geteuid()}").mkdir()
    (temporary / f"falcon-events-{os.geteuid()}").chmod(0o777)
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    code = f"from falcon_events import EventTracking; EventTracking({str(folder / 'events.duckdb')!r}).open()"
    env = {**os.environ, "TMPDIR": str(temporary)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is not a private folder of this user" in done.stderr
    wait_until(lambda: not held(folder / "events.duckdb"), "its process lives on")


def test_a_process_of_another_release_is_told_so(tracking: EventTracking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two releases that do not understand each other say so instead of guessing."""
    monkeypatch.setattr("falcon_events.link.connector.PROTOCOL", 99)
    with pytest.raises(StoreError, match="another release"):
        EventTracking(tracking.store.path).open()
