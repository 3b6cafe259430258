"""The pictures in the documentation: they show the dashboard as it is."""

from __future__ import annotations

import os
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from falcon_events import EventTracking
from falcon_events.demo import fill_demo
from falcon_events.demo.fill import PEOPLE_PER_DAY
from tests.harness import serving
from tests.server.browser.common import Browser
from tests.server.browser.dashboard import look, picture, sign_in, visit

DOCS = Path(__file__).parents[3] / "docs"
FUNNEL = "funnels?list=1&step=pageView&step=add-to-cart&step=checkout-started&step=conversion"
PICTURES = {
    "dashboard-overview.png": ("?list=1", 1240, 900),
    "dashboard-funnel.png": (FUNNEL, 1240, 760),
    "dashboard-retention.png": ("retention?list=1&range=91d", 1240, 760),
}
"""The address that each picture shows, its width, and how much of its height."""


@pytest.mark.checkout
def test_the_pictures_show_the_dashboard(one_flavour: str, db: Path, tmp_path: Path, browser: Browser) -> None:
    """WRITE_PICTURES=1 writes them into docs/ anew, with the demo's numbers; they have the size that they would have now."""
    people_per_day = PEOPLE_PER_DAY if os.environ.get("WRITE_PICTURES") else 8
    with EventTracking(db) as tracking:
        tracking.directory.create_account("demo")
        tracking.directory.create_list("demo", "Demo shop", 1)
        now = datetime.now(UTC).replace(hour=18, minute=30) - timedelta(days=1)
        fill_demo(tracking, days=120, people_per_day=people_per_day, now=now)
        key = tracking.directory.create_key("demo").key
    folder = DOCS if os.environ.get("WRITE_PICTURES") else tmp_path
    with serving(db, one_flavour) as served:
        sign_in(browser, served.url, key)
        for name, (page, width, height) in PICTURES.items():
            look(browser, width, dark=False)
            visit(browser, f"{served.url}/dashboard/{page}")
            picture(browser, folder / name, height)
            assert size_of(folder / name) == size_of(DOCS / name) == (width, height), name


def size_of(picture: Path) -> tuple[int, int]:
    """The width and the height of a PNG file (PNG, 11.2.1)."""
    width, height = struct.unpack(">II", picture.read_bytes()[16:24])
    return width, height
