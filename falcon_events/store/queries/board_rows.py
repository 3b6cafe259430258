"""Rows of the dashboard's saved views and shares. Each function is one task for the store's writer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import msgspec

from falcon_events.errors import AlreadyExists, EventsError, NotFound
from falcon_events.model.boards import DashboardView, Share
from falcon_events.store.database import duckdb
from falcon_events.store.queries.saved import ERASED, find_names
from falcon_events.store.queries.times import as_utc, to_naive_utc

T = TypeVar("T")

MAX_VIEWS = 200
"""How many views a list may have saved, on all its boards."""
MAX_SHARES = 200
"""How many shares a list may have that are not revoked."""
TABLES = ("dashboard_views", "dashboard_shares")
VIEWS = """
select list_id, board, name, location, created_at from dashboard_views where list_id = ? order by board, created_at, name
"""
ADD_VIEW = """
insert into dashboard_views (list_id, board, name, location, created_at) values ($list_id, $board, $name, $location, $created_at)
"""
REMOVE_VIEW = "delete from dashboard_views where list_id = ? and board = ? and name = ?"
_SHARE = "select share_id, list_id, location, password_hash, is_public, embed, created_at, revoked_at from dashboard_shares"
SHARES = f"{_SHARE} where list_id = $list_id or $list_id is null order by created_at, share_id"
FIND_SHARE = f"{_SHARE} where secret_hash = ? and revoked_at is null"
ADD_SHARE = """
insert into dashboard_shares (share_id, list_id, secret_hash, location, password_hash, is_public, embed, created_at)
values ($share_id, $list_id, $secret_hash, $location, $password_hash, $is_public, $embed, $created_at)
"""
REVOKE_SHARE = "update dashboard_shares set revoked_at = coalesce(revoked_at, ?) where share_id = ? returning 1"


def views(connection: duckdb.DuckDBPyConnection, list_id: int) -> list[DashboardView]:
    """Return the saved views of a list by board, each board's in the order in which they were first saved."""
    rows = connection.execute(VIEWS, [list_id]).fetchall()
    return [DashboardView(of, board, name, location, as_utc(at)) for of, board, name, location, at in rows]


def save_view(connection: duckdb.DuckDBPyConnection, owner: str | None, view: DashboardView) -> DashboardView:
    """Save a view, in the place of the one that has its name on its board, and return it with the time when that was created.

    Raises:
        NotFound: the owner has no such list.
        EventsError: the list has too many views.
    """

    def save() -> DashboardView:
        _check_list(connection, owner, view.list_id)
        saved = {(one.board, one.name): one for one in views(connection, view.list_id)}
        replaced = saved.get((view.board, view.name))
        if replaced is None and len(saved) >= MAX_VIEWS:
            raise EventsError(f"List {view.list_id} has {MAX_VIEWS} saved views, which is the limit. Remove one first.")
        connection.execute(REMOVE_VIEW, [view.list_id, view.board, view.name])
        stored = msgspec.structs.replace(view, created_at=(replaced or view).created_at)
        _insert_view(connection, stored)
        return stored

    return _run_at_once(connection, save)


def remove_view(connection: duckdb.DuckDBPyConnection, list_id: int, board: str, name: str) -> None:
    """Remove a saved view. Raises NotFound if there is no such view."""
    ((removed,),) = connection.execute(REMOVE_VIEW, [list_id, board, name]).fetchall()
    if not removed:
        raise NotFound(f"Board {board[:60]!r} of list {list_id} has no view {name[:60]!r}.")


def shares(connection: duckdb.DuckDBPyConnection, list_id: int | None) -> list[Share]:
    """Return every share of a list, or of all, including revoked ones, oldest first."""
    return [_build_share(row) for row in connection.execute(SHARES, {"list_id": list_id}).fetchall()]


def find_share(connection: duckdb.DuckDBPyConnection, secret_hash: bytes) -> Share | None:
    """Return the share with this hash of its secret, or None if there is none or it is revoked."""
    row = connection.execute(FIND_SHARE, [secret_hash]).fetchone()
    return None if row is None else _build_share(row)


def add_share(connection: duckdb.DuckDBPyConnection, owner: str | None, secret_hash: bytes, share: Share) -> None:
    """Add a share by the hash of its secret.

    Raises:
        NotFound: the owner has no such list.
        AlreadyExists: its id is taken.
        EventsError: the list has too many shares.
    """

    def add() -> None:
        _check_list(connection, owner, share.list_id)
        if connection.execute("select 1 from dashboard_shares where share_id = ?", [share.share_id]).fetchone():
            raise AlreadyExists(f"There is already a share {share.share_id}.")
        if sum(one.revoked_at is None for one in shares(connection, share.list_id)) >= MAX_SHARES:
            raise EventsError(f"List {share.list_id} has {MAX_SHARES} shares, which is the limit. Revoke one first.")
        values = {
            "share_id": share.share_id,
            "list_id": share.list_id,
            "secret_hash": secret_hash,
            "location": share.location,
            "password_hash": share.password_hash,
            "is_public": share.public,
            "embed": share.embed,
            "created_at": to_naive_utc(share.created_at),
        }
        connection.execute(ADD_SHARE, values)

    _run_at_once(connection, add)


def revoke_share(connection: duckdb.DuckDBPyConnection, share_id: str, now: datetime) -> None:
    """Revoke a share. Raises NotFound if there is no such share."""
    if not connection.execute(REVOKE_SHARE, [to_naive_utc(now), share_id]).fetchall():
        raise NotFound(f"There is no share {share_id[:60]!r}.")


def erase_from_boards(connection: duckdb.DuckDBPyConnection, list_id: int, names: Sequence[str]) -> None:
    """Replace the addresses and ids of an erased person in saved views and shares. Call it within a transaction."""
    if not names:
        return
    find = find_names(names)
    for view in views(connection, list_id):
        board, name, location = (find.sub(ERASED, view.board), find.sub(ERASED, view.name), erase_in_url(find, view.location))
        if (board, name, location) != (view.board, view.name, view.location):
            for one in {(view.board, view.name), (board, name)}:
                connection.execute(REMOVE_VIEW, [list_id, *one])
            _insert_view(connection, DashboardView(list_id, board, name, location, view.created_at))
    for share in shares(connection, list_id):
        if (location := erase_in_url(find, share.location)) != share.location:
            connection.execute("update dashboard_shares set location = ? where share_id = ?", [location, share.share_id])


def erase_in_url(find: re.Pattern[str], url: str) -> str:
    """Return a URL in which what the pattern finds is replaced, however it is percent-encoded.

    If a name reaches over several parts of the URL, only `.` is left, which is the URL of a first page.
    """
    parts = re.split(r"([/?#&=;])", url)
    for number, part in enumerate(parts):
        for decode, encode in ((unquote_plus, quote_plus), (unquote, quote)):
            if find.search(decode(part)):
                parts[number] = part = encode(find.sub(ERASED, decode(part)))
    erased = "".join(parts)
    return "." if find.search(unquote(erased)) or find.search(unquote_plus(erased)) else erased


def _insert_view(connection: duckdb.DuckDBPyConnection, view: DashboardView) -> None:
    connection.execute(ADD_VIEW, {**msgspec.structs.asdict(view), "created_at": to_naive_utc(view.created_at)})


def _build_share(row: tuple[Any, ...]) -> Share:
    share_id, list_id, location, password_hash, public, embed, created, revoked = row
    at = as_utc(created), revoked and as_utc(revoked)
    return Share(share_id, list_id, location, password_hash, public, embed, *at)


def _check_list(connection: duckdb.DuckDBPyConnection, owner: str | None, list_id: int) -> None:
    """Raise NotFound if the owner has no such list, such as a deleted one. Without an owner, any list may exist."""
    found = "select 1 from lists where list_id = ? and account_id = ?"
    if owner is not None and not connection.execute(found, [list_id, owner]).fetchone():
        raise NotFound(f"There is no list {list_id}.")


def _run_at_once(connection: duckdb.DuckDBPyConnection, work: Callable[[], T]) -> T:
    """Do something in one transaction."""
    connection.begin()
    try:
        result = work()
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return result
