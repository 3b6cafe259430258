"""Saved queries and segments of lists: the table saved_queries. Changes are tasks for the store's writer."""

from __future__ import annotations

import duckdb
import msgspec

from falcon_events.model.reports import QueryAnswer
from falcon_events.query.question import Forgetting, SavedQuestion, Saving
from falcon_events.query.ranges import render_moment
from falcon_events.query.segments import LIMITS, NO_SAVED, Saved

MAX_SAVED = 1_000
"""How many queries and segments a list may have saved."""
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
        return QueryAnswer(failures=[(LIMITS, text)])
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
        return QueryAnswer(failures=[(NO_SAVED, f"Name: there is no saved query or segment {forgetting.name[:60]!r}.")])
    return QueryAnswer(body=msgspec.json.encode({"Forgotten": forgetting.name}))


def _render(name: str, kind: str, definition: str, saved_at: int) -> dict[str, object]:
    content: dict[str, msgspec.Raw] = msgspec.json.decode(definition, type=dict[str, msgspec.Raw])
    return {"Name": name, "Kind": kind, "SavedAt": render_moment(saved_at), **content}
