"""README.md and CONTRIBUTING.md are walked through in a copy of the checkout, by the commands that stand there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

from benchmarks.__main__ import BEGIN, END
from benchmarks.plans import FULL
from tests.blocks import ROOT, environment, serve, shell, text_of
from tests.builds import copy_checkout
from tests.harness import free_port, running

pytestmark = pytest.mark.checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a clone has, with the environment of these tests."""
    return copy_checkout(tmp_path / "falcon-events")


@pytest.mark.needs("curl")
def test_the_readmes_server_takes_the_line_that_it_prints(checkout: Path, tmp_path: Path) -> None:
    """From nothing to an answer of the shown shape; the snippet is made meanwhile. Only the port is the test's."""
    port = free_port()
    (checkout / ".venv").unlink()
    start = ["bash", "-euc", f"cd {checkout}\n{text_of('README.md sh 0').strip()} --port {port}"]
    with running(start, tmp_path / "log", port=port, env=environment()) as served:
        (line,) = re.findall(r"^ *(curl .*)$", served.log(), re.MULTILINE)
        key = re.findall(r"fe_full_[\w-]+", line)[0]
        assert line.replace(key, "fe_full_…").replace(f":{port}", ":8080") == text_of("README.md sh 1").strip()
        done = shell(line + " --silent", checkout)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout).keys() == json.loads(text_of("README.md json 0")).keys()
        snippet = shell(text_of("README.md sh 2"), checkout)
        assert snippet.returncode == 0, snippet.stderr
        assert "https://events.example.com/tracker.js" in snippet.stdout
        assert httpx.get(f"{served.url}/tracker.js").status_code == 200


def test_the_commands_for_contributors_run(checkout: Path) -> None:
    """CONTRIBUTING.md's command for the tests of one subject."""
    done = shell(text_of("CONTRIBUTING.md sh 2"), checkout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_documentation_is_up_to_date(site: Path) -> None:
    """CONTRIBUTING.md's commands for it have changed nothing in docs/ of the copy of the checkout that they have run in."""
    for path in (path for path in (ROOT / "docs").rglob("*") if path.is_file()):
        assert (site.parent / path.relative_to(ROOT)).read_bytes() == path.read_bytes(), path
    assert (site / "index.html").is_file()


def test_the_documented_commands_check_format_lint_and_types() -> None:
    """`.ci/run` has CONTRIBUTING.md's commands; it checks the format, and changes nothing."""
    run = [line.strip() for line in (ROOT / ".ci" / "run").read_text().splitlines()]
    for command in text_of("CONTRIBUTING.md sh 3").replace("ruff format .", "ruff format --check .").splitlines():
        assert command in run


def test_the_pages_are_shown_while_they_are_written(checkout: Path) -> None:
    """CONTRIBUTING.md's `mkdocs serve` answers where it says; most of a build's time goes into the page that is left out here."""
    (checkout / "docs" / "python-names.md").write_text("# Every name\n")
    assert serve(text_of("CONTRIBUTING.md sh 5").strip(), checkout, "page").startswith("200 \n<!doctype html>")


def test_a_release_is_built_and_tried(release: Path) -> None:
    """CONTRIBUTING.md's steps give a wheel and an sdist, and the command of the installed wheel says its version."""
    (wheel,), (sdist,) = (release / "dist").glob("*.whl"), (release / "dist").glob("*.tar.gz")
    version = (release / "dist" / "said").read_text().splitlines()[-1].split()[1].rstrip(",")
    assert wheel.name.split("-")[1] == version
    assert sdist.name == f"falcon_events-{version}.tar.gz"


def test_the_command_for_the_figures_names_what_there_is() -> None:
    """docs/performance.md's benchmarks take an hour: they are among those that there are, and the page takes their tables."""
    _, run, report = text_of("docs/performance.md sh 0").splitlines()
    assert set(run.removeprefix("python -m benchmarks ").split()) <= FULL.keys()
    page = (ROOT / report.split()[-1]).read_text()
    assert page.index(BEGIN) < page.index(END)
