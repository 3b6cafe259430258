"""Promoted properties: properties of a list whose values have a column in event_columns, so that questions read no JSON.

A list has up to SLOTS of them, each in one of the columns property_1, property_2, ... The table has as many of these as the list
with the most needs: each one makes the fold of every event take longer. New events get their values when they are
folded; earlier events get theirs in portions. Questions use a column only when all events have their values in it.

A value is stored as its text. An array or object begins with the character 1, and other text that begins with a character below 3
with the character 2, so that a text `[1]` differs from an array. A missing value is null, like that of JSON's null.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from falcon_events.model.access import MAX_INDEXED as SLOTS
from falcon_events.store.database import duckdb
from falcon_events.store.database.transaction import transaction

COLUMNS = {number: f"property_{number}" for number in range(1, SLOTS + 1)}
"""The column of each number. It is there while a list uses it."""
EXISTING = """
select column_name from duckdb_columns()
where database_name = current_database() and table_name = 'event_columns' and starts_with(column_name, 'property_')
"""
MOST_PATHS = 64
"""How many different names a fold reads from every event at once. More are read from the events of their lists, one by one."""
_NEW = "seq > $folded and seq <= $last"
ARE_PROMOTED = "select exists (from promoted_properties where name is not null)"
PROMOTED_IN = f"""
select list_id, number, name from promoted_properties
where name is not null and list_id in (select distinct list_id from events where {_NEW}) order by all
"""
ROWS = "select number, name, asked, filled_seq, until_seq from promoted_properties where list_id = $list_id order by number"
FULL = "select number, name from promoted_properties where list_id = $list_id and name is not null and filled_seq >= until_seq"
ADD = """
insert into promoted_properties (list_id, number, name, asked, filled_seq, until_seq)
values ($list_id, $number, $name, $asked, 0, (select columns_seq from meta))
"""
REMOVE = """
update promoted_properties set name = null, asked = false, filled_seq = 0, until_seq = (select columns_seq from meta)
where list_id = $list_id and number = $number
"""
DELETE_CLEARED = """
delete from promoted_properties where name is null and (filled_seq >= until_seq or number not in (
    select number from promoted_properties where name is not null
))
"""
ASKED = "select list_id, number from promoted_properties where asked"
USED = "select distinct number from promoted_properties"
UNFILLED = """
select list_id, filled_seq, until_seq, list(number order by number), list(name order by number)
from promoted_properties where filled_seq < until_seq
group by list_id, filled_seq, until_seq order by list_id, until_seq desc, filled_seq limit 1
"""
NEXT = """
select max(seq), count(*) from (
    select seq from event_columns where list_id = $list_id and seq > $since and seq <= $until order by seq limit $most
)
"""
_OF_PORTION = "list_id = $list_id and seq > $since and seq <= $until"
SPAN = f"select min(rowid) as first_row, max(rowid) as last_row from events where {_OF_PORTION}"
FILL = f"""
update event_columns set {{settings}}
from (
    select seq, {{columns}} from (
        select seq, properties, json_extract_string(properties, [{{paths}}]) as texts from events
        where {_OF_PORTION} and rowid >= $first_row and rowid <= $last_row
    )
) as read
where event_columns.seq = read.seq and event_columns.list_id = $list_id
    and event_columns.seq > $since and event_columns.seq <= $until
"""
CLEAR = f"update event_columns set {{settings}} where {_OF_PORTION} and ({{filled}})"
MARK_FILLED = """
update promoted_properties set filled_seq = $until
where list_id = $list_id and number in (select unnest($numbers::integer[]))
"""
COUNT_STRAYS = """
with kept as (select list_id, list(number) as numbers from promoted_properties group by list_id)
select count(*) from event_columns left join kept using (list_id) where {strays}
"""
_IS_STRAY = "({} is not null and not coalesce(list_contains(numbers, {}), false))"
# Digests are compared, because values may be long.
COUNT_DIFFERENCES = f"""
select count(*) from (
    select seq, {{read}} from (
        select seq, properties, json_extract_string(properties, [{{paths}}]) as texts from events where {_OF_PORTION}
    )
) as read join (select seq, {{kept}} from event_columns where {_OF_PORTION}) as kept using (seq) where {{differs}}
"""
PROGRESS = """
select list_id, name, asked, (select count(*) from event_columns as e where e.list_id = p.list_id
    and (e.seq <= p.filled_seq or e.seq > p.until_seq)),
    (select count(*) from event_columns as e where e.list_id = p.list_id)
from promoted_properties as p where name is not null order by list_id, name
"""


class PromotedProperty(msgspec.Struct, frozen=True):
    """A promoted property of a list, or one that is promoted no more, whose values are not removed yet: `name` is None.

    `number` is that of its column. `asked`: questions ask for it often, and no rule names it. The events up to `filled_seq` have
    their values, and those after `until_seq`, which were folded later.
    """

    number: int
    name: str | None
    asked: bool
    filled_seq: int
    until_seq: int


def express_path(name: str) -> str:
    """Return the JSON Pointer (RFC 6901) of a property, for any name. It is a parameter of a statement, never its text."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def encode(text: str, path: str) -> str:
    """Return the SQL of a value as it is stored, from the SQL of its text and of its path in `properties`."""
    return f"""case when starts_with({text}, chr(91)) or starts_with({text}, chr(123))
            then case when json_type(properties, {path}) in ('ARRAY', 'OBJECT') then chr(1) || {text} else {text} end
        when {text} < chr(3) and {text} <> '' then chr(2) || {text} else {text} end"""


def decode(number: int) -> tuple[str, str]:
    """Return the SQL of a stored value's text, and of whether it is an array or object."""
    column = COLUMNS[number]
    return f"case when {column} < chr(3) then substr({column}, 2) else {column} end", f"starts_with({column}, chr(1))"


def read_rows(connection: duckdb.DuckDBPyConnection, list_id: int) -> list[PromotedProperty]:
    """Return the promoted properties of a list, and those that were."""
    return [PromotedProperty(*row) for row in connection.execute(ROWS, {"list_id": list_id}).fetchall()]


def read_full(connection: duckdb.DuckDBPyConnection, list_id: int) -> dict[str, int]:
    """Return the numbers of the columns that all folded events of a list have their values in, by the property's name."""
    return {name: number for number, name in connection.execute(FULL, {"list_id": list_id}).fetchall()}


def set_indexed(connection: duckdb.DuckDBPyConnection, list_id: int, names: Collection[str]) -> None:
    """Promote the properties that the rules of a list name, and no others by rules. Call it within a transaction."""
    rows = read_rows(connection, list_id)
    for row in rows:
        if row.name in names and row.asked:
            _update(connection, "update promoted_properties set asked = false", list_id, row.number)
        elif row.name is not None and row.name not in names and not row.asked:
            remove(connection, list_id, row.number)
    for name in sorted(set(names) - {row.name for row in rows}):
        promote(connection, list_id, name, asked=False)
    drop_unused(connection)


def promote(connection: duckdb.DuckDBPyConnection, list_id: int, name: str, *, asked: bool) -> None:
    """Give a property a column. One that is promoted because of questions gives way to one of a rule."""
    rows = {row.number: row for row in read_rows(connection, list_id)}
    free = [row.number for row in rows.values() if row.name is None]
    free += [number for number in COLUMNS if number not in rows]
    if not asked:
        free += [row.number for row in rows.values() if row.asked]
    number = free[0]
    _update(connection, "delete from promoted_properties", list_id, number)
    connection.execute(f"alter table event_columns add column if not exists {COLUMNS[number]} varchar")
    connection.execute(ADD, {"list_id": list_id, "number": number, "name": name, "asked": asked})


def remove(connection: duckdb.DuckDBPyConnection, list_id: int, number: int) -> None:
    """Promote a property no more. If other lists use its column, its values are removed in portions."""
    connection.execute(REMOVE, {"list_id": list_id, "number": number})


def drop_unused(connection: duckdb.DuckDBPyConnection) -> None:
    """Remove the columns that no list uses, and what says that a list has cleared one.

    Call it outside of a transaction, or within one that has changed no row of event_columns: DuckDB 1.5 cannot commit both.
    """
    connection.execute(DELETE_CLEARED)
    used = {COLUMNS[number] for (number,) in connection.execute(USED).fetchall()}
    for (column,) in connection.execute(EXISTING).fetchall():
        if column not in used:
            connection.execute(f"alter table event_columns drop column {column}")


def remove_asked(connection: duckdb.DuckDBPyConnection) -> None:
    """Promote no property any more only because questions ask for it often."""
    for list_id, number in connection.execute(ASKED).fetchall():
        remove(connection, list_id, number)
    drop_unused(connection)


def _update(connection: duckdb.DuckDBPyConnection, change: str, list_id: int, number: int) -> None:
    connection.execute(f"{change} where list_id = $list_id and number = $number", {"list_id": list_id, "number": number})


class FoldedValues(msgspec.Struct, frozen=True):
    """The SQL with which a fold reads promoted properties.

    `columns` are the names and the SQL of columns. `paths` are the parameters of JSON paths read of every event. `joined`
    is the join with the paths of each list.
    """

    columns: dict[str, str]
    paths: list[str]
    joined: str
    parameters: dict[str, Any]


def plan_fold(connection: duckdb.DuckDBPyConnection, bounds: Mapping[str, int], first_place: int) -> FoldedValues | None:
    """Return how a fold reads the values of promoted properties; None: none of its lists has any.

    Args:
        connection: the writing connection, within the fold's transaction.
        bounds: the parameters of the new events: `folded` and `last`.
        first_place: the place of the first of `paths` among the texts that the fold reads.
    """
    if connection.execute(ARE_PROMOTED).fetchone() != (True,):
        return None
    rows = connection.execute(PROMOTED_IN, bounds).fetchall()
    if not rows:
        return None
    places = {name: first_place + place for place, name in enumerate(sorted({name for _, _, name in rows}))}
    lists = sorted({list_id for list_id, _, _ in rows})
    shared = len(places) <= MOST_PATHS
    parameters: dict[str, Any] = {"promoted_lists": lists}
    mapped, columns = ["unnest($promoted_lists::bigint[]) as list_id"], {}
    for number in sorted({number for _, number, _ in rows}):
        names = {list_id: name for list_id, of, name in rows if of == number}
        parameters[f"paths_{number}"] = [express_path(names[one]) if one in names else None for one in lists]
        mapped.append(f"unnest($paths_{number}::varchar[]) as path_{number}")
        text = f"case when path_{number} is not null then json_extract_string(properties, path_{number}) end"
        if shared:
            parameters[f"places_{number}"] = [places[names[one]] if one in names else None for one in lists]
            mapped.append(f"unnest($places_{number}::integer[]) as place_{number}")
            text = f"texts[place_{number}]"
        columns[COLUMNS[number]] = encode(text, f"path_{number}")
    paths = {f"further_{place}": express_path(name) for name, place in places.items()} if shared else {}
    joined = f" left join (select {', '.join(mapped)}) as promoted using (list_id)"
    return FoldedValues(columns, [f"${one}" for one in paths], joined, {**parameters, **paths})


class Portion(msgspec.Struct, frozen=True):
    """Events of a list, from the one after `since` to `until`, for which columns are filled or cleared, by number.

    The last portion ends at `end`.
    """

    list_id: int
    since: int
    until: int
    end: int
    events: int
    names: dict[int, str | None]


def find_portion(connection: duckdb.DuckDBPyConnection, most: int) -> Portion | None:
    """Return the next portion of at most `most` events; None: all columns are filled and cleared."""
    rows = connection.execute(UNFILLED).fetchall()
    if not rows:
        return None
    ((list_id, since, until, numbers, names),) = rows
    bounds = {"list_id": list_id, "since": since, "until": until, "most": most}
    ((last, events),) = connection.execute(NEXT, bounds).fetchall()
    return Portion(list_id, since, last if events == most else until, until, events, dict(zip(numbers, names, strict=True)))


def fill_portion(connection: duckdb.DuckDBPyConnection, most: int) -> int | None:
    """Fill or clear the columns of at most `most` events, in one transaction.

    Returns:
        How many values were written; None: there was nothing to do.
    """
    with transaction(connection):
        portion = find_portion(connection, most)
        if portion is not None:
            _write(connection, portion)
            given = {"list_id": portion.list_id, "until": portion.until, "numbers": list(portion.names)}
            connection.execute(MARK_FILLED, given)
    if portion is not None and None in portion.names.values() and portion.until == portion.end:
        drop_unused(connection)
    return None if portion is None else portion.events * len(portion.names)


def _write(connection: duckdb.DuckDBPyConnection, portion: Portion) -> None:
    if not portion.events:
        return
    bounds = {"list_id": portion.list_id, "since": portion.since, "until": portion.until}
    names = {number: name for number, name in portion.names.items() if name is not None}
    cleared = [COLUMNS[number] for number, name in portion.names.items() if name is None]
    if names:
        ((first_row, last_row),) = connection.execute(SPAN, bounds).fetchall()
        paths = {f"path_{number}": express_path(name) for number, name in names.items()}
        columns = ", ".join(f"{encode(text, path)} as value_{number}" for number, text, path in _place(names))
        settings = ", ".join(f"{COLUMNS[number]} = read.value_{number}" for number in names)
        statement = FILL.format(settings=settings, columns=columns, paths=", ".join(f"${one}" for one in paths))
        connection.execute(statement, {**bounds, "first_row": first_row, "last_row": last_row, **paths})
    if cleared:
        settings = ", ".join(f"{one} = null" for one in cleared)
        connection.execute(CLEAR.format(settings=settings, filled=" or ".join(f"{one} is not null" for one in cleared)), bounds)


def _place(numbers: Iterable[int]) -> list[tuple[int, str, str]]:
    """Return each number with the SQL of its text among those that are read, and that of its path."""
    return [(number, f"texts[{place}]", f"$path_{number}") for place, number in enumerate(numbers, 1)]


def differs(connection: duckdb.DuckDBPyConnection, last: int, at_once: int) -> bool:
    """Return whether the columns of promoted properties differ from what the events have.

    Args:
        connection: a connection within a transaction.
        last: the seq of the last folded event.
        at_once: how many events are compared at once.
    """
    existing = {column for (column,) in connection.execute(EXISTING).fetchall()}
    strays = [_IS_STRAY.format(column, number) for number, column in COLUMNS.items() if column in existing]
    if strays and connection.execute(COUNT_STRAYS.format(strays=" or ".join(strays))).fetchone() != (0,):
        return True
    for (list_id,) in connection.execute("select distinct list_id from promoted_properties").fetchall():
        rows = [row for row in read_rows(connection, list_id) if row.name is not None]
        if rows and _list_differs(connection, list_id, rows, range(0, last, at_once)):
            return True
    return False


def _list_differs(connection: duckdb.DuckDBPyConnection, list_id: int, rows: Sequence[PromotedProperty], since: range) -> bool:
    by_number = {row.number: row for row in rows}
    paths = {f"path_{row.number}": express_path(row.name or "") for row in rows}
    read = [f"hash({encode(text, path)}) as read_{number}" for number, text, path in _place(by_number)]
    kept = [f"hash({COLUMNS[number]}) as kept_{number}" for number in by_number]
    compared = [
        f"((seq <= {row.filled_seq} or seq > {row.until_seq}) and read_{row.number} <> kept_{row.number})" for row in rows
    ]
    statement = COUNT_DIFFERENCES.format(
        read=", ".join(read), kept=", ".join(kept), paths=", ".join(f"${one}" for one in paths), differs=" or ".join(compared)
    )
    return any(
        connection.execute(
            statement, {"list_id": list_id, "since": one, "until": min(since.stop, one + since.step), **paths}
        ).fetchone()
        != (0,)
        for one in since
    )
