"""Set-up that costs more than most tests: filled stores are copied, TLS contexts shared, commands run in this process."""

from __future__ import annotations

import io
import os
import ssl
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx._transports.default as transports
import pytest

from falcon_events import EventTracking
from falcon_events.cli.main import main
from tests import harness
from tests.harness import FLAVOURS, Credentials

HALF_AN_HOUR = 1800
"""For how long the original is copied, in seconds; its session lasts twice as long."""

_made: list[tuple[float, bytes, Credentials]] = []


def make_store(path: Path) -> Credentials:
    """Copy a closed store with fill_store's contents to a new file; the original is made once per process."""
    if not _made or time.monotonic() - _made[-1][0] > HALF_AN_HOUR:
        with tempfile.TemporaryDirectory() as folder:
            original = Path(folder) / "events.duckdb"
            credentials = harness.make_store(original)
            _made.append((time.monotonic(), original.read_bytes(), credentials))
    _, content, credentials = _made[-1]
    write_store(path, content)
    return credentials


def write_store(path: Path, content: bytes) -> None:
    """Write a closed store's file, which only its owner may read."""
    path.touch(0o600)
    path.write_bytes(content)


@pytest.fixture
def _filled(request: pytest.FixtureRequest, db: Path) -> Credentials | None:
    return make_store(db) if "credentials" in request.fixturenames else None


@pytest.fixture
def tracking(_filled: Credentials | None, db: Path) -> Iterator[EventTracking]:
    """An open tracker: empty, or with fill_store's contents for a test that asks for `credentials`."""
    with EventTracking(db) as tracking:
        yield tracking


@pytest.fixture
def credentials(_filled: Credentials, tracking: EventTracking) -> Credentials:
    """Accounts, lists and keys in `tracking`."""
    return _filled


@pytest.fixture
def one_flavour(request: pytest.FixtureRequest) -> str:
    """One flavour per test, where HTTP does not matter; the tests' names decide, so that both flavours are exercised."""
    return FLAVOURS[zlib.crc32(request.node.name.encode()) % len(FLAVOURS)]


@pytest.fixture(scope="session", autouse=True)
def shared_tls_contexts() -> Iterator[None]:
    """Share TLS contexts between httpx's clients: making one reads the certificates of all authorities, in 20 ms."""
    create = transports.create_ssl_context
    made: dict[object, ssl.SSLContext] = {}

    def create_once(**arguments: Any) -> ssl.SSLContext:
        environment = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
        wanted = (environment, *arguments.items())
        if wanted not in made:
            made[wanted] = create(**arguments)
        return made[wanted]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transports, "create_ssl_context", create_once)
        yield


def command(
    *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None, program: str = "falcon-events"
) -> subprocess.CompletedProcess[bytes]:
    """Run falcon-events in this process, which saves the interpreter's start; harness.command runs it in its own.

    Args:
        arguments: of the command line.
        stdin: what it reads.
        env: variables of the environment that it has in addition.
        program: the word that it was called by.
    """
    streams = [io.TextIOWrapper(io.BytesIO(content), encoding="utf-8") for content in (stdin, b"", b"")]
    umask = os.umask(0o077)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [program, *arguments])
            for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
                patch.setattr(sys, name, stream)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main()
    finally:
        os.umask(umask)
    written = []
    for stream in streams[1:]:
        stream.flush()
        written.append(stream.buffer.getvalue())  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), *written)
