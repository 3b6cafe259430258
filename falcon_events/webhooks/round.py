"""One round of deliveries: which events go out side by side, which wait for each other, and when nothing more may go out."""

from __future__ import annotations

import threading
from collections import deque

from falcon_events.model.webhooks import Letter
from falcon_events.webhooks.poster import Poster
from falcon_events.webhooks.poster_messages import Job, Outcome, Result, Verdict

TROUBLED = 3
"""So many visitors whose events fail one after the other mean that the receiver itself is out of order."""


class Round:
    """Letters on their way: those of one visitor one after the other, of several visitors side by side."""

    def __init__(self, job: Job) -> None:
        self._number = job.number
        self._troubled = set(job.troubled)
        self._lock = threading.Lock()
        self._verdicts: dict[int, Verdict] = {}
        self._out: dict[int, Letter] = {}
        chains: dict[str, list[Letter]] = {}
        for letter in job.letters:
            chains.setdefault(letter.visitor, []).append(letter)
        self._chains = deque(chains.values())
        self.chains = len(self._chains)
        self._open = 0
        self._worst: Verdict | None = None
        self._cut = False
        self.over = threading.Event()
        """Set once nothing of it is on its way any more."""

    def stop(self) -> None:
        """Lets nothing more go out."""
        self._cut = True

    @property
    def stopped(self) -> bool:
        """Whether nothing more goes out."""
        return self._cut or self._worst is not None

    def carry(self, poster: Poster) -> None:
        """Delivers one visitor's letters after the other's, until none are left."""
        while True:
            with self._lock:
                if self.over.is_set():
                    return
                if self.stopped or not self._chains:
                    if not self._open:
                        self.over.set()
                    return
                chain = self._chains.popleft()
                self._open += 1
            for letter in chain:
                if self.stopped:
                    break
                self._out[letter.seq] = letter
                if not self._note(letter, poster.post(letter)):
                    break
            with self._lock:
                self._open -= 1

    def end(self, verdict: Verdict | None) -> None:
        """Ends it with what is known by now, and with this verdict on what is still on its way: None for none."""
        with self._lock:
            if not self.over.is_set() and verdict is not None:
                for letter in list(self._out.values()):
                    self._take(letter, verdict)
            self._cut = True
            self.over.set()

    def outcome(self) -> Outcome:
        """What became of it, once it is over."""
        with self._lock:
            return Outcome(self._number, self._verdicts, self._worst, self.stopped, sorted(self._troubled))

    def _note(self, letter: Letter, verdict: Verdict) -> bool:
        """Takes a verdict in; whether the visitor's next event may follow."""
        with self._lock:
            if self.over.is_set():
                return False
            self._take(letter, verdict)
            return verdict.result is Result.DELIVERED

    def _take(self, letter: Letter, verdict: Verdict) -> None:
        del self._out[letter.seq]
        self._verdicts[letter.seq] = verdict
        if verdict.result is Result.DELIVERED:
            self._troubled.clear()
            return
        self._troubled.add(letter.visitor)
        if verdict.result is Result.GONE or (
            self._worst is None and (verdict.result is not Result.REFUSED or len(self._troubled) >= TROUBLED)
        ):
            self._worst = verdict
