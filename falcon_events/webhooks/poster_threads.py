"""The threads that post, each with connections of its own: within a round, one slow answer holds up nothing but its visitor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from falcon_events.webhooks.poster import Poster
from falcon_events.webhooks.round import Round

MOST = 8
"""How many requests are on their way to one receiver at once."""


class Senders:
    """Threads for one receiver, started as they are needed.

    Args:
        make: makes a thread's poster.
    """

    def __init__(self, make: Callable[[], Poster]) -> None:
        self._make = make
        self._rounds: SimpleQueue[Round | None] = SimpleQueue()
        self._posters: list[Poster] = []

    def carry(self, letters: Round) -> None:
        """Has a round delivered; it says itself when it is over. Raises what hinders a poster from being made."""
        wanted = min(MOST, letters.chains)
        while len(self._posters) < wanted:
            poster = self._make()
            # Daemons: whoever ends waits for no receiver.
            threading.Thread(target=self._run, args=(poster,), name="falcon-events-sender", daemon=True).start()
            self._posters.append(poster)
        for _ in range(wanted):
            self._rounds.put(letters)

    def close(self) -> None:
        """Ends the threads, and the connections they may be waiting at."""
        for poster in self._posters:
            self._rounds.put(None)
            poster.close()
        self._posters = []

    def _run(self, poster: Poster) -> None:
        while (letters := self._rounds.get()) is not None:
            letters.carry(poster)
