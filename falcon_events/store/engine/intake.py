"""The intake: takes whatever waits, decides what it leads to, journals that with one sync, then answers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

import duckdb

from falcon_events.errors import EventsError, StoreUnavailable
from falcon_events.model.events import CANNOT_NOW, REFUSED, NewEvent, Outcome
from falcon_events.settings import Settings
from falcon_events.store.engine.entry import encode
from falcon_events.store.engine.queue import Queue
from falcon_events.store.engine.writer import Writer

logger = logging.getLogger(__name__)


class Intake:
    """Takes events in, in a thread of its own.

    Args:
        writer: writes into the tables what is journaled here.
        settings: the limits of queue and batches.
    """

    def __init__(self, writer: Writer, settings: Settings) -> None:
        self._writer = writer
        self._queue = Queue(settings)
        self._thread = threading.Thread(target=self._run, name="falcon-events-intake", daemon=True)
        self._thread.start()

    def submit(self, events: Sequence[NewEvent]) -> Future[list[Outcome]]:
        """Queues events, all or none; each has an outcome once the next journal entry is synced to disk.

        Raises:
            StoreUnavailable: the queue is full, or the store has failed.
            StoreClosed: close() was called.
        """
        if self._writer.failure is not None:
            raise StoreUnavailable(CANNOT_NOW)  # the reason is for the host, in its log and in health()
        return self._queue.put(events).future

    def waiting(self) -> int:
        """How many events wait."""
        return len(self._queue)

    def is_full(self) -> bool:
        """Whether the next event would be refused."""
        return self._queue.is_full()

    def close(self) -> None:
        """Takes in what waits and ends the thread."""
        self._queue.close()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while groups := self._queue.next():
            events = [event for group in groups for event in group.events]
            outcomes = self._outcomes(events)
            self._queue.done(groups)
            at = 0
            for group in groups:
                group.future.set_result(outcomes[at : at + len(group.events)])
                at += len(group.events)

    def _outcomes(self, events: Sequence[NewEvent]) -> list[Outcome]:
        """What became of each event; where some are refused, the batch is halved until the culprit stands alone."""
        try:
            self._writer.wait_for_room()
            if any(event.again for event in events):
                self._writer.take_in()  # the tables are where one finds out whether an event is stored
            with self._writer.turn:
                return self._take(events)
        except StoreUnavailable as error:
            return self._refused(events, error, error)
        except duckdb.Error as error:
            self._writer.fail(str(error))
            return self._refused(events, error, StoreUnavailable(CANNOT_NOW))
        except Exception as error:
            if len(events) == 1:
                return self._refused(events, error, EventsError(REFUSED))
        middle = len(events) // 2
        return [*self._outcomes(events[:middle]), *self._outcomes(events[middle:])]

    def _take(self, events: Sequence[NewEvent]) -> list[Outcome]:
        writer = self._writer
        if writer.failure is not None or not writer.stands():
            raise StoreUnavailable(CANNOT_NOW)
        began = time.perf_counter()
        draft = writer.knowledge.draft(writer.number + 1, events)
        if (entry := draft.entry()) is not None:
            content = encode(entry)
            writer.number += 1
            try:
                writer.journal.append(writer.number, content)
            except OSError as error:
                writer.journal_failed(error)
                raise StoreUnavailable(CANNOT_NOW) from error
            writer.knowledge.took(draft)
            writer.backlog.add(entry, len(content))
        dropped = sum(row.events for row in draft.dropped.values())
        writer.meters.committed(draft.receipts, dropped, time.perf_counter() - began)
        return list(draft.receipts)

    def _refused(self, events: Sequence[NewEvent], error: Exception, outcome: EventsError) -> list[Outcome]:
        first = events[0].id or "one without EventID"
        logger.error("%d events cannot be stored, %s first", len(events), first, exc_info=error)
        self._writer.meters.failed(len(events))
        return [outcome] * len(events)
