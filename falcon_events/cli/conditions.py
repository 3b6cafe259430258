"""The short forms of a question's parts on the command line: conditions, kinds of events, ranges, metrics, orders, JSON."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from falcon_events.contract.body import SAFE_DEPTH, count_brackets
from falcon_events.query import names
from falcon_events.query.ranges import NAMED, is_range, parse_day

MAX_LABEL = 60
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_split_condition = re.compile(rf'\s*((?:[^\s"]|{_QUOTED})+)\s+(\S+)(?:\s+(.*?))?\s*', re.DOTALL).fullmatch
_find_value = re.compile(rf'\s*(?:({_QUOTED})|([^,"][^,]*?)?)\s*(,|\Z)', re.DOTALL).match
_KIND = rf"\s*(?P<event>{_QUOTED}|.+?)"
_WHERE = r"(?:\s+where\s+(?P<where>.+))?\s*"
_split_kind = re.compile(_KIND + _WHERE, re.DOTALL).fullmatch
_split_done = re.compile(
    rf"{_KIND}(?:\s+(?P<operator>{'|'.join(names.COUNT_OPERATORS)})\s+(?P<count>[0-9]+))?(?:\s+within\s+(?P<within>\S+))?{_WHERE}",
    re.DOTALL,
).fullmatch
_CONDITION = "DIMENSION OPERATOR VALUE[,VALUE], such as 'path contains /pricing'"
_SIGNS = re.compile(f"({_QUOTED})")


class Given(msgspec.Struct, frozen=True):
    """The value of an option, with the text that was given."""

    text: str
    value: Any

    def name(self, option: str) -> str:
        """Return the option with its text, for messages."""
        text = self.text if len(self.text) <= MAX_LABEL else f"{self.text[:MAX_LABEL]}..."
        return f"{option} '{text}'"


class _ShortForm(click.ParamType, ABC):  # type: ignore[type-arg]
    """An option's value in a short form. A ValueError of `parse` says what would be right."""

    @abstractmethod
    def parse(self, text: str) -> Any:
        """Return the value as a request has it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value with its text."""
        if not isinstance(value, str):
            return value
        try:
            value.encode()
            return Given(value, self.parse(value))
        except UnicodeEncodeError:
            self.fail("it must be text in UTF-8.", param, ctx)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class ConditionForm(_ShortForm):
    """A condition such as `path contains /pricing`."""

    name = "condition"

    def parse(self, text: str) -> list[Any]:
        """Return the condition."""
        return parse_condition(text)


class KindForm(_ShortForm):
    """A kind of events, such as `signup` or `pageView where path is /pricing`."""

    name = "event"

    def parse(self, text: str) -> dict[str, Any]:
        """Return the kind."""
        return _read_kind(_match(_split_kind, text, "EVENT [where CONDITION]", "pageView where path is /pricing"))


class DoneForm(_ShortForm):
    """Events that a person has done, such as `conversion >= 2 within 30d`."""

    name = "event"

    def parse(self, text: str) -> dict[str, Any]:
        """Return the kind of the events, with their number and range."""
        expected = "EVENT [OPERATOR NUMBER] [within RANGE] [where CONDITION]"
        found = _match(_split_done, text, expected, "conversion >= 2 within 30d")
        done = _read_kind(found)
        if found["operator"]:
            done["Count"] = [found["operator"], int(found["count"])]
        if found["within"]:
            done["Within"] = parse_range(found["within"])
        return done


class RangeForm(_ShortForm):
    """A range of time, such as `28d` or `2026-03-01..2026-03-31`.

    Args:
        others: words that may stand in its place.
    """

    name = "range"

    def __init__(self, *others: str) -> None:
        self._others = others

    def parse(self, text: str) -> str | list[str]:
        """Return the range."""
        return text if text in self._others else parse_range(text, self._others)


class MetricForm(_ShortForm):
    """A metric, such as `people` or `sum:property:price`."""

    name = "metric"

    def parse(self, text: str) -> str | list[str]:
        """Return the metric."""
        return parse_metric(text)


class OrderForm(_ShortForm):
    """A metric or a dimension, and maybe `asc` or `desc`."""

    name = "order"

    def parse(self, text: str) -> list[Any]:
        """Return the order. Without a direction, metrics descend and dimensions ascend."""
        name, _, direction = text.strip().rpartition(" ")
        if direction not in ("asc", "desc") or not name:
            name = text.strip()
            direction = "desc" if isinstance(parse_metric(name), list) or name in names.METRICS else "asc"
        return [parse_metric(name.strip()), direction]


class JsonForm(_ShortForm):
    """JSON, or @ and the path of a file that has it."""

    name = "json"

    def __init__(self, example: str) -> None:
        self._example = example

    def parse(self, text: str) -> Any:
        """Return the value."""
        data = text.encode()
        if text.startswith("@"):
            try:
                data = Path(text[1:]).read_bytes().removeprefix(b"\xef\xbb\xbf")
            except OSError as error:
                raise ValueError(f"{text[1:]} cannot be read: {error.strerror}.") from None
        expected = f"it must be JSON such as '{self._example}', or @FILE"
        if count_brackets(data) > SAFE_DEPTH:
            raise ValueError(f"{expected}; this has too many arrays and objects.")
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"{expected}: {error}.") from None


def parse_condition(text: str) -> list[Any]:
    """Parse `DIMENSION OPERATOR VALUE[,VALUE]`. Raises ValueError.

    Double quotes stand around parts of a name that has spaces, and around values with commas. What stands in quotes is a JSON
    string. Values of `>` and the like are numbers where they look like numbers; all others are text.
    """
    found = _split_condition(text)
    if found is None:
        raise ValueError(f"{text!r} must be {_CONDITION}.")
    operator = found[2]
    dimension = "".join(_unquote(part) if part.startswith('"') else part for part in _SIGNS.split(found[1]))
    if found[3] is None:
        return [operator, dimension] if operator in ("is_set", "is_not_set") else [operator, dimension, []]
    return [operator, dimension, _parse_values(found[3], is_number=operator in names.NUMBER_OPERATORS)]


def parse_range(text: str, others: Sequence[str] = ()) -> str | list[str]:
    """Parse a range: a day, two days or date-times with `..` between them, or one of the others, which stay as they are.

    Raises ValueError, whose message names `others` too.
    """
    since, dots, until = text.partition("..")
    given: str | list[str] = [since.strip(), until.strip()] if dots else [text, text] if parse_day(text) is not None else text
    if is_range(given):
        return given
    known = ", ".join((*others, *NAMED))
    raise ValueError(
        f"{text!r} must be {known}, a number of days or hours (28d, 24h), a day (2026-03-29), or two days or RFC 3339 date-times"
        " with .. between them, the first before the second (2026-03-01..2026-03-31)."
    )


def parse_metric(text: str) -> str | list[str]:
    """Parse a metric. The aggregate of a dimension has a colon: `sum:property:price`."""
    aggregate, colon, dimension = text.partition(":")
    return [aggregate, dimension] if colon and aggregate in names.AGGREGATES else text


def write_metric(metric: str | list[str]) -> str:
    """Return a metric as parse_metric() takes it."""
    return metric if isinstance(metric, str) else ":".join(metric)


def _parse_values(text: str, *, is_number: bool) -> list[Any]:
    values: list[Any] = []
    place, more = 0, True
    while more:
        found = _find_value(text, place)
        if found is None or (found[1] is None and found[2] is None):
            wrong = text[place:].strip() or text
            raise ValueError(f'{wrong!r} must be values with commas between them; an empty one is written as "".')
        place, more = found.end(), found[3] == ","
        value: Any = _unquote(found[1]) if found[1] is not None else found[2]
        values.append(_read_number(value) if is_number and found[1] is None else value)
    return values


def _read_number(text: str) -> Any:
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return value if isinstance(value, int | float) and not isinstance(value, bool) else text


def _unquote(text: str) -> str:
    try:
        return msgspec.json.decode(text, type=str)
    except msgspec.DecodeError as error:
        raise ValueError(f"{text} must be a string as JSON writes it: {error}") from None


def _match(split: Any, text: str, form: str, example: str) -> re.Match[str]:
    found: re.Match[str] | None = split(text)
    if found is None:
        raise ValueError(f"{text!r} must be {form}, such as {example!r}.")
    return found


def _read_kind(found: re.Match[str]) -> dict[str, Any]:
    event = found["event"]
    kind: dict[str, Any] = {} if event == "*" else {"Event": _unquote(event) if event.startswith('"') else event}
    if found["where"]:
        kind["Filters"] = [parse_condition(found["where"])]
    return kind
