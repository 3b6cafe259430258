"""What the owner process loads: each start of a store pays for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from falcon_events import EventTracking
from tests.harness import Credentials, owner_of


def test_an_owner_loads_only_the_compiled_part_of_duckdb() -> None:
    """DuckDB's relational API takes longer to import than a store to open, and no store uses it."""
    code = "import sys, falcon_events.owner.main; print(sorted({'duckdb', '_duckdb', 'jsonschema'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['_duckdb']"


@pytest.mark.database
def test_an_owner_leaves_pandas_alone(db: Path, tracking: EventTracking, credentials: Credentials) -> None:
    """DuckDB 1.5 imports it for the first parameter of a statement, if it is installed; that takes longer than all the rest."""
    tracking.track(94, "test", email="a@example.com")
    assert tracking.sql("select count(*) from events").rows == [[2]]  # with the identify event
    loaded = Path(f"/proc/{owner_of(db)}/maps").read_text()
    assert "_duckdb" in loaded
    assert "/pandas/" not in loaded
    assert "/numpy/" not in loaded
