"""Saved queries and segments of lists: the table saved_queries. Changes are tasks for the store's writer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from falcon_events.errors import Failure
from falcon_events.model.reports import QueryAnswer
from falcon_events.query.codes import LIMITS, NO_SAVED
from falcon_events.query.question import Forgetting, SavedQuestion, Saving
from falcon_events.query.ranges import render_moment
from falcon_events.query.segments import Saved
from falcon_events.store.database import duckdb

MAX_SAVED = 1_000
"""How many queries and segments a list may have saved."""
ERASED = "(erased)"
"""Stands for an erased person's address in saved conditions, which then are met by nobody."""
SAVED = "select name, kind, definition, epoch_us(saved_at) from saved_queries where list_id = ? order by name"
FORGET = "delete from saved_queries where list_id = ? and name = ?"
SAVE = "insert into saved_queries values (?, ?, ?, ?, make_timestamp(?))"


def read_saved(connection: duckdb.DuckDBPyConnection, list_id: int) -> Saved:
    """Return the kind and the definition of what a list has saved, by name."""
    return {name: (kind, definition) for name, kind, definition, _ in connection.execute(SAVED, [list_id]).fetchall()}


def answer_saved(connection: duckdb.DuckDBPyConnection, question: SavedQuestion) -> QueryAnswer:
    """Answer website_events.saved."""
    rows = connection.execute(SAVED, [question.base.list_id]).fetchall()
    return QueryAnswer(body=msgspec.json.encode({"Saved": [_render(*row) for row in rows]}))


def save(connection: duckdb.DuckDBPyConnection, saving: Saving) -> QueryAnswer:
    """Save a checked query or segment, in the place of the one that had its name."""
    list_id, now_us = saving.base.list_id, saving.base.now_us
    saved = read_saved(connection, list_id)
    if saving.name not in saved and len(saved) >= MAX_SAVED:
        text = f"Name: the list has {MAX_SAVED} saved queries and segments, which is the limit. Forget one first."
        return QueryAnswer(failures=[Failure(LIMITS, text)])
    connection.begin()
    try:
        connection.execute(FORGET, [list_id, saving.name])
        connection.execute(SAVE, [list_id, saving.name, saving.kind, saving.definition, now_us])
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return QueryAnswer(body=msgspec.json.encode({"Saved": _render(saving.name, saving.kind, saving.definition, now_us)}))


def forget(connection: duckdb.DuckDBPyConnection, forgetting: Forgetting) -> QueryAnswer:
    """Forget a saved query or segment."""
    ((deleted,),) = connection.execute(FORGET, [forgetting.base.list_id, forgetting.name]).fetchall()
    if not deleted:
        text = f"Name: there is no saved query or segment {forgetting.name[:60]!r}."
        return QueryAnswer(failures=[Failure(NO_SAVED, text)])
    return QueryAnswer(body=msgspec.json.encode({"Forgotten": forgetting.name}))


def erase_names(connection: duckdb.DuckDBPyConnection, list_id: int, names: Sequence[str]) -> None:
    """Replace the addresses and ids of an erased person in what a list has saved. Call it within a transaction.

    The name of the query or segment itself is kept, unless it has one of them.
    """
    if not names:
        return
    find = find_names(names)
    for name, kind, definition, saved_at in connection.execute(SAVED, [list_id]).fetchall():
        if find.search(name) or find.search(definition):
            kept = _replace(find, name)
            connection.execute(FORGET, [list_id, name])
            connection.execute(FORGET, [list_id, kept])
            erased = msgspec.json.encode(_replace(find, msgspec.json.decode(definition))).decode()
            connection.execute(SAVE, [list_id, kept, kind, erased, saved_at])


def find_names(names: Sequence[str]) -> re.Pattern[str]:
    """Return a pattern that finds whole addresses and ids in a text, in upper or lower case."""
    either = "|".join(re.escape(name) for name in names)
    return re.compile(rf"(?<![\w.+-])(?:{either})(?![\w-]|\.\w)", re.IGNORECASE)


def _replace(find: re.Pattern[str], value: Any) -> Any:
    """Return a JSON value in which each match of a text is replaced."""
    if isinstance(value, str):
        return find.sub(ERASED, value)
    if isinstance(value, list):
        return [_replace(find, one) for one in value]
    if isinstance(value, dict):
        return {_replace(find, name): _replace(find, one) for name, one in value.items()}
    return value


def _render(name: str, kind: str, definition: str, saved_at: int) -> dict[str, object]:
    content: dict[str, msgspec.Raw] = msgspec.json.decode(definition, type=dict[str, msgspec.Raw])
    return {"Name": name, "Kind": kind, "SavedAt": render_moment(saved_at), **content}
