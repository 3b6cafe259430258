"""Forks: a tracker that was made, or used, before one works in the parent and in every child."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from falcon_events import EventTracking
from tests.harness import rows
from tests.shortcuts import make_store

ROOT = Path(__file__).parents[2]
FORKING = """
import asyncio, os, sys, threading
from falcon_events import EventTracking

tracking = EventTracking(sys.argv[1])
used = sys.argv[2] == "used"
if used:
    tracking.track(94, "before", email="a@example.com")
    asyncio.run(tracking.atrack(94, "before", email="a@example.com"))

stop = threading.Event()


def busy():
    while not stop.is_set():
        tracking.track(94, "meanwhile", email="a@example.com")


threads = [threading.Thread(target=busy) for _ in range(4 if used else 0)]
for thread in threads:
    thread.start()
children = []
for number in range(6):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for _ in range(20):
                tracking.track(94, "child", email=f"c{number}@example.com")
            asyncio.run(tracking.atrack(94, "child", email=f"c{number}@example.com"))
            assert "child" in tracking.properties(94)
            grandchild = os.fork()
            if grandchild == 0:
                tracking.track(94, "grandchild", email="g@example.com")
                os._exit(0)
            assert os.waitpid(grandchild, 0)[1] == 0
            code = 0
        finally:
            os._exit(code)
    children.append(child)
codes = [os.waitpid(child, 0)[1] for child in children]
stop.set()
for thread in threads:
    thread.join()
tracking.track(94, "after", email="a@example.com")
tracking.close()
print(codes)
"""


@pytest.mark.parametrize("when", ["made", "used"])
def test_a_tracker_goes_on_in_every_child(db: Path, when: str) -> None:
    """Also where threads of the parent are in the middle of something; no event is lost or doubled, nothing hangs."""
    make_store(db)
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, str(db), when],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "[0, 0, 0, 0, 0, 0]\n", done.stderr
    with EventTracking(db) as tracking:
        assert not tracking.recount(94).differs
    counts = dict(rows(db, "select event, count(*) from events group by all"))
    assert (counts["child"], counts["grandchild"], counts["after"]) == (6 * 21, 6, 1)
    assert rows(db, "select count(*) - count(distinct event_id) from events") == [(0,)]


def test_a_child_that_never_uses_its_tracker_keeps_nothing_open(db: Path) -> None:
    """The owner ends with the parent, whatever children live on."""
    code = f"""
import os, subprocess, sys, time
from falcon_events import EventTracking
from falcon_events.files.lockfile import is_held
from pathlib import Path
tracking = EventTracking({str(db)!r}).open()
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
tracking.close()
print(is_held(Path({str(db)!r})))
os.kill(child, 9)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"
