"""Several workers on one store, on every server that people use, without a line of configuration."""

from __future__ import annotations

import os
import signal
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from falcon_events import EventTracking
from tests.apps.common import PREFIX
from tests.faults.common import Clients, assert_whole, kill_owner
from tests.harness import EVENT, GRANIAN_ENDS, PROPERTIES, Credentials, Served, free_port, rows, running, serving, wait_until
from tests.needs import require
from tests.shortcuts import make_store

ROOT = Path(__file__).parents[2]
WORKERS = "2"
Hosted = tuple[Served, Credentials, Path]
"""A host application's server, the credentials of its store, and the store."""


def commands(port: int) -> dict[str, list[str]]:
    """The servers, each with several workers on one of the host applications of tests/apps."""
    at, module = str(port), [sys.executable, "-m"]
    bind = ["--bind", f"127.0.0.1:{at}", "--workers", WORKERS, "--no-control-socket"]
    gunicorn = [*module, "gunicorn", *bind]
    granian = [*module, "granian", "--port", at, "--workers", WORKERS, *GRANIAN_ENDS]
    uwsgi = str(Path(sys.executable).with_name("uwsgi"))
    return {
        "gunicorn-sync": [*gunicorn, "tests.apps.flask_app:wrapped"],
        "gunicorn-gthread": [*gunicorn, "--worker-class", "gthread", "--threads", "8", "tests.apps.falcon_wsgi:app"],
        "gunicorn-uvicorn": [*gunicorn, "--worker-class", "uvicorn_worker.UvicornWorker", "tests.apps.fastapi_app:wrapped"],
        "gunicorn-preload": [*gunicorn, "--preload", "--threads", "4", "tests.apps.flask_app:wrapped"],
        "gunicorn-recycling": [*gunicorn, "--threads", "4", "--max-requests", "40", "tests.apps.falcon_wsgi:app"],
        "uvicorn": [*module, "uvicorn", "--port", at, "--workers", WORKERS, "tests.apps.falcon_asgi:app"],
        "granian-wsgi": [*granian, "--interface", "wsgi", "--blocking-threads", "8", "tests.apps.flask_app:wrapped"],
        "granian-asgi": [*granian, "--interface", "asgi", "tests.apps.starlette_app:wrapped"],
        "uwsgi": [uwsgi, "--http", f"127.0.0.1:{at}", "--master", "--workers", WORKERS, "--threads", "4", "--die-on-term",
                  "--http-keepalive", "--pythonpath", str(ROOT), "--module", "tests.apps.flask_app:wrapped"],
    }  # fmt: skip


@pytest.fixture(scope="module")
def hosted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    """A host application on a server with several workers, and its store."""
    if request.param == "uwsgi":
        require("uwsgi")
    folder = tmp_path_factory.mktemp(request.param)
    db = folder / "events.duckdb"
    credentials = make_store(db)
    port = free_port()
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {"HOST_DB": str(db), "HOST_RECORD": str(folder / "record"), "PYTHONPATH": path}
    with running(commands(port)[request.param], folder / "log", port=port, ready="/hello", env=environment) as served:
        yield served, credentials, db


def fresh(served: Served, method: str, path: str, **options: object) -> httpx.Response:
    """A request on a connection of its own, which any worker may get."""
    return httpx.request(method, served.url + PREFIX + path, timeout=60, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("hosted", [name for name in commands(0) if name != "gunicorn-recycling"], indirect=True)
def test_workers_share_a_store(hosted: Hosted) -> None:
    """Whichever answers: what one wrote all others read, one binding is one identify event, one EventID one event."""
    served, credentials, db = hosted
    with ThreadPoolExecutor(8) as pool, EventTracking(db) as tracking:

        def several_answer() -> bool:
            assert fresh(served, "POST", EVENT, json=credentials.event()).status_code == 200
            return len(set(tracking.owner().clients) - {os.getpid()}) > 1

        wait_until(several_answer, "one worker answers all", served)
        for number in range(6):
            written = fresh(served, "POST", EVENT, json=credentials.event(event=f"own-{number}"))
            assert written.status_code == 200, written.text
            names = fresh(served, "POST", PROPERTIES, json={"APIKey": credentials.read, "ListID": 94})
            assert f"own-{number}" in names.json()["Properties"]
        for number in range(3):
            same = credentials.event(event="bound", id=f"b{number}", email=f"b{number}@example.com")
            answers = list(pool.map(lambda body: fresh(served, "POST", EVENT, json=body), [same] * 8))
            assert sorted(answer.json()["identify_event_sent"] for answer in answers) == [False] * 7 + [True]
            repeat = credentials.event(event="repeated", EventID=str(uuid.uuid4()))
            answers = list(pool.map(lambda body: fresh(served, "POST", EVENT, json=body), [repeat] * 8))
            assert len({answer.content for answer in answers}) == 1
            assert sum("X-Event-Duplicate" in answer.headers for answer in answers) == 7
        key = tracking.directory.create_key("alice", "ingest")
        tracked = [fresh(served, "POST", EVENT, json=credentials.event(APIKey=key.key)) for _ in range(6)]
        assert [answer.status_code for answer in tracked] == [200] * 6
        tracking.directory.revoke_key(key.key_id)
        refused = [fresh(served, "POST", EVENT, json=credentials.event(APIKey=key.key)) for _ in range(6)]
        assert [answer.status_code for answer in refused] == [401] * 6
        assert not tracking.recount(94).differs
        counted = tracking.query(94, date_range="all", dimensions=["event"], metrics=["events"]).rows
        counts = {row.dimensions[0]: row.metrics[0] for row in counted}
        assert (counts["bound"], counts["repeated"]) == (24, 3)


@pytest.mark.parametrize("hosted", ["gunicorn-recycling", "gunicorn-preload", "uvicorn"], indirect=True)
def test_nothing_is_lost_whatever_becomes_of_the_workers(hosted: Hosted) -> None:
    """Workers that are recycled or reloaded, and an owner that is killed, under load."""
    served, credentials, db = hosted
    with Clients(served.url, credentials, 4, PREFIX) as clients:
        clients.wait_for(80)
        kill_owner(db)
        clients.wait_for(30)
        if "gunicorn" in served.process.args:
            served.process.send_signal(signal.SIGHUP)  # new workers for the old ones
        clients.wait_for(60)
        clients.stop()
        assert not clients.given_up
        served.stop()
    assert_whole(db, clients.acknowledged)


def test_uvicorns_auto_reload_finds_the_store_again(tmp_path: Path) -> None:
    """A changed source file: the new process takes part in the store, whose events are all there."""
    host = tmp_path / "host"
    host.mkdir()
    (host / "reloaded.py").write_text("from tests.apps.falcon_asgi import app\nVERSION = 0\n")
    db = tmp_path / "events.duckdb"
    credentials = make_store(db)
    port = free_port()
    env = {"HOST_DB": str(db), "HOST_RECORD": str(tmp_path / "record"), "PYTHONPATH": os.pathsep.join([str(host), str(ROOT)])}
    command = [sys.executable, "-m", "uvicorn", "reloaded:app", "--port", str(port), "--reload", "--reload-dir", str(host)]
    with running(command, tmp_path / "log", port=port, ready="/hello", env=env) as served:
        assert fresh(served, "POST", EVENT, json=credentials.event(event="load")).status_code == 200
        starts = served.log().count("Started server process")
        (host / "reloaded.py").write_text("from tests.apps.falcon_asgi import app\nVERSION = 1\n")
        wait_until(lambda: served.log().count("Started server process") > starts, "no reload", served)
        wait_until(lambda: _reachable(served), "it does not come back", served)
        assert fresh(served, "POST", EVENT, json=credentials.event(event="load")).status_code == 200
        names = fresh(served, "POST", PROPERTIES, json={"APIKey": credentials.read, "ListID": 94})
        assert "load" in names.json()["Properties"]
    assert rows(db, "select count(*) from events where event = 'load'") == [(2,)]


def test_djangos_development_server_and_its_reload(tmp_path: Path) -> None:
    """Its autoreloader is a process that starts another one, and starts it anew when a source file has changed."""
    host = tmp_path / "host"
    host.mkdir()
    (host / "manage.py").write_text(
        "import sys\nfrom tests.apps import django_app\nfrom django.conf import settings\n"
        "settings.WSGI_APPLICATION = 'tests.apps.django_app.wsgi'\nsettings.DEBUG = True\nimport watched\n"
        "from django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n"
    )
    (host / "watched.py").write_text("VERSION = 0\n")
    db = tmp_path / "events.duckdb"
    credentials = make_store(db)
    port = free_port()
    env = {
        "HOST_DB": str(db), "HOST_RECORD": str(tmp_path / "record"), "PYTHONPATH": os.pathsep.join([str(host), str(ROOT)]),
        "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore",
    }  # fmt: skip
    command = [sys.executable, str(host / "manage.py"), "runserver", f"127.0.0.1:{port}", "--skip-checks"]
    with running(command, tmp_path / "log", port=port, ready="/hello", env=env) as served:
        assert fresh(served, "POST", EVENT, json=credentials.event(event="load")).status_code == 200
        starts = served.log().count("Starting development server")
        (host / "watched.py").write_text("VERSION = 1\n")
        wait_until(lambda: served.log().count("Starting development server") > starts, "no reload", served)
        wait_until(lambda: _reachable(served), "it does not come back", served)
        assert fresh(served, "POST", EVENT, json=credentials.event(event="load")).status_code == 200
    assert rows(db, "select count(*) from events where event = 'load'") == [(2,)]


def test_serve_replaces_a_worker_that_dies(flavour: str, db: Path) -> None:
    """The standalone server keeps its number of workers, and the store is none the worse."""
    credentials = make_store(db)
    with serving(db, flavour, "--workers", "2") as served:
        with EventTracking(db) as tracking:
            wait_until(lambda: len(tracking.owner().clients) == 3, "not all workers have come", served)
            first = set(tracking.owner().clients) - {os.getpid()}
            os.kill(min(first), signal.SIGKILL)
            wait_until(lambda: len(set(tracking.owner().clients) - {os.getpid(), min(first)}) == 2, "it is not replaced", served)
        for _ in range(10):
            assert httpx.post(served.url + EVENT, json=credentials.event(), timeout=30).status_code == 200
        assert served.stop() == 0


def _reachable(served: Served) -> bool:
    try:
        return httpx.get(f"{served.url}/hello", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
