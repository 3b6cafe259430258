"""Read the parameters of questions: a checked question, or failures that name the place and what would be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from falcon_events.errors import Failure
from falcon_events.model.time_zones import find_time_zone
from falcon_events.query import names, ranges
from falcon_events.query.codes import DIMENSIONS, FILTERS, LIMITS, METRICS, ORDER, PAGE, PEOPLE, RANGE, STEPS, ZONE
from falcon_events.query.conditions_reading import ConditionReader, Failures, show
from falcon_events.query.question import (
    Asked,
    EventKind,
    FunnelQuestion,
    GivenRange,
    Metric,
    Question,
    RetentionQuestion,
    ValuesQuestion,
)

QUERY_PARAMETERS = (
    *("DateRange", "TimeZone", "WeekStart", "Metrics", "Dimensions", "Filters", "People"),
    *("OrderBy", "Limit", "Offset", "Compare", "Include"),
)
"""The parameters of website_events.query, without the list and the credentials."""
_COMMON_PARAMETERS = ("DateRange", "TimeZone", "WeekStart", "Filters", "People", "By")
FUNNEL_PARAMETERS = (*_COMMON_PARAMETERS, "Steps", "Window", "Order", "Breakdown", "Compare")
RETENTION_PARAMETERS = (*_COMMON_PARAMETERS, "Start", "Return", "Unit", "Periods", "First", "Mode")
Q = TypeVar("Q", bound=Asked)
INCLUDED = ("total_rows", "totals", "time_labels")


def read_question(params: Mapping[str, Any], list_id: int, default_zone: str, now_us: int) -> Question | list[Failure]:
    """Read the parameters of website_events.query.

    Args:
        params: the parameters, named as in the schema. A parameter that is null counts as missing.
        list_id: the list.
        default_zone: the list's time zone.
        now_us: the present, in microseconds since 1970.

    Returns:
        The question, or its failures.
    """
    reading = Reading(params, list_id, default_zone, now_us)
    given, failures = reading.given, reading.failures
    metrics = _read_metrics(given.get("Metrics", ["people", "events"]), failures)
    dimensions = _read_dimensions(given.get("Dimensions", []), failures)
    return reading.finish(
        Question(
            **reading.read_common(),
            metrics=metrics,
            dimensions=dimensions,
            order_by=_read_order(given.get("OrderBy", []), metrics, dimensions, failures),
            limit=read_number("Limit", given.get("Limit", 100), 1, names.MAX_ROWS, failures, over=LIMITS),
            offset=read_number("Offset", given.get("Offset", 0), 0, names.MAX_OFFSET, failures, over=PAGE),
            compare=_read_comparison(given.get("Compare"), failures),
            include=_read_include(given.get("Include", []), failures),
        )
    )


def read_funnel(params: Mapping[str, Any], list_id: int, default_zone: str, now_us: int) -> FunnelQuestion | list[Failure]:
    """Read the parameters of website_events.funnel; the arguments are those of read_question()."""
    reading = Reading(params, list_id, default_zone, now_us)
    given, failures = reading.given, reading.failures
    window, window_us = _read_window(given.get("Window", "7d"), failures)
    return reading.finish(
        FunnelQuestion(
            **reading.read_common(),
            steps=_read_steps(given.get("Steps"), reading),
            window=window,
            window_us=window_us,
            order=read_choice("Order", given.get("Order", "sequential"), names.STEP_ORDERS, STEPS, failures),
            by=read_choice("By", given.get("By", "people"), names.BY, STEPS, failures),
            breakdown=_read_breakdown(given.get("Breakdown"), failures),
            compare=_read_comparison(given.get("Compare"), failures),
        ),
        "Filters, People, Steps",
    )


def read_retention(params: Mapping[str, Any], list_id: int, default_zone: str, now_us: int) -> RetentionQuestion | list[Failure]:
    """Read the parameters of website_events.retention; the arguments are those of read_question()."""
    reading = Reading(params, list_id, default_zone, now_us)
    given, failures = reading.given, reading.failures
    return reading.finish(
        RetentionQuestion(
            **reading.read_common(),
            start=reading.conditions.read_kind("Start", given.get("Start", {}), STEPS),
            return_=reading.conditions.read_kind("Return", given.get("Return", {}), STEPS),
            unit=read_choice("Unit", given.get("Unit", "week"), tuple(names.RETENTION_UNITS), STEPS, failures),
            periods=read_number("Periods", given.get("Periods", 12), 1, names.MAX_PERIODS, failures, code=STEPS, over=STEPS),
            first=read_choice("First", given.get("First", "ever"), names.RETENTION_FIRSTS, STEPS, failures),
            mode=read_choice("Mode", given.get("Mode", "calendar"), names.RETENTION_MODES, STEPS, failures),
            by=read_choice("By", given.get("By", "people"), names.BY[:2], STEPS, failures),
        ),
        "Filters, People, Start, Return",
    )


class Reading:
    """Reads the parameters that all questions have, and collects the failures found in any of them.

    The arguments are those of read_question().
    """

    def __init__(self, params: Mapping[str, Any], list_id: int, default_zone: str, now_us: int) -> None:
        self.given = {name: value for name, value in params.items() if value is not None}
        """The parameters that are not null."""
        self.failures = Failures()
        self.conditions = ConditionReader(self.failures)
        self.fixed: dict[str, Any] = {"list_id": list_id, "now_us": now_us, "time_zone": default_zone}
        """The fields of a question that has no parameters."""

    def read_days(self) -> dict[str, Any]:
        """Read the parameters that say what a day and a week are."""
        given, failures = self.given, self.failures
        return {
            **self.fixed,
            "time_zone": _read_zone(given.get("TimeZone", self.fixed["time_zone"]), failures),
            "week_start": _read_week_start(given.get("WeekStart", "monday"), failures),
        }

    def read_common(self) -> dict[str, Any]:
        """Read the parameters that most questions have."""
        given, failures = self.given, self.failures
        return {
            **self.read_days(),
            "date_range": read_range("DateRange", given.get("DateRange", "28d"), RANGE, failures),
            "filters": self.conditions.read_filters("Filters", given.get("Filters", []), FILTERS),
            "people": self.conditions.read_people("People", given.get("People", []), PEOPLE),
        }

    def finish(self, question: Q, places: str = "Filters, People") -> Q | list[Failure]:
        """Return the question, or its failures. `places` names the parameters that have conditions."""
        self.conditions.check_limits(places)
        return self.failures.found or question


def match_names(given: Mapping[str, Any], names: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the parameters of a request within a request, and the names that are none of these.

    Names are matched without regard to case.
    """
    known = {name.lower(): name for name in names}
    params = {known[name.lower()]: value for name, value in given.items() if name.lower() in known}
    return params, [name for name in given if name.lower() not in known]


def _read_steps(given: object, reading: Reading) -> list[EventKind]:
    example = '[{"Event": "pageView"}, {"Event": "signup"}]'
    if given is None:
        reading.failures.add(STEPS, f"Steps: at least {names.MIN_STEPS} are needed, such as {example}.")
        return []
    read = _read_list("Steps", given, STEPS, reading.failures)
    if isinstance(given, list) and not names.MIN_STEPS <= len(read) <= names.MAX_STEPS:
        expected = f"{names.MIN_STEPS} to {names.MAX_STEPS} are possible, such as {example}"
        reading.failures.add(STEPS, f"Steps: {len(read)} given; {expected}.")
        return []
    return [reading.conditions.read_kind(f"Steps[{number}]", one, STEPS) for number, one in enumerate(read)]


def _read_window(given: object, failures: Failures) -> tuple[str, int]:
    window = ranges.parse_length(given)
    if window is None:
        expected = f'must be a number of days, hours or minutes, such as "7d", "12h" or "30m", of at most {ranges.MAX_DAYS} days'
        failures.add(STEPS, f"Window: {show(given)} {expected}.")
        return "7d", 0
    return str(given), window


def _read_breakdown(given: object, failures: Failures) -> str | None:
    if given is None or names.is_dimension(given):
        return given  # type: ignore[return-value]
    failures.add(DIMENSIONS, f"Breakdown: {describe_dimension(given)}")
    return None


def read_values_question(
    params: Mapping[str, Any], list_id: int, default_zone: str, now_us: int
) -> ValuesQuestion | list[Failure]:
    """Read the parameters of website_events.values; the arguments are those of read_question()."""
    reading = Reading(params, list_id, default_zone, now_us)
    given, failures = reading.given, reading.failures
    dimension, prefix = given.get("Dimension"), given.get("Prefix", "")
    if not names.is_dimension(dimension):
        failures.add(DIMENSIONS, f"Dimension: {describe_dimension(dimension)}")
    if not isinstance(prefix, str):
        failures.add(FILTERS, f"Prefix: {show(prefix)} must be text.")
    base = Question(**reading.read_common(), dimensions=[str(dimension)])
    limit = read_number("Limit", given.get("Limit", 100), 1, names.MAX_ROWS, failures, over=LIMITS)
    return reading.finish(ValuesQuestion(base=base, prefix=str(prefix), limit=limit))


def read_range(place: str, given: object, code: int, failures: Failures) -> GivenRange:
    """Read a DateRange."""
    if ranges.is_range(given):
        return given  # type: ignore[return-value]
    failures.add(code, f"{place}: {show(given)} is no range of time; {ranges.EXPECTED}.")
    return "28d"


def _read_comparison(given: object, failures: Failures) -> GivenRange | None:
    if given is None or given == "previous" or given == "year":
        return given
    if ranges.is_range(given):
        return given  # type: ignore[return-value]
    failures.add(RANGE, f'Compare: {show(given)} must be "previous", "year" or a range; {ranges.EXPECTED}.')
    return None


def _read_zone(given: object, failures: Failures) -> str:
    """Read a TimeZone."""
    if isinstance(given, str) and find_time_zone(given) is not None:
        return given
    failures.add(ZONE, f"TimeZone: {show(given)} must be the IANA name of a time zone, such as Europe/Berlin.")
    return "UTC"


def _read_week_start(given: object, failures: Failures) -> str:
    """Read a WeekStart."""
    return read_choice("WeekStart", given, ("monday", "sunday"), ZONE, failures)


def read_choice(place: str, given: object, choices: Sequence[str], code: int, failures: Failures) -> str:
    """Read one of several words."""
    if given in choices:
        return str(given)
    failures.add(code, f"{place}: {show(given)} must be one of {', '.join(choices)}.")
    return choices[0]


def read_number(place: str, given: object, least: int, most: int, failures: Failures, *, over: int, code: int = PAGE) -> int:
    """Read an integer. Above the limit, the failure has the code `over`; otherwise `code`."""
    if isinstance(given, float) and given.is_integer():  # JSON has one kind of number
        given = int(given)
    if not isinstance(given, int) or isinstance(given, bool) or given < least:
        failures.add(code, f"{place}: {show(given)} must be an integer from {least} to {most}.")
    elif given > most:
        failures.add(over, f"{place}: {show(given)} is more than {most}, which is the limit.")
    else:
        return given
    return least


def _read_list(place: str, given: object, code: int, failures: Failures) -> list[Any]:
    if isinstance(given, list):
        return given
    failures.add(code, f"{place}: {show(given)} must be an array.")
    return []


def _read_metrics(given: object, failures: Failures) -> list[Metric]:
    read = _read_list("Metrics", given, METRICS, failures)
    if given == []:
        failures.add(METRICS, f"Metrics: at least one is needed: {', '.join(names.METRICS)}.")
    if len(read) > names.MAX_METRICS:
        failures.add(LIMITS, f"Metrics: {len(read)} are more than {names.MAX_METRICS}, which is the limit.")
        return []
    for number, metric in enumerate(read):
        place = f"Metrics[{number}]"
        if isinstance(metric, list):
            if len(metric) != 2 or metric[0] not in names.AGGREGATES:
                expected = f"an aggregate ({', '.join(names.AGGREGATES)}) and a dimension"
                failures.add(METRICS, f'{place}: {show(metric)} must be {expected}, such as ["sum", "property:price"].')
            elif not names.is_dimension(metric[1]):
                failures.add(METRICS, f"{place}: {describe_dimension(metric[1])}")
        elif metric not in names.METRICS:
            failures.add(METRICS, f"{place}: {show(metric)} is no metric. Give one of {', '.join(names.METRICS)}.")
    return read


def describe_dimension(given: object) -> str:
    """Say that a value is no dimension, and what would be one."""
    return f"{show(given)} is no dimension. Give one of {', '.join(names.DIMENSIONS)}, property:NAME, trait:NAME."


def _read_dimensions(given: object, failures: Failures) -> list[str]:
    read = _read_list("Dimensions", given, DIMENSIONS, failures)
    if len(read) > names.MAX_DIMENSIONS:
        failures.add(LIMITS, f"Dimensions: {len(read)} are more than {names.MAX_DIMENSIONS}, which is the limit.")
        return []
    for number, name in enumerate(read):
        place = f"Dimensions[{number}]"
        if names.is_time_dimension(name):
            if any(names.is_time_dimension(other) for other in read[:number]):
                failures.add(DIMENSIONS, f"{place}: there can be one time dimension only.")
        elif not names.is_dimension(name):
            units = ", ".join(f"time:{unit}" for unit in names.TIME_UNITS)
            failures.add(DIMENSIONS, f"{place}: {describe_dimension(name)[:-1]}, {units}.")
        elif name in read[:number]:
            failures.add(DIMENSIONS, f"{place}: {show(name)} is there already.")
    return [name for name in read if isinstance(name, str)]


def _read_order(given: object, metrics: list[Metric], dimensions: list[str], failures: Failures) -> list[tuple[Metric, str]]:
    read = _read_list("OrderBy", given, ORDER, failures)
    if len(read) > names.MAX_METRICS + names.MAX_DIMENSIONS:
        failures.add(ORDER, f"OrderBy: {len(read)} are more than the {names.MAX_METRICS + names.MAX_DIMENSIONS} possible.")
        return []
    order: list[tuple[Metric, str]] = []
    for number, one in enumerate(read):
        place = f"OrderBy[{number}]"
        if not isinstance(one, list) or len(one) != 2 or one[1] not in ("asc", "desc"):
            failures.add(ORDER, f'{place}: {show(one)} must be a metric or dimension and "asc" or "desc".')
        elif one[0] not in metrics and one[0] not in dimensions:
            failures.add(ORDER, f"{place}: {show(one[0])} must be one of the question's Metrics or Dimensions.")
        else:
            order.append((one[0], one[1]))
    return order


def _read_include(given: object, failures: Failures) -> list[str]:
    read = _read_list("Include", given, PAGE, failures)
    for number, name in enumerate(read):
        if name not in INCLUDED:
            failures.add(PAGE, f"Include[{number}]: {show(name)} must be one of {', '.join(INCLUDED)}.")
    return list(dict.fromkeys(name for name in read if isinstance(name, str)))
