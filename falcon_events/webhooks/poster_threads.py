"""Threads that post to one receiver, each with a connection of its own, so that a slow answer delays only its visitor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from falcon_events.webhooks.poster import Poster
from falcon_events.webhooks.round import Round

MAX_THREADS = 8
"""The largest number of simultaneous requests to one receiver."""


class PosterThreads:
    """Threads that post to one receiver, started as they are needed.

    Args:
        create_poster: creates the poster of a thread.
    """

    def __init__(self, create_poster: Callable[[], Poster]) -> None:
        self._create_poster = create_poster
        self._rounds: SimpleQueue[Round | None] = SimpleQueue()
        self._posters: list[Poster] = []

    def deliver(self, round_: Round) -> None:
        """Start delivering a round, which sets its `over` event when it is done. Raises the error of a poster's constructor."""
        wanted = min(MAX_THREADS, round_.chains)
        while len(self._posters) < wanted:
            poster = self._create_poster()
            # Daemon threads, so that the end of the process waits for no receiver.
            threading.Thread(target=self._run, args=(poster,), name="falcon-events-poster", daemon=True).start()
            self._posters.append(poster)
        for _ in range(wanted):
            self._rounds.put(round_)

    def close(self) -> None:
        """End the threads, and close the connections that they may be reading from."""
        for poster in self._posters:
            self._rounds.put(None)
            poster.close()
        self._posters = []

    def _run(self, poster: Poster) -> None:
        while (round_ := self._rounds.get()) is not None:
            round_.deliver(poster)
