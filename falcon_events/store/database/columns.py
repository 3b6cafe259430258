"""Typed columns of events: what questions ask for most, read from the properties once, when events are folded.

An event belongs to a person by the addresses of its visitor's events (query/source.py). Most visitors have one address or none.
Only for those with several does it matter when each was used.
"""

from __future__ import annotations

from collections.abc import Sequence

from falcon_events.query.expressions import express_number
from falcon_events.store.database import duckdb, promoted
from falcon_events.store.database.portions import OF_PORTION, run_in_portions
from falcon_events.store.database.transaction import transaction

TABLES = ("event_columns", "visitor_keys", "address_keys", "visitor_addresses", "address_times")
"""The tables that are made of the events. Each has a column list_id."""
_PROPERTIES = {
    "title": "$pageTitle",
    "referrer": "$referrer",
    "referring_domain": "$referring_domain",
    "browser": "$browser",
    "browser_version": "$browser_version",
    "os": "$os",
    "device_type": "$device_type",
    "language": "$browser_language",
}
"""Columns that are properties of the tracker."""
_READ = (
    *("url", "$current_url", "$host", "$pathname", "$screen_width", "$screen_height", "$bot", "conversion-id"),
    *("conversion-value", *_PROPERTIES.values()),
)
"""The properties that are read, all at once: each by itself would take as long as all of them."""
_SLASHED = ", ".join(f"'/{name}'" for name in _READ)
FURTHER_PLACE = len(_READ) + 1
"""The place of the first further path among the texts that express_columns() reads."""
_UTMS = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")


def _text(name: str) -> str:
    return f"texts[{_READ.index(name) + 1}]"


_RAW = (
    "case when contains(query, '{name}=') then replace(split_part(split_part('&' || query, '&{name}=', 2), '&', 1), '+', ' ') end"
)
_DECODED = "nullif(case when contains({raw}, '%') then coalesce(try(url_decode({raw})), {raw}) else {raw} end, '')"
_ABSOLUTE = "^[a-zA-Z][a-zA-Z0-9+.-]*://"
EXPRESSIONS = {
    "url": "split_part(split_part(page, '?', 1), '#', 1)",
    "host": f"coalesce({_text('$host')}, nullif(regexp_extract(page, '{_ABSOLUTE}([^/?#]*)', 1), ''))",
    "path": f"""coalesce(
        {_text("$pathname")},
        case when regexp_matches(page, '{_ABSOLUTE}')
            then coalesce(nullif(regexp_extract(page, '{_ABSOLUTE}[^/?#]*([^?#]*)', 1), ''), '/') end
    )""",
    **{column: _text(name) for column, name in _PROPERTIES.items()},
    **{name: _DECODED.format(raw=f"raw_{name}") for name in _UTMS},
    "screen": f"{_text('$screen_width')} || 'x' || {_text('$screen_height')}",
    "bot": f"{_text('$bot')} is not null",
    "conversion_id": f"case when event = 'conversion' then {_text('conversion-id')} end",
    "conversion_value": f"case when event = 'conversion' then {express_number(_text('conversion-value'))} end",
}
"""The SQL of each column that is read from the properties."""
BESIDE = """event = 'identify' and coalesce(
        automatic,
        exists (
            from neighbours as beside where beside.seq = stored.seq - 1 and beside.list_id = stored.list_id
                and beside.visitor = stored.visitor and beside.occurred_at = stored.occurred_at
        ) or exists (
            from neighbours as beside where beside.seq = stored.seq + 1 and beside.list_id = stored.list_id
                and beside.visitor = stored.visitor and beside.occurred_at = stored.occurred_at
        )
    )"""
"""The SQL of the column `automatic`. Events of earlier releases do not say whether they are."""
_PLAIN = "seq, list_id, event, visitor, external_id, email, event_id, occurred_at, received_at, properties, automatic"


def express_columns(
    events: str, columns: str, names: Sequence[str], neighbours: str | None, paths: Sequence[str] = (), joined: str = ""
) -> str:
    """Return a SELECT of columns of events, which reads their properties.

    Args:
        events: the condition on the table events.
        columns: the SQL of columns of the table.
        names: which of NAMES to read.
        neighbours: the condition on the events among which those are that stand beside one; None: each event says whether it is
            automatic.
        paths: the SQL of further JSON paths, whose texts are `texts[FURTHER_PLACE]` and the following, for `columns`.
        joined: a join of the events, for `columns`.
    """
    read = "".join(f",\n    {EXPRESSIONS[name]} as {name}" for name in names if name != "automatic")
    raw = "".join(f", {_RAW.format(name=name)} as raw_{name}" for name in _UTMS if name in names)
    slashed = ", ".join([_SLASHED, *paths])
    beside = ""
    if "automatic" in names and neighbours is not None:
        beside = f"with neighbours as ({_NEIGHBOURS.replace('{events}', neighbours)})\n"
        read += f",\n    {BESIDE} as automatic"
    elif "automatic" in names:
        read += ",\n    event = 'identify' and coalesce(automatic, false) as automatic"
    return f"""{beside}select {columns}{read}
from (
    select *{raw}
    from (
        select *, case when contains(whole, '?') then substr(whole, strpos(whole, '?') + 1) else '' end as query
        from (
            select *, split_part(page, '#', 1) as whole
            from (
                select *, coalesce({_text("url")}, {_text("$current_url")}) as page
                from (select {_PLAIN}, json_extract_string(properties, [{slashed}]) as texts from events where {events})
            )
        )
    )
) as stored{joined}"""


_NEIGHBOURS = """
select seq, list_id, visitor, occurred_at from events where {events} and exists (
    from events where {events} and event = 'identify' and automatic is null
)
"""
NAMES = (
    *("url", "host", "path", "title", "referrer", "referring_domain", *_UTMS, "browser", "browser_version", "os", "device_type"),
    *("language", "screen", "bot", "automatic", "conversion_id", "conversion_value"),
)
"""The columns of the table event_columns that are read from an event's properties, and `automatic`, in their order."""
_NEW = "seq > $folded and seq <= $last"
_BESIDE_NEW = "seq >= $folded and seq <= $last + 1"
# Each join with a table of keys has the few new ones on the side of which DuckDB makes a hash table.
ADD_VISITORS = f"""
insert into visitor_keys
with met as materialized (select list_id, visitor, min(seq) as first_seq from events where {_NEW} group by all),
    known as materialized (select list_id, visitor from met join visitor_keys using (list_id, visitor))
select (select coalesce(max(visitor_key), 0) from visitor_keys) + row_number() over (order by first_seq), list_id, visitor
from met anti join known using (list_id, visitor)
"""
ADD_ADDRESSES = f"""
insert into address_keys
with met as materialized (
    select list_id, lower(email) as address, min(seq) as first_seq from events where {_NEW} and email is not null group by all
),
    known as materialized (select list_id, address from met join address_keys using (list_id, address))
select (select coalesce(max(address_key), 0) from address_keys) + row_number() over (order by first_seq), list_id, address
from met anti join known using (list_id, address)
"""


# Where a condition on seq stands alone and seq is read, DuckDB reads the properties of 2,048 events at once: large ones would
# need more memory than there is.
SPAN = f"select min(rowid) as first_row, max(rowid) as last_row from events where {_NEW}"
_NEW_ROWS = f"{_NEW} and rowid >= $first_row and rowid <= $last_row"


_PLAIN_READ = "seq, list_id, event, visitor, lower(email) as address, occurred_at"


def _add_columns(neighbours: str | None, further: promoted.FoldedValues | None = None) -> str:
    columns, names = _PLAIN_READ, ", ".join(["seq, list_id, event, visitor_key, address_key, occurred_at", *NAMES])
    if further is None:
        read = express_columns(_NEW_ROWS, columns, NAMES, neighbours)
    else:
        columns = ", ".join([columns, *(f"{sql} as {name}" for name, sql in further.columns.items())])
        read = express_columns(_NEW_ROWS, columns, NAMES, neighbours, further.paths, further.joined)
        names = ", ".join([names, *further.columns])
    return f"""
insert into event_columns ({names})
select {names}
from ({read}) as new join visitor_keys using (list_id, visitor) left join address_keys using (list_id, address)
order by list_id, occurred_at, seq
"""


ADD_COLUMNS = {False: _add_columns(None), True: _add_columns(_BESIDE_NEW)}
"""The statement for events that all say whether they are automatic, and that for others."""
LACKS_AUTOMATIC = f"select exists (from events where {_NEW} and event = 'identify' and automatic is null)"
ENDS_UNDECIDED = """
select exists (from events where seq = $last and event = 'identify' and automatic is null)
    and not exists (from events where seq > $last)
"""
# An address of a visitor has a number: 1 for the first of the visitor, by the order of storage.
ADD_VISITOR_ADDRESSES = f"""
insert into visitor_addresses
with met as materialized (
    select list_id, visitor_key, address_key, min(seq) as first_seq from event_columns
    where {_NEW} and address_key is not null group by all
),
    known as materialized (
        select visitor_key, address_key from visitor_addresses
        join (select distinct visitor_key from met) as asked using (visitor_key)
    ),
    counted as (select visitor_key, count(*) as addresses from known group by all)
select list_id, visitor_key, address_key,
    coalesce(addresses, 0) + row_number() over (partition by visitor_key order by first_seq), first_seq
from met anti join known using (visitor_key, address_key) left join counted using (visitor_key)
"""
# Which address a visitor had when: said by its events, and for deleted ones by what is kept of them (pruning.py).
ADDRESSED = """(
    select list_id, visitor_key, address_key, occurred_at, seq from event_columns where address_key is not null
    union all
    select list_id, visitor_key, address_key, occurred_at, seq from kept_addresses
)"""
SECOND_ADDRESSES = "select coalesce(min(seq), 0), coalesce(max(seq), 0) from visitor_addresses where number = 2"
ADD_TIMES = f"""
insert into address_times
select list_id, visitor_key, address_key, occurred_at, seq from event_columns
where {_NEW} and address_key is not null
    and visitor_key in (select visitor_key from visitor_addresses where number = 2)
"""
ADD_EARLIER_TIMES = f"""
insert into address_times
select list_id, visitor_key, address_key, occurred_at, seq from {ADDRESSED}
where seq <= $folded and visitor_key in (select visitor_key from visitor_addresses where number = 2 and seq > $folded)
"""
_OF_VISITORS = """list_id = $list_id and visitor_key in (
    select visitor_key from visitor_keys where list_id = $list_id and visitor in (select unnest($visitors::uuid[]))
)"""
_LIST_ADDRESSES = f"""
select list_id, visitor_key, address_key, row_number() over (partition by visitor_key order by first_seq), first_seq
from (select list_id, visitor_key, address_key, min(seq) as first_seq from {ADDRESSED} where {{}} group by all)
"""
_LIST_TIMES = f"""
select list_id, visitor_key, address_key, occurred_at, seq from {ADDRESSED}
where {{}} and visitor_key in (select visitor_key from visitor_addresses where number = 2)
"""
FORGET = (
    "delete from event_columns where list_id = $list_id and seq in (select unnest($seqs::bigint[]))",
    f"delete from visitor_addresses where {_OF_VISITORS}",
    f"delete from address_times where {_OF_VISITORS}",
    f"insert into visitor_addresses {_LIST_ADDRESSES.format(_OF_VISITORS)}",
    f"insert into address_times {_LIST_TIMES.format(_OF_VISITORS)}",
    f"""update event_columns set automatic = false where list_id = $list_id and automatic and seq in (
        with neighbours as (select seq, list_id, visitor, occurred_at from events where list_id = $list_id),
            touched as (select unnest($seqs::bigint[]) as seq)
        select seq from events as stored
        where list_id = $list_id and automatic is null and not ({BESIDE})
            and (seq - 1 in (from touched) or seq + 1 in (from touched))
    )""",
    f"""delete from visitor_keys where {_OF_VISITORS}
    and visitor_key not in (select visitor_key from event_columns where list_id = $list_id)
    and visitor_key not in (select visitor_key from first_events where list_id = $list_id)
    and visitor_key not in (select visitor_key from kept_addresses where list_id = $list_id)""",
    f"""delete from address_keys where list_id = $list_id
    and address_key not in (select address_key from {ADDRESSED} where list_id = $list_id)""",
)
_READ_AGAIN = express_columns(OF_PORTION, _PLAIN_READ, NAMES, "seq >= $since and seq <= $until + 1")
_COMPARED = f"seq, list_id, event, visitor, address, occurred_at, {', '.join(NAMES)}"
COUNT_DIFFERENCES = f"""
with kept as (
    select {_COMPARED} from event_columns join visitor_keys using (list_id, visitor_key)
        left join address_keys using (list_id, address_key)
    where seq > $since and seq <= $until
),
    read as (select {_COMPARED} from ({_READ_AGAIN}))
select count(*) from ((from kept except all from read) union all (from read except all from kept))
"""
COUNT_WRONG_ADDRESSES = f"""
with listed as ({_LIST_ADDRESSES.format("true")}), timed as ({_LIST_TIMES.format("true")})
select count(*) from (
    (from visitor_addresses except all from listed) union all (from listed except all from visitor_addresses)
    union all (from address_times except all from timed) union all (from timed except all from address_times)
)
"""
COUNT_MISSING = """
select (select count(*) from events where seq <= (select columns_seq from meta)) - (select count(*) from event_columns)
"""
LOWER_WATERMARK = "update meta set columns_seq = least(columns_seq, (select coalesce(max(seq), 0) from events))"
"""After the newest events were deleted, the watermark is not ahead of those that are left."""
COMPARED_AT_ONCE = 100_000
COUNT_KEYS = "select (select count(*) from visitor_keys) + (select count(*) from address_keys)"


def fold(connection: duckdb.DuckDBPyConnection, last_seq: int) -> int:
    """Write the typed columns of the events up to last_seq and move the watermark, in one transaction.

    The newest event waits for the next one if that decides whether it is automatic.

    Returns:
        The watermark.
    """
    with transaction(connection):
        bounds = {"folded": read_columns_seq(connection), "last": last_seq}
        ((lacks,),) = connection.execute(LACKS_AUTOMATIC, bounds).fetchall()
        if lacks and connection.execute(ENDS_UNDECIDED, {"last": last_seq}).fetchone() == (True,):
            bounds["last"] -= 1
        if bounds["last"] > bounds["folded"]:
            _write(connection, bounds, lacks=lacks)
            connection.execute("update meta set columns_seq = ?", [bounds["last"]])
    return max(bounds.values())


def _write(connection: duckdb.DuckDBPyConnection, bounds: dict[str, int], *, lacks: bool) -> None:
    connection.execute(ADD_VISITORS, bounds)
    connection.execute(ADD_ADDRESSES, bounds)
    ((first_row, last_row),) = connection.execute(SPAN, bounds).fetchall()
    rows = {**bounds, "first_row": first_row, "last_row": last_row}
    further = promoted.plan_fold(connection, bounds, FURTHER_PLACE)
    if further is None:
        connection.execute(ADD_COLUMNS[lacks], rows)
    else:
        connection.execute(_add_columns(_BESIDE_NEW if lacks else None, further), {**rows, **further.parameters})
    connection.execute(ADD_VISITOR_ADDRESSES, bounds)
    ((first, newest),) = connection.execute(SECOND_ADDRESSES).fetchall()
    if first:
        connection.execute(ADD_TIMES, bounds)
    if newest > bounds["folded"]:
        connection.execute(ADD_EARLIER_TIMES, {"folded": bounds["folded"]})


def clear(connection: duckdb.DuckDBPyConnection) -> None:
    """Remove all typed columns with their keys and addresses, in one transaction. Questions then read the events themselves."""
    with transaction(connection):
        for table in TABLES:
            connection.execute(f"delete from {table}")
        connection.execute("update meta set columns_seq = 0")


def read_columns_seq(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the watermark: the seq up to which events have typed columns."""
    ((seq,),) = connection.execute("select columns_seq from meta").fetchall()
    return int(seq)


def count_keys(connection: duckdb.DuckDBPyConnection) -> int:
    """Return about how many visitors and addresses have keys, each of which a fold looks through."""
    ((keys,),) = connection.execute(COUNT_KEYS).fetchall()
    return int(keys)


def forget(connection: duckdb.DuckDBPyConnection, list_id: int, seqs: list[int], visitors: list[str]) -> None:
    """Remove events, with all that follows from them about these visitors and about addresses. Call it within a transaction.

    Args:
        connection: the writing connection.
        list_id: the list.
        seqs: the events.
        visitors: all visitors of these events.
    """
    given = {"list_id": list_id, "seqs": seqs, "visitors": visitors}
    for statement in FORGET:
        connection.execute(statement, {name: value for name, value in given.items() if f"${name}" in statement})


def differs(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether the typed columns or the visitors' addresses differ from what the events have.

    The events are compared in portions, within the database's memory limit. Call it outside of a transaction.
    """

    def counts(statement: str, parameters: dict[str, int] | None = None) -> bool:
        return connection.execute(statement, parameters).fetchone() != (0,)

    if counts(COUNT_MISSING) or counts(COUNT_WRONG_ADDRESSES):
        return True
    last = read_columns_seq(connection)
    if run_in_portions(connection, 0, last, COMPARED_AT_ONCE, lambda bounds: counts(COUNT_DIFFERENCES, bounds)):
        return True
    return promoted.differs(connection, last, COMPARED_AT_ONCE)
