"""Pages whose commands a test runs as they stand: their blocks, in order; a server; requests and the answers shown."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx

from tests.harness import Served, free_port, running

ROOT = Path(__file__).parents[1]
PORT = re.compile(r"\b80[08]0\b")
"""The ports of the pages; a test takes a free one."""
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
INSTALLS = ("pip install ", "python3 -m venv .venv && . .venv/bin/activate\n")
"""The lines in whose place the tests have their own environment."""
VISITOR = "11111111-2222-4333-8444-555555555555"
"""The visitor of the browser that visits a page."""
SHELLS_OWN = {"_", "PWD", "OLDPWD", "SHLVL"}
SERVERS = ("granian", "uvicorn", "gunicorn", "falcon-events serve")
_BLOCK = re.compile(r'^```(\w+)(?: title="([\w./]+)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_REQUIREMENT = re.compile(r"([A-Za-z0-9_.-]*[A-Za-z0-9])?(?:\.\./\.\.)?(?:\[([\w,]+)\])?")


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """Language, title (or nothing) and text of each block of a page, in order."""
    return [(language, title, text) for language, title, text in _BLOCK.findall(page.read_text())]


def is_server(script: str) -> bool:
    """Whether a command serves until it is ended."""
    return script.startswith(SERVERS)


def requirements(lines: list[str]) -> set[str]:
    """The names of the packages that requirements ask for."""
    return {re.split(r"[^A-Za-z0-9_.-]", line, maxsplit=1)[0].lower() for line in lines}


def check_installs(script: str) -> None:
    """Every `pip install` of a page must name this package, extras that it has, and others that the tests have installed too."""
    for line in script.splitlines():
        if line.startswith("pip install"):
            check_install(line)


def check_install(command: str) -> None:
    """One of them."""
    names = command.replace("'", "").split()
    assert names[:2] == ["pip", "install"], command
    known = requirements(_PROJECT["dependencies"]) | requirements(
        [line for lines in _PROJECT["optional-dependencies"].values() for line in lines]
    )
    own = [name for name in names[2:] if name.startswith(("falcon-events", "../.."))]
    assert len(own) == 1, command
    for name in names[2:]:
        found = _REQUIREMENT.fullmatch(name)
        assert found, name
        if name in own:
            extras = set((found[2] or "").split(",")) - {""}
            assert extras <= _PROJECT["optional-dependencies"].keys(), name
        else:
            assert found[1] in known, name


def matches(shown: Any, answered: Any) -> bool:
    """Whether an answer is the one shown: any UUID will do for a UUID, and anything for what follows an ellipsis."""
    if isinstance(shown, dict) and isinstance(answered, dict):
        return shown.keys() == answered.keys() and all(matches(shown[name], answered[name]) for name in shown)
    if isinstance(shown, list) and isinstance(answered, list):
        return len(shown) == len(answered) and all(map(matches, shown, answered))
    if isinstance(shown, str) and isinstance(answered, str):
        if UUID.fullmatch(shown):
            return UUID.fullmatch(answered) is not None
        start, ellipsis, _ = shown.partition("…")
        return answered.startswith(start) if ellipsis else shown == answered
    return type(shown) is type(answered) and shown == answered


def documents(text: str) -> list[Any]:
    """What one JSON text after the other says."""
    found, at = [], 0
    text = text.strip()
    while at < len(text):
        value, end = json.JSONDecoder().raw_decode(text, at)
        found.append(value)
        at = end + len(text[end:]) - len(text[end:].lstrip())
    return found


class Walk:
    """Somebody who follows a page, block by block, in a folder of their own.

    Args:
        page: the page.
        folder: where the commands run.
    """

    def __init__(self, page: Path, folder: Path) -> None:
        self.blocks = blocks(page)
        self.folder = folder
        self.port = free_port()
        bin_folder = str(Path(sys.executable).parent)
        self.env = {
            "PATH": os.pathsep.join([bin_folder, os.environ["PATH"]]),
            "GUNICORN_CMD_ARGS": "--no-control-socket",  # which is one for all of a user's servers
        }

    def write_files(self) -> None:
        """Writes each titled block to the file that it is the content of."""
        for _, title, text in self.blocks:
            if title:
                (self.folder / title).write_text(text)

    def servers(self) -> list[str]:
        """The commands that serve."""
        return [text.strip() for language, _, text in self.blocks if language == "sh" and is_server(text)]

    def prepare(self) -> None:
        """Runs what comes before the first server, after checking what it would install."""
        for language, _, text in self.blocks:
            if language == "sh":
                if is_server(text):
                    return
                check_installs(text)
                self.run("".join(line for line in text.splitlines(keepends=True) if not line.startswith(INSTALLS)))
        raise AssertionError("The page starts no server.")

    @contextlib.contextmanager
    def serving(self, command: str) -> Iterator[Served]:
        """One of the page's servers, on a port of the test's, in the walker's folder."""
        if command == "falcon-events serve":
            command += " --port 8080"  # which is the default
        words = ["bash", "-euc", f"cd {self.folder}; exec {PORT.sub(str(self.port), command)}"]
        with running(words, self.folder / "server.log", port=self.port, ready="/", env=self.env) as served:
            yield served

    def run(self, script: str) -> str:
        """What a block's commands print; the variables that they set are there in the next block, as in a walker's shell."""
        script = PORT.sub(str(self.port), script).replace("curl ", "curl -sS ")
        kept = self.folder / ".variables"
        done = subprocess.run(
            ["bash", "-euc", f"set -a\n{script}\nenv -0 >{kept}"],
            cwd=self.folder,
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stderr}"
        variables = dict(line.split("=", 1) for line in kept.read_text().split("\0") if line)
        self.env.update({name: variables[name] for name in variables.keys() - os.environ.keys() - SHELLS_OWN})
        return done.stdout

    def rest(self) -> list[str]:
        """The commands for a running server that no answer is shown of, block by block."""
        after = self.blocks[[is_server(text) for _, _, text in self.blocks].index(True) :]
        pairs = zip(after, [*after[1:], ("", "", "")], strict=True)
        return [
            text for (language, _, text), (form, _, _) in pairs if language == "sh" and form != "json" and not is_server(text)
        ]

    def questions(self) -> Iterator[tuple[str, list[Any]]]:
        """Each block of requests, with the answers shown below it."""
        for (language, _, script), (form, _, shown) in pairwise(self.blocks):
            if (language, form) == ("sh", "json"):
                yield script, documents(shown)

    def ask(self) -> int:
        """Sends every request of the page and compares the answers with those shown; how many there were."""
        asked = 0
        for script, shown in self.questions():
            answers = documents(self.run(script))
            assert matches(shown, answers), f"{script}\nshown: {shown}\nanswered: {answers}"
            asked += len(answers)
        return asked


def visit(served: Served, path: str = "/", **visitor: Any) -> None:
    """Does what a browser does with a page: fetches the script that it names, and sends a page view with the page's key."""
    page = httpx.get(served.url + path, timeout=30)
    assert page.headers["Content-Type"].startswith("text/html")
    (tag,) = re.findall(r"<script[^>]* src=[^>]*>", page.text)
    given = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
    script = httpx.get(urljoin(str(page.url), given["src"]), timeout=30)
    assert (script.status_code, script.headers["Content-Type"].split(";")[0]) == (200, "text/javascript")
    endpoint = given.get("data-endpoint", "api/v1/events")
    view = {"event": "pageView", "UUID": VISITOR, "properties": {"url": str(page.url)}}
    body = {"APIKey": given["data-key"], "ListID": int(given["data-list"]), "Events": [view]}
    answer = httpx.post(urljoin(str(script.url), endpoint), content=json.dumps(body), headers={"Content-Type": "text/plain"})
    assert [result.get("status") for result in answer.json()["Results"]] == ["success"], answer.text
