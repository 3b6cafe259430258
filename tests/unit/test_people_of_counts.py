"""website_events.people with Of: exactly the persons whom a step of a funnel or a period of a retention counts."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest
from hypothesis import given

from tests.examples import at_random
from tests.unit import test_funnels_and_retention as shared
from tests.unit.comings_oracle import FunnelOracle, RetentionOracle
from tests.unit.query_oracle import Event, as_text, value_of
from tests.unit.test_answers import NOW, SPRING, VISITORS, Connections, fill, make_events, sources, stores
from tests.unit.test_funnels_and_retention import HOUR, A, B, funnels, retentions
from tests.unit.test_persons_asked_for import ask, name_of

pytestmark = pytest.mark.database

connections, either_connection = shared.connections, shared.either_connection
few = at_random(8)
"""Each example asks for every number of an answer."""


def persons_of(connection: duckdb.DuckDBPyConnection, **of: Any) -> set[str]:
    """The persons whom a number counts."""
    answered = ask(connection, "people", Of=of, Limit=1_000)
    assert len(answered["People"]) == answered["Count"]
    return {name_of(person) for person in answered["People"]}


@few
@given(source=sources, events=stores(), request=funnels)
def test_people_of_a_step_are_those_whom_it_counts(
    connections: Connections, source: str, events: list[Event], request: dict[str, Any]
) -> None:
    """For each step, those who dropped out before it, and each value of the breakdown."""
    connection = connections.use(source)
    fill(connection, events)
    request = {**request, "By": "people"}
    oracle = FunnelOracle(events, request, NOW)
    for step, told in enumerate(shared.funnel(connection, **request)["Steps"], 1):
        reached = {way[0].person for way in oracle.best if len(way) >= step}
        assert persons_of(connection, **request, Step=step) == reached
        assert len(reached) == told["People"]
        if step > 1:
            dropped = {way[0].person for way in oracle.best if len(way) == step - 1}
            assert persons_of(connection, **request, Step=step, Dropped=True) == dropped
    for group in shared.funnel(connection, **request)["Breakdown"]:
        for step, told in enumerate(group["Steps"], 1):
            found = persons_of(connection, **request, Step=step, Row={"Dimensions": [group["Value"]]})
            with_value = [way for way in oracle.best if as_text(value_of(way[0], request["Breakdown"])) == group["Value"]]
            assert found == {way[0].person for way in with_value if len(way) >= step}
            assert len(found) == told["People"]


@few
@given(source=sources, events=stores(), request=retentions)
def test_people_of_a_period_are_those_whom_it_counts(
    connections: Connections, source: str, events: list[Event], request: dict[str, Any]
) -> None:
    """For each cohort that has somebody and the last that has nobody, and each of its periods that is over."""
    connection = connections.use(source)
    fill(connection, events)
    request = {**request, "By": "people"}
    cohorts = shared.cohorts_of(shared.retention(connection, **request))
    assert cohorts == RetentionOracle(events, request, NOW).cohorts()
    empty = [cohort for cohort in cohorts if cohort[1] == 0]
    for label, size, returned in [*(cohort for cohort in cohorts if cohort[1] > 0), *empty[-1:]]:
        assert len(persons_of(connection, **request, Cohort=label)) == size
        for period, number in enumerate(returned):
            if number is not None:
                assert len(persons_of(connection, **request, Cohort=label, Period=period)) == number


def test_who_dropped_out(either_connection: duckdb.DuckDBPyConnection) -> None:
    """By name: two come through the first step, one of them through the second."""
    fill(
        either_connection,
        make_events(
            {"event": "a", "email": "ada@x.com"},
            {"event": "a", "email": "bob@x.com", "visitor": VISITORS[1]},
            {"event": "b", "email": "bob@x.com", "visitor": VISITORS[1], "at": SPRING + HOUR},
        ),
    )
    steps = {**shared.MARCH, "Steps": [A, B]}
    assert persons_of(either_connection, **steps, Step=1) == {"ada@x.com", "bob@x.com"}
    assert persons_of(either_connection, **steps, Step=2) == {"bob@x.com"}
    assert persons_of(either_connection, **steps, step=2, dropped=True) == {"ada@x.com"}
    returned = {**shared.MARCH, "Start": A, "Return": B, "Unit": "day"}
    ((label, _, _),) = (one for one in shared.cohorts_of(shared.retention(either_connection, **returned)) if one[1] == 2)
    assert persons_of(either_connection, **returned, Cohort=label) == {"ada@x.com", "bob@x.com"}
    assert persons_of(either_connection, **returned, Cohort=label, Period=0) == {"bob@x.com"}


@pytest.mark.parametrize(
    ("of", "code", "message"),
    [
        ({"Steps": [A, B], "Step": 3}, 11, "Of.Step: 3 must be an integer from 1 to 2."),
        ({"Steps": [A, B], "Step": True}, 11, "Of.Step: true must be"),
        ({"Steps": [A, B], "Step": 1, "Dropped": True}, 11, "Of.Step: 1 must be an integer from 2 to 2."),
        ({"Steps": [A, B], "Step": 2, "Dropped": 1}, 11, "Of.Dropped: 1 must be true or false."),
        ({"Steps": [A], "Step": 1}, 11, "Of.Steps: "),
        ({"Steps": [A, B], "Step": 1, "By": "visitors"}, 12, 'Of.By: "visitors" must be "people"'),
        ({"Steps": [A, B], "Step": 1, "Row": {"Dimensions": ["x"]}}, 7, "Of.Row.Dimensions: 1 values must be 0"),
        ({"Steps": [A, B], "Step": 1, "Unit": "day"}, 12, 'Of: "Unit" is no parameter of website_events.funnel or Step'),
        ({"DateRange": "2001d", "Unit": "day", "Cohort": "2026-03-30"}, 13, "Of.DateRange: more than 2000 days"),
        (
            {"DateRange": "100d", "Dimensions": ["time:hour"], "Row": {"Dimensions": [""]}},
            13,
            "Of.DateRange: more than 2000",
        ),
        ({"Cohort": 7}, 11, "Of.Cohort: 7 must be the label"),
        ({"Cohort": "1999-01-04"}, 11, "Of.Cohort: '1999-01-04' is no week of the range."),
        ({"Cohort": "2026-03-30", "Period": 12}, 11, "Of.Period: 12 must be an integer from 0 to 11."),
        ({"Cohort": "2026-03-30", "Period": 11}, 11, "Of.Period: period 11 of this cohort is not over."),
        ({"Cohort": "2026-03-30", "By": "visitors"}, 12, 'Of.By: "visitors" must be'),
    ],
)
def test_a_number_that_cannot_be_meant_is_refused(
    either_connection: duckdb.DuckDBPyConnection, of: dict[str, Any], code: int, message: str
) -> None:
    """With the code of what is wrong, and what would be right."""
    fill(either_connection, [])
    ((found, text),) = ask(either_connection, "people", Of={"DateRange": ["2026-03-01", "2026-04-01"], **of})
    assert (found, text[: len(message)]) == (code, message)
