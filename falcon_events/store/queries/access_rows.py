"""Rows of accounts, lists, API keys and sessions. Each function is one task for the store's writer."""

from __future__ import annotations

from datetime import datetime

import msgspec

from falcon_events.access.protocol import Scope
from falcon_events.errors import AlreadyExists, EventsError, NotFound
from falcon_events.model.access import Account, EventList, Grant, Key, ListRules, SessionGrant, Snapshot
from falcon_events.store.database import columns, duckdb, promoted, pruning
from falcon_events.store.queries import board_rows
from falcon_events.store.queries.times import as_utc, to_naive_utc

LISTS = """
select lists.list_id, accounts.name, lists.name, lists.created_at
from lists join accounts on accounts.account_id = lists.account_id
order by lists.list_id
"""
KEYS = """
select api_keys.key_id, accounts.name, api_keys.scope, api_keys.created_at, api_keys.revoked_at, api_keys.origins,
    api_keys.list_ids
from api_keys join accounts on accounts.account_id = api_keys.account_id
order by api_keys.created_at, api_keys.key_id
"""
RULES = "select list_id, bots, denied, redacted, time_zone, coalesce(indexed, []), keep_days from list_rules order by list_id"
SET_RULES = """
insert or replace into list_rules (list_id, bots, denied, redacted, time_zone, indexed, keep_days)
values ($list_id, $bots, $denied, $redacted, $time_zone, $indexed, $keep_days)
"""
GRANTS = "select key_hash, account_id, scope, origins, list_ids from api_keys where revoked_at is null"
SESSIONS = "select session_hash, account_id, expires_at, key_hash from sessions where revoked_at is null"
ADD_SESSION = """
insert into sessions (session_hash, account_id, created_at, expires_at, key_hash)
values ($session_hash, $account, $now, $expires, $key_hash)
"""
RENEW_SESSION = """
update sessions set expires_at = greatest(expires_at, $expires)
where session_hash = $session_hash and revoked_at is null and expires_at > $now
returning expires_at
"""
NO_SESSION = "There is no such session, or it has expired."


def load(connection: duckdb.DuckDBPyConnection) -> Snapshot:
    """Return every valid credential, every list and the lists' rules."""
    keys = connection.execute(GRANTS).fetchall()
    sessions = [SessionGrant(of, account, as_utc(at), key) for of, account, at, key in connection.execute(SESSIONS).fetchall()]
    lists = connection.execute("select list_id, account_id from lists").fetchall()
    return Snapshot([Grant(*key) for key in keys], sessions, lists, rules(connection))


def add_account(connection: duckdb.DuckDBPyConnection, account: Account) -> None:
    """Add an account. Raises AlreadyExists if the name is taken."""
    if connection.execute("select 1 from accounts where name = ?", [account.name]).fetchone():
        raise AlreadyExists(f"There is already an account {account.name!r}.")
    connection.execute(
        "insert into accounts values (?, ?, ?)", [account.account_id, account.name, to_naive_utc(account.created_at)]
    )


def accounts(connection: duckdb.DuckDBPyConnection) -> list[Account]:
    """Return every account, ordered by name."""
    rows = connection.execute("select account_id, name, created_at from accounts order by name").fetchall()
    return [Account(account_id, name, as_utc(at)) for account_id, name, at in rows]


def account_id(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    """Return the id of the account with this name. Raises NotFound."""
    row = connection.execute("select account_id from accounts where name = ?", [name]).fetchone()
    if row is None:
        raise NotFound(f"There is no account {name!r}.")
    return str(row[0])


def add_list(connection: duckdb.DuckDBPyConnection, list_id: int | None, owner: str, name: str, now: datetime) -> int:
    """Add a list with this id, or with the next free one, and return its id. Raises AlreadyExists if the id is taken."""
    if list_id is None:
        ((list_id,),) = connection.execute("select coalesce(max(list_id), 0)::hugeint + 1 from lists").fetchall()
        if list_id >= 2**63:
            raise EventsError("The largest possible list id is in use; give the id of the new list.")
    elif connection.execute("select 1 from lists where list_id = ?", [list_id]).fetchone():
        raise AlreadyExists(f"There is already a list {list_id}.")
    connection.execute("insert into lists values (?, ?, ?, ?)", [list_id, owner, name, to_naive_utc(now)])
    return list_id


def lists(connection: duckdb.DuckDBPyConnection) -> list[EventList]:
    """Return every list, ordered by id."""
    return [EventList(i, account, name, as_utc(at)) for i, account, name, at in connection.execute(LISTS).fetchall()]


def rename_list(connection: duckdb.DuckDBPyConnection, list_id: int, name: str) -> None:
    """Rename a list. Raises NotFound if there is no such list."""
    if not connection.execute("update lists set name = ? where list_id = ? returning 1", [name, list_id]).fetchall():
        raise NotFound(f"There is no list {list_id}.")


def rules(connection: duckdb.DuckDBPyConnection) -> list[ListRules]:
    """Return the rules of every list that has rules of its own."""
    return [ListRules(*row) for row in connection.execute(RULES).fetchall()]


def set_rules(connection: duckdb.DuckDBPyConnection, rules: ListRules) -> None:
    """Replace the rules of a list, and promote the properties that they name, in one transaction."""
    connection.begin()
    try:
        connection.execute(SET_RULES, msgspec.structs.asdict(rules))
        promoted.set_indexed(connection, rules.list_id, rules.indexed)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def add_key(connection: duckdb.DuckDBPyConnection, key_id: str, grant: Grant, now: datetime) -> None:
    """Add a key by its hash. Raises AlreadyExists if its id is taken, even by a revoked key."""
    if connection.execute("select 1 from api_keys where key_id = ?", [key_id]).fetchone():
        raise AlreadyExists(f"There is already a key {key_id}.")
    values = [key_id, grant.account, grant.scope, grant.key_hash, to_naive_utc(now), None, grant.origins, grant.list_ids]
    connection.execute("insert into api_keys values (?, ?, ?, ?, ?, ?, ?, ?)", values)


def keys(connection: duckdb.DuckDBPyConnection) -> list[Key]:
    """Return every key, including revoked ones, oldest first."""
    rows = connection.execute(KEYS).fetchall()
    return [
        Key(i, account, scope, as_utc(created), as_utc(revoked) if revoked else None, origins, list_ids)
        for i, account, scope, created, revoked, origins, list_ids in rows
    ]


def revoke_key(connection: duckdb.DuckDBPyConnection, key_id: str, key_hash: bytes, now: datetime) -> bytes:
    """Revoke the key with this id or hash, end its sessions, and return its hash. Raises NotFound."""
    sql = "update api_keys set revoked_at = coalesce(revoked_at, ?) where key_id = ? or key_hash = ? returning key_hash"
    connection.begin()
    try:
        rows = connection.execute(sql, [to_naive_utc(now), key_id, key_hash]).fetchall()
        if not rows:
            raise NotFound("There is no such key; `falcon-events keys list` shows the ids.")
        revoked = bytes(rows[0][0])
        connection.execute("delete from sessions where key_hash = ?", [revoked])
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return revoked


def add_session(connection: duckdb.DuckDBPyConnection, session_hash: bytes, owner: str, now: datetime, expires: datetime) -> None:
    """Add a session of an account by its hash, and delete expired ones."""
    _add_session(connection, SessionGrant(session_hash, owner, expires), now)


def sign_in(
    connection: duckdb.DuckDBPyConnection, session_hash: bytes, key_hash: bytes, now: datetime, expires: datetime
) -> Grant | None:
    """Add a session with the rights of a key, if these allow reading. Return the key's rights, or None if it is not valid."""
    row = connection.execute(f"{GRANTS} and key_hash = ?", [key_hash]).fetchone()
    if row is None:
        return None
    grant = Grant(*row)
    if Scope(grant.scope).may_read:
        _add_session(connection, SessionGrant(session_hash, grant.account, expires, key_hash), now)
    return grant


def _add_session(connection: duckdb.DuckDBPyConnection, session: SessionGrant, now: datetime) -> None:
    connection.execute("delete from sessions where expires_at < ?", [to_naive_utc(now)])
    values = {
        "session_hash": session.session_hash,
        "account": session.account,
        "now": to_naive_utc(now),
        "expires": to_naive_utc(session.expires_at),
        "key_hash": session.key_hash,
    }
    connection.execute(ADD_SESSION, values)


def renew_session(connection: duckdb.DuckDBPyConnection, session_hash: bytes, now: datetime, expires: datetime) -> None:
    """Extend a session. Raises NotFound if there is no such session, or it has ended."""
    given = {"session_hash": session_hash, "now": to_naive_utc(now), "expires": to_naive_utc(expires)}
    if not connection.execute(RENEW_SESSION, given).fetchall():
        raise NotFound(NO_SESSION)


def revoke_session(connection: duckdb.DuckDBPyConnection, session_hash: bytes, now: datetime) -> None:
    """Revoke a session. Raises NotFound if there is no such session."""
    sql = "update sessions set revoked_at = coalesce(revoked_at, ?) where session_hash = ? returning 1"
    if not connection.execute(sql, [to_naive_utc(now), session_hash]).fetchall():
        raise NotFound(NO_SESSION)


def delete_list(connection: duckdb.DuckDBPyConnection, list_id: int) -> None:
    """Delete a list and everything that belongs to it, in one transaction. Raises NotFound."""
    connection.begin()
    try:
        if not connection.execute("select 1 from lists where list_id = ?", [list_id]).fetchone():
            raise NotFound(f"There is no list {list_id}.")
        connection.execute("delete from lists where list_id = ?", [list_id])
        _delete_events(connection, list_id)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    promoted.drop_unused(connection)


def purge_list(connection: duckdb.DuckDBPyConnection, list_id: int) -> None:
    """Delete events that arrived while their list was being deleted, unless a list with this id exists again."""
    connection.begin()
    try:
        if not connection.execute("select 1 from lists where list_id = ?", [list_id]).fetchone():
            _delete_events(connection, list_id)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _delete_events(connection: duckdb.DuckDBPyConnection, list_id: int) -> None:
    for table in (
        "events",
        "bindings",
        "event_types",
        "event_properties",
        "list_rules",
        "dropped_events",
        "saved_queries",
        "deliveries",
        "promoted_properties",
        *board_rows.TABLES,
        *columns.TABLES,
        *pruning.TABLES,
    ):
        connection.execute(f"delete from {table} where list_id = ?", [list_id])
    connection.execute(columns.LOWER_WATERMARK)
    # Its column has the account and the list: account/list.
    connection.execute("delete from event_ids where ends_with(account_id, '/' || ?::bigint)", [list_id])
