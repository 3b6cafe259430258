"""Starting an owner: a small process of its own, which outlives whoever started it and ends with its last client."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import msgspec

from falcon_events.errors import StoreError, StoreLocked, build_error
from falcon_events.files.lockfile import lock_path
from falcon_events.runtime.lifecycle import fork_lock
from falcon_events.settings import Settings

# The new process is nobody's child, so that no server counts it among its workers or waits for it, and it has a session of
# its own: what ends a server's process group, or Ctrl-C in a terminal, leaves it what it has to finish. The lock comes
# first: of many that are started at once, all but one end before they have loaded anything.
_BOOTSTRAP = """
import fcntl, json, os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
start = json.loads(sys.stdin.readline())
lock = None
try:
    lock = os.open(start["lock"], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for again in (True,) * 10 + (False,):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if not again:
                print(json.dumps({"held": True}), flush=True)
                os._exit(0)
            time.sleep(0.01)
except OSError:
    pass
sys.path[:] = start["sys_path"]
from falcon_events.owner.main import main
main(start, lock)
"""


def start_owner(db: Path, settings: Settings, *, create: bool) -> bool:
    """Starts an owner and waits until it listens; False where another process was faster.

    Args:
        db: the store's file.
        settings: of the store, from whoever needs it first.
        create: whether a missing file is made.

    Raises:
        StoreError: the owner cannot open the file; the message says why.
    """
    start = {
        "sys_path": sys.path,
        "db": str(db),
        "lock": str(lock_path(db)),
        "settings": msgspec.to_builtins(settings),
        "create": create,
    }
    command = [_interpreter(), "-c", _BOOTSTRAP]
    with fork_lock:  # a fork's copy of the pipe's end would keep this one from seeing that the owner has ended
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                text=True,
            )
        except OSError as error:
            raise StoreError(f"{db} cannot be opened: no process can be started for it ({error.strerror}).") from error
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdout as told:
        try:
            with process.stdin as given:
                given.write(json.dumps(start) + "\n")
        except BrokenPipeError:
            pass  # it has ended, and `told` says so
        try:
            return _told(told, db)
        finally:
            process.wait()


def _told(lines: IO[str], db: Path) -> bool:
    """What the owner says of its start."""
    for line in lines:
        said: dict[str, Any] = json.loads(line)
        if "log" in said:
            level, name, text = said["log"]
            logging.getLogger(name).log(level, "%s", text)
        elif said.get("held"):
            return False
        elif said.get("ready"):
            return True
        elif said.get("failed") == "StoreLocked":
            raise StoreLocked(str(db), said["pid"])
        else:
            raise build_error(said["failed"], said["text"])
    raise StoreError(f"{db} cannot be opened: the process that was to open it has died.")


def _interpreter() -> str:
    """Python's command: a server that embeds Python is itself what `sys.executable` names."""
    names = ("python3", "python", f"python{sys.version_info.major}.{sys.version_info.minor}")
    running = Path(sys.executable or "")
    # The single-file executable knows `-c`, too (packaging/entry.py).
    if running.name.startswith(("python", "pypy")) or getattr(sys, "frozen", False):
        return str(running)
    for folder in (Path(sys.prefix) / "bin", Path(sys.base_prefix) / "bin"):
        for name in names:
            if os.access(folder / name, os.X_OK):
                return str(folder / name)
    raise StoreError("The store's process cannot be started: no Python interpreter is to be found.")
