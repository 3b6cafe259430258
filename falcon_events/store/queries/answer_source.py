"""The relations that questions read (query/source.py), defined over the tables `events` and `bindings`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from falcon_events.query.source import Extent, Source

_QUERY = "regexp_extract(page, '^[^?#]*[?]([^#]*)', 1)"
_UTM = "nullif(coalesce(try(url_decode({raw})), {raw}), '') as {name}"
_RAW = "replace(regexp_extract('&' || {query}, '&{name}=([^&]*)', 1), '+', ' ')"
_PROPERTIES = {
    "title": "pageTitle",
    "referrer": "referrer",
    "referring_domain": "referring_domain",
    "browser": "browser",
    "browser_version": "browser_version",
    "os": "os",
    "device_type": "device_type",
    "language": "browser_language",
}
"""Columns that are properties of the tracker, whose names begin with `$`."""
_TEXT = "json_extract_string(properties, '/{}')"
_NUMBER = r"[ \t\n\r]*-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?[ \t\n\r]*"
_VALUE = _TEXT.format("conversion-value")
_UTMS = ",\n    ".join(
    _UTM.format(raw=_RAW.format(query="query", name=name), name=name)
    for name in ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
)
_COLUMNS = ",\n    ".join(f"{_TEXT.format('$' + name)} as {column}" for column, name in _PROPERTIES.items())

# The person is a function of all events of the list, also of those that questions leave out.
EVENTS = f"""
with stored as (
    select *, lower(email) as address,
        coalesce({_TEXT.format("url")}, {_TEXT.format("$current_url")}) as page
    from events where list_id = $list_id
), parted as (
    select *, {_QUERY} as query from stored
), neighbours as (
    select seq, visitor, occurred_at from events where list_id = $list_id and exists (
        from events where list_id = $list_id and event = 'identify' and automatic is null
    )
)
select seq, event_id, event, visitor, external_id, address as email,
    coalesce(
        last_value(address ignore nulls) over (
            partition by visitor order by occurred_at, seq rows between unbounded preceding and current row
        ),
        first_value(address ignore nulls) over (
            partition by visitor order by occurred_at, seq rows between current row and unbounded following
        ),
        visitor::varchar
    ) as person,
    occurred_at, received_at,
    regexp_extract(page, '^[^?#]*') as url,
    coalesce({_TEXT.format("$host")}, nullif(regexp_extract(page, '^[a-zA-Z][a-zA-Z0-9+.-]*://([^/?#]*)', 1), '')) as host,
    coalesce(
        {_TEXT.format("$pathname")},
        case when regexp_matches(page, '^[a-zA-Z][a-zA-Z0-9+.-]*://')
            then coalesce(nullif(regexp_extract(page, '^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*([^?#]*)', 1), ''), '/') end
    ) as path,
    {_COLUMNS},
    {_UTMS},
    {_TEXT.format("$screen_width")} || 'x' || {_TEXT.format("$screen_height")} as screen,
    coalesce({_TEXT.format("$bot")} is not null, false) as bot,
    event = 'identify' and coalesce(
        automatic,
        exists (
            from neighbours as beside
            where beside.seq = parted.seq - 1 and beside.visitor = parted.visitor and beside.occurred_at = parted.occurred_at
        ) or exists (
            from neighbours as beside
            where beside.seq = parted.seq + 1 and beside.visitor = parted.visitor and beside.occurred_at = parted.occurred_at
        )
    ) as automatic,
    case when event = 'conversion' then {_TEXT.format("conversion-id")} end as conversion_id,
    case when event = 'conversion' and regexp_full_match({_VALUE}, '{_NUMBER}') and isfinite(try_cast({_VALUE} as double))
        then try_cast({_VALUE} as double) end as conversion_value,
    properties
from parted
"""
TRAITS = "select visitor, email as person, traits, bound_at from bindings where list_id = $list_id and traits is not null"
EXTENT = "select epoch_us(min(occurred_at)), epoch_us(max(occurred_at)), max(seq) from events where list_id = $list_id"


def make_source(list_id: int, as_of: int | None = None, visitors: Sequence[str] | None = None) -> Source:
    """Return the relations of a list.

    Args:
        list_id: the list.
        as_of: the last seq; None: that of the newest event.
        visitors: the visitors whose events are read, with all that follows from these; None: all.
    """
    condition, parameters = "list_id = $list_id", dict[str, Any](list_id=list_id)
    if as_of is not None:
        condition, parameters["as_of"] = f"{condition} and seq <= $as_of", as_of
    if visitors is not None:
        condition += " and visitor in (select unnest($visitors::uuid[]))"
        parameters["visitors"] = list(visitors)
    return Source(EVENTS.replace("list_id = $list_id", condition), TRAITS, parameters)


def read_extent(connection: duckdb.DuckDBPyConnection, list_id: int) -> Extent:
    """Return when the list's first and last events happened, and its newest `seq`."""
    ((first, last, newest),) = connection.execute(EXTENT, {"list_id": list_id}).fetchall()
    return Extent(first, last, newest)
