"""Shared parts of the commands that ask questions: options, the request, and messages that name options."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click
import msgspec

from falcon_events.cli.common import LIST_ID, db_option, open_tracking, require_list
from falcon_events.cli.conditions import ConditionForm, DoneForm, Given, JsonForm, RangeForm
from falcon_events.contract.lists import read_list_id
from falcon_events.contract.schemas import load_schema
from falcon_events.errors import EventsError, InvalidRequest
from falcon_events.model.sender import HOST

F = TypeVar("F", bound=Callable[..., Any])
RANGE = RangeForm()
COMPARED_RANGE = RangeForm("previous", "year")
CONDITIONS_JSON = JsonForm('[["is", "event", ["signup"]]]')
PERSONS_JSON = JsonForm('[["has_done", {"Event": "signup"}]]')
REQUEST_JSON = JsonForm('{"DateRange": "7d"}')
RULES_JSON = JsonForm('[[{"type": "website-events", "event": "signup", "operator": "happened"}]]')
OPTIONS = {
    "ListID": "--list",
    "DateRange": "--range",
    "TimeZone": "--time-zone",
    "WeekStart": "--week-start",
    "Metrics": "--metric",
    "Dimensions": "--by",
    "Filters": "--filters",
    "People": "--people",
    "OrderBy": "--order",
    "Limit": "--limit",
    "Offset": "--offset",
    "Compare": "--compare",
    "Include": "--include",
    "Steps": "--steps",
    "Window": "--window",
    "Order": "--strict",
    "By": "--by",
    "Breakdown": "--breakdown",
    "Start": "--start",
    "Return": "--return",
    "Unit": "--unit",
    "Periods": "--periods",
    "First": "--first",
    "Mode": "--rolling",
    "RulesJson": "--rules-json",
    "Of": "--of",
    "Cursor": "--cursor",
    "Email": "--email",
    "ID": "--id",
    "UUID": "--uuid",
    "Dimension": "DIMENSION",
    "Prefix": "--prefix",
    "Name": "NAME",
    "Query": "--query",
}
"""The option that each parameter of a request is given by."""
CREDENTIALS = ("APIKey", "SessionID")
_split_place = re.compile(r"(?P<name>[A-Z][A-Za-z]*)(?:\[(?P<number>[0-9]+)\])?(?P<rest>(?:\[[0-9]+\]|\.[A-Za-z]+)*)").fullmatch
_TEXTS = re.compile(r'("(?:[^"\\]|\\.)*")')
_find_mentions = re.compile(r"\b(DateRange|Metrics|Dimensions)\b")


class QuestionRequest:
    """The parameters of a question, and the options that they were given by.

    Args:
        list_id: the list.
    """

    def __init__(self, list_id: int) -> None:
        self.params: dict[str, Any] = {"ListID": list_id}
        self._sources: dict[str, list[str | None]] = {}
        self._in_request: set[str] = set()

    def add(self, **params: object) -> None:
        """Add parameters. None, which an option that is not given has, is left out."""
        for name, given in params.items():
            value = given.value if isinstance(given, Given) else given
            if value is not None:
                self.params[name] = value

    def add_items(
        self, name: str, option: str, given: Iterable[Given | str], write: Callable[[Any], Any] = lambda value: value
    ) -> None:
        """Add elements of a parameter that is an array.

        Args:
            name: the parameter.
            option: the option, which was given once for each element.
            given: the values of the option.
            write: returns the element of a value.
        """
        for one in given:
            value = one if isinstance(one, Given) else Given(one, one)
            self._append(name, write(value.value), value.name(option))

    def add_all(self, name: str, given: Given | None) -> None:
        """Add the elements of an option whose value is the parameter itself in JSON."""
        if given is None:
            return
        if not isinstance(given.value, list):
            if name in self.params:
                raise click.UsageError(f"{OPTIONS[name]} must be an array in JSON.")
            self.params[name] = given.value
            return
        self.params.setdefault(name, [])
        for number, one in enumerate(given.value):
            self._append(name, one, f"{OPTIONS[name]}[{number}]")

    def replace(self, params: Mapping[str, Any]) -> None:
        """Take parameters for those that are not given."""
        self.params = {**params, **self.params}

    def add_request(self, question: str, given: Given | None) -> None:
        """Take parameters from the body of a request for those that no other option gives.

        Its credentials are left out: a command needs none. Names are matched as in HTTP.
        """
        if given is None:
            return
        if not isinstance(given.value, dict):
            raise click.UsageError('--request must be an object in JSON, such as {"DateRange": "7d"}.')
        known = {name.lower(): name for name in load_schema(f"{question}.request")["properties"]}
        wrong = [name for name in given.value if name.lower() not in known]
        if wrong:
            expected = ", ".join(name for name in known.values() if name not in CREDENTIALS)
            raise click.UsageError(f'--request: "{wrong[0]}" must be one of {expected}.')
        params = {known[name.lower()]: value for name, value in given.value.items() if value is not None}
        asked = params.get("ListID", self.params["ListID"])
        if read_list_id(asked) != self.params["ListID"]:
            shown = msgspec.json.encode(asked).decode()
            raise click.UsageError(f"--request: ListID must be the list of --list, {self.params['ListID']}, and is {shown}.")
        taken = {name: value for name, value in params.items() if name not in CREDENTIALS and name not in self.params}
        self._in_request.update(taken)
        self.replace(taken)

    def ask(self, question: str, db: str) -> bytes:
        """Ask a question about a store, and return the answer as HTTP gives it.

        Raises:
            EventsError: the question is refused; the message names the option.
        """
        try:
            msgspec.json.encode(self.params)
        except UnicodeEncodeError:
            raise EventsError("The arguments must be text in UTF-8.") from None
        with open_tracking(db) as tracking:
            require_list(tracking, self.params["ListID"])
            try:
                return tracking.waiter.run(tracking.pipeline.questions.ask(question, self.params, HOST))
            except InvalidRequest as refused:
                messages = dict.fromkeys(f"{self.name_options(one.message)} (code {one.code})" for one in refused.failures)
                raise EventsError("; ".join(messages)) from None

    def name_options(self, message: str) -> str:
        """Return the message of a failure with options in place of parameters."""
        place, colon, rest = message.partition(": ")
        found = [_split_place(one) for one in place.split(", ")]
        if not colon or not all(one is not None and one["name"] in OPTIONS for one in found):
            place, colon, rest = "", "", message
        else:
            place = ", ".join(self._name_place(one) for one in found if one is not None)
        parts = _TEXTS.split(rest)  # what is in quotes stands in the request
        rest = "".join(
            part if number % 2 else _find_mentions.sub(lambda word: OPTIONS[word[0]], part) for number, part in enumerate(parts)
        )
        return f"{place}{colon}{rest}"

    def _append(self, name: str, element: Any, label: str) -> None:
        self.params.setdefault(name, []).append(element)
        self._sources.setdefault(name, []).append(label)

    def _name_place(self, found: re.Match[str]) -> str:
        name, number, rest = found["name"], found["number"], found["rest"]
        if name in self._in_request:
            return f"--request {found[0]}"
        labels = self._sources.get(name, [])
        if number is not None and int(number) < len(labels):
            label = labels[int(number)] or ""
            return label + rest if label.endswith("]") else label
        return OPTIONS[name] + ("" if number is None else f"[{number}]") + rest


def list_option(command: F) -> F:
    """Add --list."""
    return click.option("--list", "list_id", type=LIST_ID, metavar="N", required=True, help="The list.")(command)


def time_options(*, with_range: bool = True) -> Callable[[F], F]:
    """Add --range, --time-zone and --week-start."""

    def add(command: F) -> F:
        week = click.Choice(["monday", "sunday"])
        command = click.option("--week-start", type=week, help="The first day of a week, by default monday.")(command)
        command = click.option(
            "--time-zone", metavar="NAME", help="The time zone of days, such as Europe/Berlin; by default the list's own."
        )(command)
        if with_range:
            command = click.option(
                "--range",
                "date_range",
                type=RANGE,
                metavar="RANGE",
                help="The range of time, by default 28d: N days with today (7d), hours (24h), today, yesterday, week, month,"
                " year, all, a day (2026-03-29), or two of them or of date-times (2026-03-01..2026-03-31).",
            )(command)
        return command

    return add


def filter_options(command: F) -> F:
    """Add --where, --ignore-case and --filters."""
    command = click.option(
        "--filters",
        type=CONDITIONS_JSON,
        metavar="JSON",
        help="Conditions on events in the form of the API, or @FILE, in addition to --where.",
    )(command)
    command = click.option("--ignore-case", is_flag=True, help="Compare text of --where without regard to case.")(command)
    return click.option(
        "--where",
        type=ConditionForm(),
        metavar="CONDITION",
        multiple=True,
        help="A condition on events, DIMENSION OPERATOR VALUE[,VALUE], such as 'path contains /pricing'; repeatable: all hold.",
    )(command)


def people_options(command: F) -> F:
    """Add the options that are conditions on persons."""
    command = click.option(
        "--people",
        type=PERSONS_JSON,
        metavar="JSON",
        help="Conditions on persons in the form of the API, or @FILE, in addition to the others.",
    )(command)
    command = click.option(
        "--segment", "segments", metavar="NAME", multiple=True, help="Only persons in this saved segment; repeatable."
    )(command)
    command = click.option(
        "--who",
        type=ConditionForm(),
        metavar="CONDITION",
        multiple=True,
        help="A condition on persons such as 'trait:plan is pro', 'last_seen < 2026-03-01' or 'email ends_with @example.com';"
        " repeatable.",
    )(command)
    command = click.option(
        "--has-not-done", type=DoneForm(), metavar="EVENT", multiple=True, help="The opposite of --has-done; repeatable."
    )(command)
    return click.option(
        "--has-done",
        type=DoneForm(),
        metavar="EVENT",
        multiple=True,
        help="Only persons who did this: EVENT, after it maybe OPERATOR NUMBER, within RANGE and where CONDITION, such as"
        " 'conversion >= 2 within 30d'; * is any event. Repeatable.",
    )(command)


def request_option(command: F) -> F:
    """Add --request."""
    return click.option(
        "--request",
        type=REQUEST_JSON,
        metavar="JSON",
        help="The request in the form of the API, or @FILE; other options replace parts of it.",
    )(command)


def compare_option(command: F) -> F:
    """Add --compare."""
    return click.option(
        "--compare",
        type=COMPARED_RANGE,
        metavar="RANGE",
        help="Compare with the range just before (previous), a year earlier (year), or another RANGE.",
    )(command)


def form_options(command: F) -> F:
    """Add --format, --csv, --json and --db."""
    command = db_option(command)
    command = click.option("--json", "form", flag_value="json", help="The same as --format json.")(command)
    command = click.option("--csv", "form", flag_value="csv", help="The same as --format csv.")(command)
    return click.option(
        "--format",
        "form",
        type=click.Choice(["table", "csv", "json"]),
        help="How to print the answer, by default as a table; json is the answer as HTTP gives it.",
    )(command)


def add_filters(request: QuestionRequest, given: Mapping[str, Any]) -> None:
    """Add the conditions on events that options give."""
    options = [{"case_sensitive": False}] if given["ignore_case"] else []
    request.add_items("Filters", "--where", given["where"], lambda condition: _add_case(condition, options))
    request.add_all("Filters", given["filters"])


def add_people(request: QuestionRequest, given: Mapping[str, Any]) -> None:
    """Add the conditions on persons that options give."""
    request.add_items("People", "--has-done", given["has_done"], lambda done: ["has_done", done])
    request.add_items("People", "--has-not-done", given["has_not_done"], lambda done: ["has_not_done", done])
    request.add_items("People", "--who", given["who"])
    request.add_items("People", "--segment", given["segments"], lambda name: ["in", name])
    request.add_all("People", given["people"])


def add_times(request: QuestionRequest, given: Mapping[str, Any]) -> None:
    """Add the range, the time zone and the week's first day."""
    request.add(DateRange=given.get("date_range"), TimeZone=given["time_zone"], WeekStart=given["week_start"])


def _add_case(condition: Sequence[Any], options: Sequence[Any]) -> list[Any]:
    return [*condition, *([[]] if options and len(condition) == 2 else []), *options]
