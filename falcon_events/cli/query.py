"""The commands query and values: how many, over time and by what; and the values of a dimension."""

from __future__ import annotations

from typing import Any

import click

from falcon_events.cli.common import WholeNumber
from falcon_events.cli.conditions import MetricForm, OrderForm
from falcon_events.cli.grid import (
    Grid,
    Records,
    format_change,
    format_numbers,
    format_seconds,
    format_share,
    print_answer,
    show_value,
)
from falcon_events.cli.questions import (
    QuestionRequest,
    add_filters,
    add_people,
    add_times,
    compare_option,
    filter_options,
    form_options,
    list_option,
    people_options,
    request_option,
    time_options,
)
from falcon_events.cli.saved import find_saved_query
from falcon_events.query import names
from falcon_events.query.reading import INCLUDED
from falcon_events.query.short_forms import show_metric


@click.command()
@list_option
@time_options()
@click.option(
    "--metric",
    "metrics",
    type=MetricForm(),
    metavar="METRIC",
    multiple=True,
    help=f"What to count, by default people and events: {', '.join(names.METRICS)}, or an aggregate of a dimension such as"
    f" sum:property:price ({', '.join(names.AGGREGATES)}); repeatable.",
)
@click.option(
    "--by",
    "dimensions",
    metavar="DIMENSION",
    multiple=True,
    help="One row for each value of a dimension: time:day, path, campaign, property:NAME, ... ; repeatable.",
)
@filter_options
@people_options
@click.option(
    "--order",
    type=OrderForm(),
    metavar="NAME",
    multiple=True,
    help="Order by a metric, the highest first, or by a dimension; 'NAME asc' or 'NAME desc' says it. Repeatable.",
)
@click.option("--limit", type=WholeNumber(1, names.MAX_ROWS), metavar="N", help="How many rows, by default 100.")
@click.option("--offset", type=WholeNumber(0, names.MAX_OFFSET), metavar="N", help="How many rows to skip.")
@compare_option
@click.option(
    "--include",
    type=click.Choice(INCLUDED),
    multiple=True,
    help="Add the metrics of all rows together (totals), how many rows there are (total_rows), or when each time begins and ends"
    " (time_labels); repeatable.",
)
@click.option("--saved", metavar="NAME", help="Ask the saved query of this name; other options replace parts of it.")
@request_option
@form_options
def query(list_id: int, saved: str | None, form: str | None, db: str, **given: Any) -> None:
    """Count what happened: people, events, revenue and more, over time and by what you like. A server may be running."""
    if saved is not None and given["request"] is not None:
        raise click.UsageError("--saved and --request exclude each other.")
    request = QuestionRequest(list_id)
    add_times(request, given)
    request.add_items("Metrics", "--metric", given["metrics"])
    request.add_items("Dimensions", "--by", given["dimensions"])
    add_filters(request, given)
    add_people(request, given)
    request.add_items("OrderBy", "--order", given["order"])
    request.add(Limit=given["limit"], Offset=given["offset"], Compare=given["compare"], Include=list(given["include"]) or None)
    request.add_request("query", given["request"])
    if saved is not None:
        request.replace(find_saved_query(list_id, saved, db))
    print_answer(form, request.ask("query", db), _tabulate, _record)


def _tabulate(answer: Any) -> list[Grid]:
    asked, results, meta = answer["Query"], answer["Results"], answer["Meta"]
    dimensions, metrics = asked["Dimensions"], asked["Metrics"]
    totals = meta.get("Totals") if dimensions else None
    grid = Grid(
        [_head_dimension(name) for name in dimensions],
        [[_show_dimension(name, value) for name, value in zip(dimensions, row["Dimensions"], strict=True)] for row in results],
        [False] * len(dimensions),
    )
    last = ["total", *[""] * (len(dimensions) - 1)] if totals is not None else []
    for number, metric in enumerate(metrics):
        now = [row["Metrics"][number] for row in results]
        values = now + ([totals[number]] if totals is not None else [])
        columns = {show_metric(metric): _format_metric(metric, values)}
        if asked["Compare"] is not None:
            before = [None if row["Compared"] is None else row["Compared"][number] for row in results]
            before += [meta["ComparedTotals"][number]] if totals is not None else []
            columns["before"] = _format_metric(metric, before)
            columns["change"] = [format_change(*pair) for pair in zip(values, before, strict=True)]
        for heading, cells in columns.items():
            grid.headings.append(heading)
            grid.numeric.append(True)
            for row, cell in zip(grid.rows, cells, strict=False):
                row.append(cell)
            last += cells[len(results) :]
        if number == 0 and dimensions:
            grid.bars = now
    grid.last = last if totals is not None else None
    grids = [grid]
    if "TimeLabels" in meta:
        grids.append(_tabulate_times(meta["TimeLabels"]))
    if "TotalRows" in meta:
        click.echo(f"{len(results):,} of {meta['TotalRows']:,} rows", err=True)
    return grids


def _tabulate_times(labels: Any) -> Grid:
    rows = [
        [_show_dimension("time:hour", one["Label"]), one["From"], one["To"], "yes" if one["Partial"] else ""] for one in labels
    ]
    return Grid(["time", "from", "to", "partial"], rows, [False] * 4)


def _record(answer: Any) -> Records:
    asked, results = answer["Query"], answer["Results"]
    metrics = [show_metric(metric) for metric in asked["Metrics"]]
    headings, has_more = [*asked["Dimensions"], *metrics], asked["Compare"] is not None
    rows = [
        [*row["Dimensions"], *row["Metrics"], *((row["Compared"] or [None] * len(metrics)) if has_more else ())]
        for row in results
    ]
    return Records(headings + [f"compared {name}" for name in metrics] * has_more, rows)


def _head_dimension(name: str) -> str:
    return name.removeprefix("time:")


def _show_dimension(name: str, value: str | None) -> str:
    """Return a value; of an hour or a minute, the local time and the offset."""
    if value is not None and name in ("time:hour", "time:minute") and len(value) > 19:
        return f"{value[:16].replace('T', ' ')} {value[19:]}"
    return show_value(value)


def _format_metric(metric: str | list[str], values: list[Any]) -> list[str]:
    if metric == "bounce_rate":
        return [format_share(value) for value in values]
    if metric == "session_seconds":
        return [format_seconds(value) for value in values]
    return format_numbers(values)


@click.command()
@click.argument("dimension", required=False)
@list_option
@click.option("--prefix", metavar="TEXT", help="How the values begin, without regard to case.")
@time_options()
@filter_options
@people_options
@click.option("--limit", type=WholeNumber(1, names.MAX_ROWS), metavar="N", help="How many values, by default 100.")
@request_option
@form_options
def values(dimension: str | None, list_id: int, prefix: str | None, form: str | None, db: str, **given: Any) -> None:
    """Show the values of DIMENSION, such as path or property:plan, the most frequent first. A server may be running."""
    if dimension is None and given["request"] is None:
        raise click.UsageError("DIMENSION is needed, such as path or property:plan.")
    request = QuestionRequest(list_id)
    request.add(Dimension=dimension, Prefix=prefix, Limit=given["limit"])
    add_times(request, given)
    add_filters(request, given)
    add_people(request, given)
    request.add_request("values", given["request"])
    heading = str(request.params.get("Dimension"))
    print_answer(form, request.ask("values", db), lambda answer: [_tabulate_values(heading, answer)], _record_values)


def _tabulate_values(dimension: str, answer: Any) -> Grid:
    counts = [one["Events"] for one in answer["Values"]]
    rows = [[show_value(one["Value"]), count] for one, count in zip(answer["Values"], format_numbers(counts), strict=True)]
    return Grid([dimension, "events"], rows, [False, True], counts)


def _record_values(answer: Any) -> Records:
    return Records(["value", "events"], [[one["Value"], one["Events"]] for one in answer["Values"]])
