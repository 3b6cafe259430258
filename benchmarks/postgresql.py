"""Temporary PostgreSQL server in its own folder and on its own port."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path

from benchmarks.common import fail, free_port

START_S = 60.0
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "256MB",
    "max_connections": "100",
}
"""Options that affect the figures; all others have PostgreSQL's defaults."""
USER = "postgres"


def program(name: str) -> str | None:
    """Find one of PostgreSQL's programs, which Debian does not put on the path; return None if it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return str(found[-1]) if found else shutil.which(name)


class PostgreSQL:
    """A running server; `dsn` is its address.

    Args:
        folder: the folder in which the server's own folder is created.
        options: settings of PostgreSQL, beside OPTIONS or instead of them.
    """

    def __init__(self, folder: Path, **options: str) -> None:
        self._options = {**OPTIONS, **options}
        self._data = folder / "postgresql"
        self._log = folder / "postgresql.log"
        self._port = free_port()
        self.dsn = f"postgresql://{USER}@127.0.0.1:{self._port}/postgres"
        self.version = ""

    def __enter__(self) -> PostgreSQL:
        initdb, server = program("initdb"), program("postgres")
        if initdb is None or server is None:
            fail("PostgreSQL is not installed; run apt-get install postgresql", 2)
        self._data.mkdir()
        self._as_user: list[str] = []
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            for path in (self._data, *self._data.parents):
                if path.stat().st_mode & 0o001 == 0:
                    path.chmod(path.stat().st_mode | 0o011)
                if path == Path("/"):
                    break
            shutil.chown(self._data, USER)
            self._as_user = ["setpriv", f"--reuid={USER}", f"--regid={pwd.getpwnam(USER).pw_gid}", "--clear-groups"]
        made = subprocess.run(
            [*self._as_user, initdb, "-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale"],
            capture_output=True,
            text=True,
            cwd="/",
        )
        if made.returncode:
            fail(f"initdb: {made.stderr}")
        self.version = subprocess.run([server, "--version"], capture_output=True, text=True).stdout.split()[2]
        options = {**self._options, "port": str(self._port), "unix_socket_directories": ""}
        given = [text for name, value in options.items() for text in ("-c", f"{name}={value}")]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*self._as_user, server, "-D", self._data, *given], stdout=log, stderr=log, cwd="/", process_group=0
            )
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(START_S)

    def _wait(self) -> None:
        import psycopg

        deadline = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.dsn, connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    fail(f"PostgreSQL does not start\n{self._log.read_text()[-2000:]}")
            time.sleep(0.05)
