"""Answer website_events.funnel: how many came through ordered steps, without joining events with events.

Each event carries the times of the steps that follow it. From the last step to the first, a window function hands the next
event of step k, with the times that it carries itself, to every event before it. So an event of the first step has the earliest
next step, and from there the earliest one after that: the most steps that this attempt can reach.
"""

from __future__ import annotations

from typing import Any

import msgspec

from falcon_events.model.reports import QueryAnswer
from falcon_events.query import names
from falcon_events.query.codes import LIMITS
from falcon_events.query.deletion import list_deletion_warnings
from falcon_events.query.expressions import CTE, PLACE, PLACES, Parameters, express_all, express_dimension
from falcon_events.query.question import FunnelQuestion, StepOfFunnel, render_question
from falcon_events.query.ranges import Period
from falcon_events.query.relations import ENRICHED, QuestionScope, build_events, express_kind, express_period
from falcon_events.query.source import Extent
from falcon_events.query.statements import QuestionRefused, Run, Statement, choose_people, join_relations, list_warnings

_UNITS = {
    "people": ("person_key as unit", "unit"),
    "visitors": ("visitor_key as unit", "unit"),
    "sessions": ("visitor_key as unit, session_number as part", "unit, part"),
}
"""The columns of what a funnel counts, and how its events are kept apart by them."""
_LATER = "order by occurred_at, seq rows between 1 following and unbounded following"
_NEXT = {
    "sequential": f"first_value({{value}} ignore nulls) over (partition by {{unit}} {_LATER})",
    "strict": "lead({value}) over (partition by {unit} order by occurred_at, seq)",
}
"""The value that an event gets from those after it: from the next one that has one, or from the very next one."""
_PROMISING = """
select {unit} from looked group by {unit}
having max(moment) filter (where is_2) >= min(moment) filter (where is_1 and moment < {until})
"""
"""Those who may reach the second step. Most others have one step only, which needs no window function."""
_BEST = f"""
select {{unit}}, arg_max({{kept}}, ({{reached}}) * {PLACES} - place) as best,
    max(moment) + {{window}} >= {{now}} as is_open
from attempts group by {{unit}}
"""
"""The attempt with the most steps, of equal ones the earliest. It has one row for each of those who enter."""


class _Counts(msgspec.Struct):
    """The number of those who reached each step, the median seconds from the step before, and how many may still go further."""

    people: list[int]
    seconds: list[float | None]
    partial: int


def answer_funnel(scope: QuestionScope[FunnelQuestion], extent: Extent, run: Run) -> QueryAnswer:
    """Answer a question of website_events.funnel.

    Args:
        scope: the question.
        extent: what the list has.
        run: runs a statement and returns its rows.
    """
    question = scope.question
    period = scope.resolve(question.date_range)
    compared = scope.resolve_comparison(question.compare, period)
    whole, groups = _count(scope, period, run)
    if len(groups) > names.MAX_ROWS:
        text = f"Breakdown: {question.breakdown} has more than {names.MAX_ROWS} values, which is the limit of rows."
        raise QuestionRefused(LIMITS, text)
    other, other_groups = _count(scope, compared, run, list(groups)) if compared is not None else (None, {})
    none = _Counts([0] * len(question.steps), [None] * len(question.steps), 0)
    answer: dict[str, Any] = {"Steps": _render(question, whole, other)}
    if question.breakdown is not None:
        answer["Breakdown"] = [
            {"Value": value, "Steps": _render(question, counts, other_groups.get(value, none) if other is not None else None)}
            for value, counts in groups.items()
        ]
    answer["Meta"] = {"AsOf": extent.as_of, "Partial": whole.partial}
    if other is not None:
        answer["Meta"]["ComparedPartial"] = other.partial
    ranges = [period] if compared is None else [period, compared]
    answer["Meta"]["Warnings"] = [
        *list_warnings(scope, _extend(question, period), run),
        *list_deletion_warnings(question, ranges, scope.deletion),
    ]
    answer["Query"] = render_question(scope.resolve_question(period, compared))
    return QueryAnswer(body=msgspec.json.encode(answer))


def _extend(question: FunnelQuestion, period: Period) -> Period:
    """Return when the events happened that are looked at: in the range, and up to the window after it, its end included."""
    return Period(period.since, period.until + question.window_us + 1)


def _render(question: FunnelQuestion, counts: _Counts, compared: _Counts | None) -> list[dict[str, Any]]:
    rendered = [{"Event": step.event, **one} for step, one in zip(question.steps, _list_steps(counts), strict=True)]
    if compared is not None:
        for one, other in zip(rendered, _list_steps(compared), strict=True):
            one["Compared"] = other
    return rendered


def _list_steps(counts: _Counts) -> list[dict[str, Any]]:
    first = counts.people[0]
    return [
        {
            "People": people,
            "OfFirst": people / first if first else None,
            "OfPrevious": people / counts.people[number - 1] if number and counts.people[number - 1] else None,
            "MedianSeconds": counts.seconds[number],
        }
        for number, people in enumerate(counts.people)
    ]


def _count(
    scope: QuestionScope[FunnelQuestion], period: Period, run: Run, values: list[str | None] | None = None
) -> tuple[_Counts, dict[str | None, _Counts]]:
    """Count those who enter in a range: all of them, and by the value of the breakdown, in order. `values`: only of these."""
    steps = len(scope.question.steps)
    whole, groups = _Counts([0] * steps, [None] * steps, 0), {}
    for is_whole, value, partial, *numbers in run(_compile(scope, period, values)):
        counts = _Counts(numbers[:steps], [None, *(_to_seconds(one) for one in numbers[steps:])], partial)
        if is_whole:
            whole = counts
        else:
            groups[value] = counts
    return whole, groups


def _to_seconds(microseconds: float | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6


def _compile(scope: QuestionScope[FunnelQuestion], period: Period, values: list[str | None] | None) -> Statement:
    """Return the SELECT of the counts: one row for all, and one for each value of the breakdown."""
    question, count = scope.question, len(scope.question.steps)
    parameters = Parameters(scope.source)
    relations = _build(scope, period, parameters)
    numbers = [f"count(t{number}) as n{number}" for number in range(1, count + 1)]
    numbers += [f"median(t{number} - t{number - 1})" for number in range(2, count + 1)]
    columns = f"count(*) filter (where partial) as partial, {', '.join(numbers)}"
    counted = f"select true as is_whole, null::varchar as value, {columns} from best"
    if question.breakdown is not None:
        kept = "true" if values is None else _express_among(values, parameters)
        counted += f" union all select false as is_whole, value, {columns} from best where {kept} group by value"
    limit = parameters.add(names.MAX_ROWS + 2)
    select = f"select * from ({counted}) order by is_whole desc, n1 desc, value asc nulls last limit {limit}"
    return Statement(join_relations(relations, select), parameters.values)


def compile_step_people(scope: QuestionScope[FunnelQuestion], period: Period, of: StepOfFunnel, parameters: Parameters) -> str:
    """Return the SELECT of the keys of the persons whom a step counts, for use within another statement."""
    relations = _build(scope, period, parameters)
    reached = f"t{of.step} is not null"
    if of.dropped:
        reached = f"t{of.step - 1} is not null and t{of.step} is null"
    among = "" if of.row is None else f" and {_express_among(of.row, parameters)}"
    return join_relations(relations, f"select unit from best where {reached}{among}")


def _build(scope: QuestionScope[FunnelQuestion], period: Period, parameters: Parameters) -> list[CTE]:
    """Return the relations up to `best`: for each of those who enter, the times of the steps of the attempt that counts."""
    question = scope.question
    relations = build_events(scope, parameters, sessions=question.by == "sessions", orders=False)
    count = len(question.steps)
    relations.append(("looked", _mark(scope, period, parameters, relations)))
    unit = _UNITS[question.by][1]
    window, until, now = (parameters.add(one) for one in (question.window_us, period.until, question.now_us))
    relations.append(("promising", _PROMISING.format(unit=unit, until=until)))
    some = " or ".join(f"is_{number}" for number in range(1, count + 1))
    served = f" where {some}" if question.order == "sequential" else ""
    relations.append(("carried", f"select * from looked semi join promising using ({unit}){served}"))
    _carry(question, relations)
    columns = f"{unit}, moment, place, {'value, ' if question.breakdown is not None else ''}moment as t1"
    times = [f"case when c2.t{number} - moment <= {window} then c2.t{number} end as t{number}" for number in range(2, count + 1)]
    none = [f"null::bigint as t{number}" for number in range(2, count + 1)]
    starts = f"where is_1 and moment < {until}"
    relations += [
        ("walked", f"select {', '.join([columns, *times])} from {relations[-1][0]} {starts}"),
        ("alone", f"select {', '.join([columns, *none])} from looked anti join promising using ({unit}) {starts}"),
    ]
    kept = ", ".join(f"'t{number}': t{number}" for number in range(1, count + 1))
    kept += ", 'value': value" if question.breakdown is not None else ""
    reached = " + ".join(f"(t{number} is not null)::integer" for number in range(1, count + 1))
    best = _BEST.format(kept=f"{{{kept}}}", reached=reached, unit=unit, window=window, now=now)
    relations += [
        ("attempts", "select * from walked union all select * from alone"),
        ("chosen_attempts", best),
        ("best", f"select {unit}, best.*, is_open and best.t{count} is null as partial from chosen_attempts"),
    ]
    return relations


def _express_among(values: list[str | None], parameters: Parameters) -> str:
    given = parameters.add([one for one in values if one is not None])
    return f"(value in (select unnest({given}::varchar[])){' or value is null' if None in values else ''})"


def _mark(scope: QuestionScope[FunnelQuestion], period: Period, parameters: Parameters, relations: list[CTE]) -> str:
    """Return the SELECT of the events that are looked at, each with the steps that it can serve."""
    question = scope.question
    steps = ", ".join(
        f"{express_kind(question, step, parameters)} as is_{number}" for number, step in enumerate(question.steps, 1)
    )
    value = "" if question.breakdown is None else f", {express_dimension(question.breakdown, parameters).text} as value"
    filters = express_all(question.filters, parameters)
    chosen = choose_people(scope, parameters, relations)
    within = express_period(_extend(question, period), parameters)
    columns = f"{_UNITS[question.by][0]}, occurred_at, seq, epoch_us(occurred_at) as moment, {PLACE} as place, {steps}{value}"
    return f"select {columns} from {ENRICHED} where is_shown and {within} and {filters}{chosen}"


def _carry(question: FunnelQuestion, relations: list[CTE]) -> None:
    """Add the relations that carry the times of later steps to the events before: c2 has those of steps 2, 3, ..."""
    count, unit = len(question.steps), _UNITS[question.by][1]
    for number in range(count, 1, -1):
        later = _list_later(number, count)
        value = f"case when is_{number} then {{'t{number}': moment{later}}} end"
        following = _NEXT[question.order].replace("{value}", value).replace("{unit}", unit)
        relations.append((f"carried_{number}", f"select *, {following} as c{number} from {relations[-1][0]}"))


def _list_later(number: int, count: int) -> str:
    return "".join(f", 't{later}': c{number + 1}.t{later}" for later in range(number + 1, count + 1))
