"""The examples: each is set up, started and asked as its README says, and its page is visited."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.pages import ROOT, Walk, visit

EXAMPLES = ROOT / "examples"
ONE_PAGE = ("falcon_asgi", "falcon_wsgi", "fastapi", "flask", "starlette")


def walk(name: str, folder: Path) -> Walk:
    """Somebody who follows an example's README in a copy of its folder, where that says they should be."""
    left = shutil.ignore_patterns(
        "__pycache__", "*.duckdb*", "*.sqlite*", "cookies", "session", "paper"
    )  # of somebody's own walk
    shutil.copytree(EXAMPLES / name, folder, ignore=left, dirs_exist_ok=True)
    assert "in this folder" in (EXAMPLES / name / "README.md").read_text()
    return Walk(EXAMPLES / name / "README.md", folder)


def question(walker: Walk) -> str:
    """The README's command that asks for properties."""
    return next(line for _, _, script in walker.blocks for line in script.splitlines() if line.endswith("/properties"))


@pytest.mark.needs("curl")
@pytest.mark.parametrize("name", ONE_PAGE)
def test_an_example_does_what_its_readme_says(name: str, tmp_path: Path) -> None:
    """Its answers are those shown, and the page that it serves tracks who visits it."""
    walker = walk(name, tmp_path)
    walker.prepare()
    (server,) = walker.servers()
    with walker.serving(server) as served:
        assert walker.ask() >= 2
        visit(served)
        assert '"pageView"' in walker.run(question(walker))


@pytest.mark.needs("curl")
@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_the_django_project_does_what_its_readme_says(server: str, tmp_path: Path) -> None:
    """Under WSGI and under ASGI: Django's sessions and models say who may track, and a newsletter's page tracks its visitors."""
    walker = walk("django", tmp_path)
    walker.prepare()
    (command,) = [command for command in walker.servers() if command.startswith(server)]
    with walker.serving(command) as served:
        assert walker.ask() == 6
        visit(served, "/newsletters/1")
        assert '"pageView"' in walker.run(question(walker))
