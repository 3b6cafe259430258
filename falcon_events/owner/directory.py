"""Directory of credentials and lists in the owner process, from which each new client gets a snapshot."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from falcon_events.model.access import Changes, Snapshot


class OwnerDirectory:
    """Valid credentials, lists and list rules, kept equal to the store's tables.

    Args:
        snapshot: the content of the tables.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._keys = {key.key_hash: key for key in snapshot.keys}
        self._sessions = {session.session_hash: session for session in snapshot.sessions}
        self._lists = {owned[0]: owned for owned in snapshot.lists}
        self._rules = {rules.list_id: rules for rules in snapshot.rules}

    def apply(self, changes: Changes) -> None:
        """Apply committed changes."""
        self._keys.update({key.key_hash: key for key in changes.keys})
        self._lists.update({owned[0]: owned for owned in changes.lists})
        self._rules.update({rules.list_id: rules for rules in changes.rules})
        self._sessions.update({session.session_hash: session for session in changes.sessions})
        for session_hash, expires in changes.renewed_sessions:
            if (session := self._sessions.get(session_hash)) is not None:
                until = max(session.expires_at, expires)
                self._sessions[session_hash] = msgspec.structs.replace(session, expires_at=until)
        for key_hash in changes.gone_keys:
            self._keys.pop(key_hash, None)
        for session_hash in changes.gone_sessions:
            self._sessions.pop(session_hash, None)
        for list_id in changes.gone_lists:
            self._lists.pop(list_id, None)
            self._rules.pop(list_id, None)
        if changes.gone_keys:
            self._sessions = {
                key: session for key, session in self._sessions.items() if session.key_hash not in changes.gone_keys
            }

    def snapshot(self) -> Snapshot:
        """Return everything except expired sessions."""
        now = datetime.now(UTC)
        self._sessions = {key: session for key, session in self._sessions.items() if session.expires_at > now}
        return Snapshot(
            list(self._keys.values()), list(self._sessions.values()), list(self._lists.values()), list(self._rules.values())
        )
