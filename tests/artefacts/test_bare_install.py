"""The package with nothing but what it needs: `pip install falcon-events` without extras, in an environment of its own."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.harness import EVENT, free_port, running, unmeasured_environment

pytestmark = pytest.mark.checkout
ROOT = Path(__file__).parents[2]
CORE = {"falcon", "duckdb", "jsonschema", "msgspec", "click", "rich", "granian", "rbloom", "tzdata"}
REPEAT = """
import sys
from falcon_events import EventTracking
with EventTracking(sys.argv[1]) as tracking:
    tracking.directory.create_account("acme")
    news = tracking.directory.create_list("acme", "News").list_id
    for _ in range(2):
        said = tracking.track(news, "test", email="a@example.com", event_id="0b8e1a55-7c1e-4b0b-9a50-0d0f1d6b8f9e")
        print(said.duplicate, said.identify_event_sent)
"""


@pytest.fixture
def bare(release: Path) -> Path:
    """The programs of a virtual environment with the built wheel, and what it requires."""
    return release / "dist" / "try" / "bin"


def run(bare: Path, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command of the bare environment, away from the checkout."""
    environment = unmeasured_environment(PYTHONPATH="")
    return subprocess.run(
        [bare / command[0], *command[1:]], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_few_packages_are_required() -> None:
    """Five that the endpoints and the store are made of, and what the command and its server need; the rest are extras."""
    required = [line for line in importlib.metadata.requires("falcon-events") or () if "extra ==" not in line]
    assert {re.split(r"[<>=!~ ]", line)[0] for line in required} == CORE


def test_it_serves_without_extras(bare: Path, tmp_path: Path) -> None:
    """What is served without a wish is the flavour whose server is there."""
    port, db = free_port(), tmp_path / "events.duckdb"
    command = [str(bare / "falcon-events"), "serve", "--db", str(db), "--port", str(port)]
    with running(command, tmp_path / "log", port=port, ready="/readyz", env=unmeasured_environment(PYTHONPATH="")) as served:
        said = (tmp_path / "log").read_text()
        assert "(wsgi)" in said
        found = re.search(r"-d '(\{.*\})'", said)
        assert found
        answer = httpx.post(f"{served.url}{EVENT}", content=found[1])
        assert (answer.status_code, answer.json()["identify_event_sent"]) == (200, True)
        counted = json.loads(run(bare, "falcon-events", "stats", "--db", str(db), "--json", cwd=tmp_path).stdout)
        assert counted["events"] == 2


def test_a_repeat_is_stored_once(bare: Path, tmp_path: Path) -> None:
    """The filters of EventIDs need no extra."""
    done = run(bare, "python", "-c", REPEAT, str(tmp_path / "events.duckdb"), cwd=tmp_path)
    assert done.stdout.splitlines() == ["False True", "True True"], done.stderr


def test_the_other_flavour_names_its_extra(bare: Path, tmp_path: Path) -> None:
    """One line, before a store is made."""
    done = run(bare, "falcon-events", "serve", "--interface", "asgi", cwd=tmp_path)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "falcon-events[standard]" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_report_names_its_extra(bare: Path, tmp_path: Path) -> None:
    """One line, before anything is asked."""
    done = run(bare, "falcon-events", "report", "--list", "1", "--dry-run", cwd=tmp_path)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "falcon-events[dashboard]" in done.stderr
