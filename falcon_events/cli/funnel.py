"""The commands funnel and retention: how many came through steps, and how many came back."""

from __future__ import annotations

from typing import Any

import click

from falcon_events.cli.common import WholeNumber
from falcon_events.cli.conditions import Given, JsonForm, KindForm
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
from falcon_events.query import names

COUNTS = {"People": "people", "OfFirst": "of_first", "OfPrevious": "of_previous", "MedianSeconds": "median_seconds"}
KIND = KindForm()
_KIND_HELP = "EVENT [where CONDITION], such as 'pageView where path is /pricing'; * is any event"


@click.command()
@list_option
@click.option("--step", "steps", type=KIND, metavar="EVENT", multiple=True, help=f"A step: {_KIND_HELP}. Repeatable, 2 to 10.")
@click.option(
    "--steps",
    "steps_json",
    type=JsonForm('[{"Event": "pageView"}, {"Event": "signup"}]'),
    metavar="JSON",
    help="The steps in the form of the API instead, or @FILE.",
)
@click.option("--window", metavar="LENGTH", help="The longest time from the first step to the last: 7d (default), 12h, 30m.")
@click.option("--strict", is_flag=True, help="No other event of theirs may lie between two steps.")
@click.option("--by", type=click.Choice(names.BY), help="What to count, by default people.")
@click.option("--breakdown", metavar="DIMENSION", help="Also one funnel for each value of a dimension at the first step.")
@time_options()
@filter_options
@people_options
@compare_option
@request_option
@form_options
def funnel(list_id: int, steps: tuple[Given, ...], steps_json: Given | None, form: str | None, db: str, **given: Any) -> None:
    """Count how many came through ordered steps. A server may be running."""
    if (steps and steps_json is not None) or not (steps or steps_json is not None or given["request"] is not None):
        raise click.UsageError("--step EVENT is needed for each step, or --steps JSON, and not both.")
    request = QuestionRequest(list_id)
    request.add_items("Steps", "--step", steps)
    request.add_all("Steps", steps_json)
    request.add(Window=given["window"], Order="strict" if given["strict"] else None, By=given["by"])
    request.add(Breakdown=given["breakdown"], Compare=given["compare"])
    add_times(request, given)
    add_filters(request, given)
    add_people(request, given)
    request.add_request("funnel", given["request"])
    print_answer(form, request.ask("funnel", db), _tabulate_funnel, _record_funnel)


def _tabulate_funnel(answer: Any) -> list[Grid]:
    asked, groups = answer["Query"], _list_groups(answer)
    grid = Grid(
        ["step", "event", asked["By"], "of first", "of previous", "median time"], [], [True, False, True, True, True, True]
    )
    if asked["Compare"] is not None:
        grid.headings += ["before", "change"]
        grid.numeric += [True, True]
    if asked["Breakdown"] is not None:
        grid.headings.insert(0, asked["Breakdown"])
        grid.numeric.insert(0, False)
    counts = format_numbers([step["People"] for _, steps in groups for step in steps])
    for value, steps in groups:
        for number, step in enumerate(steps, 1):
            row = [str(number), "*" if step["Event"] is None else step["Event"], counts[len(grid.rows)]]
            row += [format_share(step["OfFirst"]), format_share(step["OfPrevious"]), format_seconds(step["MedianSeconds"])]
            if asked["Compare"] is not None:
                before = step["Compared"]["People"]
                row += [*format_numbers([before]), format_change(step["People"], before)]
            if asked["Breakdown"] is not None:
                row.insert(0, value)
            grid.rows.append(row)
            grid.bars.append(step["People"])
    if partial := answer["Meta"]["Partial"]:
        click.echo(f"{partial:,} may still go on: their window has not ended", err=True)
    return [grid]


def _list_groups(answer: Any) -> list[tuple[str, Any]]:
    groups = [(show_value(one["Value"]), one["Steps"]) for one in answer.get("Breakdown", ())]
    return [("(all)", answer["Steps"]), *groups]


def _record_funnel(answer: Any) -> Records:
    asked = answer["Query"]
    has_more, has_groups = asked["Compare"] is not None, asked["Breakdown"] is not None
    groups = [(one["Value"], one["Steps"]) for one in answer["Breakdown"]] if has_groups else [(None, answer["Steps"])]
    headings = [*([asked["Breakdown"]] if has_groups else ()), "step", "event", *COUNTS.values()]
    rows = [
        [
            *([value] if has_groups else ()),
            number,
            step["Event"],
            *(step[name] for name in COUNTS),
            *((step["Compared"][name] for name in COUNTS) if has_more else ()),
        ]
        for value, steps in groups
        for number, step in enumerate(steps, 1)
    ]
    return Records(headings + [f"compared {name}" for name in COUNTS.values()] * has_more, rows)


@click.command()
@list_option
@click.option("--start", type=KIND, metavar="EVENT", help=f"What begins, by default any event: {_KIND_HELP}.")
@click.option("--return", "return_", type=KIND, metavar="EVENT", help="What is a return, by default any event; as --start.")
@click.option("--unit", type=click.Choice(list(names.RETENTION_UNITS)), help="The periods, by default weeks.")
@click.option(
    "--periods",
    type=WholeNumber(1, names.MAX_PERIODS),
    metavar="N",
    help="How many periods, with that of the start; by default 12.",
)
@click.option(
    "--first",
    type=click.Choice(names.RETENTION_FIRSTS),
    help="Which start counts: the first one ever (default), or the first one in the range.",
)
@click.option(
    "--rolling", is_flag=True, help="Count periods of 24 hours, 7 days or 30 days from each start instead of calendar ones."
)
@click.option("--by", type=click.Choice(names.BY[:2]), help="What to count, by default people.")
@time_options()
@filter_options
@people_options
@request_option
@form_options
def retention(list_id: int, return_: Given | None, form: str | None, db: str, **given: Any) -> None:
    """Count how many came back, by the day, week or month in which they started. A server may be running."""
    request = QuestionRequest(list_id)
    request.add(Start=given["start"], Return=return_, Unit=given["unit"], Periods=given["periods"], First=given["first"])
    request.add(Mode="rolling" if given["rolling"] else None, By=given["by"])
    add_times(request, given)
    add_filters(request, given)
    add_people(request, given)
    request.add_request("retention", given["request"])
    print_answer(form, request.ask("retention", db), _tabulate_retention, _record_retention)


def _tabulate_retention(answer: Any) -> list[Grid]:
    asked, cohorts = answer["Query"], answer["Cohorts"]
    sizes = format_numbers([one["Size"] for one in cohorts])
    rows = [
        [one["Cohort"], size, *(_format_returned(returned, one["Size"]) for returned in one["Returned"])]
        for one, size in zip(cohorts, sizes, strict=True)
    ]
    periods = [str(number) for number in range(asked["Periods"])]
    return [Grid([asked["Unit"], asked["By"], *periods], rows, [False, *[True] * (len(periods) + 1)])]


def _format_returned(returned: int | None, size: int) -> str:
    """Return the share of those who came back; nothing for a period that is not over."""
    return "" if returned is None else format_share(returned / size if size else None)


def _record_retention(answer: Any) -> Records:
    rows = [
        [one["Cohort"], one["Size"], number, returned]
        for one in answer["Cohorts"]
        for number, returned in enumerate(one["Returned"])
    ]
    return Records(["cohort", "size", "period", "returned"], rows)
