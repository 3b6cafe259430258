"""after_commit hooks: called with committed events, in batches, on a thread that no request waits for."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

from falcon_events.hooks.before import get_hook_name
from falcon_events.hooks.events import CommittedEvent, build_committed_event
from falcon_events.model.events import NewEvent, Outcome, Receipt
from falcon_events.model.reports import AFTER_COMMIT_FAILED, NOT_GIVEN
from falcon_events.runtime.lifecycle import fork_lock
from falcon_events.runtime.steps import Call, Waiter
from falcon_events.settings import Settings

logger = logging.getLogger(__name__)

AfterHook = Callable[[Sequence[CommittedEvent]], Awaitable[object] | object]

LOG_EVERY_S = 60.0
"""The interval between log lines about skipped events."""

_Held = tuple[NewEvent, str, bool]
"""A stored event, its id, and whether an identify event was stored with it."""


class AfterCommit:
    """Queue and thread that call hooks with committed events, in order of commit.

    Each process calls its hooks with the events of the requests that it received. The queue holds as many events and bytes as
    may wait for a commit (`queue_events`, `queue_bytes`). While it is full, further events are skipped; skipped events are
    counted and logged.

    Args:
        hooks: functions, plain or async; each is called with every batch.
        settings: the limits of the queue and of a batch, and how long close() waits (`commit_wait_s`).
        counters: returns the counters of this process; a forked child has new ones.
    """

    def __init__(self, hooks: Iterable[AfterHook], settings: Settings, counters: Callable[[], Counter[str]]) -> None:
        self._hooks = list(hooks)
        self._settings = settings
        self._counters = counters
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Reset the queue in a forked child: the queued events belong to the parent."""
        self._waiter = Waiter()
        self._changed = threading.Condition()
        self.reopen()

    def reopen(self) -> None:
        """Start anew, after close()."""
        self._held: deque[_Held] = deque()
        self._held_bytes = 0
        self._thread: threading.Thread | None = None
        self._working = self._closed = False
        self._skipped = 0
        self._log_at = 0.0

    def take(self, events: Sequence[NewEvent], outcomes: Sequence[Outcome]) -> None:
        """Queue the events that were stored now, not before. Never blocks or raises.

        Args:
            events: the events that were sent to the store's owner.
            outcomes: the outcome of each event.
        """
        stored = [held for held in map(_hold, events, outcomes) if held is not None]
        if not stored:
            return
        with self._changed:
            for held in stored:
                if len(self._held) >= self._settings.queue_events or self._held_bytes >= self._settings.queue_bytes:
                    self._skip(1)
                else:
                    self._held.append(held)
                    self._held_bytes += len(held[0].properties)
            if self._thread is None and not self._closed:
                self._start()
            self._changed.notify_all()

    def drain(self) -> None:
        """Wait until the hooks have been called with every queued event, at most `commit_wait_s` seconds."""
        with self._changed:
            if self._thread is not None and self._thread is not threading.current_thread():
                self._changed.wait_for(lambda: not (self._held or self._working), self._settings.commit_wait_s)

    def close(self) -> None:
        """Drain the queue and end the thread. Events that are left are skipped. Later calls do nothing."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is None:
            self._run()  # events that were committed while the interpreter was ending, when no thread could start
        else:
            self.drain()
        with self._changed:
            if self._held:
                self._skip(len(self._held))
                self._held.clear()
        self._waiter.close()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="falcon-events-after-commit", daemon=True)
        try:
            with fork_lock:
                thread.start()
        except RuntimeError:  # the interpreter is ending: close() calls the hooks
            return
        self._thread = thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._working = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._held or self._closed)
                if not self._held:
                    return
                self._working = True
                batch = [self._held.popleft() for _ in range(min(len(self._held), self._settings.batch_events))]
                self._held_bytes -= sum(len(event.properties) for event, _, _ in batch)
            self._call_hooks(batch)

    def _call_hooks(self, batch: list[_Held]) -> None:
        events: list[CommittedEvent] = []
        for hook in self._hooks:
            try:
                events = events or [build_committed_event(*held) for held in batch]
                self._waiter.call(Call(hook, events))
            except BaseException:  # only hooks run in this thread, and it must go on with the next batch
                self._counters()[AFTER_COMMIT_FAILED] += 1
                logger.exception("after_commit: %s failed with %d events, which are stored", get_hook_name(hook), len(batch))

    def _skip(self, count: int) -> None:
        """Count skipped events, and log them at most every LOG_EVERY_S. The caller holds the lock."""
        self._counters()[NOT_GIVEN] += count
        self._skipped += count
        if (now := time.monotonic()) >= self._log_at or self._closed:
            self._log_at = now + LOG_EVERY_S
            logger.warning("after_commit is too slow: %d stored events were not passed to it", self._skipped)
            self._skipped = 0


def _hold(event: NewEvent, outcome: Outcome) -> _Held | None:
    """Return what the queue holds of an event, or None if it was not stored now."""
    if event.dropped or not isinstance(outcome, Receipt) or outcome.duplicate:
        return None
    return event, outcome.event_id, outcome.identify_event_sent
