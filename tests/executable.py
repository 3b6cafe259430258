"""The single-file executable, which `make binary` has built, and bare root folders to run it in."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import wait_until

ROOT = Path(__file__).parents[1]
BUILT = ROOT / "dist" / "falcon-events"
LIBC = ("libc", "libdl", "libm", "libpthread", "librt", "libutil")
"""What Debian's libc6 has of what programs are linked with."""
LIBRARIES = Path("/lib/x86_64-linux-gnu")
LOADER = Path("/lib64/ld-linux-x86-64.so.2")
UNPACKED = "/tmp/falcon-events-unpacked-0"
in_a_bare_root = pytest.mark.needs("root", "debian")
"""Another root folder needs root, and the C library of this machine where Debian has it."""


@dataclass(frozen=True)
class Bare:
    """A root folder with the executable, a C library, /tmp, /data and /dev/null: no Python, no shell, no /proc, no /etc.

    A command in it has an empty environment.
    """

    path: Path

    @classmethod
    def make(cls, path: Path, executable: Path) -> Bare:
        """A new one."""
        for folder in ("tmp", "data", "dev", "lib64", str(LIBRARIES)[1:]):
            (path / folder).mkdir(parents=True)
        (path / "tmp").chmod(0o1777)
        shutil.copy(LOADER, path / "lib64")
        for name in LIBC:
            for library in LIBRARIES.glob(f"{name}.so.*"):
                shutil.copy(library, path / str(LIBRARIES)[1:])
        subprocess.run(["mknod", "-m", "666", str(path / "dev" / "null"), "c", "1", "3"], check=True)
        shutil.copy(executable, path / "falcon-events")
        return cls(path)

    def words(self, *arguments: str, **variables: str) -> list[str]:
        """The words that start the command; each of `env` and `chroot` becomes the next, so the process keeps its number."""
        tools = [str(shutil.which(name)) for name in ("env", "chroot")]
        given = [f"{name}={value}" for name, value in variables.items()]
        return [tools[0], "-i", *given, tools[1], str(self.path), "/falcon-events", *arguments]

    def run(self, *arguments: str, stdin: bytes = b"", **variables: str) -> subprocess.CompletedProcess[bytes]:
        """Runs a command to its end."""
        return subprocess.run(self.words(*arguments, **variables), input=stdin, capture_output=True, check=False)

    def processes(self) -> dict[int, list[str]]:
        """The processes that live in this root folder, and their arguments."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "root").readlink() == self.path:
                    found[int(process.name)] = (process / "cmdline").read_text().split("\0")
            except OSError:
                continue  # it has ended, or is a zombie
        return found

    def wait_for_the_end(self) -> None:
        """Until no process of it is left."""
        wait_until(lambda: not self.processes(), "processes are left over")

    def files(self) -> set[Path]:
        """All there is, but for the stores in /data."""
        return {path.relative_to(self.path) for path in self.path.rglob("*") if not path.is_relative_to(self.path / "data")}
