"""Views for people who write SQL: page views, conversions and people, in columns that need no JSON paths."""

from __future__ import annotations

from falcon_events.store.database import duckdb

PAGE_VIEWS = """
create view if not exists page_views as
select seq, event_id, list_id, visitor, email, occurred_at,
    coalesce(properties->>'url', properties->>'$."$current_url"') as url,
    properties->>'$."$host"' as host,
    properties->>'$."$pathname"' as path,
    properties->>'$."$pageTitle"' as title,
    properties->>'$."$referrer"' as referrer,
    properties->>'$."$referring_domain"' as referring_domain,
    properties->>'$."$browser"' as browser,
    properties->>'$."$os"' as os,
    properties->>'$."$device_type"' as device_type,
    properties->>'$."$browser_language"' as language
from events where event = 'pageView'
"""

CONVERSIONS = """
create view if not exists conversions as
select seq, event_id, list_id, visitor, email, occurred_at,
    properties->>'conversion-id' as conversion_id,
    properties->>'conversion-name' as name,
    try_cast(properties->>'conversion-value' as double) as value
from events where event = 'conversion'
"""


def express_person_address(address: str, visitor: str) -> str:
    """Return the SQL of the address of an event's person, among the events of a SELECT; null: the person is the visitor.

    It is the event's own address, else that of its visitor's last earlier event that has one, else that of the first later one.

    Args:
        address: the SQL of the event's own address.
        visitor: the columns that a visitor's events share.
    """
    ordered = f"over (partition by {visitor} order by occurred_at, seq rows between"
    return f"""coalesce(
        last_value({address} ignore nulls) {ordered} unbounded preceding and current row),
        first_value({address} ignore nulls) {ordered} current row and unbounded following)
    )"""


PEOPLE = f"""
create view if not exists people as
with attributed as (
    select list_id, visitor, event, occurred_at,
        lower({express_person_address("email", "list_id, visitor")}) as email,
        case when event = 'conversion' then try_cast(properties->>'conversion-value' as double) end as value
    from events
)
select list_id, coalesce(email, visitor::varchar) as person, any_value(email) as email,
    count(distinct visitor) as visitors,
    min(occurred_at) as first_seen,
    max(occurred_at) as last_seen,
    count(*) as events,
    count(*) filter (where event = 'pageView') as page_views,
    count(*) filter (where event = 'conversion') as conversions,
    coalesce(sum(value), 0) as conversion_value
from attributed group by list_id, coalesce(email, visitor::varchar)
"""

VIEWS = (PAGE_VIEWS, CONVERSIONS, PEOPLE)


def create_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the views that the file does not have. A change of a view needs a migration that drops it."""
    for statement in VIEWS:  # listing the views that there are would take three times as long
        connection.execute(statement)
