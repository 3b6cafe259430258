"""Intake: takes the queued events, decides what to store, journals it with one sync, and completes the futures."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from falcon_events.errors import EventsError, StoreUnavailable
from falcon_events.model.events import CANNOT_NOW, REFUSED, NewEvent, Outcome, Receipt
from falcon_events.settings import Settings
from falcon_events.store.database import duckdb
from falcon_events.store.engine.draft import find_fault
from falcon_events.store.engine.entry import encode
from falcon_events.store.engine.queue import Queue
from falcon_events.store.engine.writer import Writer

logger = logging.getLogger(__name__)

HALVING_S = 1.0
"""How long a batch that fails for an unknown reason is halved, in seconds. The senders of all others wait meanwhile."""
LOG_EVERY_S = 1.0
"""The least time between two log lines about events that cannot be stored, in seconds."""


class Intake:
    """Thread that commits queued events to the journal.

    Args:
        writer: applies the journaled entries to the tables.
        settings: the limits of queue and batches.
    """

    def __init__(self, writer: Writer, settings: Settings) -> None:
        self._writer = writer
        self._queue = Queue(settings)
        self._log_at = 0.0
        self._unlogged = 0
        self._thread = threading.Thread(target=self._run, name="falcon-events-intake", daemon=True)
        self._thread.start()

    def submit(self, events: Sequence[NewEvent]) -> Future[list[Outcome]]:
        """Queue events, all of them or none.

        Returns:
            A future of their outcomes, in the same order. It completes once their journal entry is synced to disk.

        Raises:
            StoreUnavailable: the queue is full, or the store has failed.
            StoreClosed: close() was called.
        """
        if self._writer.failure is not None:
            raise StoreUnavailable(CANNOT_NOW)  # without the reason, which the host finds in its log and in health()
        return self._queue.put(events).future

    def count_waiting(self) -> int:
        """Return how many events wait."""
        return len(self._queue)

    def is_full(self) -> bool:
        """Whether the next event would be refused."""
        return self._queue.is_full() or self._writer.backlog.is_behind()

    def close(self) -> None:
        """Commit the queued events and end the thread."""
        self._queue.close()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while groups := self._queue.take():
            events = [event for group in groups for event in group.events]
            outcomes = self._process(events)
            self._queue.release(groups)
            at = 0
            for group in groups:
                group.future.set_result(outcomes[at : at + len(group.events)])
                at += len(group.events)

    def _process(self, events: Sequence[NewEvent]) -> list[Outcome]:
        """Commit events and return their outcomes. Those that no row can hold are refused; the others are committed."""
        faults = list(map(find_fault, events))
        if not any(faults):
            return self._store(events)
        reason = next(filter(None, faults))
        return self._store_some(events, [fault is None for fault in faults], EventsError(f"An event cannot be stored: {reason}."))

    def _store_some(self, events: Sequence[NewEvent], chosen: Sequence[bool], error: Exception) -> list[Outcome]:
        """Commit the chosen events, refuse the others for the reason `error`, and return the outcomes of all."""
        refused = iter(self._refuse([event for event, taken in zip(events, chosen, strict=True) if not taken], error))
        stored = iter(self._store([event for event, taken in zip(events, chosen, strict=True) if taken]) if any(chosen) else ())
        return [next(stored if taken else refused) for taken in chosen]

    def _store(self, events: Sequence[NewEvent], until: float | None = None) -> list[Outcome]:
        """Commit events and return their outcomes.

        If a commit fails unexpectedly, each event is tried alone, which writes nothing, and those that fail are refused. If
        that finds none, the events are halved until those that fail are found, for at most HALVING_S seconds; events that are
        left by then may be sent again.

        Args:
            events: the events.
            until: when the halving ends, by time.monotonic(); None: it has not begun.
        """
        try:
            self._writer.wait_for_room()
            if any(event.again for event in events):
                self._writer.wait_until_applied()  # resent events are looked up in the tables
            with self._writer.intake_lock:
                return self._commit(events)
        except StoreUnavailable as error:
            return self._refuse(events, error, error)
        except duckdb.Error as error:
            self._writer.fail(str(error))
            return self._refuse(events, error, StoreUnavailable(CANNOT_NOW))
        except Exception as error:
            if len(events) == 1:
                return self._refuse(events, error)
            unexpected = error
        if until is None:
            sound = self._try_alone(events)
            if not all(sound):
                return self._store_some(events, sound, unexpected)
            until = time.monotonic() + HALVING_S
        elif time.monotonic() >= until:
            return self._refuse(events, unexpected, StoreUnavailable(CANNOT_NOW))
        middle = len(events) // 2
        return [*self._store(events[:middle], until), *self._store(events[middle:], until)]

    def _try_alone(self, events: Sequence[NewEvent]) -> list[bool]:
        """Return for each event whether its journal entry can be written, without writing one."""
        sound = []
        with self._writer.intake_lock:
            for event in events:
                try:
                    encode(self._writer.recall.draft(self._writer.number + 1, [event]).build_entry())
                except duckdb.Error:
                    sound.append(True)  # not the event's fault; its commit fails in the same way and says so
                except Exception:
                    sound.append(False)
                else:
                    sound.append(True)
        return sound

    def _commit(self, events: Sequence[NewEvent]) -> list[Outcome]:
        writer = self._writer
        if writer.failure is not None or not writer.check_file():
            raise StoreUnavailable(CANNOT_NOW)
        began = time.perf_counter()
        draft = writer.recall.draft(writer.number + 1, events, writer.limits)
        if (entry := draft.build_entry()) is not None:
            content = encode(entry)
            writer.number += 1
            try:
                writer.journal.append(writer.number, content)
            except OSError as error:
                writer.fail_journal(error)
                raise StoreUnavailable(CANNOT_NOW) from error
            writer.recall.remember(draft)
            writer.backlog.add(entry, len(content))
        dropped = sum(row.events for row in draft.dropped.values())
        receipts = [receipt for receipt in draft.receipts if isinstance(receipt, Receipt)]
        writer.meters.count_batch(receipts, dropped, time.perf_counter() - began)
        return list(draft.receipts)

    def _refuse(self, events: Sequence[NewEvent], error: Exception, outcome: EventsError | None = None) -> list[Outcome]:
        """Count and log events that are not stored, the log at most every LOG_EVERY_S seconds, and return their outcomes."""
        self._writer.meters.count_failed(len(events))
        self._unlogged += len(events)
        if events and (now := time.monotonic()) >= self._log_at:
            self._log_at = now + LOG_EVERY_S
            first = events[0].id or "none"
            logger.error("%d events cannot be stored; EventID of one: %s", self._unlogged, first, exc_info=error)
            self._unlogged = 0
        return [outcome or EventsError(REFUSED)] * len(events)
