"""A question as a command line, in the short forms of its options where there are some, in JSON elsewhere."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import msgspec

from falcon_events.query import names
from falcon_events.query.person_reading import MAX_EVENTS, MAX_PEOPLE, ORDERS
from falcon_events.query.reading import INCLUDED
from falcon_events.query.short_forms import (
    write_condition,
    write_done,
    write_json,
    write_kind,
    write_metric,
    write_order,
    write_range,
)

MAX_COMMAND_BYTES = 100_000
"""How long a command may be. Linux takes 128 KiB for one argument."""
REQUEST_FILE = "request.json"
LONG_NOTE = f"The command is too long for a shell. Save the JSON request as {REQUEST_FILE} in the folder of the command first."
_IGNORE_CASE = {"case_sensitive": False}
_PRESENCE = ("is_set", "is_not_set")
_PEOPLE_OPTIONS = ("--has-done", "--has-not-done", "--who", "--segment")
"""The options that are conditions on persons, in the order in which the command takes them."""
_MOST_ROWS = {"query": names.MAX_ROWS, "values": names.MAX_ROWS, "people": MAX_PEOPLE, "timeline": MAX_EVENTS}
_COMMON = ("DateRange", "TimeZone", "WeekStart", "Filters", "People")
_ORDERS = {
    "query": (
        *("DateRange", "TimeZone", "WeekStart", "Compare", "Dimensions", "Metrics"),
        *("Filters", "People", "OrderBy", "Limit", "Offset", "Include"),
    ),
    "funnel": ("Steps", "Window", "Order", "By", "Breakdown", *_COMMON, "Compare"),
    "retention": ("Start", "Return", "Unit", "Periods", "First", "Mode", "By", *_COMMON),
    "people": ("People", "RulesJson", "Of", "OrderBy", "Limit", "Cursor", "TimeZone", "WeekStart"),
    "timeline": ("Email", "ID", "UUID", "Filters", "Limit", "Cursor"),
    "values": ("Prefix", *_COMMON, "Limit"),
}
"""The order of the options of each question, by the parameters that they give."""
Words = list[str]


class Command(msgspec.Struct, frozen=True):
    """A command line, and what to do before it is run."""

    text: str
    note: str | None = None


def write_command(name: str, list_id: int, params: dict[str, Any]) -> Command:
    """Write the command that asks a question.

    What no option can say, such as text that cannot be printed, stands in the option --request.

    Args:
        name: which question, such as `query`.
        list_id: the list.
        params: the parameters of the request that are not the defaults, without the list.
    """
    beginning = ["falcon-events", name]
    words = [*beginning, "--list", str(list_id)]
    rest = dict(params)
    dimension = rest.get("Dimension")
    if _is_plain(dimension) and not dimension.startswith("-"):
        words.insert(2, rest.pop("Dimension"))
    for parameter in _ORDERS[name]:
        if parameter in rest:
            written = _write_option(name, parameter, rest[parameter], "Cursor" in params)
            if written is not None:
                words += written
                del rest[parameter]
    if rest:
        words += ["--request", write_json(rest)]
    text = " ".join(map(_quote, words))
    if len(text.encode()) <= MAX_COMMAND_BYTES:
        return Command(text)
    return Command(" ".join([*beginning, "--list", str(list_id), "--request", f"@{REQUEST_FILE}"]), LONG_NOTE)


def _write_option(name: str, parameter: str, value: Any, has_cursor: bool) -> Words | None:
    """Write a parameter as words of the command. None: no option can say it."""
    if parameter == "Filters":
        return _write_filters(value, has_cursor)
    if parameter == "People":
        return _write_people(value, has_cursor)
    if parameter == "Limit":
        return _write_number("--limit", value, 1, _MOST_ROWS[name])
    if parameter == "OrderBy" and name == "people":
        return _write_order_of_people(value)
    if parameter == "By" and name == "retention":
        return ["--by", value] if value in names.BY[:2] else None
    return _WRITERS[parameter](value)


def _write_number(option: str, value: Any, least: int, most: int) -> Words | None:
    return [option, str(value)] if type(value) is int and least <= value <= most else None


def _write_texts(option: str) -> Callable[[Any], Words | None]:
    return lambda value: [option, value] if _is_plain(value) else None


def _write_choice(option: str, choices: Sequence[str]) -> Callable[[Any], Words | None]:
    return lambda value: [option, value] if value in choices else None


def _write_flag(option: str, meaning: str) -> Callable[[Any], Words | None]:
    return lambda value: [option] if value == meaning else None


def _write_short(option: str, write: Callable[[Any], str | None]) -> Callable[[Any], Words | None]:
    """Return what writes a parameter as an option with a short form."""

    def write_words(value: Any) -> Words | None:
        text = write(value)
        return None if text is None else [option, text]

    return write_words


def _write_each(option: str, write: Callable[[Any], str | None]) -> Callable[[Any], Words | None]:
    """Return what writes an array as an option for each element. An empty array is not what no option means."""

    def write_words(value: Any) -> Words | None:
        texts = [write(one) for one in value] if isinstance(value, list) else []
        return [word for text in texts if text is not None for word in (option, text)] if texts and None not in texts else None

    return write_words


def _write_id(value: Any) -> Words | None:
    if type(value) is int:
        return ["--id", str(value)]  # an ID is text, which a request may give as a number
    return ["--id", value] if _is_plain(value) else None


def _write_steps(value: Any) -> Words:
    return _write_each("--step", write_kind)(value) or ["--steps", write_json(value)]


def _write_order_of_people(value: Any) -> Words | None:
    match value:
        case str() if value in ORDERS:
            return ["--order", value]
        case [str() as order, "asc" | "desc" as direction] if order in ORDERS:
            return ["--order", f"{order} {direction}"]
    return None


def _write_filters(value: Any, has_cursor: bool) -> Words:
    """Write conditions on events: as --where those that have a short form, the others in JSON."""
    if not isinstance(value, list):
        return ["--filters", write_json(value)]
    by_case = [write_condition(one) for one in value]
    ignoring = [_write_ignoring_case(one, is_exact=has_cursor) for one in value]
    ignores_case = ignoring.count(None) < by_case.count(None)
    texts = ignoring if ignores_case else by_case
    if has_cursor:
        texts = _keep_order(texts)
    words = [word for text in texts if text is not None for word in ("--where", text)]
    others = [one for one, text in zip(value, texts, strict=True) if text is None]
    return words + ["--ignore-case"] * ignores_case * bool(words) + (["--filters", write_json(others)] if others else [])


def _write_ignoring_case(condition: Any, *, is_exact: bool) -> str | None:
    """Write a condition that stands beside --ignore-case."""
    match condition:
        case [operator, dimension, [], option] if operator in _PRESENCE and option == _IGNORE_CASE:
            return write_condition([operator, dimension])
        case [operator, dimension, values, option] if option == _IGNORE_CASE:
            return write_condition([operator, dimension, values])
        case [operator, _] if operator in _PRESENCE and not is_exact:  # it compares no text
            return write_condition(condition)
    return None


def _write_people(value: Any, has_cursor: bool) -> Words:
    """Write conditions on persons: those that have options, then the others in JSON."""
    if not isinstance(value, list):
        return ["--people", write_json(value)]
    options = [_write_person(one) for one in value]
    found = [one for one in options if one is not None]
    found.sort(key=lambda one: _PEOPLE_OPTIONS.index(one[0]))
    others = [one for one, option in zip(value, options, strict=True) if option is None]
    if has_cursor and options != [*found, *[None] * len(others)]:  # a cursor belongs to the conditions in their order
        found, others = [], value
    return [word for one in found for word in one] + (["--people", write_json(others)] if others else [])


def _write_person(condition: Any) -> tuple[str, str] | None:
    match condition:
        case ["has_done", done]:
            option, text = "--has-done", write_done(done)
        case ["has_not_done", done]:
            option, text = "--has-not-done", write_done(done)
        case ["in", name]:
            option, text = "--segment", name if _is_plain(name) else None
        case _:
            option, text = "--who", write_condition(condition)
    return None if text is None else (option, text)


def _keep_order(texts: list[str | None]) -> list[str | None]:
    """Return the texts up to the first that is missing: a cursor belongs to the conditions in their order."""
    number = texts.index(None) if None in texts else len(texts)
    return [*texts[:number], *[None] * (len(texts) - number)]


def _is_plain(value: Any) -> TypeGuard[str]:
    """Return whether a value is text that can stand on a command line as it is."""
    return isinstance(value, str) and value.isprintable()


def _write_name(value: Any) -> str | None:
    return value if _is_plain(value) else None


def _quote(word: str) -> str:
    """Quote a word for a POSIX shell. zsh reads a word that begins with = as the path of a command."""
    quoted = shlex.quote(word)
    return f"'{word}'" if quoted == word and word.startswith("=") else quoted


_WRITERS: dict[str, Callable[[Any], Words | None]] = {
    "DateRange": _write_short("--range", write_range),
    "TimeZone": _write_texts("--time-zone"),
    "WeekStart": _write_choice("--week-start", ("monday", "sunday")),
    "Compare": _write_short("--compare", lambda value: write_range(value, ("previous", "year"))),
    "Dimensions": _write_each("--by", _write_name),
    "Metrics": _write_each("--metric", write_metric),
    "OrderBy": _write_each("--order", write_order),
    "Offset": lambda value: _write_number("--offset", value, 0, names.MAX_OFFSET),
    "Include": _write_each("--include", lambda value: value if value in INCLUDED else None),
    "Steps": _write_steps,
    "Window": _write_texts("--window"),
    "Order": _write_flag("--strict", "strict"),
    "By": _write_choice("--by", names.BY),
    "Breakdown": _write_texts("--breakdown"),
    "Start": _write_short("--start", write_kind),
    "Return": _write_short("--return", write_kind),
    "Unit": _write_choice("--unit", tuple(names.RETENTION_UNITS)),
    "Periods": lambda value: _write_number("--periods", value, 1, names.MAX_PERIODS),
    "First": _write_choice("--first", names.RETENTION_FIRSTS),
    "Mode": _write_flag("--rolling", "rolling"),
    "RulesJson": lambda value: ["--rules-json", write_json(value)],
    "Of": lambda value: ["--of", write_json(value)],
    "Cursor": _write_texts("--cursor"),
    "Email": _write_texts("--email"),
    "ID": _write_id,
    "UUID": _write_texts("--uuid"),
    "Prefix": _write_texts("--prefix"),
}
"""The function that writes each parameter, but for those that differ between questions."""
