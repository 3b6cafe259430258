"""The package as users get it: wheel and sdist have what they need, and nothing of the checkout is used."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from falcon_events.contract.schemas import NAMES
from tests.harness import unmeasured_environment

pytestmark = pytest.mark.checkout
ROOT = Path(__file__).parents[2]
USE = """
import falcon_events, pathlib
from falcon_events.contract.schemas import NAMES, load_schema
from falcon_events.assets import openapi_page
assert pathlib.Path(falcon_events.__file__).is_relative_to({place!r}), falcon_events.__file__
for name in NAMES:
    assert load_schema(name)["title"]
assert len(openapi_page.load_renderer().body) > 500_000 and b"rapi-doc" in openapi_page.render_page("a", "b").body
assert "tracker.js" in falcon_events.EventTracking().snippet(1, "key")
from falcon_events.dashboard import report
assert all((report.TEMPLATES / f"report.{{form}}").is_file() for form in ("txt", "html"))
with falcon_events.EventTracking("events.duckdb") as tracking:
    tracking.directory.create_account("acme")
    tracking.directory.create_list("acme", "first")
    tracking.track(1, "test", email="a@example.com")
"""


def use(place: Path, folder: Path) -> None:
    """Imports and uses the package from a place, away from the checkout."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", USE.format(place=str(place))],
        cwd=folder,
        env=unmeasured_environment(PYTHONPATH=str(place)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_wheel_works_without_the_checkout(release: Path, tmp_path: Path) -> None:
    """Unpacked, the wheel has schemas and type marker, and stores an event."""
    (wheel,) = (release / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    assert (tmp_path / "site/falcon_events/py.typed").exists()
    assert {path.stem for path in (tmp_path / "site/falcon_events/jsonschemas").iterdir()} == set(NAMES)
    use(tmp_path / "site", tmp_path / "work")


def test_the_sdist_works_and_holds_the_tests(release: Path, tmp_path: Path) -> None:
    """Unpacked, the sdist runs as a checkout does, and has what a packager needs."""
    (sdist,) = (release / "dist").glob("*.tar.gz")
    subprocess.run(["tar", "-xf", str(sdist), "-C", str(tmp_path)], check=True)  # tarfile has its `filter` since 3.11.4 only
    (folder,) = tmp_path.glob("falcon_events-*")
    for name in ("tests/unit/test_store.py", "benchmarks/ingest.py", "LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml"):
        assert (folder / name).exists(), name
    use(folder, tmp_path / "work")


def test_the_list_of_bots_is_its_sources() -> None:
    """What ships is what the tool makes of the pinned release of crawler-user-agents."""
    subprocess.run([sys.executable, "tools/renew_bots.py", "--check"], cwd=ROOT, check=True)
