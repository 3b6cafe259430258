"""A tracker's end of the link: sends events and calls to the store's owner, and connects to another one if it dies."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import msgspec

from falcon_events.errors import EventsError, StoreClosed, StoreError, StoreUnavailable
from falcon_events.files.paths import list_links, resolve
from falcon_events.link import messages
from falcon_events.link.calls import PendingCall, PendingCalls, give_up
from falcon_events.link.channel import Channel, Refused
from falcon_events.link.commit_queue import CLOSED, LOST, CommitQueue, settle
from falcon_events.link.connector import Connector
from falcon_events.link.counts import Counts
from falcon_events.link.messages import (
    PROTOCOL,
    Answer,
    AnswerPart,
    Batch,
    Drop,
    Failed,
    Leave,
    Log,
    News,
    Noted,
    Results,
    Welcome,
)
from falcon_events.link.transmitter import Transmitter
from falcon_events.model.access import Changes, Snapshot
from falcon_events.model.events import CANNOT_NOW, NewEvent, Outcome
from falcon_events.model.operations import HEALTH, Operation, P, R
from falcon_events.model.reports import QUEUE_FULL, Health, HealthState
from falcon_events.runtime.environment import check_environment
from falcon_events.runtime.lifecycle import fork_lock, join_thread, register
from falcon_events.runtime.pending import Pending
from falcon_events.settings import Settings

logger = logging.getLogger(__name__)

TICK_S = RETRY_S = 0.5


class Link:
    """The connection of this process to a store, whose file an owner process on this machine holds.

    The constructor does nothing with the file. open() or the first use connects to the owner, or starts one. Any number of
    threads may use a link. After a fork, the child may use it too.

    Args:
        path: the database file.
        settings: the limits on what may wait, and for how long. If this process starts the owner, they are also the owner's.
        create: whether a missing file is created.
    """

    def __init__(self, path: str | Path, settings: Settings, *, create: bool = True) -> None:
        self.path = resolve(path)
        self._settings = settings
        self._connector = Connector(self.path, list_links(path), settings, create=create)
        self._started = self._closed = False
        self._on_directory: Callable[[Snapshot | Changes], object] = lambda directory: None
        self.on_outcomes: Callable[[Sequence[NewEvent], Sequence[Outcome]], None] | None = None
        """Called with events and their outcomes after the waiting callers got them, in a thread that it must not block."""
        self.uuid_namespace = b""
        """The 16 secret bytes that visitors' UUIDs are derived from; empty until the store is open."""
        self.connections = 0
        """How many connections to owners this link has had."""
        self._reset()
        register(self)

    def _reset(self) -> None:
        """Set up what belongs to one process."""
        self._opening = threading.Lock()
        self._lock = threading.Lock()
        self._queue = CommitQueue(self._settings)
        self._calls = PendingCalls()
        self._transmitter = Transmitter()
        self._failure: str | None = None
        self._thread: threading.Thread | None = None
        self._leaving = threading.Event()
        self.counts = Counts()

    def reset_after_fork(self) -> None:
        """Start without connection, threads and waiting events in a forked child: they are the parent's."""
        channel = self._transmitter.channel
        self._reset_process()
        if channel is not None:
            channel.close()

    def _reset_process(self) -> None:
        """Become a new client that is not connected."""
        self._reset()
        self._connector.reset_after_fork()
        self._started = False

    def watch_directory(self, listener: Callable[[Snapshot | Changes], object]) -> None:
        """Have `listener` called with all keys, sessions and lists, and with each change before its operation returns."""
        self._on_directory = listener

    @property
    def is_open(self) -> bool:
        """Whether the store is open in this process: since open() or the first use, until close()."""
        return self._started and not self._closed

    def open(self, wait_s: float | None = None) -> None:
        """Connect to the store's owner, or start one. A second call does nothing.

        Args:
            wait_s: how long to wait for another process that is opening or closing the file, in seconds; None: without limit.

        Raises:
            StoreClosed: close() was called.
            StoreError: the file cannot be opened; the message says why.
            StoreUnavailable: another process was not ready in time.
        """
        with self._opening:
            if self._closed:
                raise StoreClosed
            if self._started:
                return
            check_environment()
            channel, welcome = self._connector.connect(wait_s, self._leaving)
            self._start_connection(channel, welcome)
            self._connector.create = False  # if the file is missing later, it was removed and must not be created again
            with fork_lock:
                self._thread = threading.Thread(target=self._run, args=(channel,), name="falcon-events-link", daemon=True)
                self._thread.start()
            self._started = True

    def close(self) -> None:
        """Disconnect from the store once everything that waits is answered. A second call does nothing."""
        with self._opening:
            if self._closed:
                return
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is None:
            return
        deadline = time.monotonic() + self._settings.commit_wait_s
        while self._busy() and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)
        self._leaving.set()
        self._send_counts()
        self._transmitter.send(messages.encode(Leave()))
        join_thread(thread, self.path)

    def reopen(self) -> bool:
        """Let a closed link be used again: its next use connects to the owner, or starts one.

        Returns:
            Whether the link was closed.
        """
        with self._opening:
            if not self._closed:
                return False
            self._reset_process()
            self._closed = False
            return True

    def submit(self, events: Sequence[NewEvent]) -> Pending[Sequence[Outcome]]:
        """Queue events for one commit, all or none.

        Returns:
            The outcome of each, in order, once the commit is synced to disk.

        Raises:
            StoreUnavailable: the store cannot take the events now; nothing was kept.
        """
        if not self._started:
            self.open(self._settings.commit_wait_s)
        with self._lock:
            if self._closed:
                raise StoreClosed
            if self._failure is not None:
                raise StoreUnavailable(CANNOT_NOW)  # the reason is not for senders; the log and health() have it
            waiting = self._queue.add(events)
            self._send_batches()
            return waiting

    def ask(self, operation: Operation[P, R], *arguments: P.args, **_: P.kwargs) -> Future[R]:
        """Call an operation of the owner.

        Args:
            operation: one of those in model/operations.py.
            arguments: the operation's arguments, by position.

        Raises:
            StoreUnavailable, StoreError: the store cannot be reached.
        """
        if not self._started:
            self.open(self._settings.commit_wait_s)
        with self._lock:
            if self._closed and not self._busy():
                raise StoreClosed
            if self._failure is not None:
                raise StoreUnavailable(CANNOT_NOW)
            call = self._calls.add(operation, arguments, self._settings.commit_wait_s)
            self._transmitter.send(call.frame)
        return call.future

    def call(self, operation: Operation[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """Call an operation of the owner as ask() does, and wait for its result. If the wait is interrupted, a read is ended."""
        future = self.ask(operation, *arguments, **named)
        try:
            return future.result()
        finally:
            if not future.done():  # such as after Ctrl-C
                self.drop(future)

    def drop(self, future: Future[R]) -> None:
        """Tell the owner that nobody waits for the result of ask() any more. A read is then ended."""
        with self._lock:
            if (number := self._calls.drop(future)) is not None:
                self._transmitter.send(messages.encode(Drop(number)))

    def health(self) -> Health:
        """Return whether the store accepts events and, if it does not, why."""
        try:
            health = self.ask(HEALTH).result(self._settings.commit_wait_s)
        except (StoreUnavailable, StoreError, TimeoutError) as error:
            text = error.failures[0].message if isinstance(error, StoreUnavailable) else str(error)
            return Health(HealthState.FAILED, self._failure or text or LOST)
        return QUEUE_FULL if health.state is HealthState.OK and self._queue.is_full() else health

    def _busy(self) -> bool:
        return bool(len(self._queue) or self._calls)

    def _send_batches(self) -> None:
        """Send the batches that may be sent now. The caller holds the lock."""
        while self._transmitter.channel is not None and (batch := self._queue.next_batch()) is not None:
            try:
                frame = messages.encode(Batch(*batch))
            except Exception:  # such as half a surrogate pair, from a caller that bypassed the contract
                logger.exception("Events cannot be encoded for the owner and are refused")
                frame = messages.encode(Batch(batch[0], self._queue.replace_unencodable(batch[0], messages.encode)))
            self._transmitter.send(frame)

    def _start_connection(self, channel: Channel, welcome: Welcome) -> None:
        """Use a new connection: send again what an earlier owner did not answer, then what was queued since."""
        channel.limit(TICK_S, max(self._settings.commit_wait_s, 1.0))
        self._on_directory(welcome.directory)
        channel.send_bytes(messages.encode(Noted(welcome.version)))
        self.counts.mark_unsent()
        with self._lock:
            self.uuid_namespace = welcome.uuid_namespace
            self._failure = None
            self.connections += 1
            self._transmitter.connect(channel)
            self._queue.drop_expired()
            for number, events in self._queue.sent_before():
                self._transmitter.send(messages.encode(Batch(number, events)))
            for frame in self._calls.frames():
                self._transmitter.send(frame)
            self._send_batches()

    def _run(self, channel: Channel | None) -> None:
        while channel is not None:
            self._read(channel)
            with self._lock:
                self._transmitter.connect(None)
                lost = self._calls.take_unrepeatable(self._settings.query_timeout_s)
            for call, reason in lost:
                give_up([call], reason)
            channel.close()
            channel = None if self._leaving.is_set() else self._reconnect()
        self._transmitter.close()
        self._give_up(CLOSED)

    def _reconnect(self) -> Channel | None:
        """Connect to the next owner and return the channel; return None once this tracker closes."""
        while not self._leaving.is_set():
            try:
                channel, welcome = self._connector.connect(RETRY_S, self._leaving)
                self._start_connection(channel, welcome)
                return channel
            except StoreUnavailable:
                self._expire()
            except (EventsError, OSError) as error:
                reason = f"The event store has failed: {error}"
                if self._failure != reason:
                    logger.error("%s", reason)
                self._failure = reason
                self._give_up(CANNOT_NOW)
                self._leaving.wait(RETRY_S)
        return None

    def _read(self, channel: Channel) -> None:
        """Handle the owner's messages until the connection ends."""
        next_tick = 0.0
        while True:
            try:
                self._handle(channel, messages.decode_from_owner(channel.recv_bytes()))
            except BlockingIOError:
                pass
            except (EOFError, OSError):
                return
            except (Refused, msgspec.MsgspecError) as error:
                logger.error("Unreadable message from the owner process (protocol %d expected): %s", PROTOCOL, error)
                return
            if (now := time.monotonic()) >= next_tick:
                next_tick = now + TICK_S
                self._expire()
                self._send_counts()

    def _handle(self, channel: Channel, message: messages.FromOwner) -> None:
        match message:
            case Results(number, packed):
                with self._lock:
                    batch = self._queue.take(number)
                    self._send_batches()  # before the results are set, so that the owner has work meanwhile
                events = [event for waiting in batch for event in waiting.events]
                outcomes = list(map(messages.unpack_outcome, events, packed))
                settle(batch, outcomes)
                if self.on_outcomes is not None:
                    self.on_outcomes(events, outcomes)
            case Answer() | Failed():
                with self._lock:
                    call = self._calls.take(message.number)
                if call is not None:
                    call.settle(message)
            case AnswerPart():
                with self._lock:
                    call = self._calls.add_part(message)
                if call is not None:  # decoding it takes long, and outcomes of events must not wait meanwhile
                    with fork_lock:
                        threading.Thread(target=_settle_large, args=(call,), name="falcon-events-answer", daemon=True).start()
            case News(version, changes):
                self._on_directory(changes)
                channel.send_bytes(messages.encode(Noted(version)))
            case Log(level, name, text):
                logging.getLogger(name).log(level, "%s", text)

    def _give_up(self, reason: str) -> None:
        with self._lock:
            self._queue.fail(reason)
            calls = self._calls.take_all()
        give_up(calls, reason)

    def _send_counts(self) -> None:
        if (counted := self.counts.take_update(len(self._queue))) is not None:
            self._transmitter.send(messages.encode(counted))

    def _expire(self) -> None:
        with self._lock:
            self._queue.expire(LOST)
            late = self._calls.take_late(self._settings.commit_wait_s, connected=self._transmitter.channel is not None)
        give_up(late, LOST)


def _settle_large(call: PendingCall) -> None:
    """Decode the parts of a large answer and set the result of its call."""
    try:
        answer = messages.decode_from_owner(bytes(call.parts))
        assert isinstance(answer, Answer)
        call.settle(answer)
    except Exception as error:
        call.future.set_exception(error)
