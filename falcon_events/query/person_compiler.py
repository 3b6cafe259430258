"""Compile questions about persons to SQL: pages of persons, what is known of each, and one person's events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from falcon_events.query.cursors import Cursor
from falcon_events.query.expressions import Parameters, express_all
from falcon_events.query.question import TimelineQuestion
from falcon_events.query.relations import (
    CHOSEN,
    ENRICHED,
    LISTED,
    SEEN,
    SHOWN,
    QuestionScope,
    build_events,
    build_persons,
)
from falcon_events.query.source import Source
from falcon_events.query.statements import Statement, join_relations

_KEYS = {
    "last_seen": "epoch_us(last_seen)",
    "first_seen": "epoch_us(first_seen)",
    "events": "shown_events",
    "email": "address",
}
_SEEN = "epoch_us(first_seen), epoch_us(last_seen), shown_events"
GENERATED_ID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
"""The form of generated ids. Each belongs to one event that was tracked, and to the identify event beside it."""
IDENTITIES = f"""
select name, list_sort(coalesce(list(external_id) filter (where is_given), [])),
    list_sort(list_distinct(flatten(list(visitors))))
from (
    select name, external_id, list(distinct visitor::varchar) as visitors,
        not regexp_full_match(external_id, '{GENERATED_ID}') or count(*) filter (where not automatic) > 1 as is_given
    from {LISTED} join named using (person_key)
    group by name, external_id
)
group by name
"""
TRAITS = """
select person, traits from ({traits}) where person in (select unnest({persons}::varchar[])) order by bound_at, place
"""
_COLUMNS = {"Email": "email", "ID": "external_id", "UUID": "visitor"}
"""The column of each way to name a person."""


def compile_people(
    scope: QuestionScope[Any],
    parameters: Parameters,
    among: str | None,
    order: tuple[str, str],
    limit: int,
    cursor: Cursor | None,
) -> Statement:
    """Return the SELECT of a page of persons. The first column of each row is how many persons there are on all pages.

    Args:
        scope: has the conditions on persons.
        parameters: receives the statement's parameters.
        among: a SELECT of the keys of persons, of whom the answer consists; None: all who meet the conditions.
        order: what they are ordered by, and the direction.
        limit: how many persons to return.
        cursor: where the page begins.
    """
    relations = build_events(scope, parameters, sessions=False, orders=False)
    relations += build_persons(scope, parameters, scope.question.people)
    key, direction = _KEYS[order[0]], order[1]
    within = "" if among is None else f" where person_key in ({among})"
    after = "true"
    if cursor is not None:
        tie = f"name > {parameters.add(cursor.tie)}"
        if cursor.key is None:
            after = f"sort_key is null and {tie}"
        else:
            at = parameters.add(cursor.key)
            beyond = f"sort_key {'<' if direction == 'desc' else '>'} {at}"
            after = f"({beyond} or sort_key is null or (sort_key = {at} and {tie}))"
    chosen = f"(select person_key, first_seen, last_seen, shown_events from {CHOSEN}{within})"
    relations.append(("named", f"select * from {chosen} join ({scope.source.persons}) using (person_key)"))
    relations.append(("ranked", f"select *, {key} as sort_key from named"))
    ordered = f"order by sort_key {direction} nulls last, name limit {parameters.add(limit)}"
    relations.append(("page", f"select * from ranked where {after} {ordered}"))
    counted = "(select count(*) as total from ranked) as counted"
    columns = f"total, name, address, {_SEEN}, sort_key"
    select = f"select {columns} from {counted} left join page on true order by sort_key {direction} nulls last, name"
    return Statement(join_relations(relations, select), parameters.values)


def compile_identities(source: Source, persons: Sequence[str]) -> Statement:
    """Return the SELECT of the ids that senders gave to persons, and of the persons' visitors."""
    parameters = Parameters(source)
    named = _express_persons(source, parameters.add(list(persons)))
    return Statement(join_relations([(LISTED, source.events), ("named", named)], IDENTITIES.strip()), parameters.values)


def _express_persons(source: Source, names: str) -> str:
    """Return the SELECT of the keys and names of persons, by a parameter that is a list of names."""
    given = {"address": f"select unnest({names}::varchar[])", "visitor": f"select try_cast(unnest({names}::varchar[]) as uuid)"}
    return " union all ".join(
        f"select person_key, name from ({source.persons}) where {column} in ({values})" for column, values in given.items()
    )


def compile_traits(source: Source, persons: Sequence[str]) -> Statement:
    """Return the SELECT of the traits of persons, the latest binding last."""
    parameters = Parameters(source)
    return Statement(TRAITS.format(traits=source.traits, persons=parameters.add(list(persons))), parameters.values)


def compile_visitors(source: Source, named_by: str, names: Sequence[str]) -> Statement:
    """Return the SELECT of the visitors with events that have one of these addresses, ids or visitors."""
    parameters = Parameters(source)
    if len(names) == 1:  # an equation reaches the scan of the table, and a list does not
        is_named = f"= {_express_name(named_by, parameters.add(names[0]))}"
    else:
        is_named = f"in (select {_express_name(named_by, f'unnest({parameters.add(list(names))}::varchar[])')})"
    relation = source.events if named_by == "ID" else source.visitors
    select = f"select distinct visitor::varchar from seen where {_COLUMNS[named_by]} {is_named}"
    return Statement(join_relations([("seen", relation)], select), parameters.values)


def compile_named(source: Source, named_by: str, name: str) -> Statement:
    """Return the SELECT of the person of the last event that has this address, id or visitor: no row, or one.

    The events that had an address may have been deleted because of their age, and others of the person be left.
    """
    parameters = Parameters(source)
    column = "person" if named_by == "Email" else _COLUMNS[named_by]
    named = f"{column} = {_express_name(named_by, parameters.add(name))}"
    select = f"select person from {LISTED} where {named} order by occurred_at desc, seq desc limit 1"
    return Statement(join_relations([(LISTED, source.events)], select), parameters.values)


def _express_name(named_by: str, given: str) -> str:
    """Return the SQL of a given address, id or visitor in the type of its column."""
    return f"try_cast({given} as uuid)" if named_by == "UUID" else given


def compile_timeline(scope: QuestionScope[Any], question: TimelineQuestion, person: str, cursor: Cursor | None) -> Statement:
    """Return the SELECT of a page of one person's events, the latest first, and one more where there is another page.

    Each row begins with what is known of the person: ids, visitors, when the person was seen, and of how many events. If the page
    has no events, the rest of its one row is null. There is no row if no event is the person's.
    """
    parameters = Parameters(scope.source)
    relations = build_events(scope, parameters, sessions=True, orders=False, session_ids=True)
    relations.append(("named", _express_persons(scope.source, parameters.add([person]))))
    relations.append(("identity", IDENTITIES))
    relations.append(("profile", f"select {SEEN} from {SHOWN} where person_key in (select person_key from named)"))
    conditions = [
        "person_key in (select person_key from named)",
        "is_shown",
        express_all(scope.question.filters, parameters),
    ]
    if cursor is not None:
        at, seq = parameters.add(cursor.key), parameters.add(cursor.tie)
        conditions.append(f"(epoch_us(occurred_at) < {at} or (epoch_us(occurred_at) = {at} and seq < {seq}))")
    columns = (
        "event_id::varchar, event, epoch_us(occurred_at) as occurred_us, epoch_us(received_at), visitor::varchar, properties,"
        " session_id::varchar, seq"
    )
    order = f"order by occurred_at desc, seq desc limit {parameters.add(question.limit + 1)}"
    relations.append(("page", f"select {columns} from {ENRICHED} where {' and '.join(conditions)} {order}"))
    every = f"identity.* exclude (name), {_SEEN}, page.*"
    select = f"select {every} from identity, profile left join page on true order by occurred_us desc, seq desc"
    return Statement(join_relations(relations, select, read_once=(LISTED, "named")), parameters.values)
