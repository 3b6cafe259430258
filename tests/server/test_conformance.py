"""The contract as black-box cases, run against a real server of each flavour by a program that knows nothing of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import serving
from tests.shortcuts import make_store

pytestmark = pytest.mark.database

CHECK = Path(__file__).parents[1] / "conformance" / "check.py"


def test_every_conformance_case_holds(flavour: str, db: Path) -> None:
    """check.py passes completely; anyone can run it against a server of their own."""
    made = make_store(db)
    with serving(db, flavour) as served:
        arguments = {
            "--full-key": made.full,
            "--ingest-key": made.ingest,
            "--read-key": made.read,
            "--session": made.session,
            "--list": str(made.list_id),
            "--empty-list": str(made.empty_list),
            "--foreign-list": str(made.foreign_list),
        }
        options = [word for pair in arguments.items() for word in pair]
        checked = subprocess.run([sys.executable, str(CHECK), served.url, *options], capture_output=True, text=True, check=False)
    assert checked.stdout.splitlines()[-1].endswith(" passed, 0 failed"), checked.stdout + checked.stderr
    assert checked.returncode == 0
