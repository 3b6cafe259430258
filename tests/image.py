"""Builds and runs a Dockerfile without Docker, as root: its own steps, in bare folders that each stage has as its root.

What stands for the base image, a Debian with Python, is this machine's /usr, read-only, a copy of its /etc, and the Python
that runs the tests. What a step does to the rest is the folder's alone: each is entered in a mount namespace of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from tests.harness import wait_until

PYTHON = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
BASE_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
FROM_OUTSIDE = re.compile(r"PIP_\w+|SSL_CERT_\w+|\w+_CA_BUNDLE|\w+_proxy", re.IGNORECASE)
"""How the machine reaches a package registry."""
ENTER = """
set -e
root=$1 prefix=$2; shift 2
bind() { mkdir -p "$root$2"; mount --rbind "$1" "$root$2"; [ "$2" = /dev ] || mount -o remount,bind,ro "$root$2"; }
bind /usr /usr
# Python's images have it in /usr/local; where it was built for another place, that is there, too.
case $prefix in /usr) bind "$root.base" /usr/local/bin ;; *) bind "$prefix" /usr/local; bind "$prefix" "$prefix" ;; esac
bind /dev /dev
mkdir -p "$root/proc"
mount -t proc proc "$root/proc"
exec "$@"
"""
LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x41))  # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
os.execvp(sys.argv[1], sys.argv[1:])
"""


@dataclass(frozen=True)
class Step:
    """An instruction, its flags, and its words: a list where it has JSON's form, else one string."""

    name: str
    flags: Mapping[str, str]
    words: list[str] | str


@dataclass
class Stage:
    """The result of a stage's steps."""

    root: Path
    env: dict[str, str] = field(default_factory=lambda: {"PATH": BASE_PATH})
    folder: str = "/"
    user: str = "0:0"
    told: dict[str, list[str]] = field(default_factory=dict)
    """What is only told to whoever runs it: CMD, ENTRYPOINT, HEALTHCHECK, VOLUME, EXPOSE."""


def steps(text: str) -> Iterator[Step]:
    """A Dockerfile's instructions, in order."""
    lines = "\n".join(line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    for line in lines.replace("\\\n", " ").splitlines():
        name, rest = line.split(None, 1)
        flags: dict[str, str] = {}
        while found := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
            flags[found[1]] = found[2]
            rest = rest[found.end() :]
        if name == "HEALTHCHECK":
            kind, rest = rest.split(None, 1)
            assert kind == "CMD", kind
        yield Step(name, flags, json.loads(rest) if rest.startswith("[") else rest)


def ignored(text: str, path: Path) -> bool:
    """Whether a .dockerignore keeps a path of the context out of it: its last line that matches the path or a folder of it."""
    out = False
    for line in text.splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!")
            tried = [str(path), *map(str, path.parents)]
            patterns = (pattern, pattern.removeprefix("**/")) if pattern.startswith("**/") else (pattern,)
            if any(fnmatch(one, each) for one in tried for each in patterns):
                out = not line.startswith("!")
    return out


def build(context: Path, folder: Path) -> Stage:
    """Takes the steps of context/Dockerfile; the last stage."""
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for step in steps((context / "Dockerfile").read_text()):
        if step.name == "FROM":
            words = str(step.words).split()
            stage = _stage(folder / f"stage{len(stages)}")
            stages[words[2] if len(words) == 3 else ""] = stage
            continue
        assert stage is not None
        _take(step, stage, context, stages)
    assert stage is not None
    return stage


def _take(step: Step, stage: Stage, context: Path, stages: Mapping[str, Stage]) -> None:
    words = step.words if isinstance(step.words, list) else step.words.split()
    match step.name:
        case "WORKDIR":
            (stage.folder,) = words
            _below(stage, stage.folder).mkdir(parents=True, exist_ok=True)
        case "ENV":
            stage.env.update(word.split("=", 1) for word in shlex.split(str(step.words)))
        case "USER":
            (stage.user,) = words
        case "COPY":
            source = stages[step.flags["from"]].root if "from" in step.flags else context
            _copy(words, stage, source, "" if "from" in step.flags else (context / ".dockerignore").read_text())
        case "RUN":
            network = {name: value for name, value in os.environ.items() if FROM_OUTSIDE.fullmatch(name)}
            done = subprocess.run(
                entered(stage, ["/bin/sh", "-c", str(step.words)], **network), capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{step.words}\n{done.stdout}\n{done.stderr}"
        case "CMD" | "ENTRYPOINT" | "HEALTHCHECK" | "VOLUME" | "EXPOSE":
            stage.told[step.name] = words
        case _:
            raise AssertionError(f"{step.name} is not known")


def _copy(words: Sequence[str], stage: Stage, source: Path, ignore: str) -> None:
    *names, target = words
    goal = _below(stage, target)
    for name in names:
        found = source / name.lstrip("/")
        assert found.exists(), name
        if found.is_file():
            assert not ignored(ignore, Path(name)), f"{name} is not in the context"
            goal.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, goal)
            continue

        def left_out(folder: str, inside: list[str]) -> list[str]:
            return [one for one in inside if ignored(ignore, (Path(folder) / one).relative_to(source))]

        shutil.copytree(found, goal, symlinks=True, ignore=left_out)
        assert any(goal.iterdir()), f"{name} is not in the context"


def _below(stage: Stage, path: str) -> Path:
    return Path(f"{stage.root}/{Path(stage.folder) / path}")


def _stage(root: Path) -> Stage:
    """A root folder with what the base image has, and nothing else."""
    root.mkdir()
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    for name in ("opt", "root", "var", "run", "tmp"):
        (root / name).mkdir()
    (root / "tmp").chmod(0o1777)
    shutil.copytree("/etc", root / "etc", symlinks=True, ignore=shutil.ignore_patterns("*.lock"))
    base = root.with_name(root.name + ".base")
    base.mkdir()
    (base / "python").symlink_to(PYTHON)
    (base / "python3").symlink_to(PYTHON)
    return Stage(root)


def entered(stage: Stage, words: Sequence[str], **env: str) -> list[str]:
    """The command that runs words in a stage, as its user, in its folder, with its environment; the first process there."""
    namespaces = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    prefix = str(PYTHON.parents[1])
    return [*namespaces, "/bin/sh", "-c", ENTER, "sh", str(stage.root), prefix, *_inside(stage, env), *words]


def started(stage: Stage, words: Sequence[str] = ()) -> list[str]:
    """The command that runs a stage as a container, with a network of its own: what it is told to run, or other words."""
    command = [*stage.told["ENTRYPOINT"], *(words or stage.told["CMD"])]
    return ["unshare", "--net", sys.executable, "-c", LOOPBACK_UP, *entered(stage, command)]


def first_process(pid: int) -> int:
    """The first process of a container, by the process that was started for it."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


@contextlib.contextmanager
def container(stage: Stage, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A stage while it runs: the process that was started, and the first one inside. It is healthy when the block begins."""
    with log.open("wb") as output:
        process = subprocess.Popen(started(stage), stdout=output, stderr=output)

    def is_healthy() -> bool:
        assert process.poll() is None, log.read_text()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        return bool(children) and health(stage, first_process(process.pid)).returncode == 0

    try:
        wait_until(is_healthy, "it does not get healthy")
        yield process, first_process(process.pid)
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a container.

    All that is inside ends with its first process. `unshare --kill-child` does not kill that one: the kernel forgets about it
    when a process changes its user, as `chroot --userspec` does.
    """
    if process.poll() is None:
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        process.kill()
    process.wait()


def health(stage: Stage, first: int) -> subprocess.CompletedProcess[str]:
    """The image's own health check."""
    return subprocess.run(beside(stage, first, stage.told["HEALTHCHECK"]), capture_output=True, text=True, check=False)


def beside(stage: Stage, first: int, words: Sequence[str]) -> list[str]:
    """The command that runs words in a container that is there, as its health check is."""
    return ["nsenter", f"--target={first}", "--mount", "--pid", "--net", *_inside(stage, {}), *words]


def _inside(stage: Stage, env: Mapping[str, str]) -> list[str]:
    variables = (f"{name}={value}" for name, value in (stage.env | env).items())
    chroot = ("chroot", f"--userspec={stage.user}", "--groups=", str(stage.root))
    return [*chroot, "/usr/bin/env", "-i", f"--chdir={stage.folder}", *variables]
