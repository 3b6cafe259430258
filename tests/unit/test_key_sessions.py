"""Sessions that are created from a key: they have its rights, and end with it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from falcon_events import (
    EventsError,
    EventTracking,
    InvalidRequest,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    Principal,
    Scope,
)
from falcon_events.access.directory import Directory
from falcon_events.access.keys import hash_secret
from falcon_events.access.protocol import Credential
from falcon_events.model.access import Changes, Grant, SessionGrant, Snapshot
from falcon_events.owner.directory import OwnerDirectory
from falcon_events.store.database import migrations
from tests.harness import Credentials, rows
from tests.shortcuts import command
from tests.unit.test_directory import Told

pytestmark = pytest.mark.database

EMAIL = "a@example.com"
SESSION = Credential("session", "fs_one")
FAR = datetime(2100, 1, 1, tzinfo=UTC)


def identify(tracking: EventTracking, session_id: str) -> Principal | None:
    """Whom a session belongs to."""
    return tracking.directory.identify(Credential("session", session_id))


def test_a_session_has_the_rights_of_its_key(tracking: EventTracking, credentials: Credentials) -> None:
    """Its scope and its lists, for the API, too; the session of an account still has full scope."""
    directory = tracking.directory
    limited = directory.create_key("alice", Scope.FULL, list_ids=[95]).key
    for key in (credentials.full, credentials.read, limited):
        known = directory.identify(Credential("api_key", key))
        assert known is not None
        assert identify(tracking, directory.sign_in(key)) == known
    reader, of_one_list = directory.sign_in(credentials.read), directory.sign_in(limited)
    assert tracking.properties(94, session_id=reader) == {}
    with pytest.raises(NotAllowed):
        tracking.track(94, "test", email=EMAIL, session_id=reader)
    tracking.track(95, "test", email=EMAIL, session_id=of_one_list)
    for list_id in (94, 96):
        with pytest.raises(InvalidRequest) as refused:
            tracking.track(list_id, "test", email=EMAIL, session_id=of_one_list)
        assert refused.value.codes == (4,)
    tracking.track(94, "test", email=EMAIL, session_id=credentials.session)


def test_only_a_valid_key_that_may_read_signs_in(tracking: EventTracking, credentials: Credentials) -> None:
    """The exceptions are those of a request; nothing is stored."""
    directory = tracking.directory
    before = tracking.sql("select count(*) from sessions").rows
    revoked = directory.create_key("alice").key
    directory.revoke_key(revoked)
    for key in (revoked, "", "fe_full_unknown", "\ud800", credentials.session):
        with pytest.raises(NotAuthenticated) as unknown:
            directory.sign_in(key)
        assert (unknown.value.status, unknown.value.codes) == (401, (99998,))
    with pytest.raises(NotAllowed) as refused:
        directory.sign_in(credentials.ingest)
    assert (refused.value.status, refused.value.codes) == (403, (99999,))
    for ttl_s in (0, -1, 10**12):
        with pytest.raises(EventsError, match="ttl_s"):
            directory.sign_in(credentials.full, ttl_s)
    assert tracking.sql("select count(*) from sessions").rows == before


def test_a_session_ends_when_its_key_is_revoked(tracking: EventTracking, credentials: Credentials, db: Path) -> None:
    """At once and in every process, whichever revokes the key; those of other keys go on. A restart changes nothing."""
    with EventTracking(db) as other:
        first, second = tracking.directory.sign_in(credentials.full), other.directory.sign_in(credentials.full)
        reader = other.directory.sign_in(credentials.read)
        for one in (tracking, other):
            one.track(94, "test", email=EMAIL, session_id=first)
            one.track(94, "test", email=EMAIL, session_id=second)
        assert command("keys", "revoke", credentials.full, "--db", str(db)).returncode == 0
        for one in (tracking, other):
            for session in (first, second):
                assert identify(one, session) is None
                with pytest.raises(NotAuthenticated):
                    one.track(94, "test", email=EMAIL, session_id=session)
            one.properties(94, session_id=reader)
        for ended in (first, second):
            with pytest.raises(NotFound):
                tracking.directory.renew_session(ended)
        assert tracking.sql("select count(*) from sessions where key_hash is not null").rows == [[1]]
    tracking.close()
    with EventTracking(db) as again:
        assert identify(again, first) is None
        assert identify(again, reader) == Principal(again.directory.find_owner(94) or "", Scope.READ)


def test_a_session_of_a_key_is_revoked_alone(tracking: EventTracking, credentials: Credentials) -> None:
    """Its key and the key's other sessions go on."""
    first, second = tracking.directory.sign_in(credentials.full), tracking.directory.sign_in(credentials.full)
    tracking.directory.revoke_session(first)
    assert identify(tracking, first) is None
    assert identify(tracking, second) == tracking.directory.identify(Credential("api_key", credentials.full))
    with pytest.raises(NotFound):
        tracking.directory.renew_session(first)


def test_a_valid_session_is_renewed(db: Path) -> None:
    """For every process and after a restart; never to an earlier end. One that has ended is not."""
    now = [datetime.now(UTC).timestamp()]
    with EventTracking(db, clock=lambda: now[0]) as tracking, EventTracking(db, clock=lambda: now[0]) as other:
        directory = tracking.directory
        directory.ensure_list(1, "News", "acme")
        sessions = [directory.create_session("acme", 60), directory.sign_in(directory.create_key("acme").key, 60)]
        left_alone = directory.create_session("acme", 60)
        now[0] += 59
        for session in sessions:
            other.directory.renew_session(session, 600)
            tracking.directory.renew_session(session, 1)
        now[0] += 599
        for one in (tracking, other):
            assert all(identify(one, session) for session in sessions)
            assert identify(one, left_alone) is None
        for ended in (left_alone, "fs_unknown"):
            with pytest.raises(NotFound):
                directory.renew_session(ended)
        with pytest.raises(EventsError, match="ttl_s=0"):
            directory.renew_session(sessions[0], 0)
    with EventTracking(db, clock=lambda: now[0]) as tracking:
        tracking.directory.lists()
        assert all(identify(tracking, session) for session in sessions)
        now[0] += 1
        assert not any(identify(tracking, session) for session in sessions)
        with pytest.raises(NotFound):
            tracking.directory.renew_session(sessions[0])


def grant(key: str | None = None, expires: datetime = FAR) -> SessionGrant:
    """The session of the tests."""
    return SessionGrant(hash_secret(SESSION.secret), "acme", expires, key and hash_secret(key))  # type: ignore[arg-type]


def test_news_of_a_renewal_bring_no_session_back() -> None:
    """News may be sent in another order than they were committed: a revoked session stays so, and the latest end counts."""
    store = Told()
    directory, owner = Directory(store, lambda: 0.0), OwnerDirectory(Snapshot([], [grant()], [], []))
    store.tell(owner.snapshot())
    for changes in (
        Changes(renewed_sessions=[(hash_secret(SESSION.secret), FAR + timedelta(days=2))]),
        Changes(renewed_sessions=[(hash_secret(SESSION.secret), FAR + timedelta(days=1))]),
    ):
        store.tell(changes)
        owner.apply(changes)
    assert owner.snapshot().sessions == [grant(expires=FAR + timedelta(days=2))]
    late = Directory(store, lambda: FAR.timestamp() + 86_401)
    store.tell(owner.snapshot())
    assert late.identify(SESSION) == directory.identify(SESSION) == Principal("acme")
    for changes in (
        Changes(gone_sessions=[hash_secret(SESSION.secret)]),
        Changes(renewed_sessions=[(hash_secret(SESSION.secret), FAR + timedelta(days=3))]),
    ):
        store.tell(changes)
        owner.apply(changes)
    assert owner.snapshot().sessions == []
    assert late.identify(SESSION) is None


def test_a_session_whose_news_come_after_its_keys_end_is_worthless() -> None:
    """It identifies by the key, which is unknown then."""
    store = Told()
    directory = Directory(store)
    key = Grant(hash_secret("key"), "acme", "read", None, [1])
    store.tell(Snapshot([key], [grant("key")], [], []))
    assert directory.identify(SESSION) == Principal("acme", Scope.READ, None, frozenset([1]))
    store.tell(Changes(gone_keys=[key.key_hash]))
    assert directory.identify(SESSION) is None
    store.tell(Changes(sessions=[grant("key")]))
    assert directory.identify(SESSION) is None


def test_a_process_that_joins_later_knows_the_sessions(tracking: EventTracking, credentials: Credentials, db: Path) -> None:
    """With the rights of their keys; and none of a key that was revoked before."""
    kept, ended = tracking.directory.sign_in(credentials.read), tracking.directory.sign_in(credentials.full)
    tracking.directory.revoke_key(credentials.full)
    with EventTracking(db) as late:
        found = identify(late, kept)
        assert found is not None
        assert found.scope is Scope.READ
        assert identify(late, ended) is None


def test_sessions_that_are_over_are_deleted(db: Path) -> None:
    """When another is created, also those of keys."""
    now = [datetime.now(UTC).timestamp()]
    with EventTracking(db, clock=lambda: now[0]) as tracking:
        tracking.directory.create_account("acme")
        key = tracking.directory.create_key("acme").key
        tracking.directory.sign_in(key, 1)
        now[0] += 2
        tracking.directory.sign_in(key, 1)
    assert rows(db, "select count(*) from sessions") == [(1,)]


def test_the_sessions_of_a_store_of_the_release_before_go_on(db: Path) -> None:
    """They belong to accounts. Keys of the store sign in, and nothing is wrong with it."""
    with duckdb.connect(str(db)) as connection:
        for step in migrations.MIGRATIONS[:8]:
            connection.execute(step.replace("{namespace}", str(uuid.uuid4())))
        connection.execute("update meta set schema_version = 8")
        connection.execute("insert into accounts values ('a-1', 'acme', now()::timestamp)")
        connection.execute("insert into lists values (1, 'a-1', 'News', now()::timestamp)")
        connection.execute(
            "insert into api_keys values ('k', 'a-1', 'read', ?, now()::timestamp, null, null, null)",
            [hash_secret("fe_read_old")],
        )
        for session, ends in (("fs_old", "2100-01-01"), ("fs_over", "2020-01-01")):
            connection.execute(
                "insert into sessions values (?, 'a-1', now()::timestamp, ?::timestamp, null)", [hash_secret(session), ends]
            )
    db.chmod(0o600)
    with EventTracking(db) as tracking:
        tracking.track(1, "test", email=EMAIL, session_id="fs_old")
        assert identify(tracking, "fs_old") == Principal("a-1")
        assert identify(tracking, "fs_over") is None
        assert identify(tracking, tracking.directory.sign_in("fe_read_old")) == Principal("a-1", Scope.READ)
        tracking.directory.renew_session("fs_old", 10)
        tracking.directory.revoke_session("fs_old")
        assert identify(tracking, "fs_old") is None
        assert tracking.boards.views(1) == tracking.boards.shares() == []
        assert [check for check in tracking.check() if not check.ok] == []
    assert rows(db, "select schema_version from meta") == [(migrations.SCHEMA_VERSION,)]
