"""The structure that a reader relies on: which folder may import which, and what has one name and one place."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import falcon_events

PACKAGE = Path(falcon_events.__file__).parent
ROOT = Path(__file__).parents[2]
MODULES = sorted(PACKAGE.rglob("*.py"))
FLOORS = (
    ("__main__",),
    ("cli", "pytest_plugin"),
    ("server", "testing", "demo"),
    ("http",),
    ("dashboard",),
    ("__init__",),
    ("_public",),
    ("tracking",),
    ("admin", "ingest", "owner"),
    ("hooks", "webhooks"),
    ("store",),
    ("store/webhooks",),
    ("store/queries",),
    ("store/engine",),
    ("store/database",),
    ("link", "client"),
    ("access", "plan", "assets", "query"),
    ("files", "contract", "runtime"),
    ("model", "settings"),
    ("errors", "_version"),
)
"""Every folder and root module of the package, from the top down: imports lead to lower floors only."""
FLOOR_OF = {folder: floor for floor, folders in enumerate(FLOORS) for folder in folders}
HOST_SIDE = {
    "model",
    "query",
    "runtime",
    "contract",
    "access",
    "plan",
    "hooks",
    "ingest",
    "link",
    "client",
    "http",
    "dashboard",
    "admin",
    "tracking",
}
"""What a host application loads: it has no database."""
OWNER_SIDE = {"store", "store/engine", "store/database", "store/queries", "store/webhooks", "owner"}
LIBRARIES = {
    "_duckdb": ({"store/database"}, "falcon_events/store/database/duckdb.py"),
    "duckdb": ({"store/queries"}, "falcon_events/store/database/duckdb.py"),
    "falcon": ({"http"}, "falcon_events/http"),
    "django": ({"http"}, "falcon_events/http/django_users.py"),
    "granian": ({"server"}, "falcon_events/server"),
    "uvicorn": ({"server"}, "falcon_events/server"),
    "httpx": ({"client", "webhooks"}, "falcon_events/client or falcon_events/webhooks"),
    "click": ({"cli"}, "falcon_events/cli"),
    "jinja2": ({"dashboard"}, "falcon_events/dashboard"),
    "pandas": ({"model"}, "falcon_events/model/frames.py"),
    "polars": ({"model"}, "falcon_events/model/frames.py"),
    "pyarrow": ({"model", "admin", "store/queries"}, "falcon_events/model/frames.py"),
    "pytest": ({"pytest_plugin"}, "falcon_events/pytest_plugin.py"),
}
"""Which folders may import a library, and what the others go through."""
THROUGH = {
    "owner": "falcon_events/link, with an operation of model/operations.py",
    "tracking": "a constructor argument: falcon_events/tracking.py puts the parts together",
    "http": "a Reply of falcon_events/contract/replies.py",
    "server": "an argument from falcon_events/cli",
    "cli": "an argument: nothing imports the command line",
    **dict.fromkeys(
        ("store", "store/engine", "store/database", "store/queries", "store/webhooks"),
        "falcon_events/link, with an operation of model/operations.py",
    ),
}
"""What an import that is not allowed should go through, by the folder that it leads to."""
SQL = re.compile(r"\n*(?:select|insert into|update|delete from|create table|copy|with)\s+\S")
"""How a statement begins: keywords are in lower case."""


TREES = {path: ast.parse(path.read_text()) for path in MODULES}


def folder_of(module: tuple[str, ...]) -> str:
    """Return the folder of the package that a module is in, or the module's own name at the root."""
    if len(module) > 1 and module[0] == "store" and (PACKAGE / "store" / module[1]).is_dir():
        return f"store/{module[1]}"
    return module[0] if module else "__init__"


FOLDERS = {path: folder_of(path.relative_to(PACKAGE).with_suffix("").parts) for path in MODULES}


def imports(path: Path) -> Iterator[str]:
    """Yield the name of every module that a module imports, wherever in its text."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            parent = PACKAGE.joinpath(*node.module.split(".")[1:])
            for name in node.names:
                if (parent / name.name).is_dir() or (parent / f"{name.name}.py").is_file():
                    yield f"{node.module}.{name.name}"


def inner_imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the imports of the package's own modules, each with the folder that it leads to, but for those of its own folder."""
    here = FOLDERS[path]
    for name in imports(path):
        parts = tuple(name.split("."))
        on_the_way = name == "falcon_events.store" and here.startswith("store/")
        if parts[0] == "falcon_events" and not on_the_way and (there := folder_of(parts[1:])) != here:
            yield name, there


def test_imports_lead_downward() -> None:
    """So there is no circle, and whoever reads a folder need not know those above it."""
    wrong = [
        f"{path.relative_to(PACKAGE)} may not import {name}: go through {THROUGH.get(there, 'a folder below both')}"
        for path, here in FOLDERS.items()
        for name, there in inner_imports(path)
        if FLOOR_OF[here] >= FLOOR_OF[there]
    ]
    assert wrong == []


def test_a_host_imports_nothing_of_the_owners() -> None:
    """A host's process holds no database: what it asks goes over the link."""
    wrong = [
        f"{path.relative_to(PACKAGE)} may not import {name}: go through {THROUGH[there]}"
        for path, here in FOLDERS.items()
        if here in HOST_SIDE
        for name, there in inner_imports(path)
        if there in OWNER_SIDE
    ]
    assert wrong == []


def test_a_library_is_imported_in_its_place_only() -> None:
    """The database, the web framework, servers, HTTP clients and the command line's library each have one."""
    wrong = [
        f"{path.relative_to(PACKAGE)} may not import {library}: go through {LIBRARIES[library][1]}"
        for path, here in FOLDERS.items()
        for library in {name.split(".")[0] for name in imports(path)} & LIBRARIES.keys()
        if here not in LIBRARIES[library][0]
    ]
    assert wrong == []


def test_sql_stands_in_the_store_only() -> None:
    """Whoever changes a table finds every statement on it there. What `query` compiles names no table."""
    wrong = [
        f"{path.relative_to(PACKAGE)} may not have SQL ({node.value!r}): go through falcon_events/store/queries"
        for path, here in FOLDERS.items()
        if not here.startswith("store") and here != "query"
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
    ]
    assert wrong == []


def test_one_folder_opens_databases() -> None:
    """What is set on every connection is set there."""
    wrong = [
        f"{path.relative_to(PACKAGE)} may not open a database: go through falcon_events/store/database/connect.py"
        for path, here in FOLDERS.items()
        if here != "store/database"
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "duckdb.connect"
    ]
    assert wrong == []


def test_a_module_says_what_it_is_about() -> None:
    """A first line that names the one subject; more than 400 lines are most likely two."""
    assert [path.name for path in MODULES if not ast.get_docstring(TREES[path])] == []
    assert [path.name for path in MODULES if len(path.read_text().splitlines()) > 400] == []


def test_the_root_has_few_modules() -> None:
    """What is not public, an entry point or used everywhere stands in a folder."""
    assert len(list(PACKAGE.glob("*.py"))) <= 9


def test_every_folder_has_a_floor() -> None:
    """Whoever adds a folder says what may import it."""
    assert set(FOLDERS.values()) == FLOOR_OF.keys()


def test_every_folder_is_on_the_code_map() -> None:
    """docs/code-map.md is where contributors look first."""
    text = (ROOT / "docs" / "code-map.md").read_text()
    folders = {folder for folder in FLOOR_OF if (PACKAGE / folder).is_dir()}
    assert [folder for folder in sorted(folders) if f"`{folder}/`" not in text] == []
    named = re.findall(r"`([a-z_]+(?:/[a-z_]+)*\.py)`", text)
    assert [name for name in named if "/" in name and not (PACKAGE / name).is_file() and not (ROOT / name).is_file()] == []


def test_no_two_classes_share_a_name() -> None:
    """A name in a log line or a traceback leads to one class."""
    places = defaultdict(list)
    for path in MODULES:
        for node in ast.walk(TREES[path]):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(PACKAGE)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_every_public_name_is_there() -> None:
    """Names are loaded with their first use; each of them leads somewhere, and an unknown one nowhere."""
    assert {name: getattr(falcon_events, name) for name in falcon_events.__all__}.keys() == set(dir(falcon_events))
    assert "EventTracking" in falcon_events.__all__
    with pytest.raises(AttributeError, match="no_such_name"):
        falcon_events.no_such_name  # noqa: B018


def test_a_host_loads_no_database() -> None:
    """The owner's process has it; a host application that tracks events pays neither its memory nor its threads."""
    code = (
        "import sys, tempfile, falcon_events, falcon_events.http\n"
        "with tempfile.TemporaryDirectory() as folder, falcon_events.EventTracking(folder + '/events.duckdb') as tracking:\n"
        "    tracking.directory.create_account('acme')\n"
        "print(sorted({'duckdb', '_duckdb'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


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


def test_a_command_loads_no_event_loop_and_no_server() -> None:
    """Each command would take longer. The first process of `serve --interface wsgi`, which handles no request, needs neither."""
    named = "{'asyncio', 'falcon', 'granian', 'http.client', 'jsonschema', 'uvicorn'}"
    code = f"import falcon_events.cli, falcon_events.server.serve, sys; print(sorted({named} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
