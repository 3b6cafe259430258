"""Questions of the benchmark `answers`: as requests, as SQL over the JSON of the events, and as SQL for PostgreSQL."""

from __future__ import annotations

from typing import Any

import msgspec

from benchmarks.large_store import LIST_ID

# The person of each event by the rules of the questions, with window functions over the events of the list.
_PERSONS = f"""
with attributed as (
    select *, coalesce(
        last_value(lower(email) ignore nulls) over (
            partition by visitor order by occurred_at, seq rows between unbounded preceding and current row),
        first_value(lower(email) ignore nulls) over (
            partition by visitor order by occurred_at, seq rows between current row and unbounded following),
        visitor::varchar) as person
    from events where list_id = {LIST_ID}
)
"""
# PostgreSQL has it easier: an address counts for its own event only, and nobody is recognized on events before or after.
_ROWS = f"(select *, coalesce(lower(email), visitor::text) as person from events where list_id = {LIST_ID}) as attributed"
PROMOTED = "plan"
_TODAY = "(now() at time zone 'utc')::date"
_MONDAY = f"(date_trunc('week', {_TODAY}) - interval '77 days')::date"
_PATH_IN_POSTGRESQL = "properties->>'$pathname'"
_PATH = "regexp_extract(properties->>'url', '^https?://[^/?#]+([^?#]*)', 1)"


class AskedQuestion(msgspec.Struct, frozen=True):
    """A question of the benchmark.

    `body` is the request's, without key and list; `$address` in it stands for a person's address. `sql` is the question over the
    JSON of the events in DuckDB, `postgresql` the same in PostgreSQL. `target_ms` is the aim for the median.
    """

    name: str
    path: str
    body: dict[str, Any]
    sql: str
    postgresql: str
    target_ms: float
    is_compared: bool = False
    """Whether the rows of the answer and of `sql` are compared."""
    grows: bool = False
    """Whether it is also asked about a store with a tenth of the events, which all are from the last tenth of the time."""
    is_promoted: bool = False
    """Whether it is asked after its property was promoted to a column."""


def _recent(days: int) -> str:
    return f"occurred_at >= {_TODAY} - {days - 1}"


def _count_by(value: str, days: int) -> str:
    return (
        f"select {value} as value, count(distinct person) as people from {{}} where {_recent(days)}"
        " group by 1 order by 2 desc, 1 limit 10"
    )


_BY_DAY = f"select occurred_at::date, count(distinct person), count(*) from {{}} where {_recent(28)} group by 1 order by 1"
_ONES = """
select person, max(occurred_at) from {} group by person
having count(*) filter (where event = 'signup') >= 3 and count(*) filter (where event = 'conversion') = 0
order by 2 desc, 1 limit 100
"""
_TIMELINE = """
select event_id, event, occurred_at, properties from {} where person = {} order by occurred_at desc, seq desc limit 100
"""
# The visitors of the address are looked up by an index, and their events by another one.
_TIMELINE_POSTGRESQL = f"""
select event_id, event, occurred_at, properties from events
where list_id = {LIST_ID}
    and visitor = any (array(select distinct visitor from events where list_id = {LIST_ID} and lower(email) = %s))
order by occurred_at desc, seq desc limit 100
"""
_FUNNEL = f"""
seen as (
    select person, occurred_at, event from {{}}
    where {_recent(90)} and (event in ('signup', 'conversion') or event = 'pageView' and {{}} = '/pricing')
),
    first_step as (select person, min(occurred_at) as at from seen where event = 'pageView' group by person),
    second_step as (
        select person, min(seen.occurred_at) as at from first_step join seen using (person)
        where event = 'signup' and seen.occurred_at > first_step.at group by person
    ),
    third_step as (
        select person, min(seen.occurred_at) as at from second_step join seen using (person)
        where event = 'conversion' and seen.occurred_at > second_step.at group by person
    )
select (select count(*) from first_step), (select count(*) from second_step), (select count(*) from third_step)
"""
_RETENTION = f"""
weeks as (
    select distinct person, cast(floor((date_trunc('week', occurred_at)::date - {_MONDAY}) / 7) as integer) as week from {{}}
),
    started as (select person, min(week) as cohort from weeks group by person)
select cohort, week - cohort as period, count(*) from started join weeks using (person) where cohort >= 0 group by 1, 2
"""
QUESTIONS = (
    AskedQuestion(
        "people and events by day, 28 days",
        "query",
        {"DateRange": "28d", "Dimensions": ["time:day"]},
        _PERSONS + _BY_DAY.format("attributed"),
        _BY_DAY.format(_ROWS),
        50,
        is_compared=True,
        grows=True,
    ),
    AskedQuestion(
        "top 10 paths with people, 90 days",
        "query",
        {"DateRange": "90d", "Dimensions": ["path"], "Metrics": ["people"], "Limit": 10},
        _PERSONS + _count_by(_PATH, 90).format("attributed"),
        _count_by(_PATH_IN_POSTGRESQL, 90).format(_ROWS),
        150,
        is_compared=True,
    ),
    AskedQuestion(
        "top 10 paths with people, 28 days",
        "query",
        {"DateRange": "28d", "Dimensions": ["path"], "Metrics": ["people"], "Limit": 10},
        _PERSONS + _count_by(_PATH, 28).format("attributed"),
        _count_by(_PATH_IN_POSTGRESQL, 28).format(_ROWS),
        150,
        is_compared=True,
        grows=True,
    ),
    AskedQuestion(
        "top 10 of a property, 28 days",
        "query",
        {"DateRange": "28d", "Dimensions": [f"property:{PROMOTED}"], "Metrics": ["people"], "Limit": 10},
        _PERSONS + _count_by(f"properties->>'{PROMOTED}'", 28).format("attributed"),
        _count_by(f"properties->>'{PROMOTED}'", 28).format(_ROWS),
        400,
        is_compared=True,
        grows=True,
    ),
    AskedQuestion(
        "top 10 of a promoted property, 28 days",
        "query",
        {"DateRange": "28d", "Dimensions": [f"property:{PROMOTED}"], "Metrics": ["people"], "Limit": 10},
        _PERSONS + _count_by(f"properties->>'{PROMOTED}'", 28).format("attributed"),
        _count_by(f"properties->>'{PROMOTED}'", 28).format(_ROWS),
        150,
        is_compared=True,
        is_promoted=True,
    ),
    AskedQuestion(
        "three-step funnel by people, 90 days",
        "funnel",
        {
            "DateRange": "90d",
            "Steps": [
                {"Event": "pageView", "Filters": [["is", "path", ["/pricing"]]]},
                {"Event": "signup"},
                {"Event": "conversion"},
            ],
        },
        f"{_PERSONS}, {_FUNNEL.format('attributed', _PATH)}",
        f"with {_FUNNEL.format(_ROWS, _PATH_IN_POSTGRESQL)}",
        300,
    ),
    AskedQuestion(
        "retention by week, 12 weeks",
        "retention",
        {"DateRange": "84d", "Unit": "week", "Periods": 12},
        f"{_PERSONS}, {_RETENTION.format('attributed')}",
        f"with {_RETENTION.format(_ROWS)}",
        450,
    ),
    AskedQuestion(
        "people who did X three times and not Y",
        "people",
        {
            "People": [["has_done", {"Event": "signup", "Count": [">=", 3]}], ["has_not_done", {"Event": "conversion"}]],
            "Limit": 100,
        },
        _PERSONS + _ONES.format("attributed"),
        _ONES.format(_ROWS),
        150,
    ),
    AskedQuestion(
        "one person's timeline",
        "timeline",
        {"Email": "$address"},
        _PERSONS + _TIMELINE.format("attributed", "$address"),
        _TIMELINE_POSTGRESQL,
        40,
    ),
)
