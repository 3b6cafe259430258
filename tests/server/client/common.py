"""Either client, driven alike, and the server that it talks to."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any

from falcon_events import EventTracking
from falcon_events.client import AsyncClient, Client
from tests.harness import Credentials, Served

MOST = 1_000_000
"""More events than are stored between two looks."""
ERRORS = {"Errors": [{"Code": 503, "Message": "The event store's queue is full. Try again later."}]}


class Caller:
    """Either client with the calls of the sync one, in an event loop of its own where that is needed."""

    def __init__(self, kind: str, *arguments: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop() if kind == "async" else None
        self.client: Any = (AsyncClient if kind == "async" else Client)(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: self._result(getattr(self.client, name)(*arguments, **named))

    def _result(self, value: Any) -> Any:
        if self._loop is None:
            return list(value) if inspect.isgenerator(value) else value
        if inspect.isasyncgen(value):
            return self._loop.run_until_complete(self._collected(value))
        return self._loop.run_until_complete(value) if inspect.isawaitable(value) else value

    async def _collected(self, values: Any) -> list[Any]:
        return [value async for value in values]

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
        if self._loop is not None:
            self._loop.close()


class World:
    """A server that tests may look into."""

    def __init__(self, served: Served, made: Credentials) -> None:
        self.served = served
        self.url = served.url
        self.made = made
        assert served.db is not None
        self._tracking = EventTracking(served.db, create=False)
        self._stored: dict[str, list[str]] = defaultdict(list)
        self._read: dict[int, int] = dict.fromkeys((made.list_id, made.empty_list, made.foreign_list), 0)

    def stored(self, event: str) -> list[Any]:
        """The EventIDs of an event type."""
        # Not by SQL, which starts a process: this is asked again and again.
        for list_id, after in self._read.items():
            for seq, one in self._tracking.latest(list_id, after=after, most=MOST):
                self._stored[one.event].append(one.event_id)
                self._read[list_id] = seq
        return list(self._stored[event])

    def ask(self, question: str, *arguments: Any, **named: Any) -> Any:
        """The answer of the Python API to a question."""
        return getattr(self._tracking, question)(*arguments, **named)

    def close(self) -> None:
        """Lets go of the store."""
        self._tracking.close()


def run_script(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end; the limit only ends one that would otherwise hang."""
    script = folder / "script.py"
    script.write_text(code)
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def name() -> str:
    """An event type that no other test uses."""
    return f"test-{uuid.uuid4().hex[:8]}"
