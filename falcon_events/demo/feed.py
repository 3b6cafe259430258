"""Events that go on arriving while the demo is served, so that its pages are alive."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import msgspec

from falcon_events.demo.fill import encode_event
from falcon_events.demo.shop import Shop
from falcon_events.errors import EventsError
from falcon_events.tracking import EventTracking

logger = logging.getLogger(__name__)

SEED = 2
PEOPLE_PER_DAY = 8_000
"""About how many people come on a day, which is some events a minute at night, and one every few seconds at noon."""
DAY = timedelta(days=1)


@contextmanager
def feed_demo(db: str, list_id: int) -> Iterator[None]:
    """Send events of new visitors to a store, each when it happens, until the end of the block.

    Args:
        db: the path of the store.
        list_id: the list of the demo.
    """
    ending = threading.Event()
    thread = threading.Thread(target=_feed, args=(db, list_id, ending), name="falcon-events-demo", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def list_coming(now: datetime, list_id: int) -> list[tuple[float, bytes]]:
    """Return what happens in the 24 hours after a moment: in how many seconds from then on, and the body of a request."""
    shop = Shop(SEED, now + DAY, days=2, people_per_day=PEOPLE_PER_DAY, list_id=list_id)
    coming = [(event.at / 1000 - now.timestamp(), event) for event in shop.generate()]
    return [(after_s, msgspec.json.encode(encode_event(event, list_id))) for after_s, event in coming if after_s > 0]


def _feed(db: str, list_id: int, ending: threading.Event) -> None:
    try:
        with EventTracking(db, create=False, plan_folder="") as tracking:
            while not ending.is_set():
                began = datetime.now(UTC)
                for after_s, body in list_coming(began, list_id):
                    if ending.wait(max(0.0, after_s - (datetime.now(UTC) - began).total_seconds())):
                        return
                    tracking.waiter.run(tracking.pipeline.track_bodies([body]))
                ending.wait(max(0.0, (began + DAY - datetime.now(UTC)).total_seconds()))
    except EventsError as error:
        logger.warning("No more events arrive in the demo: %s", error)
