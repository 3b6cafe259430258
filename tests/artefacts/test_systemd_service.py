"""A server that runs for good: the systemd unit that `install-service` prints, checked by systemd and kept to by hand."""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from falcon_events.cli.unit import TEMPORARY, Service, render_unit
from tests.harness import children_of, free_port, owner_of, running, serving, wait_until
from tests.needs import require
from tests.restricted import directives
from tests.server.test_cli_serve import Load, ended, stored
from tests.shortcuts import command, make_store

RESTRICTED = Path(__file__).parents[1] / "restricted.py"
SCRIPT = Path(sys.executable).with_name("falcon-events")
EXPOSURE, EXPOSURE_WITH_A_PORT_OF_ROOTS = 1.5, 2.0
"""The most that systemd-analyze may say of the unit, from 0 (shut off) to 10 (not at all)."""
under_its_restrictions = pytest.mark.needs("outside-tmp", "mounts", "seccomp", "systemd")
"""Another user, a read-only file system and filters of system calls."""


def printed(*options: str) -> str:
    """The unit that the command prints, which it does not where Python itself is below /tmp."""
    require("outside-tmp")
    done = command("install-service", *options, program=str(SCRIPT))
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def verified(text: str, folder: Path) -> str:
    """What systemd says against a unit."""
    path = folder / "falcon-events.service"
    path.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, check=False)
    return done.stderr if done.returncode or done.stderr else ""


OPTIONS: dict[str, list[str]] = {
    "the defaults": [],
    "another store": ["--db", '/srv/odd % $HOME "folder"/back\\slash/ev\xe9nts;.duckdb', "--user", "www-data"],
    "a port of root's": ["--port", "443", "--host", "::", "--workers", "4"],
    "a user of systemd's": ["--dynamic-user", "--name", "shop.events_2"],
    "a home folder": ["--db", "/home/ada/events/events.duckdb", "--user", "ada"],
}


@pytest.mark.needs("systemd")
@pytest.mark.parametrize("case", OPTIONS)
def test_systemd_knows_every_word_of_the_unit(tmp_path: Path, case: str) -> None:
    """And says nothing against it."""
    unit = printed(*OPTIONS[case])
    assert verified(unit, tmp_path) == ""
    assert "Unknown key" in verified(unit + "[Service]\nInvented=yes\n", tmp_path)


@pytest.mark.needs("systemd")
@pytest.mark.parametrize("case", OPTIONS)
def test_the_unit_is_shut_off(tmp_path: Path, case: str) -> None:
    """Systemd's own measure of what a service could do to its machine."""
    path = tmp_path / "falcon-events.service"
    path.write_text(printed(*OPTIONS[case]))
    most = EXPOSURE_WITH_A_PORT_OF_ROOTS if case == "a port of root's" else EXPOSURE
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={most * 10:.0f}", "--no-pager", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-200:]


@pytest.mark.needs("systemd")
def test_the_command_line_reads_back_as_it_was_given(tmp_path: Path) -> None:
    """Systemd's own dump of the unit: per cent and dollar signs, quotes, backslashes and spaces in paths stay what they are."""
    program = tmp_path / "odd %h $HOME" / "falcon-events"
    program.parent.mkdir()
    program.symlink_to("/bin/true")
    db = Path('/srv/%n ${HOME} $PATH "q" \\n/events.duckdb')
    text = render_unit(
        Service(
            name="odd",
            version="1",
            command=[str(program)],
            libraries=[],
            db=db,
            host="fe80::1%eth0",
            port=8080,
            workers=1,
            user="root",
        )
    )
    read = loaded(text, tmp_path)
    options = ["--db", str(db), "--host", "fe80::1%eth0", "--port", "8080", "--workers", "1"]
    assert shlex.split(read["Command Line"].replace("\\$", "$")) == [str(program), "serve", *options]
    assert read["ReadWritePaths"] == str(db.parent)


def loaded(text: str, folder: Path) -> dict[str, str]:
    """What systemd has read of a unit, by its own names for it."""
    path = folder / "falcon-events.service"
    path.write_text(text)
    debugging = {**os.environ, "SYSTEMD_LOG_LEVEL": "debug"}
    words = ["systemd-analyze", "verify", "--man=no", str(path)]
    done = subprocess.run(words, env=debugging, capture_output=True, text=True, check=True)
    fields = (line.strip().partition(": ") for line in done.stdout.splitlines())
    return {name: value for name, _, value in fields}


WRONG = {
    "a relative path": (["--db", "events.duckdb"], "--db events.duckdb: an absolute path of a file is needed"),
    "a folder": (["--db", "/srv/events/"], "--db /srv/events/: an absolute path of a file"),
    "a path that climbs": (["--db", "/srv/../etc/passwd"], "--db /srv/../etc/passwd: an absolute path"),
    "a folder that ends with the service": (
        ["--db", "/var/tmp/shop/e.duckdb"],
        "/e.duckdb: files there do not survive a restart; a path such as",
    ),
    "a link to such a folder": (["--db", "/proc/self/cwd/tmp/e.duckdb"], "do not survive a restart"),
    "a folder of the kernel's": (["--db", "/dev/shm/e.duckdb"], "--db /dev/shm/e.duckdb: files there do not survive a restart"),
    "a folder that ends with the machine": (["--db", "/run/e.duckdb", "--name", "shop"], "such as /var/lib/shop/events.duckdb"),
    "the root folder": (["--db", "/events.duckdb"], "--db /events.duckdb: a path in a folder of its own is needed, such as"),
    "a line break": (["--db", "/srv/a\nExecStartPre=/bin/true"], "line break"),
    "a name with a slash": (["--name", "a/b"], "--name a/b"),
    "a name with a line break": (["--name", "a\n[Service]"], "--name"),
    "no user's name": (["--user", "Ada Lovelace"], "--user Ada Lovelace"),
    "no host": (["--host", "a b"], "--host a b"),
    "no port": (["--port", "0"], "--port"),
    "two users": (["--user", "ada", "--dynamic-user"], "--user and --dynamic-user"),
    "a user of systemd's without its folder": (
        ["--dynamic-user", "--db", "/srv/e.duckdb"],
        "--db /srv/e.duckdb: with --dynamic-user",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_in_a_unit_is_refused(case: str) -> None:
    """In one line that names the option, with exit code 2, and nothing on standard output."""
    options, said = WRONG[case]
    done = command("install-service", *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1
    assert said in done.stderr.decode()


def test_the_unit_calls_the_command_as_it_was_called() -> None:
    """By its absolute path, however it was found: by its path, in PATH, or as a module of Python's."""
    require("outside-tmp")
    environment = {**os.environ, "PATH": f"{SCRIPT.parent}:{os.environ['PATH']}"}
    module = [sys.executable, "-m", "falcon_events"]
    ways: list[tuple[list[str], Path, list[str]]] = [
        (module, Path("/"), module),
        ([str(SCRIPT)], Path("/"), [str(SCRIPT)]),
        ([f"./{SCRIPT.name}"], SCRIPT.parent, [str(SCRIPT)]),
        ([SCRIPT.name], Path("/"), [str(SCRIPT)]),
    ]
    for words, folder, wanted in ways:
        done = subprocess.run(
            [*words, "install-service"], cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
        called = shlex.split(directives(done.stdout)["ExecStart"][0])
        assert [os.path.normpath(called[0]), *called[1 : len(wanted) + 1]] == [*wanted, "serve"]


@pytest.mark.parametrize("letter", ['"', "'", "\\", "\n"])
def test_a_program_that_systemd_would_not_run_gets_no_unit(tmp_path: Path, letter: str) -> None:
    """Quotes, backslashes and line breaks may not be in the path of a unit's program; one line says so."""
    done = command("install-service", program=str(tmp_path / f"a{letter}b"))
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert b"move it to another path" in done.stderr


@pytest.mark.parametrize("folder", TEMPORARY)
def test_a_program_that_the_service_would_not_see_gets_no_unit(tmp_path: Path, folder: Path) -> None:
    """One in a temporary folder, called by its path or by a link to it, as the service has such folders of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        program, link = Path(place, "falcon-events"), tmp_path / "falcon-events"
        program.touch(0o755)
        link.symlink_to(program)
        for called in (program, link):
            done = command("install-service", program=str(called))
            assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
            assert b"install falcon-events in /opt or /usr/local/bin" in done.stderr


@pytest.fixture
def uid() -> int:
    """A user whom this machine does not know, and who has no process."""
    return random.SystemRandom().randrange(200_000, 1_000_000_000)


def processes_of(uid: int) -> dict[int, dict[str, str]]:
    """The user's processes, with what the kernel says of each."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":\t", 1) for line in path.read_text().splitlines() if ":\t" in line)
        except OSError:
            continue
        if lines["Uid"].split()[0] == str(uid) and not lines["State"].startswith("Z"):
            found[int(lines["Pid"])] = lines
    return found


def restricted(text: str, folder: Path, uid: int, *words: str) -> list[str]:
    """The command that runs the unit, or other words, under the unit's restrictions."""
    path, state = folder / "unit", folder / "state"
    path.write_text(text)
    state.mkdir(exist_ok=True)
    launcher = ["unshare", "--mount", "--propagation", "private", sys.executable, str(RESTRICTED)]
    return [*launcher, str(path), str(state), str(uid), *words]


@under_its_restrictions
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_server_works_and_ends_under_the_units_restrictions(tmp_path: Path, uid: int, workers: str) -> None:
    """Another user, a read-only system, the system calls, address families, memory and capabilities that the unit leaves:
    it makes a store, serves all of its paths, and on SIGTERM to all of its processes at once, as KillMode=control-group
    has it, every one of them ends, the file checkpointed.
    """
    port = free_port()
    words = restricted(printed("--port", str(port), "--workers", workers), tmp_path, uid)
    with running(words, tmp_path / "log", port=port, ready="/readyz") as served:
        (key,) = (line.strip() for line in served.log().splitlines() if line.strip().startswith("fe_full_"))
        for number in range(50):
            body = {"APIKey": key, "ListID": 1, "event": "test", "email": f"v{number}@example.com", "properties": {"a": number}}
            assert served.client.track(**body).status_code == 200
        assert served.client.properties(APIKey=key, ListID=1).json()["Properties"]["test"] == ["a"]
        for path in ("/tracker.js", "/healthz", "/metrics"):
            assert served.client.get(path).status_code == 200
        processes = processes_of(uid)
        assert len(processes) >= 2  # the server, and the one that holds the file
        for lines in processes.values():
            assert (lines["NoNewPrivs"], lines["Seccomp"], int(lines["CapBnd"], 16)) == ("1", "2", 0)
            assert lines["Umask"] == "0077"
        for pid in processes:
            os.kill(pid, signal.SIGTERM)
        assert served.process.wait(60) == 0, served.log()
        wait_until(lambda: not processes_of(uid), "a process is left")
        assert "Traceback" not in served.log()
    files = {path.name: path.stat() for path in (tmp_path / "state").iterdir()}
    assert files.keys() == {"events.duckdb", "events.duckdb.lock"}
    assert all(found.st_uid == uid and not found.st_mode & 0o077 for found in files.values())


LIBC = "import ctypes; libc = ctypes.CDLL(None, use_errno=True)"
ATTEMPTS = {
    "write to the system": "open('/usr/x', 'w')",
    "write to another folder of /var": "open('/var/x', 'w')",
    "have writable code": "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)",
    "have a raw socket": "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "become another user": "import os; os.setuid(0)",
    "mount": f"{LIBC}\nif libc.mount(b'none', b'/tmp', b'tmpfs', 0, None): raise OSError(ctypes.get_errno())",
    "have a namespace": f"{LIBC}\nif libc.unshare(0x10000000): raise OSError(ctypes.get_errno())",
}


TRY = """
import json
open('x', 'w')
refused = []
for name, code in json.loads({attempts!r}).items():
    try:
        exec(code)
    except OSError:
        refused.append(name)
print(json.dumps(refused))
"""


@under_its_restrictions
def test_the_restrictions_hold(tmp_path: Path, uid: int) -> None:
    """What the server above works under refuses what it is there to refuse, and nothing but that."""
    code = TRY.format(attempts=json.dumps(ATTEMPTS))
    done = subprocess.run(restricted(printed(), tmp_path, uid, sys.executable, "-c", code), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == list(ATTEMPTS)


@pytest.mark.parametrize(("flavour", "workers"), [("wsgi", "1"), ("asgi", "2")])
def test_a_stop_of_every_process_at_once_loses_nothing(flavour: str, db: Path, workers: str) -> None:
    """SIGTERM to the server, its workers and the process that holds the file, under load: what is stored was answered, and
    the file is checkpointed.
    """
    credentials = make_store(db)
    with serving(db, flavour, "--workers", workers) as served:
        load = Load(served, credentials)
        wait_until(lambda: len(load.answered) > 50, "no load", served)
        together = [owner_of(db), *tree(served.process.pid)]
        assert len(together) >= 1 + int(workers)
        for pid in together:
            os.kill(pid, signal.SIGTERM)
        assert served.process.wait(90) == 0, served.log()
        load.wait()
        wait_until(lambda: all(ended(pid) for pid in together), "a process is left")
        assert "Traceback" not in served.log()
    assert not db.with_name(db.name + ".wal").exists()
    assert stored(db) == load.answered
    assert set(load.others) <= {503}


def tree(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for child in children_of(pid):
        yield from tree(child)


def test_health_says_whether_a_server_works_and_why_not(db: Path) -> None:
    """Exit 0 for health and readiness while it does. Else exit 1 and one line: where nobody listens, nothing answers in time,
    somebody else answers, or the store is in trouble.
    """
    make_store(db)
    port = free_port()
    assert b"refused" in unwell(f"http://127.0.0.1:{port}")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert b"timed out" in unwell(f"http://127.0.0.1:{silent.getsockname()[1]}", "--timeout", "1")
    with serving(db) as served:
        for more in ([], ["--ready"]):
            done = command("health", "--url", served.url, *more, env={"http_proxy": "http://127.0.0.1:9"})
            assert (done.returncode, done.stdout) == (0, b"ok\n"), done.stderr
        assert b"404" in unwell(f"{served.url}/elsewhere")
        db.rename(db.with_name("gone"))
        wait_until(lambda: served.client.get("/healthz").status_code == 503, "it is well without its file", served)
        assert b"503: " in unwell(served.url)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", b"the reply is not HTTP: BadStatusLine SSH-2.0-OpenSSH_9.2"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200, b"the reply is not HTTP: HTTPException"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"the reply is not one of falcon-events"),
        (b"HTTP/1.1 503 Down\r\nContent-Length: 9\r\n\r\n{", b": 503"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 60_000, b"the reply is not one of falcon-events"),
        (b"", b"closed connection"),
    ],
    ids=["another protocol", "too many headers", "half a body", "half a refusal", "a deep body", "nothing"],
)
def test_health_says_so_of_what_is_no_answer(answer: bytes, said: bytes) -> None:
    """Whatever listens there: exit 1 and one line."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answered() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=answered)
        thread.start()
        assert said in unwell(f"http://127.0.0.1:{listening.getsockname()[1]}")
        thread.join()


def test_health_waits_until_the_server_is_well(db: Path) -> None:
    """It asks a port that nobody listens on again, until a server does."""
    make_store(db)
    port = free_port()
    words = [sys.executable, "-m", "falcon_events", "health", "--url", f"http://127.0.0.1:{port}", "--wait", "600"]
    asking = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with socket.socket() as early:
        early.bind(("127.0.0.1", port))
        early.listen()
        early.accept()[0].close()  # it has asked, and got no answer
    assert asking.poll() is None
    with serving(db, "wsgi", port=port):
        assert asking.communicate() == (b"ok\n", b"")
    assert asking.returncode == 0


def test_health_waits_no_longer_than_it_may() -> None:
    """Then it says in one line why the server is not well."""
    began = time.monotonic()
    assert b"refused" in unwell(f"http://127.0.0.1:{free_port()}", "--wait", "1")
    assert time.monotonic() - began >= 1


def unwell(url: str, *options: str) -> bytes:
    """What health says of a server that is not well."""
    done = command("health", "--url", url, *options)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1), done
    return done.stderr


WRONG_URLS = [
    "127.0.0.1:8080",
    "ftp://example.com",
    "http://",
    "",
    "http://127.0.0.1:abc",
    "http://127.0.0.1:99999",
    "http://127.0.0.1/a b",
    "http://127.0.0.1/a\n",
    "http://[::1",
]


@pytest.mark.parametrize("url", WRONG_URLS)
def test_health_needs_a_url(url: str) -> None:
    """Exit 2 and one line with what would be right."""
    done = command("health", "--url", url)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"a URL with scheme and host is needed, such as http://127.0.0.1:8080" in done.stderr
