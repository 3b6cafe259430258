"""The dashboard's scripts: what a type checker says, and that the one library is what its package has."""

from __future__ import annotations

import gzip
import hashlib
import json
from importlib.resources import files
from pathlib import Path

import pytest

from tests.npm import TYPESCRIPT, UPLOT, compile_types, install

STATIC = Path(str(files("falcon_events.dashboard"))) / "static"
OURS = sorted(path.name for path in STATIC.glob("*.js") if path.name != "uplot.min.js")
MOST_BYTES = 90 * 1024
"""What the first page may take over the wire, with compression."""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the compiler and the library."""
    folder = tmp_path_factory.mktemp("npm")
    install(folder, TYPESCRIPT, UPLOT)
    return folder


def test_scripts_have_sound_types(packages: Path) -> None:
    """Their JSDoc is checked as strictly as TypeScript is."""
    for name in OURS:
        (packages / name).write_text((STATIC / name).read_text())
    options = {
        "strict": True,
        "noEmit": True,
        "allowJs": True,
        "checkJs": True,
        "target": "es2022",
        "module": "es2022",
        "moduleResolution": "bundler",
        "lib": ["es2022", "dom", "dom.iterable"],
        "types": [],
    }
    (packages / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": OURS}))
    done = compile_types(packages)
    assert done.stdout == ""
    assert done.returncode == 0


def test_the_library_is_unchanged(packages: Path) -> None:
    """It is the file of its package, and its license says which version that is, and its hash."""
    text = (STATIC / "uplot.LICENSE.txt").read_text()
    for name, theirs in (("uplot.min.js", "uPlot.iife.min.js"), ("uplot.min.css", "uPlot.min.css")):
        content = (STATIC / name).read_bytes()
        assert content == (packages / "node_modules" / "uplot" / "dist" / theirs).read_bytes()
        assert f"sha256 {hashlib.sha256(content).hexdigest()}  {name}\n" in text
    assert UPLOT.replace("uplot@", "uPlot ") in text


def test_what_every_page_loads_is_small() -> None:
    """All scripts and styles together, compressed, leave room for the page within 90 kB."""
    total = sum(len(gzip.compress(path.read_bytes(), 9)) for path in STATIC.iterdir() if path.suffix in (".js", ".css", ".svg"))
    assert total < MOST_BYTES - 30_000
