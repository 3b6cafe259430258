"""Programs and rights that some tests need: how to detect each, and how to get it.

A test names what it needs with `@pytest.mark.needs("nginx")`, a fixture or a helper calls `require("nginx")`. Where it is
missing, the test is skipped with a line that says how to get it. With REQUIRE_ALL in the environment no test may be skipped.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

REQUIRE_ALL = "TESTS_REQUIRE_ALL"
"""The variable of the environment that turns every skip into a failure; .ci/run sets it to 1."""
ROOT = Path(__file__).parents[1]
SCRIPTS = Path(sys.executable).parent
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
TYPESCRIPT = "typescript@5.9.3"
PRIVATE_MOUNT = ("unshare", "--mount", "--propagation", "private")
PRIVATE_CONTAINER = (*PRIVATE_MOUNT, "--net", "--pid", "--fork")
LIBC = Path("/lib/x86_64-linux-gnu/libc.so.6")


@dataclass(frozen=True)
class Need:
    """Something that a test needs beside Python and the packages of the `dev` extra."""

    remedy: str
    """How to get it, as a command or half a sentence."""
    is_there: Callable[[], bool]


def find(program: str) -> str | None:
    """Path of a program in PATH or among the system's own, if it is installed."""
    return shutil.which(program, path=PATH)


def programs(*names: str) -> Callable[[], bool]:
    """Return a check that all of these programs are installed."""
    return lambda: all(map(find, names))


def works(*command: str) -> Callable[[], bool]:
    """Return a check that a command succeeds."""

    def check() -> bool:
        if find(command[0]) is None:
            return False
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.run(command, check=False, env={**os.environ, "PATH": PATH}, **quiet).returncode == 0  # type: ignore[call-overload, no-any-return]

    return check


def every(*checks: Callable[[], bool]) -> Callable[[], bool]:
    """Return a check that all of these hold."""
    return lambda: all(check() for check in checks)


def is_root() -> bool:
    """Whether the tests run as root."""
    return os.geteuid() == 0


def has_seccomp() -> bool:
    """Whether libseccomp can be loaded."""
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return False
    return True


def has_own_network() -> bool:
    """Whether a process can get a network of its own."""
    return works("unshare", "--net", *([] if is_root() else ["--map-root-user"]), "true")()


def has_npm() -> bool:
    """Whether the npm of this environment reaches a registry."""
    environment = {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{PATH}"}
    words = [str(SCRIPTS / "npm"), "view", TYPESCRIPT, "version", "--fetch-retries=0"]
    return Path(words[0]).exists() and subprocess.run(words, env=environment, capture_output=True, check=False).returncode == 0


def is_executable_built() -> bool:
    """Whether `make binary` has built the executable from the sources of this checkout."""
    command = [sys.executable, str(ROOT / "packaging" / "build.py"), "--check"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def is_outside_tmp() -> bool:
    """Whether neither the checkout nor its Python is in a temporary folder."""
    return not any(path.is_relative_to(folder) for path in (ROOT, Path(sys.executable)) for folder in ("/tmp", "/var/tmp"))


NEEDS = {
    "root": Need("run the tests as root", is_root),
    "mounts": Need(
        "run the tests as root where it may mount, after apt-get install mount util-linux",
        every(is_root, works(*PRIVATE_MOUNT, "mount", "-t", "tmpfs", "none", "/tmp")),
    ),
    "containers": Need(
        "run the tests as root where it may have namespaces, after apt-get install util-linux",
        every(
            is_root,
            programs("nsenter", "chroot"),
            works(*PRIVATE_CONTAINER, "mount", "-t", "proc", "proc", "/proc"),
        ),
    ),
    "network": Need("allow `unshare --net`, or run the tests as root", has_own_network),
    "strace": Need("apt-get install strace, and allow ptrace", works("strace", "-o", "/dev/null", "true")),
    "nginx": Need("apt-get install nginx-light", programs("nginx")),
    "caddy": Need("apt-get install caddy", programs("caddy")),
    "rsync": Need("apt-get install rsync", programs("rsync")),
    "curl": Need("apt-get install curl", programs("curl")),
    "openssl": Need("apt-get install openssl", programs("openssl")),
    "setpriv": Need("apt-get install util-linux", programs("setpriv")),
    "system-python": Need("apt-get install python3", Path("/usr/bin/python3").exists),
    "chromium": Need("apt-get install chromium chromium-driver procps", programs("chromium", "chromedriver", "pkill")),
    "systemd": Need("apt-get install systemd", programs("systemd-analyze")),
    "seccomp": Need("apt-get install libseccomp2", has_seccomp),
    "locales": Need("apt-get install locales", every(programs("localedef"), Path("/usr/share/i18n/charmaps").exists)),
    "executable": Need("make binary, on Linux on x86-64, after apt-get install make binutils libc-bin", is_executable_built),
    "debian": Need(f"run the tests where the C library is {LIBC}, as on Debian", LIBC.exists),
    "useradd": Need("apt-get install passwd", programs("useradd", "groupadd")),
    "uwsgi": Need(".venv/bin/pip install pyuwsgi, where there is a wheel of it", lambda: (SCRIPTS / "uwsgi").exists()),
    "flask-login": Need(".venv/bin/pip install flask-login", lambda: importlib.util.find_spec("flask_login") is not None),
    "npm": Need("allow npm to reach a registry", has_npm),
    "full-device": Need("run the tests where /dev/full exists", Path("/dev/full").exists),
    "outside-tmp": Need("clone the repository to a folder outside /tmp and /var/tmp", is_outside_tmp),
}


@functools.cache
def is_there(name: str) -> bool:
    """Whether something is there; each is looked for once in a process."""
    return NEEDS[name].is_there()


def missing(names: Sequence[str]) -> str | None:
    """One line that names the first of these that is missing and says how to get it, if one is."""
    return next((f"needs {name}: {NEEDS[name].remedy}" for name in names if not is_there(name)), None)


def require(*names: str) -> None:
    """Skip the test that is running, unless all of these are there."""
    if reason := missing(names):
        pytest.skip(reason)


def fail_instead_of_skipping(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn the report of a skip into one of a failure."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason} ({REQUIRE_ALL} is set: no test may be skipped)"
