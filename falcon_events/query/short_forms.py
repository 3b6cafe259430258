"""The short forms of a question's parts, as the command takes them: conditions, kinds of events, ranges, metrics, orders.

Each is parsed and written here. What has no short form is written as JSON by those who call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from falcon_events.contract.body import decode_text
from falcon_events.query import names
from falcon_events.query.ranges import NAMED, is_range, parse_day

MAX_WRITTEN = 1_000
"""How many characters a short form may have to be written: the time to parse it grows with their square."""
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


def parse_kind(text: str) -> dict[str, Any]:
    """Parse `EVENT [where CONDITION]`, the event in quotes if it is a JSON string; * is any event. Raises ValueError."""
    return _read_kind(_match(_split_kind, text, "EVENT [where CONDITION]", "pageView where path is /pricing"))


def parse_done(text: str) -> dict[str, Any]:
    """Parse `EVENT [OPERATOR NUMBER] [within RANGE] [where CONDITION]`: what a person has done. Raises ValueError."""
    expected = "EVENT [OPERATOR NUMBER] [within RANGE] [where CONDITION]"
    found = _match(_split_done, text, expected, "conversion >= 2 within 30d")
    done = _read_kind(found)
    if found["operator"]:
        done["Count"] = [found["operator"], int(found["count"])]
    if found["within"]:
        done["Within"] = parse_range(found["within"])
    return done


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


def parse_order(text: str) -> list[Any]:
    """Parse a metric or a dimension, and maybe `asc` or `desc`. Without a direction, metrics descend and dimensions ascend."""
    name, _, direction = text.strip().rpartition(" ")
    if direction not in ("asc", "desc") or not name:
        name = text.strip()
        direction = "desc" if isinstance(parse_metric(name), list) or name in names.METRICS else "asc"
    return [parse_metric(name.strip()), direction]


def show_metric(metric: str | list[str]) -> str:
    """Return a metric as parse_metric() takes it."""
    return metric if isinstance(metric, str) else ":".join(metric)


def write_json(value: object) -> str:
    """Write JSON on one line, in characters that can be printed; others are escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def is_same(one: object, other: object) -> bool:
    """Return whether two values of JSON are the same. In Python, 1, 1.0 and True are equal."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def write_condition(condition: object) -> str | None:
    """Write a condition as parse_condition() takes it. None: it has no short form, as with all of these functions."""
    match condition:
        case [str() as operator, str() as dimension]:
            values: object = []
        case [str() as operator, str() as dimension, list() as values]:
            pass
        case _:
            return None
    is_number = operator in names.NUMBER_OPERATORS
    texts = [_write_value(value, is_number=is_number) for value in values]  # type: ignore[attr-defined]
    if any(text is None for text in texts):
        return None
    text = f"{_write_dimension(dimension)} {operator} {','.join(filter(None, texts))}".rstrip()
    return _check(text, parse_condition, condition)


def write_kind(kind: object) -> str | None:
    """Write a kind of events as parse_kind() takes it."""
    return _write_event(kind, "", parse_kind)


def write_done(done: object) -> str | None:
    """Write what a person has done as parse_done() takes it."""
    if not isinstance(done, dict):
        return None
    count, within = done.get("Count"), done.get("Within")
    more = ""
    if count is not None:
        if not isinstance(count, list) or len(count) != 2:
            return None
        more = f" {count[0]} {count[1]}"
    if within is not None:
        if (span := write_range(within)) is None:
            return None
        more += f" within {span}"
    return _write_event(done, more, parse_done)


def write_range(given: object, others: Sequence[str] = ()) -> str | None:
    """Write a range as parse_range() takes it, or one of the others."""
    match given:
        case str():
            return given if given in others else _check(given, parse_range, given)
        case [str() as since, str() as until]:
            return _check(since if since == until else f"{since}..{until}", parse_range, given)
    return None


def write_metric(metric: object) -> str | None:
    """Write a metric as parse_metric() takes it."""
    match metric:
        case str():
            return _check(metric, parse_metric, metric)
        case [str() as aggregate, str() as dimension]:
            return _check(show_metric([aggregate, dimension]), parse_metric, metric)
    return None


def write_order(order: object) -> str | None:
    """Write an order as parse_order() takes it."""
    match order:
        case [metric, str() as direction] if (name := write_metric(metric)) is not None:
            return _check(name, parse_order, order) or _check(f"{name} {direction}", parse_order, order)
    return None


def _check(text: str, parse: Callable[[str], object], value: object) -> str | None:
    """Return the text if it can be printed, and is parsed as the value."""
    if len(text) > MAX_WRITTEN or not text.isprintable():
        return None
    try:
        return text if is_same(parse(text), value) else None
    except ValueError:
        return None


def _write_event(given: object, more: str, parse: Callable[[str], object]) -> str | None:
    """Write an event, then `more`, then its condition."""
    if not isinstance(given, dict):
        return None
    kind = drop_empty(given)
    event, filters = kind.get("Event"), kind.get("Filters", [])
    if not isinstance(filters, list) or len(filters) > 1:
        return None
    conditions = [write_condition(one) for one in filters]
    if None in conditions:
        return None
    where = "".join(f" where {one}" for one in conditions)
    texts = ("*",) if event is None else (event, write_json(event)) if isinstance(event, str) else ()
    return next(filter(None, (_check(f"{text}{more}{where}", parse, kind) for text in texts)), None)


def drop_empty(kind: dict[str, Any]) -> dict[str, Any]:
    """Return a kind of events without members that say nothing: null, and no conditions."""
    return {name: value for name, value in kind.items() if value is not None and not (name == "Filters" and value == [])}


def _write_dimension(name: str) -> str:
    if name.isprintable() and not any(sign in name for sign in ' "'):
        return name
    prefix = next((one for one in names.PREFIXES if name.startswith(one)), "")
    return prefix + write_json(name.removeprefix(prefix))


def _write_value(value: object, *, is_number: bool) -> str | None:
    if isinstance(value, str):
        is_plain = value == value.strip() and value.isprintable() and "," not in value and not value.startswith('"')
        if not value or not is_plain or (is_number and not isinstance(_read_number(value), str)):
            return write_json(value)
        return value
    return write_json(value) if is_number and isinstance(value, int | float) else None


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
        value = decode_text(text)
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
