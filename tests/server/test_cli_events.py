"""The command events, and small conveniences of the other commands and of mounting."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import falcon
import falcon.asgi
import falcon.testing
import httpx
import pytest

from falcon_events import EventTracking
from falcon_events.http import ASGIMiddleware, WSGIMiddleware, mount
from tests.blocks import environment
from tests.shortcuts import command

COMMAND = [sys.executable, "-m", "falcon_events"]


def run(*words: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, in a folder."""
    with contextlib.chdir(folder):
        done = command(*words, env=more)
    return subprocess.CompletedProcess(words, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a store, which has a list with two events: an identify event and a signup. It is open meanwhile."""
    with EventTracking(tmp_path / "events.duckdb") as tracking:
        tracking.directory.ensure_list(1, "Customers")
        tracking.track(1, "signup", email="ada@example.com", properties={"plan": "free"})
        yield tmp_path


def test_events_are_shown_as_they_arrive(folder: Path) -> None:
    """With --follow: what is there, then each new event once, in order, until Ctrl-C."""
    words = [*COMMAND, "events", "--list", "1", "--follow", "--json", "--last", "1"]
    with (
        EventTracking(folder / "events.duckdb") as tracking,
        subprocess.Popen(words, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True) as following,
    ):
        assert following.stdout is not None
        seen = [json.loads(following.stdout.readline())["event"]]
        for number in range(3):
            tracking.track(1, f"new-{number}", email="ada@example.com")
            seen.append(json.loads(following.stdout.readline())["event"])
        following.send_signal(2)
        assert following.wait() == 130
        assert following.stdout.read() == ""
    assert seen == ["signup", "new-0", "new-1", "new-2"]


def test_the_last_events_are_shown_in_lines(folder: Path) -> None:
    """Time, type, address and properties; a list that does not exist is named."""
    done = run("events", "--list", "1", folder=folder)
    lines = done.stdout.splitlines()
    assert [line.split("  ")[1:] for line in lines] == [
        ["identify", "ada@example.com", '{"plan":"free","emailAddress":"ada@example.com"}'],
        ["signup", "ada@example.com", '{"plan":"free"}'],
    ]
    assert run("events", "--list", "1", "--last", "0", folder=folder).stdout == ""
    assert (missing := run("events", "--list", "9", folder=folder)).returncode == 2
    assert "--list 9" in missing.stderr


def test_an_export_has_the_format_that_its_name_says(folder: Path) -> None:
    """Without --format; another name needs it."""
    for name, first in (("out.parquet", b"PAR1"), ("OUT.NDJSON", b"{"), ("out.jsonl", b"{"), ("out.ndjson.gz", b"\x1f\x8b")):
        done = run("export", "-o", name, folder=folder)
        assert done.returncode == 0, done.stderr
        assert (folder / name).read_bytes().startswith(first)
    done = run("export", "-o", "out.txt", folder=folder)
    assert (done.returncode, "--format" in done.stderr) == (2, True)


def test_a_session_lasts_a_day_by_default(folder: Path) -> None:
    """Neither the command nor the call needs a lifetime."""
    assert run("sessions", "create", "--account", "default", folder=folder).stdout.startswith("fs_")
    with EventTracking(folder / "events.duckdb") as tracking:
        assert tracking.directory.create_session("default")
        lifetimes = tracking.sql("select distinct epoch(expires_at) - epoch(created_at) from sessions").rows
    assert [round(seconds) for (seconds,) in lifetimes] == [86400]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty store, which is open meanwhile."""
    with EventTracking(tmp_path_factory.mktemp("empty") / "events.duckdb").open() as tracking:
        yield tracking.store.path


@pytest.mark.parametrize("prefix", ["tracking", "/tracking", "tracking/", "/tracking/", "//tracking//"])
@pytest.mark.parametrize("kind", ["mounted", "wrapped"])
@pytest.mark.parametrize("make", [falcon.App, falcon.asgi.App])
def test_a_prefix_means_the_same_with_and_without_slashes(make: Any, kind: str, prefix: str, empty: Path) -> None:
    """Mounted and in middleware, for the API and the script."""
    app: Any = make()
    with EventTracking(empty) as tracking:
        if kind == "mounted":
            mount(app, tracking, prefix=prefix)
        elif make is falcon.App:
            app = WSGIMiddleware(app, tracking, prefix=prefix)
        else:
            client = httpx.AsyncClient(transport=httpx.ASGITransport(ASGIMiddleware(app, tracking, prefix)), base_url="http://h")
            assert asyncio.run(_statuses(client)) == [401, 200]
            return
        client = falcon.testing.TestClient(app)
        assert client.simulate_post("/tracking/api/v1/event", json={}).status_code == 401
        assert client.simulate_get("/tracking/tracker.js").status_code == 200


async def _statuses(client: httpx.AsyncClient) -> list[int]:
    async with client:
        answers = [await client.post("/tracking/api/v1/event", json={}), await client.get("/tracking/tracker.js")]
    return [answer.status_code for answer in answers]


def test_an_unknown_variable_is_named_once(folder: Path) -> None:
    """With the setting that it resembles; known variables are not named."""
    given = {"FALCON_EVENTS_DB": "events.duckdb", "FALCON_EVENTS_THREADS": "1", "FALCON_EVENTS_TREADS": "3"}
    env = {**environment(), **given}
    done = subprocess.run([*COMMAND, "stats"], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.count("FALCON_EVENTS_TREADS is not a setting") == 1
    assert "did you mean FALCON_EVENTS_THREADS?" in done.stderr
    assert os.linesep not in done.stderr.strip()
