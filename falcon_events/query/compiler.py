"""Compile a question to SQL: the rows, the totals, and what to compare them with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from falcon_events.model.answers import is_count
from falcon_events.query.buckets import Bucket
from falcon_events.query.deletion import DISTINCT, METRICS, counts_once, has_totals, uses_types
from falcon_events.query.expressions import IS_SCALAR, Parameters, express_all, express_dimension, express_number
from falcon_events.query.names import CAMPAIGN_DIMENSIONS, SESSION_DIMENSIONS
from falcon_events.query.question import Metric, Question
from falcon_events.query.ranges import Period
from falcon_events.query.relations import ENRICHED, QuestionScope, build_events, express_period
from falcon_events.query.sessions import KNOWN_SESSIONS
from falcon_events.query.starts import join_starts
from falcon_events.query.statements import Run, Statement, choose_people, join_relations

_OF_SESSIONS = frozenset({"sessions", "bounce_rate", "session_seconds", "views_per_session"})
_OF_ORDERS = frozenset({"conversions", "revenue"})
_VIEWS = "count(*) filter (where event = 'pageView')"
_SESSIONS = "count(*) filter (where leads)"
_SHRINK, _GROW = "2.3283064365386963e-10", "4294967296e0"
"""A power of two and its inverse: a sum of shrunken numbers stays within a double on the way where its result does."""
_METRICS = {
    "events": "count(*)",
    "visitors": "count(distinct visitor_key)",
    "people": "count(distinct person_key)",
    "sessions": _SESSIONS,
    "conversions": "count(*) filter (where is_order)",
    "revenue": f"fsum(conversion_value * {_SHRINK}) filter (where is_order) * {_GROW}",
    "views": _VIEWS,
    "bounce_rate": f"count(*) filter (where leads and session_events = 1) / nullif({_SESSIONS}, 0)",
    "session_seconds": "avg(session_seconds) filter (where leads)",
    "views_per_session": f"{_VIEWS} / nullif({_SESSIONS}, 0)",
}
"""The SQL of each metric. `leads` marks one event of each session in each row."""
_OF_WHOLE_SESSIONS = {
    "sessions": "count(*)",
    "bounce_rate": "count(*) filter (where session_events = 1) / nullif(count(*), 0)",
    "session_seconds": "avg(session_seconds)",
}
"""The SQL of metrics that need nothing but the sessions, from one row for each."""
_AGGREGATES = {
    "sum": f"fsum({{}} * {_SHRINK}) * {_GROW}",
    "avg": f"favg({{}} * {_SHRINK}) * {_GROW}",
    "min": "min({})",
    "max": "max({})",
    "median": "quantile_cont({}, 0.5)",
    "p95": "quantile_cont({}, 0.95)",
    "distinct": "count(distinct {})",
}


class RowsPage(msgspec.Struct, frozen=True):
    """A page of rows, the number of rows on all pages, and how many values of each computed dimension are no numbers."""

    rows: list[tuple[Any, ...]]
    total: int
    no_numbers: tuple[int, ...]


def read_rows(
    scope: QuestionScope[Question], period: Period, buckets: Sequence[Bucket], computed: Sequence[str], run: Run
) -> RowsPage:
    """Read a page of rows: its dimensions (a time dimension as the bucket's number), then its metrics.

    What is counted over all pages comes from the same statement, because most of its time is taken by grouping the events.
    """
    question = scope.question
    if not question.dimensions and not computed and question.offset == 0:
        return RowsPage([read_totals(scope, period, run)], 1, ())
    compiler = _Compiler(scope, period, buckets, question.dimensions, computed=computed)
    order = ", ".join(compiler.list_order())
    ordered = f" order by {order}" if order else ""
    limit, offset = compiler.parameters.add(question.limit), compiler.parameters.add(question.offset)
    page = f"{compiler.columns} from filled{ordered} limit {limit} offset {offset}"
    if not computed and "total_rows" not in question.include:
        rows = run(compiler.finish(f"select {page}"))
        return RowsPage(rows, len(rows), ())
    compiler.add("page", f"select true as is_there, {page}")
    counts = ", ".join(["count(*) as total", *(f"coalesce(sum({name}), 0)::bigint as {name}" for name in compiler.no_numbers)])
    compiler.add("whole", f"select {counts} from filled")
    counted = ", ".join(["total", *compiler.no_numbers])
    found = run(compiler.finish(f"select is_there, {counted}, {compiler.columns} from whole left join page on true{ordered}"))
    first = 2 + len(computed)
    return RowsPage([row[first:] for row in found if row[0]], found[0][1], found[0][2:first])


def read_totals(scope: QuestionScope[Question], period: Period, run: Run) -> tuple[Any, ...]:
    """Read the metrics without dimensions.

    Those of sessions have a statement of their own, which joins them to no events; so have those of orders, which reads
    conversions only.
    """
    question = scope.question
    named = [metric for metric in question.metrics if isinstance(metric, str)]
    if question.people or any(_needs_relations(name) for name in question.list_dimensions()):
        named = []
    of_sessions = [metric for metric in named if metric in _OF_WHOLE_SESSIONS]
    deletion = None if of_sessions else scope.deletion  # there are no totals of sessions, and so none of the question
    of_orders = [metric for metric in named if metric in _OF_ORDERS and deletion is None]
    found: dict[str, Any] = {}
    if of_sessions:
        found |= zip(of_sessions, run(_compile_sessions(scope, period, of_sessions))[0], strict=True)
    if of_orders:
        found |= zip(of_orders, run(_compile_orders(scope, period, of_orders))[0], strict=True)
    if others := [metric for metric in question.metrics if str(metric) not in found]:
        asked = msgspec.structs.replace(question, metrics=others)
        compiler = _Compiler(msgspec.structs.replace(scope, question=asked, deletion=deletion), period, (), [])
        (row,) = run(compiler.finish(f"select {compiler.columns} from filled"))
        found |= zip(map(str, others), row, strict=True)
    return tuple(found[str(metric)] for metric in question.metrics)


def _needs_relations(dimension: str) -> bool:
    """Return whether a dimension is one of a session, a campaign or a trait."""
    return dimension in (*SESSION_DIMENSIONS, *CAMPAIGN_DIMENSIONS) or dimension.startswith("trait:")


def _compile_sessions(scope: QuestionScope[Question], period: Period, metrics: Sequence[str]) -> Statement:
    """Return the SELECT of metrics of the sessions that have an event which counts: one row."""
    parameters = Parameters(scope.source)
    counted = _express_counted(scope, period, parameters)
    relations = build_events(scope, parameters, sessions=True, orders=False, period=period, counted=counted)
    columns = ", ".join(_OF_WHOLE_SESSIONS[metric] for metric in metrics)
    return Statement(join_relations(relations, f"select {columns} from {KNOWN_SESSIONS} where is_counted"), parameters.values)


def _compile_orders(scope: QuestionScope[Question], period: Period, metrics: Sequence[str]) -> Statement:
    """Return the SELECT of metrics of the orders: one row."""
    parameters = Parameters(scope.source)
    relations = build_events(scope, parameters, sessions=False, orders=True, period=period)
    counted = _express_counted(scope, period, parameters)
    columns = ", ".join(_METRICS[metric] for metric in metrics)
    select = f"select {columns} from {ENRICHED} where conversion_id is not null and {counted}"
    return Statement(join_relations(relations, select), parameters.values)


def _express_counted(scope: QuestionScope[Question], period: Period, parameters: Parameters) -> str:
    """Return the SQL that an event counts: it is not left out, happened in the range, and meets the filters."""
    return f"is_shown and {express_period(period, parameters)} and {express_all(scope.question.filters, parameters)}"


def compile_comparison(
    scope: QuestionScope[Question], period: Period, buckets: Sequence[Bucket], keys: Sequence[Sequence[Any]]
) -> Statement:
    """Return the SELECT of the metrics of the rows that have these dimensions, in their order, in another range.

    A row without events has the metrics of nothing.
    """
    compiler = _Compiler(scope, period, buckets, scope.question.dimensions)
    lists = []
    for number, name in enumerate(scope.question.dimensions):
        kind = "bigint" if name.startswith("time:") else "varchar"
        lists.append(f"unnest({compiler.parameters.add([key[number] for key in keys])}::{kind}[]) as k{number}")
    lists.append(f"unnest({compiler.parameters.add(list(range(len(keys))))}::bigint[]) as place")
    joined = " and ".join(f"d{number} is not distinct from k{number}" for number in range(len(scope.question.dimensions)))
    metrics = ", ".join(compiler.list_filled_metrics())
    compiler.add("page", f"select {', '.join(lists)}")
    return compiler.finish(f"select {metrics} from page left join grouped on {joined or 'true'} order by place")


def compile_row_people(
    scope: QuestionScope[Question],
    period: Period,
    buckets: Sequence[Bucket],
    key: Sequence[str | int | None],
    parameters: Parameters,
) -> str:
    """Return the SELECT of the keys of the persons whom the row with these dimensions counts, for another statement."""
    compiler = _Compiler(scope, period, buckets, scope.question.dimensions, parameters)
    row = [f"d{number} is not distinct from {parameters.add(value)}" for number, value in enumerate(key)]
    return compiler.finish(f"select person_key from matched where {' and '.join(row) or 'true'}").sql


def compile_values(scope: QuestionScope[Question], period: Period, prefix: str, limit: int) -> Statement:
    """Return the SELECT of the values of the question's dimension, each with its events, the most frequent first.

    A list counts for each of its scalars.
    """
    parameters = Parameters(scope.source)
    relations = build_events(scope, parameters, sessions=False, orders=False)
    value = express_dimension(scope.question.dimensions[0], parameters)
    values = f"[{value.text}]"
    if value.json is not None:
        scalars = f"list_filter(json_extract({value.json}, '$[*]'), lambda element: {IS_SCALAR})"
        texts = f"list_distinct(list_transform({scalars}, lambda element: json_extract_string(element, '$')))"
        values = f"case json_type({value.json}) when 'ARRAY' then {texts} when 'OBJECT' then [] else {values} end"
    chosen = choose_people(scope, parameters, relations)
    where = f"{_express_counted(scope, period, parameters)}{chosen}"
    relations.append(("counted", f"select unnest({values}) as value from {ENRICHED} where {where}"))
    begins = f"starts_with(lower(value), lower({parameters.add(prefix)}))"
    order = f"order by events desc, value limit {parameters.add(limit)}"
    select = f"select value, count(*) as events from counted where value is not null and {begins} group by value {order}"
    return Statement(join_relations(relations, select), parameters.values)


class _Compiler:
    """Builds the relation `grouped`, one row for each combination of dimensions, and `filled`, with the buckets without events.

    Both have the dimensions as d0, d1, d2 and the metrics as m0, m1, ...
    """

    def __init__(
        self,
        scope: QuestionScope[Question],
        period: Period,
        buckets: Sequence[Bucket],
        dimensions: list[str],
        parameters: Parameters | None = None,
        computed: Sequence[str] = (),
    ) -> None:
        self._scope = scope
        self._computed = computed
        self.no_numbers = [f"n{number}" for number in range(len(computed))]
        """The column for each of the computed dimensions: how many of the row's values are no numbers."""
        self._dimensions = dimensions
        self._period = period
        self._metrics: list[Metric] = scope.question.metrics
        self._joined = ""
        self._read_once: tuple[str, ...] = ()
        self._has_totals = parameters is None and has_totals(scope.question, period, scope.deletion)
        self.parameters = parameters or Parameters(scope.source)
        used = {metric for metric in self._metrics if isinstance(metric, str)}
        sessions = bool(used & _OF_SESSIONS)
        orders = bool(used & _OF_ORDERS)
        self._relations = build_events(scope, self.parameters, sessions=sessions, orders=orders, period=period)
        self._match(period, buckets, sessions=sessions)
        if self._has_totals:
            self._group_with_totals()
        else:
            self.add("grouped", self._aggregate(self._relations[-1][0], _METRICS))
        self._fill(buckets)

    @property
    def columns(self) -> str:
        """The columns of a row."""
        return ", ".join([*(f"d{number}" for number in range(len(self._dimensions))), *self._name_metrics()])

    def add(self, name: str, body: str) -> None:
        """Add a relation."""
        self._relations.append((name, body))

    def finish(self, select: str) -> Statement:
        """Return the statement that ends with a SELECT."""
        return Statement(join_relations(self._relations, select, self._read_once), self.parameters.values)

    def list_filled_metrics(self) -> list[str]:
        """Return the SQL of each metric of a row that may be missing in `grouped`."""
        return [
            f"coalesce({name}, 0) as {name}" if is_count(metric) else name
            for name, metric in zip(self._name_metrics(), self._metrics, strict=True)
        ]

    def list_order(self) -> list[str]:
        """Return the SQL of the order of rows."""
        terms = []
        for key, direction in self._scope.question.order:
            is_metric = key in self._metrics
            name = f"m{self._metrics.index(key)}" if is_metric else f"d{self._dimensions.index(key)}"  # type: ignore[arg-type]
            terms.append(f"{name} {direction} nulls last")
        return [*terms, *(f"d{number} asc nulls last" for number in range(len(self._dimensions)))]

    def _name_metrics(self) -> list[str]:
        return [f"m{number}" for number in range(len(self._metrics))]

    def _match(self, period: Period, buckets: Sequence[Bucket], *, sessions: bool) -> None:
        """Add `matched`: the events that count, with their dimensions and the values that metrics aggregate."""
        columns = []
        for number, name in enumerate(self._dimensions):
            if name.startswith("time:"):
                columns.append(f"buckets.number as d{number}")
                intervals = [(bucket.since, bucket.until) for bucket in buckets]
                relation, join = join_starts("buckets", intervals, "epoch_us(occurred_at)", self.parameters)
                self._relations.append(relation)
                self._joined = f" {join}"
            else:
                columns.append(f"{express_dimension(name, self.parameters).text} as d{number}")
        for number, metric in enumerate(self._metrics):
            if isinstance(metric, list):
                text = express_dimension(metric[1], self.parameters).text
                columns.append(f"{text if metric[0] == 'distinct' else express_number(text)} as v{number}")
        for name, dimension in zip(self.no_numbers, self._computed, strict=True):
            text = express_dimension(dimension, self.parameters).text
            columns.append(f"{text} is not null and {express_number(text)} is null as {name}")
        chosen = choose_people(self._scope, self.parameters, self._relations)
        where = f"{_express_counted(self._scope, period, self.parameters)}{chosen}"
        self.add("met", f"select * from {ENRICHED} where {where}")
        self.add("matched", f"select {', '.join(['met.*', *columns])} from met{self._joined}")
        if sessions:
            row = "".join(f"d{number}, " for number in range(len(self._dimensions)))
            first = f"select min(seq) from matched group by {row}session_number"
            self._read_once = ("matched",)
            self.add("led", f"select *, seq in ({first}) as leads from matched")

    def _aggregate(self, relation: str, metrics: dict[str, str]) -> str:
        """Return the SELECT of the metrics of a relation by the dimensions."""
        expressions = []
        for number, metric in enumerate(self._metrics):
            sql = metrics[metric] if isinstance(metric, str) else _AGGREGATES[metric[0]].format(f"v{number}")
            expressions.append(f"{sql} as m{number}")
        expressions += [f"count(*) filter (where {name}) as {name}" for name in self.no_numbers]
        row = [f"d{number}" for number in range(len(self._dimensions))]
        grouped = f" group by {', '.join(row)}" if row else ""
        return f"select {', '.join([*row, *expressions])} from {relation}{grouped}"

    def _group_with_totals(self) -> None:
        """Add `grouped`: the events together with the totals of days whose events were deleted."""
        source, question = self._scope.source, self._scope.question
        last = self._relations[-1][0]
        distinct = [metric for metric in self._metrics if isinstance(metric, str) and metric in DISTINCT]
        unknown = [] if counts_once(question, self._dimensions, self._period) else distinct
        by_type = uses_types(question, self._dimensions)
        columns = [
            f"buckets.number as d{number}" if name.startswith("time:") else f"event as d{number}"
            for number, name in enumerate(self._dimensions)
        ]
        kept = self._select_kept(source.totals, by_type=by_type)
        self.add("kept", f"select {', '.join(['*', *columns])} from ({kept}){self._joined}")
        of_events = dict(_METRICS)
        if source.units and distinct and not unknown:
            last = self._mark_counted(last, by_type=by_type)
            of_events |= {
                "people": "count(distinct person_key) filter (where is_new_person)",
                "visitors": "count(distinct visitor_key) filter (where is_new_visitor)",
            }
        of_totals = {metric: f"sum({metric})" for metric in METRICS}
        both = f"{self._aggregate(last, of_events)} union all {self._aggregate('kept', of_totals)}"
        together = {}
        for number, metric in enumerate(self._metrics):
            whole = "::bigint" if is_count(metric) else ""
            together[str(metric)] = "null" if metric in unknown else f"sum(m{number}){whole}"
        self.add("grouped", self._aggregate(f"({both})", together))

    def _select_kept(self, relation: str, *, by_type: bool) -> str:
        """Return the SELECT of the rows of a relation of deleted days that the question is about."""
        question = self._scope.question
        which = "event is null"
        if by_type:
            which = f"event is not null and {express_all(question.filters, self.parameters)}"
        zone = self.parameters.add(question.time_zone)
        return (
            f"select * from ({relation}) where time_zone = {zone} and {express_period(self._period, self.parameters)} and {which}"
        )

    def _mark_counted(self, relation: str, *, by_type: bool) -> str:
        """Add a relation that marks the events of persons and visitors whom the totals of the event's day do not count.

        This is for days of which some events are left.
        """
        day = next((f"d{number}" for number, name in enumerate(self._dimensions) if name == "time:day"), None)
        bucket = "0" if day is None else "buckets.number"
        columns = f"{bucket} as bucket, {'event' if by_type else 'null::varchar as event'}, is_person, unit"
        kept = self._select_kept(self._scope.source.units, by_type=by_type)
        self.add("counted", f"select distinct {columns} from ({kept}){self._joined}")
        marked, joins = [f"{relation}.*"], ""
        for name, key, of_person in (("person", "person_key", "is_person"), ("visitor", "visitor_key", "not is_person")):
            on = f"{name}s.unit = {relation}.{key}::varchar and {name}s.bucket = {'0' if day is None else day}"
            on += f" and {name}s.event = {relation}.event" if by_type else ""
            joins += f" left join (from counted where {of_person}) as {name}s on {on}"
            marked.append(f"{name}s.unit is null as is_new_{name}")
        self.add("marked", f"select {', '.join(marked)} from {relation}{joins}")
        return "marked"

    def _fill(self, buckets: Sequence[Bucket]) -> None:
        if len(self._dimensions) == 1 and self._dimensions[0].startswith("time:"):
            count = self.parameters.add(len(buckets))
            metrics = ", ".join([*self.list_filled_metrics(), *(f"coalesce({name}, 0) as {name}" for name in self.no_numbers)])
            every = f"(select unnest(range({count}::bigint)) as number)"
            self.add("filled", f"select number as d0, {metrics} from {every} as every left join grouped on d0 = number")
        else:
            self.add("filled", "select * from grouped")
