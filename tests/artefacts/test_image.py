"""The image: Dockerfile, checked by hadolint; its own steps taken in bare folders, and what comes of them run as Docker would."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.artefacts.test_systemd_service import processes_of
from tests.harness import EVENT, PROPERTIES, wait_until
from tests.image import Stage, beside, container, entered, health, ignored, steps

pytestmark = pytest.mark.checkout
ROOT = Path(__file__).parents[2]
FILE = ROOT / "Dockerfile"
MOST_BYTES = 160_000_000
"""Of what the image adds to its base."""


def linted(path: Path) -> str:
    """What hadolint says against a Dockerfile."""
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([program, "--no-color", path], cwd=path.parent, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def test_a_linter_has_nothing_against_the_dockerfile(tmp_path: Path) -> None:
    """And it would say so if it had."""
    assert linted(FILE) == ""
    worse = tmp_path / "Dockerfile"
    worse.write_text(re.sub(r"@sha256:\w+|:[\d.]+-slim-bookworm", "", FILE.read_text()) + "RUN cd / && sudo id\n")
    assert {"DL3006", "DL3003", "DL3004"} <= set(re.findall(r"DL\d+", linted(worse)))


def test_every_stage_is_of_one_pinned_image() -> None:
    """By version and by digest."""
    bases = {str(step.words).split()[0] for step in steps(FILE.read_text()) if step.name == "FROM"}
    (base,) = bases
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", base)


def test_the_context_is_what_the_image_is_built_of() -> None:
    """Stores, environments and the repository's history are not sent to whoever builds it."""
    text = (ROOT / ".dockerignore").read_text()
    for name in ("falcon_events/tracking.py", "jsonschemas/event.request.json", "pyproject.toml", "README.md"):
        assert not ignored(text, Path(name)), name
    for name in ("events.duckdb", ".git/config", ".venv/bin/python", "tests/harness.py", "falcon_events/__pycache__/x.pyc"):
        assert ignored(text, Path(name)), name


@pytest.fixture
def data(image: Stage) -> Path:
    """The volume's folder, empty."""
    folder = image.root / "data"
    for path in folder.iterdir():
        path.unlink()
    return folder


def post(first: int, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """A request in the container's network, to the port that it exposes."""
    url = f"http://127.0.0.1:8080{path}"
    curl = ["curl", "-sS", "--noproxy", "*", "-H", "Content-Type: application/json", "-d", json.dumps(body), url]
    done = subprocess.run(["nsenter", f"--target={first}", "--net", *curl], capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.needs("containers", "curl")
def test_a_container_serves_and_keeps_its_events(image: Stage, data: Path, tmp_path: Path) -> None:
    """As the image's user, on the image's port, with its health check; SIGTERM to its first process, as `docker stop` has it,
    ends it in order, and the next container goes on with the volume.
    """
    assert (image.told["VOLUME"], image.told["EXPOSE"], image.user) == (["/data"], ["8080"], "10001:10001")
    with container(image, tmp_path / "log") as (process, first):
        (key,) = re.findall(r"fe_full_[\w-]+", (tmp_path / "log").read_text().split("curl")[0])
        inside = [lines for lines in processes_of(10001).values() if Path(f"/proc/{lines['Pid']}/root").readlink() == image.root]
        assert len(inside) >= 2  # the server, and the one that holds the file
        event = {"APIKey": key, "ListID": 1, "event": "boxed", "email": "a@example.com", "properties": {"a": 1}}
        assert post(first, EVENT, event)["status"] == "success"
        os.kill(first, signal.SIGTERM)
        assert process.wait(60) == 0, (tmp_path / "log").read_text()
    assert {path.name for path in data.iterdir()} == {"events.duckdb", "events.duckdb.lock"}  # no journal: it was taken in
    assert all((found := path.stat()).st_uid == 10001 and not found.st_mode & 0o077 for path in data.iterdir())
    with container(image, tmp_path / "log2") as (_, first):
        assert "fe_full_" not in (tmp_path / "log2").read_text()
        assert post(first, PROPERTIES, {"APIKey": key, "ListID": 1})["Properties"]["boxed"] == ["a"]
        counted = subprocess.run(beside(image, first, ["falcon-events", "stats", "--json"]), capture_output=True, check=True)
        assert json.loads(counted.stdout)["events"] == 2


@pytest.mark.needs("containers")
def test_a_container_in_trouble_is_unhealthy(image: Stage, data: Path, tmp_path: Path) -> None:
    """Exit 1, the only one that Docker knows beside 0, with the reason."""
    with container(image, tmp_path / "log") as (_, first):
        store = data / "events.duckdb"
        store.rename(store.with_name("gone"))
        wait_until(lambda: health(image, first).returncode == 1, "it is healthy without its store")
        assert "503" in health(image, first).stderr
        store.with_name("gone").rename(store)


@pytest.mark.needs("containers")
def test_the_image_is_small_and_its_user_changes_nothing_in_it(image: Stage) -> None:
    """It adds the package and what that needs to its base, no installer, no file outside the volume that its user may change."""
    own = [path for path in (image.root / "opt").rglob("*") if not path.is_symlink()]
    assert sum(path.stat().st_size for path in own) < MOST_BYTES
    assert not list((image.root / "opt").glob("*/lib/python*/site-packages/pip"))
    assert all(path.stat().st_uid == 0 and not path.stat().st_mode & 0o022 for path in own)
    tried = subprocess.run(
        entered(image, ["sh", "-c", "id -u; touch /opt/x /etc/x /x"]), capture_output=True, text=True, check=False
    )
    assert (tried.stdout, tried.returncode, tried.stderr.count("Permission denied")) == ("10001\n", 1, 3)
