"""The queue within web servers' workers: what requests have enqueued is sent when the worker ends."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import httpx
import pytest

from tests.harness import free_port, running
from tests.server.client.common import World, name

GUNICORN = """
import os
from falcon_events.client import Client

client = Client(os.environ["URL"], os.environ["KEY"], linger_s=60)


def app(environ, start_response):
    client.enqueue(94, os.environ["EVENT"], email="a@example.com")
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]
"""
UVICORN = """
import os
from contextlib import asynccontextmanager
from fastapi import FastAPI
from falcon_events.client import AsyncClient

client = AsyncClient(os.environ["URL"], os.environ["KEY"], linger_s=60)


@asynccontextmanager
async def lifespan(app):
    async with client:
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def page():
    return await client.enqueue(94, os.environ["EVENT"], email="a@example.com")
"""


@pytest.mark.parametrize(
    ("code", "command"),
    [
        (GUNICORN, ["gunicorn", "--workers", "2", "--preload", "--bind", "127.0.0.1:{port}", "host:app"]),
        (UVICORN, ["uvicorn", "--port", "{port}", "host:app"]),
    ],
    ids=["gunicorn", "uvicorn"],
)
def test_the_end_of_a_worker_sends_what_waits(code: str, command: list[str], world: World, tmp_path: Path) -> None:
    """Also of workers that were forked after the client had been made."""
    (tmp_path / "host.py").write_text(code)
    event, port = name(), free_port()
    env = {"URL": world.url, "KEY": world.made.full, "EVENT": event, "PYTHONPATH": str(tmp_path)}
    arguments = [sys.executable, "-m", *(argument.format(port=port) for argument in command)]
    with running(arguments, tmp_path / "log", port=port, ready="/", env=env) as served:
        for _ in range(20):
            assert httpx.get(served.url + "/", timeout=30).status_code == 200
        assert world.stored(event) == []
        served.stop(signal.SIGTERM)
        log = served.log()
    assert len(world.stored(event)) == 21, log  # one of them for the question whether the server is ready
