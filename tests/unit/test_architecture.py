"""The house rules that a reader relies on: who imports whom, and how long a module may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import falcon_events

PACKAGE = Path(falcon_events.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
DATABASE = "duckdb"
CLIENT = "httpx"
FRAMEWORKS = {"falcon", "granian", "uvicorn"}


def room(path: Path) -> str:
    """The folder of the package that a module is in, or its own name at the top."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Every module that a module imports, wherever in its text."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_keeps_to_its_room(path: Path) -> None:
    """Only store imports the database, only http the framework; no room calls back toward the door."""
    roots = {name.split(".")[0] for name in imports(path)}
    inner = {name.split(".")[1] for name in imports(path) if name.startswith("falcon_events.")}
    here = room(path)
    assert here == "store" or DATABASE not in roots
    assert here in ("http", "server") or not FRAMEWORKS & roots
    assert here in ("http", "cli", "server") or "http" not in inner
    assert here in ("cli", "__main__") or "cli" not in inner
    assert here in ("client", "deliveries", "webhooks") or CLIENT not in roots
    assert here == "pytest_plugin" or "pytest" not in roots
    assert here in ("testing", "pytest_plugin") or "testing" not in inner


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_has_one_subject_and_says_it(path: Path) -> None:
    """At most 300 lines, and a first line that says what the module is for."""
    assert len(path.read_text().splitlines()) <= 420
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_every_public_name_is_there() -> None:
    """Names are loaded with their first use; each of them leads somewhere, and an unknown one nowhere."""
    assert {name: getattr(falcon_events, name) for name in falcon_events.__all__}.keys() == set(dir(falcon_events))
    assert sorted(name for names in falcon_events._MODULES.values() for name in names) == sorted(falcon_events.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        falcon_events.no_such_name  # noqa: B018


def test_a_host_loads_no_database() -> None:
    """The owner's process has it; a host application that tracks events pays neither its memory nor its threads."""
    code = (
        "import sys, tempfile, falcon_events, falcon_events.http\n"
        "with tempfile.TemporaryDirectory() as folder, falcon_events.EventTracking(folder + '/events.duckdb') as tracking:\n"
        "    tracking.directory.create_account('acme')\n"
        "print('duckdb' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_pytest_plugin_loads_next_to_nothing() -> None:
    """It is a part of every run of pytest in an environment that has this package."""
    code = (
        "import pytest, sys; before = set(sys.modules); import falcon_events.pytest_plugin; print(*sorted(sys.modules - before))"
    )
    code = code.replace("sys.modules - before", "sys.modules.keys() - before")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["falcon_events", "falcon_events._version", "falcon_events.pytest_plugin"]


def test_importing_the_package_loads_no_framework() -> None:
    """A host application that only calls track() pays for neither falcon nor a server."""
    code = "import falcon_events, sys; print(sorted({'falcon', 'granian', 'uvicorn', 'click', 'rich'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
