"""A question as a JSON request, as a command line and as a Python call, for people who copy it."""

from __future__ import annotations

import inspect
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from falcon_events.dashboard.spelled_commands import write_command
from falcon_events.query.arguments import write_params
from falcon_events.query.calls import QuestionCalls
from falcon_events.query.short_forms import is_same, write_json

QUESTIONS = ("query", "funnel", "retention", "people", "timeline", "values")
CREDENTIALS = ("api_key", "session_id")
WIDTH = 100
"""The most columns of a line, if it can be broken."""
_POSITIONAL = {"values": ("dimension",)}
"""Arguments that a call gives without their names, after the list."""


class Spellings(msgspec.Struct, frozen=True):
    """A question, spelled in three ways.

    Args:
        json: the body of the request, without credentials.
        http: the method and the path of the request.
        command: the command line for a POSIX shell, on one line, in characters that can be printed.
        python: the call of an `EventTracking` called `tracking`.
        note: what to do before the command is run; None: nothing.
    """

    json: str
    http: str
    command: str
    python: str
    note: str | None = None


class _Style(msgspec.Struct, frozen=True):
    """How values are written: a value that does not fit in its line has a line for each element, indented by `step`."""

    write: Callable[[Any], str]
    step: int
    last_comma: str


def spell(name: str, list_id: int, arguments: Mapping[str, Any]) -> Spellings:
    """Spell a question.

    Args:
        name: which question: one of QUESTIONS.
        list_id: the list.
        arguments: the keyword arguments of the method of EventTracking that asks it. Credentials are left out.

    Raises:
        EventsError: an argument is of a type that JSON does not have; the message names it.
        TypeError: the method has no such argument.
    """
    given = {argument: value for argument, value in arguments.items() if argument not in CREDENTIALS}
    if unknown := given.keys() - _ARGUMENTS[name].keys():
        raise TypeError(f"{name}() has no argument {min(unknown)!r}")
    params = {argument: write_params({argument: value}) for argument, value in given.items()}
    changed = {argument: one for argument, one in params.items() if one and not is_same(one, _ARGUMENTS[name][argument])}
    body = {"ListID": list_id}
    for one in params.values():
        body |= one
    command = write_command(name, list_id, {key: value for one in changed.values() for key, value in one.items()})
    return Spellings(
        json=_write_request(body),
        http=f"POST /api/v1/website_events.{name}",
        command=command.text,
        python=_write_call(name, list_id, {argument: value for argument, one in changed.items() for value in one.values()}),
        note=command.note,
    )


def _read_defaults(name: str) -> dict[str, dict[str, Any]]:
    """Return the arguments of a question, each with its default as a parameter of a request; required ones have none."""
    parameters = inspect.signature(getattr(QuestionCalls, name)).parameters
    return {
        argument: {} if parameter.default is parameter.empty else write_params({argument: parameter.default})
        for argument, parameter in parameters.items()
        if argument not in ("self", "list_id", *CREDENTIALS)
    }


_ARGUMENTS = {name: _read_defaults(name) for name in QUESTIONS}


def _write_request(body: dict[str, Any]) -> str:
    """Write a request's body, with a line for each parameter at least."""
    style = _Style(write_json, 2, "")
    lines = [f"  {_lay_out(value, style, 2, f'{write_json(name)}: ')}" for name, value in body.items()]
    return "{\n" + ",\n".join(lines) + "\n}"


def _write_call(name: str, list_id: int, arguments: dict[str, Any]) -> str:
    """Write a call as a formatter of Python would."""
    style = _Style(_write_python, 4, ",")
    prefixed = [("", list_id), *(("" if key in _POSITIONAL.get(name, ()) else f"{key}=", arguments[key]) for key in arguments)]
    prefixed.sort(key=lambda one: one[0] != "")  # what has no name comes first
    flat = ", ".join(prefix + _write_python(value) for prefix, value in prefixed)
    opening = f"tracking.{name}("
    if _measure(opening) + _measure(flat) + 1 <= WIDTH:
        return f"{opening}{flat})"
    if 4 + _measure(flat) <= WIDTH:
        return f"{opening}\n    {flat}\n)"
    lines = [f"    {_lay_out(value, style, 4, prefix)},\n" for prefix, value in prefixed]
    return f"{opening}\n{''.join(lines)})"


def _lay_out(value: Any, style: _Style, indent: int, prefix: str) -> str:
    """Write a value after its prefix, on one line if it fits there with a comma, otherwise with a line for each element."""
    flat = prefix + style.write(value)
    if not value or not isinstance(value, list | dict) or indent + _measure(flat) + 1 <= WIDTH:
        return flat
    inner = indent + style.step
    if isinstance(value, dict):
        parts = [_lay_out(one, style, inner, f"{style.write(name)}: ") for name, one in value.items()]
        opening, closing = "{}"
    else:
        parts = [_lay_out(one, style, inner, "") for one in value]
        opening, closing = "[]"
    lines = f",\n{' ' * inner}".join(parts)
    return f"{prefix}{opening}\n{' ' * inner}{lines}{style.last_comma}\n{' ' * indent}{closing}"


def _write_python(value: Any) -> str:
    """Write a value of JSON as a literal of Python on one line, in characters that can be printed."""
    if isinstance(value, str):
        return _write_text(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_write_python, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_write_text(name)}: {_write_python(one)}" for name, one in value.items()) + "}"
    return repr(value).replace("e+", "e") if isinstance(value, float) else repr(value)


def _write_text(text: str) -> str:
    """Write a string in the quotes that need fewer escapes, preferably double ones."""
    quote = '"' if text.count('"') <= text.count("'") else "'"
    body = text.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    if not body.isprintable():
        body = "".join(c if c.isprintable() else repr(c)[1:-1] for c in body)
    return f"{quote}{body}{quote}"


def _measure(text: str) -> int:
    """Return how many columns a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
