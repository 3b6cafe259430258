"""Servers that the benchmarks measure, each in its own process: python -m benchmarks.contender KIND ..."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks.rivals import RIVALS, load_rival
from falcon_events import EventTracking
from falcon_events.link.link import Link
from falcon_events.model.events import NewEvent, Outcome, Receipt
from falcon_events.model.ids import RandomUUIDs
from falcon_events.runtime.pending import Pending, Turnstile
from falcon_events.server.serve import Interface, build_app, load_app, prepare_worker, serve
from falcon_events.settings import Settings

KINDS = ("durable", "no-store", "unfolded", *RIVALS)


class NoStore(Link):
    """A store with the usual accounts, lists and keys, which acknowledges events without keeping them."""

    def __init__(self, db: str, settings: Settings) -> None:
        super().__init__(db, settings)
        self._ids = RandomUUIDs()

    def submit(self, events: Sequence[NewEvent]) -> Pending[Sequence[Outcome]]:
        """Return a receipt for each event, at once."""
        pending: Pending[Sequence[Outcome]] = Pending(Turnstile())
        pending.set_result([self._receipt(event) for event in events])
        return pending

    def _receipt(self, event: NewEvent) -> Receipt:
        return Receipt(event.id or next(self._ids), event.visitor, event.external_id, identify_event_sent=False)


def load_no_store(db: str, interface: Interface) -> Any:
    """Make the application like serving.load_app, but with NoStore: every check runs, nothing is written."""
    prepare_worker()
    return build_app(EventTracking(db, store=NoStore(db, Settings.from_environment())), interface)


def load_unfolded(db: str, interface: Interface) -> Any:
    """Make the package's own application, but never fold events into the catalogue, even when idle."""
    os.environ["FALCON_EVENTS_FOLD_EVENTS"] = str(1 << 40)
    return load_app(db, interface, False)


def end_with_benchmark() -> None:
    """Wait for the end of standard input, which the benchmark holds open; then end this process."""
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Serve until SIGTERM, or until the benchmark has ended."""
    parser = argparse.ArgumentParser(prog="benchmarks.contender", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--db", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--interface", choices=("asgi", "wsgi"), required=True)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    if given.kind in RIVALS:
        make = partial(load_rival, given.kind, given.db)
    else:
        load = {"durable": None, "no-store": load_no_store, "unfolded": load_unfolded}[given.kind]
        make = None if load is None else partial(load, given.db, given.interface)
    threading.Thread(target=end_with_benchmark, daemon=True).start()
    serve(given.db, "127.0.0.1", given.port, given.interface, False, load=make, workers=given.workers)


if __name__ == "__main__":
    main()
