"""The values of the options of questions: conditions, kinds of events, ranges, metrics and orders in short forms, and JSON."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import click
import msgspec

from falcon_events.contract.body import SAFE_DEPTH, is_nested_too_deep
from falcon_events.query.short_forms import parse_condition, parse_done, parse_kind, parse_metric, parse_order, parse_range

MAX_LABEL = 60


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
        return parse_kind(text)


class DoneForm(_ShortForm):
    """Events that a person has done, such as `conversion >= 2 within 30d`."""

    name = "event"

    def parse(self, text: str) -> dict[str, Any]:
        """Return the kind of the events, with their number and range."""
        return parse_done(text)


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
        """Return the order."""
        return parse_order(text)


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
        if is_nested_too_deep(data):
            raise ValueError(f"{expected}; this is nested more than {SAFE_DEPTH:,} levels deep.")
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"{expected}: {error}.") from None
