"""The store of `serve --demo`: a temporary folder, and the events of an invented shop."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from falcon_events.files.lockfile import is_held
from falcon_events.runtime.lifecycle import close_all
from falcon_events.tracking import EventTracking

DEMO_FILE, DEMO_ACCOUNT, DEMO_LIST, DEMO_LIST_NAME = "demo.duckdb", "demo", 1, "Demo shop"
RELEASE_WAIT_S = 30.0
"""How long the end waits for the process that holds the store, in seconds."""


@contextmanager
def make_demo_folder(host: str, port: int) -> Iterator[str]:
    """Yield the path for a store in a new folder, after checking that the server can start. Delete the folder at the end."""
    from falcon_events.server.serve import check_address

    check_address(host, port)
    signs = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {sign: signal.getsignal(sign) for sign in signs}
    signal.signal(signal.SIGTERM, _exit)  # until the server handles it
    if before[signal.SIGHUP] is not signal.SIG_IGN:  # sent when a terminal is closed; `nohup` ignores it
        signal.signal(signal.SIGHUP, _pass_on_as_sigterm)
    folder = Path(tempfile.mkdtemp(prefix="falcon-events-demo-"))
    try:
        click.echo(f"A demo, with a store of its own in {folder}, which is deleted when the server ends.")
        yield str(folder / DEMO_FILE)
    finally:
        for sign in signs:
            signal.signal(sign, signal.SIG_IGN)  # a second Ctrl-C would leave the folder behind
        _delete_store(folder)
        for sign, handler in before.items():
            if handler is not None:
                signal.signal(sign, handler)


@contextmanager
def make_demo_store(db: str) -> Iterator[EventTracking]:
    """Create the store of the demo, with its account and its list. No tracking plan applies to what it is filled with."""
    with EventTracking(db, plan_folder="") as tracking:
        tracking.directory.create_account(DEMO_ACCOUNT)
        tracking.directory.create_list(DEMO_ACCOUNT, DEMO_LIST_NAME, DEMO_LIST)
        yield tracking


def fill_demo_store(tracking: EventTracking) -> None:
    """Fill the store of the demo; on a terminal, say how far it is."""
    from falcon_events.demo import fill_demo  # other commands and servers do not load it

    began = time.monotonic()
    shows = sys.stderr is not None and sys.stderr.isatty()

    def show(share: float) -> None:
        if shows:
            click.echo(f"\rFilling it with events: {share:4.0%}", nl=False, err=True)

    summary = fill_demo(tracking, list_id=DEMO_LIST, on_progress=show)
    if shows:
        click.echo("\r\x1b[K", nl=False, err=True)
    click.echo(f"Filled with {summary.stored:,} events of half a year in {time.monotonic() - began:.1f} s.")


def _delete_store(folder: Path) -> None:
    """Delete the folder of the demo's store, once no process uses the store."""
    close_all()
    deadline = time.monotonic() + RELEASE_WAIT_S
    while is_held(folder / DEMO_FILE) and time.monotonic() < deadline:
        time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


def _exit(sign: int, frame: FrameType | None) -> None:
    sys.exit(128 + sign)


def _pass_on_as_sigterm(sign: int, frame: FrameType | None) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
