"""The short forms of conditions, events, ranges, metrics and orders on the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from falcon_events.cli.conditions import DoneForm, KindForm, OrderForm
from falcon_events.cli.grid import format_change, format_numbers, format_seconds
from falcon_events.query.conditions_reading import ConditionReader, Failures
from falcon_events.query.names import AGGREGATES, NUMBER_OPERATORS, TEXT_OPERATORS
from falcon_events.query.short_forms import parse_condition, parse_metric, parse_range, write_metric

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)

steady = settings(derandomize=True, database=None, deadline=None)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("path is /pricing", ["is", "path", ["/pricing"]]),
        ("  path   contains_not   /a b ,  /c ", ["contains_not", "path", ["/a b", "/c"]]),
        ("title is Don't, \"don't, please\"", ["is", "title", ["Don't", "don't, please"]]),
        ('title is ""', ["is", "title", [""]]),
        ('title is 6" nails', ["is", "title", ['6" nails']]),
        ('property:"my plan" is pro', ["is", "property:my plan", ["pro"]]),
        ('"property:a \\"b\\"" is \\n', ["is", 'property:a "b"', ["\\n"]]),
        ("property:a:b is c:d", ["is", "property:a:b", ["c:d"]]),
        ("property:n > 5", [">", "property:n", [5]]),
        ("property:n between -1.5,2e3", ["between", "property:n", [-1.5, 2000.0]]),
        ('property:n > "5"', [">", "property:n", ["5"]]),
        ("property:n > true,many", [">", "property:n", ["true", "many"]]),
        (f"property:n > {'[' * 100_000}", [">", "property:n", ["[" * 100_000]]),
        ("property:n is 5,null,true", ["is", "property:n", ["5", "null", "true"]]),
        ("first_seen > 2026-03-01", [">", "first_seen", ["2026-03-01"]]),
        ("property:plan is_set", ["is_set", "property:plan"]),
        ("property:plan is", ["is", "property:plan", []]),
        ("path matches ^/(a|b)$", ["matches", "path", ["^/(a|b)$"]]),
        ('path matches "^/a{1,2}$"', ["matches", "path", ["^/a{1,2}$"]]),
    ],
)
def test_a_condition_is_read(text: str, condition: list[Any]) -> None:
    """Words and commas separate; what stands in double quotes is a JSON string; only comparisons take numbers."""
    assert parse_condition(text) == condition


@pytest.mark.parametrize(
    "text", ["", "path", "is", 'pa"th is x', "path is a,", "path is ,a", 'path is "a', 'path is "a"b', 'path is "\\x"']
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    """With a message that says what would be right."""
    with pytest.raises(ValueError, match=r"must be"):
        parse_condition(text)


@steady
@given(TEXTS, st.sampled_from([*TEXT_OPERATORS, "is", "is_not"]), st.lists(TEXTS, min_size=1, max_size=4))
def test_every_name_and_text_can_be_written(name: str, operator: str, values: list[str]) -> None:
    """In quotes, whatever it has."""
    quoted = ",".join(json.dumps(value) for value in values)
    assert parse_condition(f"property:{json.dumps(name)} {operator} {quoted}") == [operator, f"property:{name}", values]


@steady
@given(st.text(max_size=40), st.sampled_from([*NUMBER_OPERATORS, "is"]))
def test_no_text_is_read_as_something_else(text: str, operator: str) -> None:
    """Whatever stands behind the operator is refused, or one or more values of a condition that the API can read or refuse."""
    try:
        condition = parse_condition(f"path {operator} {text}")
    except ValueError:
        return
    assert condition[:2] == [operator, "path"]
    failures = Failures()
    ConditionReader(failures).read_filters("Filters", [condition], 8)
    assert all(failure.message.startswith("Filters[0]: ") for failure in failures.found)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("signup", {"Event": "signup"}),
        ("*", {}),
        ('"*"', {"Event": "*"}),
        ("Signed up", {"Event": "Signed up"}),
        ("pageView where path is /a where b", {"Event": "pageView", "Filters": [["is", "path", ["/a where b"]]]}),
        ('"a where b"', {"Event": "a where b"}),
        ("* where path is_set", {"Filters": [["is_set", "path"]]}),
    ],
)
def test_an_event_is_read(text: str, kind: dict[str, Any]) -> None:
    """Maybe with a condition; in quotes if its name could be read as something else; * is any event."""
    assert KindForm().parse(text) == kind


@pytest.mark.parametrize(
    ("text", "done"),
    [
        ("conversion", {"Event": "conversion"}),
        ("conversion >= 2", {"Event": "conversion", "Count": [">=", 2]}),
        ("* within 30d", {"Within": "30d"}),
        ("a within 2026-03-01..2026-03-31", {"Event": "a", "Within": ["2026-03-01", "2026-03-31"]}),
        (
            "Page view is_not 3 within month where path is /a,/b",
            {"Event": "Page view", "Count": ["is_not", 3], "Within": "month", "Filters": [["is", "path", ["/a", "/b"]]]},
        ),
        ('"a >= 2" < 1', {"Event": "a >= 2", "Count": ["<", 1]}),
    ],
)
def test_what_a_person_has_done_is_read(text: str, done: dict[str, Any]) -> None:
    """An event, how often, when, and a condition."""
    assert DoneForm().parse(text) == done


def test_ranges_metrics_and_orders_are_read() -> None:
    """As the API has them."""
    assert parse_range("28d") == "28d"
    assert parse_range("2026-03-29") == ["2026-03-29", "2026-03-29"]
    assert parse_range("2026-03-01T00:00:00Z..2026-03-02T00:00:00+01:00") == ["2026-03-01T00:00:00Z", "2026-03-02T00:00:00+01:00"]
    for wrong in ("", "d", "0d", "2026-02-30", "2026-03-01..", "..", "28d..29d"):
        with pytest.raises(ValueError, match="28d, 24h"):
            parse_range(wrong)
    for metric in ("people", *(f"{aggregate}:property:a:b c" for aggregate in AGGREGATES)):
        assert write_metric(parse_metric(metric)) == metric
    assert OrderForm().parse("revenue") == ["revenue", "desc"]
    assert OrderForm().parse("sum:property:price") == [["sum", "property:price"], "desc"]
    assert OrderForm().parse("time:day") == ["time:day", "asc"]
    assert OrderForm().parse("property:my plan desc") == ["property:my plan", "desc"]


def test_numbers_are_readable() -> None:
    """Thousands, decimals where a column has some, very small and large ones, changes, and times by their two largest units."""
    assert format_numbers([1234567, 0, None]) == ["1,234,567", "0", "-"]
    assert format_numbers([1234.5, 2.0, 0.0001, 1e300]) == ["1,234.50", "2.00", "0.0001", "1e+300"]
    assert [format_change(*pair) for pair in ((3, 2), (1, 3), (0, 0), (5, 0), (None, 1), (1, -2))] == [
        *("+50.0%", "-66.7%", "0.0%", "new", "-", "+150.0%"),
    ]
    seconds = (None, 0, 0.25, 59.9, 60, 3599, 3600, 86399.9, 90_000, 8_640_000)
    assert [format_seconds(one) for one in seconds] == ["-", "0s", "0.2s", "1m", "1m", "59m 59s", "1h", "1d", "1d 1h", "100d"]
