"""after_commit: hooks that are given what was committed, in batches, on a thread that no request waits for."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

from falcon_events.hooks.before import name_of
from falcon_events.hooks.events import CommittedEvent, committed
from falcon_events.model.events import NewEvent, Outcome, Receipt
from falcon_events.model.reports import AFTER_COMMIT_FAILED, NOT_GIVEN
from falcon_events.runtime.lifecycle import unforked
from falcon_events.runtime.steps import Call, Waiter
from falcon_events.settings import Settings

logger = logging.getLogger(__name__)

AfterHook = Callable[[Sequence[CommittedEvent]], Awaitable[object] | object]

LOG_EVERY_S = 60.0
"""How often the log says that events are skipped, in seconds."""

_Held = tuple[NewEvent, str, bool]
"""A stored event, its id, and whether an identify event was stored with it."""


class AfterCommit:
    """Gives committed events to hooks, in order of commit; each process gives those whose requests it took.

    The queue holds as many events and bytes as may wait for a commit (`queue_events`, `queue_bytes`). Where the hooks are
    slower than the events, those that come while it is full are not given, which is counted and logged.

    Args:
        hooks: each is called with every batch; plain or async.
        settings: how much is held, how large a batch is, and how long closing waits (`commit_wait_s`).
        told: gives the counter of failures, which a forked child has anew.
    """

    def __init__(self, hooks: Iterable[AfterHook], settings: Settings, told: Callable[[], Counter[str]]) -> None:
        self._hooks = list(hooks)
        self._settings = settings
        self._told = told
        self.forked()

    def forked(self) -> None:
        """Starts anew in a forked child: what waits belongs to the parent."""
        self._waiter = Waiter()
        self._changed = threading.Condition()
        self._held: deque[_Held] = deque()
        self._held_bytes = 0
        self._thread: threading.Thread | None = None
        self._working = self._closed = False
        self._skipped = 0
        self._log_at = 0.0

    def take(self, events: Sequence[NewEvent], outcomes: Sequence[Outcome]) -> None:
        """Takes those events that were stored, and were not stored before; never blocks, never raises.

        Args:
            events: what was sent to the store's owner.
            outcomes: what became of each.
        """
        stored = [held for held in map(_stored, events, outcomes) if held is not None]
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
        """Waits until the hooks have been given everything, at most `commit_wait_s` seconds."""
        with self._changed:
            if self._thread is not None and self._thread is not threading.current_thread():
                self._changed.wait_for(lambda: not (self._held or self._working), self._settings.commit_wait_s)

    def close(self) -> None:
        """The same, then ends the thread; what is left is not given, which is counted and logged. Does nothing twice."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is None:
            self._run()  # what came too late in the process's life to start a thread for
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
            with unforked:
                thread.start()
        except RuntimeError:  # the interpreter is ending: close() gives what there is
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
            self._give(batch)

    def _give(self, batch: list[_Held]) -> None:
        events: list[CommittedEvent] = []
        for hook in self._hooks:
            try:
                events = events or [committed(*held) for held in batch]
                self._waiter.call(Call(hook, events))
            except BaseException:  # nothing but hooks runs in this thread: the next batches shall come
                self._told()[AFTER_COMMIT_FAILED] += 1
                logger.exception("after_commit: %s failed with %d events, which are stored", name_of(hook), len(batch))

    def _skip(self, count: int) -> None:
        """With the lock held."""
        self._told()[NOT_GIVEN] += count
        self._skipped += count
        if (now := time.monotonic()) >= self._log_at or self._closed:
            self._log_at = now + LOG_EVERY_S
            logger.warning("after_commit is slower than the events: %d, which are stored, were not given to it", self._skipped)
            self._skipped = 0


def _stored(event: NewEvent, outcome: Outcome) -> _Held | None:
    if event.dropped or not isinstance(outcome, Receipt) or outcome.duplicate:
        return None
    return event, outcome.event_id, outcome.identify_event_sent
