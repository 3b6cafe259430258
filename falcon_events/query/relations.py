"""Relations that questions build: events with their session, campaign, order and traits, and the persons who meet conditions.

Each function returns common table expressions, as pairs of a name and a SELECT.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

from falcon_events.query import names
from falcon_events.query.expressions import (
    CTE,
    PLACE,
    DimensionSQL,
    Parameters,
    express_all,
    express_comparison,
    express_dimension,
    express_shown,
    express_tree,
)
from falcon_events.query.question import (
    AllConditions,
    AnyQuestion,
    Condition,
    DoneCondition,
    EventKind,
    ValueCondition,
    replace_leaves,
    walk,
)
from falcon_events.query.ranges import Period, parse_day, parse_moment, resolve_comparison, resolve_range
from falcon_events.query.sessions import define_sessions, define_whole_sessions
from falcon_events.query.source import Deletion, Source

Q = TypeVar("Q", bound=AnyQuestion)
LISTED, SHOWN, ENRICHED, MEMBERS, CHOSEN = "listed", "shown", "enriched", "members", "chosen"
"""Names of the relations: all events of the list; those not left out, where `is_shown`; these with further columns; all persons,
with what the conditions need; the persons who meet the conditions."""
EVER_SHOWN = "ever_shown"
"""The relation SHOWN of all times, where a range limits that one."""
CAMPAIGN_DAYS = 30
GAPS_BEYOND = 24
"""How many gaps before and after a range the events are looked at, all of which are needed where a session lasts as long."""
SEEN = """min(occurred_at) filter (where is_shown) as first_seen, max(occurred_at) filter (where is_shown) as last_seen,
    count(*) filter (where is_shown) as shown_events"""
"""The columns of a person, where events are grouped by person."""

ORDERS = f"""
select *, conversion_id is not null and seq in (
        select arg_min(seq, {PLACE}) from {{every}} where conversion_id is not null{{among}} group by {{scope}}conversion_id
    ){{counted}} as is_order
from {{before}}
"""
AMONG_ORDERS = f" and conversion_id in (select conversion_id from {SHOWN} where conversion_id is not null)"
NOT_COUNTED = " and md5(conversion_id) not in (select digest from ({orders}))"
TOUCHES = """
select *, last_value(case when event = 'pageView' and utm_campaign is not null
        then {'value': utm_campaign, 'at': occurred_at} end ignore nulls) over so_far as campaign_touch,
    last_value(case when event = 'pageView' and utm_source is not null
        then {'value': utm_source, 'at': occurred_at} end ignore nulls) over so_far as source_touch
from {before}
window so_far as (partition by {scope}person_key order by occurred_at, seq rows unbounded preceding)
"""
CAMPAIGNS = f"""
select *, case when campaign_touch.at >= occurred_at - to_days({CAMPAIGN_DAYS}) then campaign_touch.value end as campaign,
    case when source_touch.at >= occurred_at - to_days({CAMPAIGN_DAYS}) then source_touch.value end as source
from {{before}}
"""
TRAITS = """
select before.*, bound.traits as traits
from {before} as before left join ({traits}) as bound on bound.visitor = before.visitor and bound.person = before.person
"""


class QuestionScope(msgspec.Struct, Generic[Q], frozen=True):
    """The question, and what all of its relations share.

    `session_gap_us` is the time without an event that ends a session, in microseconds. `extent` is when the list's first and last
    events happened, None if it has none. `deletion` is which events were deleted because of their age, None if none were.
    """

    question: Q
    source: Source
    session_gap_us: int
    extent: tuple[int, int] | None
    deletion: Deletion | None = None

    def resolve(self, given: str | list[str]) -> Period:
        """Resolve a range of the question."""
        return resolve_range(given, self.question.zone, self.question.week_start, self.question.now_us, self.extent)

    def resolve_comparison(self, given: str | list[str] | None, period: Period) -> Period | None:
        """Resolve the range to compare a range with."""
        question = self.question
        if given is None:
            return None
        return resolve_comparison(given, period, question.zone, question.week_start, question.now_us, self.extent)

    def resolve_question(self, period: Period, compared: Period | None = None) -> Q:
        """Return the question with every relative range resolved.

        Args:
            period: its range.
            compared: the range to compare with; None: there is none.
        """
        people = [replace_leaves(one, self._resolve_condition) for one in self.question.people]
        resolved: dict[str, Any] = {"date_range": period.render(), "people": people}
        if compared is not None:
            resolved["compare"] = compared.render()
        return msgspec.structs.replace(self.question, **resolved)

    def _resolve_condition(self, condition: Condition) -> Condition:
        if isinstance(condition, DoneCondition) and condition.within is not None:
            return msgspec.structs.replace(condition, within=self.resolve(condition.within).render())
        return condition


def build_events(
    scope: QuestionScope[Any],
    parameters: Parameters,
    *,
    sessions: bool,
    orders: bool,
    session_ids: bool = False,
    period: Period | None = None,
    counted: str = "",
) -> list[CTE]:
    """Return the relations of the list's events up to ENRICHED.

    Args:
        scope: the question.
        parameters: receives the statement's parameters.
        sessions: whether `session_number`, `session_events` and `session_seconds` are needed anyway.
        orders: whether `is_order` is needed: whether the event is the first one of its order.
        session_ids: whether `session_id` is needed: the id of the session's first event.
        period: the range that the statement is about, beside what conditions on persons are about; None: any.
        counted: the SQL of which events count. The relations end with KNOWN_SESSIONS then, without the events; the question has
            no conditions on persons, and no dimensions of sessions, campaigns or traits. Empty: the events are needed.
    """
    used = scope.question.list_dimensions()
    steps: list[str] = []
    if orders:
        not_counted = NOT_COUNTED.format(orders=scope.source.orders) if scope.source.orders else ""
        steps.append(ORDERS.replace("{counted}", not_counted))
    of_sessions = sessions or session_ids or bool(used & set(names.SESSION_DIMENSIONS))
    of_campaigns = bool(used & set(names.CAMPAIGN_DIMENSIONS))
    if of_campaigns:
        steps += [TOUCHES, CAMPAIGNS]
    if any(name.startswith("trait:") for name in used):
        steps.append(TRAITS.replace("{traits}", scope.source.traits))
    shown = express_all_shown(scope.question)
    asked = [express_shown(one.filters, one.event) for one in walk(scope.question.people) if isinstance(one, DoneCondition)]
    kept = list(dict.fromkeys([*shown, *asked]))
    apart = "" if kept == shown else "is_shown, "
    is_shown, among = f"({' or '.join(shown)}) as is_shown", f"({' or '.join(kept)})"
    relations = [(LISTED, scope.source.events), (SHOWN, f"select *, {is_shown} from {LISTED} where {among}")]
    every, among_orders = SHOWN, ""
    if period is not None and not scope.question.people and (orders or of_sessions or of_campaigns):
        limited = _limit_events(scope, period, parameters, sessions=of_sessions, campaigns=of_campaigns)
        parts = [f"select *, {is_shown} from {LISTED} where {among} and {one}" for one in limited]
        every, among_orders = EVER_SHOWN, AMONG_ORDERS
        relations = [relations[0], (SHOWN, " union all ".join(parts))]
        if orders:
            earlier = (
                f"occurred_at < make_timestamp({parameters.add(period.until)})"  # an order's first event is before its others
            )
            relations.insert(1, (EVER_SHOWN, f"select * from ({scope.source.unowned}) where {among} and {earlier}"))
    if counted:
        return relations + define_whole_sessions(relations[-1][0], parameters.add(scope.session_gap_us), counted)
    if of_sessions:
        columns = [*(used & set(names.SESSION_DIMENSIONS)), *(["session_id"] if session_ids else [])]
        relations += define_sessions(relations[-1][0], parameters.add(scope.session_gap_us), apart, sorted(columns))
    for number, step in enumerate(steps):
        body = (
            step.replace("{before}", relations[-1][0])
            .replace("{scope}", apart)
            .replace("{every}", every)
            .replace("{among}", among_orders)
        )
        relations.append((f"step_{number}", body))
    return [*relations, (ENRICHED, f"select * from {relations[-1][0]}")]


def _limit_events(
    scope: QuestionScope[Any], period: Period, parameters: Parameters, *, sessions: bool, campaigns: bool
) -> list[str]:
    """Return the conditions on the events that decide about those of a range, so that a window function sees no others.

    Those are the events of the range, what may have brought somebody there before, and the rest of sessions that reach over an
    end of it: nearly always this is within some hours. A session that reaches further has, in these hours, an event within
    the gap after their beginning, one within the gap before their end, and as many in all as there are gaps in them. Each event
    meets one condition at most.
    """
    before_us = CAMPAIGN_DAYS * 86_400_000_000 if campaigns else 0
    if not sessions:
        return [express_period(msgspec.structs.replace(period, since=period.since - before_us), parameters)]
    gap_us, beyond_us = scope.session_gap_us, GAPS_BEYOND * scope.session_gap_us
    since, until = period.since - max(before_us, beyond_us), period.until + beyond_us
    during = express_period(Period(since, until), parameters)
    visitors = []
    for first, last in ((period.since - beyond_us, period.since), (period.until, until)):
        hours, begins, ends = (
            express_period(Period(*one), parameters) for one in ((first, last), (first, first + gap_us), (last - gap_us, last))
        )
        reach = f"count(*) >= {GAPS_BEYOND} and bool_or({begins}) and bool_or({ends})"
        visitors.append(f"select visitor_key from ({scope.source.unowned}) where {hours} group by visitor_key having {reach}")
    # As the elements of a list they are expected to be few, so that each event is looked for among them, and not the reverse.
    few = f"select unnest(list(visitor_key)) from ({' union all '.join(visitors)})"
    return [during, f"not {during} and visitor_key in ({few})"]


def build_persons(scope: QuestionScope[Any], parameters: Parameters, conditions: Sequence[Condition]) -> list[CTE]:
    """Return the relations MEMBERS and CHOSEN: the list's persons, and those who meet all of the conditions.

    They need ENRICHED. Both have `person_key`, `first_seen`, `last_seen` and `shown_events`. A has_done condition may count
    events that are left out elsewhere. Persons who have no others are among them, and were never seen.
    """
    members = _Members(scope, parameters)
    chosen = members.express(AllConditions(list(conditions)))
    columns = "".join(f",\n    {expression} as {name}" for expression, name in members.columns)
    aggregated = f"select person_key, {SEEN}{columns}\nfrom {ENRICHED} group by person_key"
    if any(isinstance(one, ValueCondition) and one.dimension == "email" for one in walk(conditions)):
        aggregated = f"select * from ({aggregated}) join ({scope.source.persons}) using (person_key)"
    return [(MEMBERS, aggregated), (CHOSEN, f"select * from {MEMBERS} where {chosen}")]


class _Members:
    """Translates conditions on persons, and collects the aggregates of their events that these need."""

    def __init__(self, scope: QuestionScope[Any], parameters: Parameters) -> None:
        self._scope = scope
        self._parameters = parameters
        self.columns: list[tuple[str, str]] = []
        """The SQL of each aggregate, and its name."""

    def express(self, condition: Condition) -> str:
        """Return the SQL of a condition on a row of MEMBERS, which is true or false, never null."""
        return express_tree(condition, self._express_leaf)

    def _express_leaf(self, condition: Condition) -> str:
        match condition:
            case DoneCondition():
                return self._express_done(condition)
            case ValueCondition():
                return self._express_value(condition)
        raise TypeError(condition)

    def _add(self, expression: str) -> str:
        name = f"a{len(self.columns)}"
        self.columns.append((expression, name))
        return name

    def _express_done(self, done: DoneCondition) -> str:
        column = self._add(f"count(*) filter (where {express_done(self._scope, done, self._parameters)})")
        met = f"({column} {names.COUNT_OPERATORS[done.operator]} {self._parameters.add(done.count)})"
        return f"(not {met})" if done.negative else met

    def _express_value(self, condition: ValueCondition) -> str:
        if condition.dimension in names.TIMES_OF_PERSONS:
            return self._express_time(condition)
        if condition.dimension == "email":
            lowered = [one.lower() if isinstance(one, str) else one for one in condition.values]
            return express_comparison(
                msgspec.structs.replace(condition, values=lowered), DimensionSQL("address"), self._parameters
            )
        value = express_dimension(condition.dimension, self._parameters)
        last = "last({} order by occurred_at, seq) filter (where is_shown and {} is not null)"
        kept = msgspec.structs.replace(value, text=self._add(last.format(value.text, value.text)))
        if value.json is not None:
            kept = msgspec.structs.replace(kept, json=self._add(last.format(value.json, value.text)), nested=None)
        return express_comparison(condition, kept, self._parameters)

    def _express_time(self, condition: ValueCondition) -> str:
        """Express a condition on when a person was seen. A day stands for its whole length, in the question's time zone."""
        zone = self._scope.question.zone

        def limits(value: Any) -> tuple[int, int]:
            day = parse_day(value)
            if day is None:
                at = parse_moment(value) or 0
                return at, at + 1
            period = resolve_range([value, value], zone, "monday", 0, None)
            return period.since, period.until

        def moment(value: int) -> str:
            return f"make_timestamp({self._parameters.add(value)})"

        column = condition.dimension
        if condition.operator == "between":
            (low, _), (_, high) = limits(condition.values[0]), limits(condition.values[1])
            return f"coalesce({column} >= {moment(low)} and {column} < {moment(high)}, false)"
        parts = []
        for value in condition.values:
            first, following = limits(value)
            sign, limit = {">": (">=", following), ">=": (">=", first), "<": ("<", first), "<=": ("<", following)}[
                condition.operator
            ]
            parts.append(f"{column} {sign} {moment(limit)}")
        return f"coalesce({' or '.join(parts)}, false)"


def express_done(scope: QuestionScope[Any], done: DoneCondition, parameters: Parameters) -> str:
    """Return the SQL that an event counts for a condition."""
    counted = [express_shown(done.filters, done.event), *_express_event(done.event, done.filters, parameters)]
    if done.within is not None:
        within = express_period(scope.resolve(done.within), parameters)
        counted.append(f"(not {within})" if done.outside else within)
    return " and ".join(counted)


def express_all_shown(question: AnyQuestion) -> list[str]:
    """Return the alternatives of not being left out: an event that one kind asks for counts for the whole question."""
    kinds = [express_shown([*question.filters, *kind.filters], kind.event) for kind in question.kinds]
    return list(dict.fromkeys([express_shown(question.filters), *kinds]))


def express_kind(question: AnyQuestion, kind: EventKind, parameters: Parameters) -> str:
    """Return the SQL that an event is of a kind. The question's own filters are not in it."""
    shown = express_shown([*question.filters, *kind.filters], kind.event)
    return f"({' and '.join([shown, *_express_event(kind.event, kind.filters, parameters)])})"


def _express_event(event: str | None, filters: Sequence[Condition], parameters: Parameters) -> list[str]:
    """Return the SQL of the conditions that an event is of a type and meets filters."""
    return [express_all(filters, parameters), *([] if event is None else [f"event = {parameters.add(event)}"])]


def express_period(period: Period, parameters: Parameters) -> str:
    """Return the SQL that an event happened in a range."""
    since, until = parameters.add(period.since), parameters.add(period.until)
    return f"(occurred_at >= make_timestamp({since}) and occurred_at < make_timestamp({until}))"
