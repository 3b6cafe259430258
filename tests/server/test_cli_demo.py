"""falcon-events serve --demo: a filled store of its own, which is gone at the end; a store that is given is not filled."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from falcon_events import EventTracking
from tests.harness import command, free_port, running, serving

END = {"asgi": signal.SIGHUP, "wsgi": signal.SIGINT}
"""How each server is told to end: a terminal that is closed, and Ctrl-C."""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment for a command without --db, in a folder of its own, with another one for temporary files."""
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.chdir(tmp_path)
    return {"FALCON_EVENTS_DB": "", "TMPDIR": str(temporary)}


def find_folders(environment: dict[str, str]) -> list[Path]:
    """The folders of demos that are there."""
    return list(Path(environment["TMPDIR"]).glob("falcon-events-demo-*"))


def test_a_demo_has_a_store_of_its_own_until_it_ends(flavour: str, tmp_path: Path, environment: dict[str, str]) -> None:
    """The first line says where, and that it is deleted. The store is full up to the last minutes, whatever plan the settings
    name, and its key asks questions. The page with the tracker is there, too.
    """
    plan = tmp_path / "plan"
    plan.mkdir()
    (plan / "search.json").write_text('{"type": "object"}')
    environment |= {"FALCON_EVENTS_PLAN_FOLDER": str(plan), "FALCON_EVENTS_PLAN_UNKNOWN": "reject"}
    port = free_port()
    words = [sys.executable, "-m", "falcon_events", "serve", "--demo", "--port", str(port), "--interface", flavour]
    with running(words, tmp_path / "log", port=port, env=environment) as served:
        first, *lines = served.log().splitlines()
        (folder,) = find_folders(environment)
        assert first == f"A demo, with a store of its own in {folder}, which is deleted when the server ends."
        (number,) = re.findall(r"^Filled with ([\d,]+) events of half a year in [\d.]+ s\.$", served.log(), re.MULTILINE)
        assert 40_000 < int(number.replace(",", "")) < 80_000
        assert f"The dashboard: {served.url}/dashboard/" in lines
        assert ">Data</a>" in served.client.get("/dashboard/").text
        for given in ("5h", "28d", "182d"):
            figures = served.client.get("/dashboard/overview.figures", params={"range": given, "part": "1"})
            assert int(re.findall(r'<data value="(\d+)"', figures.text)[0]) > 5
        assert any(line.startswith(f"The tracker at work: {served.url}/tracker ") for line in lines)
        assert served.client.get("/tracker").status_code == 200
        served.process.send_signal(END[flavour])
        assert served.process.wait() == 0, served.log()
        assert "Traceback" not in served.log()
    assert find_folders(environment) == []
    assert not (tmp_path / "events.duckdb").exists()


def test_only_a_browser_on_this_machine_changes_a_demo() -> None:
    """A web page whose name leads to this machine reads the invented numbers, and nothing more."""
    from falcon_events.access.protocol import Scope
    from falcon_events.server.serve import let_in_to_demo

    class Request:
        def __init__(self, host: str, address: str) -> None:
            self.host, self.remote_addr = host, address

    assert let_in_to_demo(Request("localhost", "127.0.0.1")).scope is Scope.FULL
    for host, address in (("evil.example", "127.0.0.1"), ("localhost", "192.0.2.1"), ("127.0.0.1.evil.example", "::1")):
        assert let_in_to_demo(Request(host, address)).scope is Scope.READ


def test_a_demo_that_is_ended_while_it_is_filled_leaves_nothing(environment: dict[str, str]) -> None:
    """SIGTERM, while a line on the terminal says how far the filling is."""
    words = [sys.executable, "-m", "falcon_events", "serve", "--demo", "--port", str(free_port())]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, **environment})
    os.close(theirs)
    shown = b""
    while not re.search(rb"Filling it with events: +\d+%", shown):
        shown += os.read(ours, 1000)
    assert len(find_folders(environment)) == 1
    process.terminate()
    out, _ = process.communicate()
    os.close(ours)
    assert process.returncode == 128 + signal.SIGTERM
    assert out.startswith(b"A demo, ")
    assert b"Filled with" not in out
    assert find_folders(environment) == []


@pytest.mark.parametrize("place", ["option", "variable"])
def test_a_store_that_is_given_is_not_filled(place: str, one_flavour: str, db: Path) -> None:
    """It is served with the page of the tracker, as it is, and stays."""
    if place == "option":
        with serving(db, one_flavour, "--demo") as served:
            assert served.client.get("/tracker").status_code == 200
            assert "A demo" not in served.log()
            assert served.stop() == 0
    else:
        port = free_port()
        words = [sys.executable, "-m", "falcon_events", "serve", "--demo", "--port", str(port), "--interface", one_flavour]
        with running(words, db.with_name("log"), port=port, env={"FALCON_EVENTS_DB": str(db)}) as served:
            assert "A demo" not in served.log()
            assert served.stop() == 0
    with EventTracking(db, create=False) as tracking:
        (row,) = tracking.query(1, date_range="all", metrics=["events"]).rows
        assert row.metrics == [0]
        assert [found.name for found in tracking.directory.lists()] == ["First list"]


def test_a_demo_has_one_list(environment: dict[str, str]) -> None:
    """Another one is told in one line, before anything is filled, and the folder is gone."""
    refused = command("serve", "--demo", "--demo-list", "7", "--port", str(free_port()), env=environment)
    assert (refused.returncode, refused.stderr) == (2, b"falcon-events: --demo-list 7: there is no such list.\n")
    assert b"Filled" not in refused.stdout
    assert find_folders(environment) == []
