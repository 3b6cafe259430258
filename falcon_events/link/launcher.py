"""Starting an owner: a separate process, which outlives the process that started it and ends after its last client."""

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
from falcon_events.link.store_user import find_user
from falcon_events.runtime.environment import mark
from falcon_events.runtime.lifecycle import fork_lock
from falcon_events.settings import Settings

# The owner is detached by a fork, so that no server counts it as a worker or waits for it. It has its own session, so that
# Ctrl-C or a signal to a server's process group does not interrupt its work. It takes the lock before it loads anything: if
# many owners are started at once, all but one end at once. The garbage collector would find nothing in what is imported.
_BOOTSTRAP = """
import fcntl, gc, json, os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
gc.disable()
start = json.loads(sys.stdin.readline())
lock = None
main = None
if user := start["user"]:
    groups = os.getgroups()
    try:
        os.setgroups(os.getgrouplist(user["name"], user["gid"]) if not user["name"].isdigit() else [user["gid"]])
        os.setegid(user["gid"])
        os.seteuid(user["uid"])
        path, sys.path[:] = sys.path[:], start["sys_path"]
        from falcon_events.owner.main import main
        sys.path[:] = path
    except (ImportError, OSError) as error:
        if user["required"]:
            print(json.dumps({"user": user["name"], "reason": str(error)}), flush=True)
            os._exit(0)
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
    else:
        os.seteuid(0)
        os.setresgid(*[user["gid"]] * 3)
        os.setresuid(*[user["uid"]] * 3)
        os.environ.update(HOME=user["home"], USER=user["name"], LOGNAME=user["name"])
try:
    lock = os.open(start["lock"], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
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
if main is None:
    sys.path[:] = start["sys_path"]
    try:
        from falcon_events.owner.main import main
    except Exception as error:
        text = f"{start['db']} cannot be opened: its owner process cannot be started ({error})."
        print(json.dumps({"failed": "StoreError", "text": text}), flush=True)
        os._exit(0)
else:
    sys.path[:] = start["sys_path"]
main(start, lock)
"""


def start_owner(db: Path, settings: Settings, *, create: bool) -> bool:
    """Start an owner and wait until it listens.

    Args:
        db: the store's file.
        settings: the settings of the store.
        create: whether a missing file is created.

    Returns:
        Whether it is the owner; False if another process was faster.

    Raises:
        StoreError: the owner cannot open the file; the message says why.
    """
    start = {
        "sys_path": sys.path,
        "db": str(db),
        "lock": str(lock_path(db)),
        "settings": msgspec.to_builtins(settings),
        "create": create,
        "user": msgspec.to_builtins(find_user(db)),
    }
    command = [_find_interpreter(), "-c", mark(_BOOTSTRAP)]
    with fork_lock:  # a child forked now would keep the pipe open, so that the end of the owner would not be noticed
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
            raise StoreError(f"{db} cannot be opened: its owner process cannot be started ({error.strerror}).") from error
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdout as output:
        try:
            with process.stdin as stdin:
                stdin.write(json.dumps(start) + "\n")
        except BrokenPipeError:
            pass  # it has ended: its output has the reason
        try:
            return _read_start_report(output, db)
        finally:
            process.wait()


def _read_start_report(lines: IO[str], db: Path) -> bool:
    """Read the owner's report of its start; return whether it is the owner."""
    for line in lines:
        report: dict[str, Any] = json.loads(line)
        if "log" in report:
            level, name, text = report["log"]
            logging.getLogger(name).log(level, "%s", text)
        elif report.get("held"):
            return False
        elif report.get("ready"):
            return True
        elif "user" in report:
            raise StoreError(
                f"{db} belongs to user {report['user']}, but its owner process cannot be started as this user"
                f" ({report['reason']}). Run as that user, with falcon-events where that user can read it."
            )
        elif report.get("failed") == "StoreLocked":
            raise StoreLocked(str(db), report["pid"])
        else:
            raise build_error(report["failed"], report["text"])
    raise StoreError(f"{db} cannot be opened: its owner process died while it started.")


def _find_interpreter() -> str:
    """Find Python's executable. In a server that embeds Python, `sys.executable` names the server."""
    names = ("python3", "python", f"python{sys.version_info.major}.{sys.version_info.minor}")
    running = Path(sys.executable or "")
    # A frozen program accepts `-c`, too (freeze_support).
    if running.name.startswith(("python", "pypy")) or getattr(sys, "frozen", False):
        return str(running)
    for folder in (Path(sys.prefix) / "bin", Path(sys.base_prefix) / "bin"):
        for name in names:
            if os.access(folder / name, os.X_OK):
                return str(folder / name)
    raise StoreError(f"The store's owner process cannot be started: no Python interpreter in {sys.prefix}/bin.")
