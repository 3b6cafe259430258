"""The code in the pages: every fenced block of the README, its neighbours, docs/ and examples/, and how commands are run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tests.needs import require

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("README.md")),
]
_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=indent)(?P=fence) *$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: of which page, in which language, and which one of that language there; a title is left out."""

    page: str
    language: str
    number: int
    text: str

    @property
    def name(self) -> str:
        """How tables and tests call it, such as `docs/api.md json 0`."""
        return f"{self.page} {self.language} {self.number}"


def blocks_of(text: str, page: str) -> list[Block]:
    """The blocks of a page, without the indentation that a list item gives them."""
    counts: dict[str, int] = {}
    found = []
    for match in _FENCE.finditer(text):
        language = match["info"].partition(" ")[0].strip()
        number = counts.get(language, 0)
        counts[language] = number + 1
        found.append(Block(page, language, number, textwrap.dedent(match["text"])))
    return found


BLOCKS = [block for path in PAGES for block in blocks_of(path.read_text("utf-8"), path.relative_to(ROOT).as_posix())]


def text_of(name: str) -> str:
    """Return what stands in the block of this name."""
    (found,) = (block for block in BLOCKS if block.name == name)
    return found.text


_SERVE = """
import fcntl, http.client, os, signal, socket, struct, subprocess, sys, time

with socket.socket() as any_socket:  # the loopback device of a new namespace is down
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x41))
process = subprocess.Popen(["bash", "-c", "exec " + sys.argv[1]], start_new_session=True)
deadline = time.monotonic() + 120
answer = None
try:
    while answer is None:
        assert process.poll() is None, "it has ended"
        assert time.monotonic() < deadline, "it does not answer"
        for port in (8080, 8000):
            asking = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                if sys.argv[2] == "event":
                    asking.request("POST", "/api/v1/event", "{}", {"Content-Type": "application/json"})
                else:
                    asking.request("GET", "/")
                reply = asking.getresponse()
                answer = reply.status, reply.read().decode()
                break
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
            finally:
                asking.close()
    process.terminate()  # on SIGINT gunicorn waits 30 s for workers of uvicorn's
    process.wait(60)
    print("\\nANSWER", *answer)
finally:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


def environment() -> dict[str, str]:
    """With this interpreter's scripts on the path, and nothing of what a developer, or the run of these tests, has set."""
    set_here = ("FALCON_EVENTS_", "COVERAGE_", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(set_here)}
    scripts = Path(sys.executable).parent
    quick = {"PIP_NO_COMPILE": "1", "NO_MKDOCS_2_WARNING": "1"}  # most of what is installed is never imported
    return {**kept, "PATH": f"{scripts}:{kept['PATH']}", **quick}


def shell(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a block in a folder; the first command that fails ends it."""
    command = ["bash", "-euo", "pipefail", "-c", text]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def serve(line: str, folder: Path, asked: str = "event") -> str:
    """Runs a server's command as it stands, in a network of its own where every port is free, until it has answered.

    Args:
        line: the command.
        folder: where it is run.
        asked: `event` for the API's endpoint, or `page` for the first page.

    Returns:
        The status and the text of its answer.
    """
    require("network")
    namespace = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    done = subprocess.run(
        [*namespace, sys.executable, "-c", _SERVE, line, asked],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.rpartition("\nANSWER ")[2]
