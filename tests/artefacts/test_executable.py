"""The single-file executable: on a machine that has no Python it does what the command does, and it leaves nothing behind.

It is built and served as README.md has it: `make binary`, `falcon-events serve`.
"""

from __future__ import annotations

import json
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from importlib.metadata import requires
from pathlib import Path

import httpx
import pytest

from falcon_events.cli.main import cli
from tests.artefacts.test_systemd_service import restricted
from tests.executable import BUILT, ROOT, UNPACKED, Bare, in_a_bare_root
from tests.harness import Served, free_port, plain, running
from tests.mail_server import taking_mail
from tests.receiver import receiving

pytestmark = [pytest.mark.checkout, pytest.mark.needs("executable")]
MOST_BYTES = 124_000_000
LOCKED = (ROOT / "packaging" / "requirements.txt").read_text() if (ROOT / "packaging").exists() else ""
PLANNED = """
from dataclasses import dataclass

from falcon_events import Plan, event

@event("checkout")
@dataclass
class Checkout:
    total: float

plan = Plan(Checkout)
"""
"""A plan in Python code, in the folder where the command is called."""


@pytest.fixture(scope="session")
def executable() -> Path:
    """The file."""
    return BUILT


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment for the executable in this root folder: it unpacks into a folder of the tests."""
    return {"FALCON_EVENTS_CACHE": str(tmp_path_factory.mktemp("unpacked"))}


@pytest.fixture(scope="module")
def bare(executable: Path, tmp_path_factory: pytest.TempPathFactory) -> Bare:
    """A root folder in which the executable has run once."""
    made = Bare.make(tmp_path_factory.mktemp("bare"), executable)
    assert made.run("--version").returncode == 0
    return made


@pytest.fixture
def data(bare: Bare, request: pytest.FixtureRequest) -> str:
    """A folder of the test's own in that root folder."""
    folder = bare.path / "data" / re.sub(r"\W+", "-", request.node.name)
    folder.mkdir()
    return f"/data/{folder.name}"


def serve(bare: Bare, data: str, *options: str, port: int | None = None) -> AbstractContextManager[Served]:
    """`serve` in the root folder, on a store in `data`."""
    port = port or free_port()
    words = bare.words("serve", "--db", f"{data}/events.duckdb", "--port", str(port), *options)
    return running(words, bare.path / data[1:] / f"log-{port}", port=port)


def greeted(served: Served) -> dict[str, object]:
    """The body of the request that a fresh store's server prints."""
    (line,) = (line for line in served.log().splitlines() if line.strip().startswith("curl "))
    words = shlex.split(line)
    body: dict[str, object] = json.loads(words[words.index("-d") + 1])
    return body


def test_it_is_small(executable: Path, tmp_path: Path) -> None:
    """What has to be copied to a server, and what is unpacked there."""
    assert executable.stat().st_size <= MOST_BYTES / 3
    subprocess.run([executable, "--version"], capture_output=True, check=True, env={"FALCON_EVENTS_CACHE": str(tmp_path)})
    assert MOST_BYTES / 2 < sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) <= MOST_BYTES


@pytest.mark.needs("locales")
def test_it_starts_in_every_locale(executable: Path, here: dict[str, str], tmp_path: Path) -> None:
    """And reads and writes UTF-8 there, also where the locale's own encoding is one that the file has no table of."""
    subprocess.run(["localedef", "-i", "ja_JP", "-f", "EUC-JP", tmp_path / "ja_JP.eucjp"], check=True)
    env = {**here, "LOCPATH": str(tmp_path), "LC_ALL": "ja_JP.eucJP"}
    for words in (("create", "日本"), ("list",)):
        command = [executable, "accounts", *words, "--db", tmp_path / "events.duckdb"]
        done = subprocess.run(command, capture_output=True, check=True, env=env)
        assert "日本" in done.stdout.decode()


def test_a_build_takes_what_is_pinned() -> None:
    """Each package that the command may need has one version and its hashes; none is asked for that is not."""
    pins = dict(re.findall(r"^([a-z0-9-]+)==(.*)", LOCKED.replace("\\\n", " "), re.MULTILINE))
    assert all("--hash=sha256:" in block for block in pins.values())
    extras = ("standard", "limits", "deliver", "metrics", "dashboard")
    wanted = {
        re.split(r"[<>=!~\[; ]", line)[0]
        for line in requires("falcon-events") or ()
        if "extra ==" not in line or any(f"extra == '{extra}'" in line.replace('"', "'") for extra in extras)
    }
    assert wanted - {"falcon-events"} <= pins.keys()


def test_version_names_what_is_inside(executable: Path, here: dict[str, str]) -> None:
    """Itself, Python and DuckDB: the one that requirements.txt pins."""
    done = subprocess.run([executable, "--version"], capture_output=True, text=True, check=True, env=here)
    (pinned,) = re.findall(r"^duckdb==(\S+)", LOCKED, re.MULTILINE)
    python = sys.version.split()[0]
    assert re.fullmatch(rf"falcon-events \d+\.\d+\.\d+ \(Python {python}, DuckDB {pinned}\)\n", done.stdout)


@pytest.mark.needs("outside-tmp")
def test_a_unit_starts_the_file_and_not_what_it_unpacked(executable: Path, here: dict[str, str]) -> None:
    """Which the next version will remove."""
    done = subprocess.run([executable, "install-service"], capture_output=True, text=True, check=True, env=here)
    assert f"ExecStart={executable} serve " in done.stdout


@in_a_bare_root
@pytest.mark.parametrize(("flavour", "workers"), [("wsgi", "1"), ("asgi", "2")])
def test_it_serves_where_there_is_nothing_but_a_c_library(bare: Bare, data: str, flavour: str, workers: str) -> None:
    """Endpoints, the tracker and its page, the reference, health and metrics; SIGTERM ends every process of it with exit code
    0, and the file is checkpointed.
    """
    with serve(bare, data, "--interface", flavour, "--workers", workers, "--demo") as served:
        body = greeted(served)
        for number in range(20):
            answer = served.client.track(**{**body, "email": f"v{number}@example.com"})
            assert answer.json()["identify_event_sent"] is True
        read = served.client.properties(APIKey=body["APIKey"], ListID=1)
        assert read.json()["Properties"]["test"] == ["number-of-subscribers-imported"]
        for path, text in {
            "/tracker.js": "currentScript",
            "/tracker": "<html",
            "/docs": "<html",
            "/metrics": "falcon_events_",
            "/readyz": "ok",
            "/dashboard/sign-in": "API key",
        }.items():
            found = httpx.get(served.url + path)
            assert found.status_code == 200, path
            assert text in found.text, path
        assert httpx.get(f"{served.url}/openapi.json").json()["openapi"].startswith("3.1")
        assert len(bare.processes()) >= int(workers) + 1
        assert served.stop() == 0, served.log()
    bare.wait_for_the_end()
    db = bare.path / data[1:] / "events.duckdb"
    assert not db.with_name("events.duckdb.wal").exists()
    with plain(db) as connection:
        assert connection.execute("select count(*) from events where event = 'test'").fetchall() == [(20,)]


@in_a_bare_root
@pytest.mark.parametrize(("flavour", "workers"), [("wsgi", "1"), ("asgi", "2")])
def test_kill_9_leaves_no_process_no_files_and_a_free_port(bare: Bare, data: str, flavour: str, workers: str) -> None:
    """Of the process that was started, three times on one port and one store: nothing has to be cleaned up in between."""
    options = ("--interface", flavour, "--workers", workers)
    before = bare.files()
    with serve(bare, data, *options) as served:
        body, port = greeted(served), served.port
        served.stop(signal.SIGKILL)
    for number in range(3):
        with serve(bare, data, *options, port=port) as served:
            assert served.client.track(**{**body, "email": f"v{number}@example.com"}).json()["identify_event_sent"] is True
            served.process.kill()
            served.process.wait()
            bare.wait_for_the_end()
            assert bare.files() == before
    db = bare.path / data[1:] / "events.duckdb"
    with plain(db) as connection:
        assert connection.execute("select count(*) from events where event = 'test'").fetchall() == [(3,)]


@in_a_bare_root
def test_every_command_works_where_there_is_nothing_but_a_c_library(bare: Bare, data: str) -> None:
    """Each of them once, on one store, without a server and beside one; none is left out."""
    db, folder, tried = f"{data}/events.duckdb", bare.path / data[1:], set()

    def run(*words: str, code: int = 0, stdin: bytes = b"", at: bool = True) -> str:
        tried.add(words[0])
        done = bare.run(*words, *(["--db", db] if at else []), stdin=stdin)
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done.stdout.decode()

    run("accounts", "create", "acme")
    run("lists", "create", "--name", "News", "--account", "acme", "--id", "7")
    assert "Europe/Berlin" in run("lists", "rules", "7", "--time-zone", "Europe/Berlin")  # by the data of the package tzdata
    key = json.loads(run("keys", "create", "--account", "acme", "--json"))["key"]
    run("sessions", "create", "--account", "acme", "--ttl-s", "60")
    assert "<script" in run("snippet", "--list", "7", "--origin", "https://www.example.com")
    lines = [
        {"APIKey": key, "ListID": 7, "event": "signup", "email": f"v{number}@example.com", "properties": {"plan": "free"}}
        for number in range(300)
    ]
    (folder / "events.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rejects = ("--rejects", f"{data}/rejects.ndjson")
    assert json.loads(run("import", f"{data}/events.ndjson", *rejects, "--json"))["stored"] == 300
    assert json.loads(run("properties", "--list", "7", "--recount", "--json"))
    (folder / "plan").mkdir()
    plan = {"type": "object", "properties": {"plan": {"type": "string"}}, "required": ["plan"]}
    (folder / "plan" / "signup.json").write_text(json.dumps(plan))
    run("plan", "check", "--plan", f"{data}/plan")
    assert "signup" in run("plan", "types", "--plan", f"{data}/plan", "--typescript", at=False)
    (bare.path / "planned.py").write_text(PLANNED)
    assert "checkout" in run("plan", "types", "--plan", "planned:plan", "--typescript", at=False)
    assert "acme" in run("accounts", "list")
    port = free_port()
    with serve(bare, data, port=port):
        assert run("health", "--url", f"http://127.0.0.1:{port}", at=False) == "ok\n"
        assert run("owner")
        assert "signup" in run("events", "--list", "7")
        assert "300" in run("sql", "select count(*) as n from events where event = 'signup'")
        assert "300" in run("query", "--list", "7", "--metric", "events", "--where", "event is signup")
        assert "signup" in run("funnel", "--list", "7", "--step", "signup", "--step", "signup")
        assert json.loads(run("retention", "--list", "7", "--json"))["Cohorts"]
        assert "v2@example.com" in run("people", "--list", "7", "--limit", "1000")
        assert "signup" in run("timeline", "--list", "7", "--email", "v2@example.com")
        assert "free" in run("values", "--list", "7", "property:plan")
        assert "Nothing happened in this week." in run("report", "--list", "7", "--dry-run", "--html", f"{data}/report.html")
        assert "<!doctype html>" in (folder / "report.html").read_text()
        with taking_mail() as mail_server:
            to = ("--to", "ada@example.com", "--db", db)
            sent = bare.run(
                *("report", "--list", "7", *to),
                FALCON_EVENTS_SMTP_URL=f"smtp://127.0.0.1:{mail_server.port}",
                FALCON_EVENTS_MAIL_FROM="reports@example.com",
            )
            assert (sent.returncode, len(mail_server.mails)) == (0, 1), sent.stderr
        run("save", "--list", "7", "free", "--has-done", "signup where property:plan is free")
        assert "free" in run("saved", "--list", "7")
        run("forget", "--list", "7", "free")
        assert run("export", "--format", "ndjson").count("\n") >= 300
        run("export", "--format", "parquet", "-o", f"{data}/events.parquet")
        run("erase", "--list", "7", "--email", "v1@example.com", "--yes")
        run("backup", f"{data}/backup.duckdb")
        run("stats", "--json")
    run("lists", "rules", "7", "--keep-days", "30")
    run("prune", "--dry-run")
    run("compact")
    run("webhooks", "list")
    run("deliveries", "list")
    run("doctor")
    tried.add("install-service")  # without /proc it is called by where it is unpacked, which may not be /tmp
    assert bare.run("install-service", FALCON_EVENTS_CACHE=data).stdout.startswith(b"# falcon-events.service")
    assert tried | {"serve"} == set(cli.commands)
    with plain(folder / "backup.duckdb") as connection:
        assert connection.execute("select count(*) from events where event = 'signup'").fetchall() == [(299,)]


@in_a_bare_root
def test_webhooks_are_posted_to_where_there_is_nothing_but_a_c_library(bare: Bare, data: str) -> None:
    """By a process that starts from the executable, too, and ends with it."""
    with receiving() as receiver, serve(bare, data) as served:
        body = greeted(served)
        added = bare.run("webhooks", "add", receiver.url, "--db", f"{data}/events.duckdb")
        assert added.returncode == 0, added.stderr
        served.client.track(**body)
        posts = receiver.wait_for(2)
        assert posts[-1].verified(added.stdout.decode().strip())["data"]["event"] == "test"
        assert served.stop() == 0
    bare.wait_for_the_end()


@pytest.mark.needs("outside-tmp", "mounts", "seccomp", "systemd")
def test_it_serves_under_its_units_restrictions(executable: Path, here: dict[str, str], tmp_path: Path) -> None:
    """Unpacked into the unit's cache folder, by a user who may write to nothing else but its state."""
    port, uid = free_port(), random.SystemRandom().randrange(200_000, 1_000_000_000)
    options = ("--port", str(port), "--workers", "2")
    words = [executable, "install-service", *options]
    unit = subprocess.run(words, capture_output=True, text=True, check=True, env=here).stdout
    with running(restricted(unit, tmp_path, uid), tmp_path / "log", port=port, ready="/readyz") as served:
        assert served.client.track(**greeted(served)).status_code == 200
        assert served.stop() == 0, served.log()


@in_a_bare_root
def test_a_machine_without_a_c_library_is_told_what_it_lacks(executable: Path, tmp_path: Path) -> None:
    """In one line, exit code 2: the launcher itself needs nothing."""
    bare = Bare(tmp_path)
    shutil.copy(executable, tmp_path / "falcon-events")
    (tmp_path / "tmp").mkdir(mode=0o1777)
    done = bare.run("--version")
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert b"glibc's /lib64/ld-linux-x86-64.so.2 is missing" in done.stderr
    assert UNPACKED[1:] in {str(path) for path in bare.files()}
