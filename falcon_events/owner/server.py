"""The owner's server: accepts clients on the socket and handles their messages."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

import msgspec

from falcon_events.errors import EventsError, StoreUnavailable
from falcon_events.link import messages
from falcon_events.link.channel import Channel, Refused, ask_for_secret, check_user
from falcon_events.link.messages import (
    PROTOCOL,
    Answer,
    Ask,
    Batch,
    Counted,
    Drop,
    Failed,
    Hello,
    Leave,
    Log,
    News,
    Noted,
    Results,
    Welcome,
)
from falcon_events.model.access import Changes
from falcon_events.model.events import NewEvent, Outcome
from falcon_events.model.reports import Metrics, OwnerState
from falcon_events.owner.directory import OwnerDirectory
from falcon_events.owner.metrics import ClientCounts, ProcessMetrics, build_metrics
from falcon_events.owner.operations import Operations
from falcon_events.owner.session import ClientSession, build_failure
from falcon_events.store.engine.shared_reads import LATE
from falcon_events.store.queries import access_rows
from falcon_events.store.store import Store
from falcon_events.webhooks.dispatcher import Dispatcher

logger = logging.getLogger(__name__)

BUSY = "The event store has too many questions to answer. Try again later."
GREETING_S = 5.0
"""How long a client may take for each message of its greeting, in seconds."""
MAX_GREETING = 64
"""How many clients may be greeting at once. More are disconnected, so that they cost no threads."""
SEND_S = 2.0
"""How long a client may leave replies unread before it is disconnected, in seconds: the writer cannot wait for it."""
NOTE_S = 2.0
"""How long a client may take to note a changed directory before it is disconnected, in seconds: a revoked key must stop."""


class OwnerServer:
    """Serves all processes that use the store.

    Args:
        store: the open store.
        secret: the secret that a client must know.
        address: returns the address of the socket.
        dispatcher: delivers the store's events to webhooks; None: nothing is delivered.
        stays: whether the store stays open without clients. Then a client that leaves does not have to wait for the others.
    """

    def __init__(
        self,
        store: Store,
        secret: bytes,
        address: Callable[[], str],
        dispatcher: Dispatcher | None = None,
        *,
        stays: bool = False,
    ) -> None:
        self._store = store
        self._address = address
        self._dispatcher = dispatcher
        self._stays = stays
        self._since = datetime.now(UTC)
        self._secret = secret
        self._operations = Operations(store, self._send_changes, self)
        self._changing = threading.Lock()  # held during a change of the directory
        self._changed = threading.Condition()
        self._clients: set[ClientSession] = set()
        self._greeting = threading.Semaphore(MAX_GREETING)
        self._version = 1
        self._directory = OwnerDirectory(store.run(access_rows.load).result())
        self._generation = 0
        self._counts = ClientCounts()
        self._over = False
        self._had_one = False
        self._alone_since = time.monotonic()

    def accept(self, listener: socket.socket) -> None:
        """Accept connections until the listener is closed."""
        while True:
            try:
                connected, _ = listener.accept()
            except OSError:
                if self._over or listener.fileno() < 0:
                    return
                time.sleep(0.05)  # such as no free file descriptor at the moment
                continue
            try:
                check_user(connected)
            except Refused as refused:
                logger.warning("A connection to the store's owner was refused: it is from %s", refused)
                connected.close()
                continue
            self.serve(connected)

    def serve(self, connected: socket.socket) -> None:
        """Serve a connection in its own thread; close it if too many clients are greeting."""
        if not self._greeting.acquire(blocking=False):
            connected.close()
            return
        threading.Thread(target=self._run_session, args=(Channel(connected),), name="falcon-events-client", daemon=True).start()

    def wait_until_alone(self, first_s: float, linger_s: float) -> None:
        """Wait until all clients have sent Leave, or none has been connected for a while; then accept no more clients.

        Args:
            first_s: how long to wait for the first client, in seconds.
            linger_s: how long to wait for another client after the last one is gone, in seconds.
        """
        with self._changed:
            while True:
                if self._clients and all(client.leaving for client in self._clients):
                    break
                if not self._clients:
                    left = self._alone_since + (linger_s if self._had_one else first_s) - time.monotonic()
                    if left <= 0:
                        break
                    self._changed.wait(left)
                else:
                    for client in self._clients:
                        if client.leaving:  # no need to wait: other clients keep the owner running
                            client.channel.end()
                    self._changed.wait()
            self._over = True

    def end(self) -> None:
        """End all connections. Clients that are leaving wait for this."""
        with self._changed:
            for client in self._clients:
                client.channel.end()

    def log(self, level: int, name: str, text: str) -> None:
        """Send a line to the log of the client with the lowest process ID."""
        with self._changed:
            first = min(self._clients, key=lambda client: client.pid, default=None)
        if first is not None:
            first.send(Log(level, name, text))

    def _run_session(self, channel: Channel) -> None:
        client = None
        try:
            try:
                client = self._greet(channel)
            finally:
                self._greeting.release()
            if client is not None:
                while True:
                    self._handle(client, messages.decode_from_client(channel.recv_bytes()))
        except (EOFError, OSError):
            pass
        except (Refused, msgspec.MsgspecError) as error:
            logger.warning("A connection to the store's owner was closed because of an invalid message: %s", error)
        except Exception:  # no message of one client may end the service for the others
            logger.exception("A connection to the store's owner was closed because of an unexpected error")
        finally:
            if client is not None:
                for future in list(client.futures.values()):
                    self._store.abandon(future)
            with self._changed:
                if client is not None:
                    self._clients.discard(client)
                    self._counts.forget_empty(client.id)
                    self._alone_since = time.monotonic()
                self._changed.notify_all()
            channel.end()
            channel.close()

    def _greet(self, channel: Channel) -> ClientSession | None:
        channel.limit(GREETING_S, GREETING_S)
        ask_for_secret(channel, self._secret)
        hello = messages.decode_from_client(channel.recv_bytes(4096))
        if not isinstance(hello, Hello):
            raise Refused("the first message is not a Hello")
        if hello.protocol != PROTOCOL:
            text = f"The store is held by a process of another release of falcon-events than {hello.release}; restart that one."
            channel.send_bytes(messages.encode(Failed(0, "StoreError", text)))
            return None
        channel.limit(0, SEND_S)
        client = ClientSession(channel, hello)
        with self._changed:
            if self._over:
                return None
            self._generation = max(self._generation, hello.generation)
            directory_now = (self._version, self._directory.snapshot())
            client.send(Welcome(os.getpid(), self._store.uuid_namespace, *directory_now, self._generation))
            client.noted = self._version
            self._clients.add(client)
            self._had_one = True
        return client

    def _handle(self, client: ClientSession, message: messages.FromClient) -> None:
        match message:
            case Batch(number, events):
                self._commit(client, number, events)
            case Ask():
                self._ask(client, message)
            case Drop(number):
                if (future := client.futures.get(number)) is not None:
                    self._store.abandon(future)
            case Noted(version):
                with self._changed:
                    client.noted = max(client.noted, version)
                    self._changed.notify_all()
            case Counted():
                client.waiting = message.waiting
                with self._changed:
                    self._counts.note(client.id, message)
            case Leave():
                with self._changed:
                    client.leaving = True
                    if self._stays:
                        client.channel.end()
                    self._changed.notify_all()
            case Hello():
                raise Refused("a second Hello")

    def _commit(self, client: ClientSession, number: int, events: list[NewEvent]) -> None:
        try:
            future = self._store.submit(events)
        except StoreUnavailable as refused:
            client.send(Results(number, [refused.failures[0].message] * len(events)))
            return

        def answer(done: Future[list[Outcome]]) -> None:
            client.send(Results(number, [messages.pack_outcome(*one) for one in zip(events, done.result(), strict=True)]))

        future.add_done_callback(answer)

    def _ask(self, client: ClientSession, ask: Ask) -> None:
        if not client.open_calls.acquire(blocking=False):  # never wait here: events of the client would wait, too
            client.send(build_failure(ask.number, StoreUnavailable(BUSY)))
            return
        try:
            future = self._operations.start(ask.name, ask.arguments, ask.until)
        except EventsError as error:
            client.open_calls.release()
            client.send(build_failure(ask.number, error))
            return

        def answer(done: Future[Any]) -> None:
            client.open_calls.release()
            client.futures.pop(ask.number, None)
            if done.cancelled():  # the store was closed, or the client does not wait any more
                return
            error = done.exception()
            if error is None and ask.until is not None and time.monotonic() >= ask.until:
                error = StoreUnavailable(LATE)
            if error is None:
                client.send_answer(Answer(ask.number, done.result()))
            else:
                client.send(build_failure(ask.number, error))

        client.futures[ask.number] = future
        future.add_done_callback(answer)

    def state(self) -> OwnerState:
        """Return which process holds the store, and which use it."""
        with self._changed:
            pids = sorted(client.pid for client in self._clients)
        return OwnerState(os.getpid(), self._since, self._address(), pids)

    def metrics(self) -> Metrics:
        """Return the metrics of the store and of all clients."""
        with self._changed:
            refused, named_counts = self._counts.totals()
            waiting = sum(client.waiting for client in self._clients)
            clients, generation = len(self._clients), self._generation
        counted = ProcessMetrics(refused, named_counts, waiting, clients, generation, self._since.timestamp())
        return build_metrics(self._store, self._dispatcher, counted)

    def _send_changes(self, changes: Changes) -> None:
        """Send changes of the directory to every client; return when all clients use them, or are disconnected."""
        with self._changing:
            with self._changed:
                self._version += 1
                self._directory.apply(changes)
                clients = list(self._clients)
                version = self._version
            for client in clients:
                client.send(News(version, changes))
            with self._changed:
                self._changed.wait_for(lambda: all(self._has_noted(client, version) for client in clients), NOTE_S)
                for client in clients:
                    if not self._has_noted(client, version):
                        logger.warning(
                            "Process %d did not confirm a changed key or list within %.0f s and is disconnected",
                            client.pid,
                            NOTE_S,
                        )
                        client.channel.end()

    def _has_noted(self, client: ClientSession, version: int) -> bool:
        return client.noted >= version or client not in self._clients
