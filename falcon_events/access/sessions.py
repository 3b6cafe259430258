"""Sessions as a process knows them: of an account, or with the rights of a key. Each ends at its time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from falcon_events.access.keys import hash_secret
from falcon_events.access.protocol import Principal
from falcon_events.errors import EventsError
from falcon_events.model.access import Changes, SessionGrant

MIN_SESSIONS_PURGED = 1000
"""The smallest number of sessions at which expired ones are removed from memory."""
MAX_TTL_S = 100 * 366 * 86400
"""How long a session may last, in seconds: a hundred years."""


class _KnownSession(msgspec.Struct, frozen=True):
    principal: Principal
    expires: float
    key_hash: bytes | None


class KnownSessions:
    """A copy in memory of the sessions that are not revoked.

    Args:
        clock: returns the current time in seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[bytes, _KnownSession] = {}
        self._limit = MIN_SESSIONS_PURGED

    def replace(self, sessions: Iterable[SessionGrant]) -> None:
        """Know these sessions, and no others."""
        self._known = {grant.session_hash: _build_known(grant) for grant in sessions}

    def apply(self, changes: Changes) -> None:
        """Apply committed changes."""
        self._known.update({grant.session_hash: _build_known(grant) for grant in changes.sessions})
        for session_hash, expires in changes.renewed_sessions:
            if (known := self._known.get(session_hash)) is not None:
                until = max(known.expires, expires.timestamp())
                self._known[session_hash] = msgspec.structs.replace(known, expires=until)
        for gone in changes.gone_sessions:
            self._known.pop(gone, None)
        if changes.gone_keys:
            self._known = {of: known for of, known in self._known.items() if known.key_hash not in changes.gone_keys}
        if len(self._known) > self._limit:  # remove expired ones
            now = self._clock()
            self._known = {of: known for of, known in self._known.items() if known.expires > now}
            self._limit = 2 * len(self._known) + MIN_SESSIONS_PURGED

    def identify(self, session_id: str, keys: Mapping[bytes, Principal]) -> Principal | None:
        """Return whom a session belongs to, or None if it is unknown, revoked or expired, or its key is revoked."""
        known = self._known.get(hash_secret(session_id))
        if known is None or known.expires <= self._clock():
            return None
        return known.principal if known.key_hash is None else keys.get(known.key_hash)


def check_ttl(ttl_s: int) -> int:
    """Check how long a session shall last and return it. Raises EventsError."""
    if isinstance(ttl_s, bool) or not 1 <= ttl_s <= MAX_TTL_S:
        raise EventsError(f"ttl_s={ttl_s} must be at least 1 second, and at most {MAX_TTL_S}.")
    return ttl_s


def _build_known(grant: SessionGrant) -> _KnownSession:
    return _KnownSession(Principal(grant.account), grant.expires_at.timestamp(), grant.key_hash)
