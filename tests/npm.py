"""Packages of npm that tests use, installed by the npm of the test environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.needs import TYPESCRIPT, require

AXE = "axe-core@4.14.1"
UPLOT = "uplot@1.6.32"
_TOOLS = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{_TOOLS}{os.pathsep}{os.environ['PATH']}"}


def install(folder: Path, *packages: str) -> None:
    """Install packages into `node_modules` of a folder."""
    words = [str(_TOOLS / "npm"), "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *packages]
    done = (
        subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False) if Path(words[0]).exists() else None
    )
    if done is None or done.returncode:
        require("npm")
    assert done is not None
    assert done.returncode == 0, done.stdout + done.stderr


def compile_types(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the TypeScript compiler of a folder by its tsconfig.json."""
    words = [str(_TOOLS / "node"), "node_modules/typescript/bin/tsc", "--pretty", "false"]
    return subprocess.run(words, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)


__all__ = ["AXE", "ENVIRONMENT", "TYPESCRIPT", "UPLOT", "compile_types", "install"]
