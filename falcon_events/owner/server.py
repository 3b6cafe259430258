"""The owner's clients: who they are, what they send, and what they are told."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
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
from falcon_events.store.queries import access_rows
from falcon_events.store.store import Store
from falcon_events.webhooks.dispatcher import Dispatcher

logger = logging.getLogger(__name__)

GREETING_S = 5.0
STRANGERS = 64
"""How many may be greeting at once; more are turned away, so that they cost no threads."""
SEND_S = 2.0
"""How long a client may leave its answers unread before it is cut off: the writer cannot wait for it."""
NOTE_S = 2.0
"""How long a client may take to note a changed directory before it is cut off: a revoked key must not count any more."""


class OwnerServer:
    """All connected processes.

    Args:
        store: the open store.
        secret: what whoever connects has to know.
        address: where they connect.
        dispatcher: delivers the store's events to webhooks; None where nothing is delivered.
        stays: whether the store outlives them: then who leaves need not wait for anybody.
    """

    def __init__(
        self, store: Store, secret: bytes, address: str, dispatcher: Dispatcher | None = None, *, stays: bool = False
    ) -> None:
        self._store = store
        self._address = address
        self._dispatcher = dispatcher
        self._stays = stays
        self._since = datetime.now(UTC)
        self._secret = secret
        self._operations = Operations(store, self._directory_changed, self)
        self._changing = threading.Lock()  # one change of the directory at a time
        self._changed = threading.Condition()
        self._clients: set[ClientSession] = set()
        self._greeting = threading.Semaphore(STRANGERS)
        self._version = 1
        self._book = OwnerDirectory(store.run(access_rows.load).result())
        self._generation = 0
        self._tally = ClientCounts()
        self._over = False
        self._had_one = False
        self._alone_since = time.monotonic()

    def accept(self, listener: socket.socket) -> None:
        """Takes connections until the listener is closed."""
        while True:
            try:
                connected, _ = listener.accept()
            except OSError:
                if self._over:
                    return
                time.sleep(0.05)  # no descriptors left, for a moment
                continue
            try:
                check_user(connected)
            except Refused as refused:
                logger.warning("a connection of %s was refused", refused)
                connected.close()
                continue
            self.serve(connected)

    def serve(self, connected: socket.socket) -> None:
        """Serves a connection in a thread of its own, unless too many strangers are greeting."""
        if not self._greeting.acquire(blocking=False):
            connected.close()
            return
        threading.Thread(target=self._run_session, args=(Channel(connected),), name="falcon-events-client", daemon=True).start()

    def wait_until_alone(self, first_s: float, linger_s: float) -> None:
        """Returns when the last client has said that it leaves, or has been gone for `linger_s` seconds; nobody comes in then.

        Args:
            first_s: how long the first client may let this wait, in seconds.
            linger_s: how long to wait for a client's successor, in seconds.
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
                        if client.leaving:  # others stay
                            client.channel.end()
                    self._changed.wait()
            self._over = True

    def end(self) -> None:
        """Ends the connections of those that wait for it."""
        with self._changed:
            for client in self._clients:
                client.channel.end()

    def log(self, level: int, name: str, text: str) -> None:
        """Puts a line into one client's log."""
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
            logger.warning("a connection was ended: %s", error)
        except Exception:  # whatever a client may have sent is no reason to leave the others alone
            logger.exception("a connection was ended")
        finally:
            with self._changed:
                if client is not None:
                    self._clients.discard(client)
                    self._tally.forget_empty(client.id)
                    self._alone_since = time.monotonic()
                self._changed.notify_all()
            channel.end()
            channel.close()

    def _greet(self, channel: Channel) -> ClientSession | None:
        channel.limit(GREETING_S, GREETING_S)
        ask_for_secret(channel, self._secret)
        hello = messages.decode_from_client(channel.recv_bytes(4096))
        if not isinstance(hello, Hello):
            raise Refused("no greeting")
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
            directory_now = (self._version, self._book.snapshot())
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
            case Noted(version):
                with self._changed:
                    client.noted = max(client.noted, version)
                    self._changed.notify_all()
            case Counted():
                client.waiting = message.waiting
                with self._changed:
                    self._tally.note(client.id, message)
            case Leave():
                with self._changed:
                    client.leaving = True
                    if self._stays:
                        client.channel.end()
                    self._changed.notify_all()
            case Hello():
                raise Refused("a second greeting")

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
        client.open_calls.acquire()
        try:
            future = self._operations.start(ask.name, ask.arguments)
        except EventsError as error:
            client.open_calls.release()
            client.send(build_failure(ask.number, error))
            return

        def answer(done: Future[Any]) -> None:
            client.open_calls.release()
            if done.cancelled():  # the store is closed
                return
            error = done.exception()
            client.send(Answer(ask.number, done.result()) if error is None else build_failure(ask.number, error))

        future.add_done_callback(answer)

    def state(self) -> OwnerState:
        """Which process holds the store, and for whom."""
        with self._changed:
            pids = sorted(client.pid for client in self._clients)
        return OwnerState(os.getpid(), self._since, self._address, pids)

    def metrics(self) -> Metrics:
        """What a monitoring system wants to know."""
        with self._changed:
            refused, named_counts = self._tally.totals()
            waiting = sum(client.waiting for client in self._clients)
            clients, generation = len(self._clients), self._generation
        counted = ProcessMetrics(refused, named_counts, waiting, clients, generation, self._since.timestamp())
        return build_metrics(self._store, self._dispatcher, counted)

    def _directory_changed(self, changes: Changes) -> None:
        """Tells every client, and returns when all of them answer by the changed directory."""
        with self._changing:
            with self._changed:
                self._version += 1
                self._book.apply(changes)
                asked = list(self._clients)
                version = self._version
            for client in asked:
                client.send(News(version, changes))
            with self._changed:
                self._changed.wait_for(lambda: all(self._knows(client, version) for client in asked), NOTE_S)
                for client in asked:
                    if not self._knows(client, version):
                        logger.warning(
                            "process %d did not note a changed key or list in time; its connection is ended", client.pid
                        )
                        client.channel.end()

    def _knows(self, client: ClientSession, version: int) -> bool:
        return client.noted >= version or client not in self._clients
