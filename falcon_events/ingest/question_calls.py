"""The calls of the Python API that ask questions, and their arguments as parameters of a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

import msgspec

from falcon_events.contract.body import Params
from falcon_events.contract.values import encode_json, find_fault
from falcon_events.errors import EventsError
from falcon_events.ingest.questions import Questions
from falcon_events.model.answers import (
    FunnelResult,
    QueryResult,
    RetentionResult,
    read_funnel_result,
    read_result,
    read_retention_result,
)
from falcon_events.model.sender import HOST, Sender
from falcon_events.runtime.steps import Steps, Waiter

R = TypeVar("R")
DateRange = str | Sequence[str | date]
"""A range of time: `28d` and the like, or two days or date-times."""


class QuestionCalls:
    """The methods of the Python API that ask questions.

    Args:
        questions: asks them.
        get_waiter: returns what runs steps in a thread or a coroutine.
    """

    def __init__(self, questions: Questions, get_waiter: Callable[[], Waiter]) -> None:
        self._questions = questions
        self._get_waiter = get_waiter

    def query(
        self,
        list_id: int | str,
        *,
        date_range: DateRange = "28d",
        time_zone: str | None = None,
        week_start: str = "monday",
        metrics: Sequence[str | Sequence[str]] = ("people", "events"),
        dimensions: Sequence[str] = (),
        filters: Sequence[Sequence[Any]] = (),
        people: Sequence[Sequence[Any]] = (),
        order_by: Sequence[Sequence[Any]] = (),
        limit: int = 100,
        offset: int = 0,
        compare: DateRange | None = None,
        include: Sequence[str] = (),
        api_key: str | None = None,
        session_id: str | None = None,
    ) -> QueryResult:
        """Count what happened, as POST /api/v1/website_events.query does.

        Args:
            list_id: the list (`ListID`).
            date_range: the range of time: `28d`, `month`, two days, ... (`DateRange`).
            time_zone: the IANA name of the time zone of days; None: the list's own (`TimeZone`).
            week_start: `monday` or `sunday` (`WeekStart`).
            metrics: what is counted (`Metrics`).
            dimensions: what the rows are by (`Dimensions`).
            filters: conditions on events, all of which hold (`Filters`).
            people: conditions on persons, all of which hold (`People`).
            order_by: metrics or dimensions, each with `asc` or `desc` (`OrderBy`).
            limit: how many rows are returned (`Limit`).
            offset: how many rows are skipped (`Offset`).
            compare: the range to compare with: `previous`, `year` or a range (`Compare`).
            include: `total_rows`, `totals`, `time_labels` (`Include`).
            api_key: a key to check. With neither key nor session, the caller is trusted.
            session_id: a session to check.

        Raises:
            InvalidRequest: a parameter is not as documented, or there is no such list.
            QueryTooLong: it took longer than the setting `query_timeout_s`.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self._get_waiter().run(self._ask("query", locals(), read_result))

    async def aquery(
        self,
        list_id: int | str,
        *,
        date_range: DateRange = "28d",
        time_zone: str | None = None,
        week_start: str = "monday",
        metrics: Sequence[str | Sequence[str]] = ("people", "events"),
        dimensions: Sequence[str] = (),
        filters: Sequence[Sequence[Any]] = (),
        people: Sequence[Sequence[Any]] = (),
        order_by: Sequence[Sequence[Any]] = (),
        limit: int = 100,
        offset: int = 0,
        compare: DateRange | None = None,
        include: Sequence[str] = (),
        api_key: str | None = None,
        session_id: str | None = None,
    ) -> QueryResult:
        """Count what happened as query() does, for coroutines."""
        return await self._get_waiter().arun(self._ask("query", locals(), read_result))

    def funnel(
        self,
        list_id: int | str,
        *,
        steps: Sequence[Mapping[str, Any]],
        window: str = "7d",
        order: str = "sequential",
        by: str = "people",
        breakdown: str | None = None,
        date_range: DateRange = "28d",
        time_zone: str | None = None,
        week_start: str = "monday",
        filters: Sequence[Sequence[Any]] = (),
        people: Sequence[Sequence[Any]] = (),
        compare: DateRange | None = None,
        api_key: str | None = None,
        session_id: str | None = None,
    ) -> FunnelResult:
        """Count how many came through ordered steps, as POST /api/v1/website_events.funnel does.

        Args:
            list_id: the list (`ListID`).
            steps: 2 to 10 kinds of events, such as `{"Event": "signup", "Filters": []}` (`Steps`).
            window: the longest time from the first step to a later one: `7d`, `12h`, `30m` (`Window`).
            order: `sequential`, or `strict`: no other event of theirs lies between (`Order`).
            by: what is counted: `people`, `visitors` or `sessions` (`By`).
            breakdown: a dimension, whose value at the first step counts (`Breakdown`).
            date_range: when the first step happened: `28d`, `month`, two days, ... (`DateRange`).
            time_zone: the IANA name of the time zone of days; None: the list's own (`TimeZone`).
            week_start: `monday` or `sunday` (`WeekStart`).
            filters: conditions on events, all of which hold (`Filters`).
            people: conditions on persons, all of which hold (`People`).
            compare: the range to compare with: `previous`, `year` or a range (`Compare`).
            api_key: a key to check. With neither key nor session, the caller is trusted.
            session_id: a session to check.

        Raises:
            InvalidRequest: a parameter is not as documented, or there is no such list.
            QueryTooLong: it took longer than the setting `query_timeout_s`.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self._get_waiter().run(self._ask("funnel", locals(), read_funnel_result))

    async def afunnel(
        self,
        list_id: int | str,
        *,
        steps: Sequence[Mapping[str, Any]],
        window: str = "7d",
        order: str = "sequential",
        by: str = "people",
        breakdown: str | None = None,
        date_range: DateRange = "28d",
        time_zone: str | None = None,
        week_start: str = "monday",
        filters: Sequence[Sequence[Any]] = (),
        people: Sequence[Sequence[Any]] = (),
        compare: DateRange | None = None,
        api_key: str | None = None,
        session_id: str | None = None,
    ) -> FunnelResult:
        """Count how many came through ordered steps as funnel() does, for coroutines."""
        return await self._get_waiter().arun(self._ask("funnel", locals(), read_funnel_result))

    def retention(
        self,
        list_id: int | str,
        *,
        start: Mapping[str, Any] | None = None,
        return_: Mapping[str, Any] | None = None,
        unit: str = "week",
        periods: int = 12,
        first: str = "ever",
        mode: str = "calendar",
        by: str = "people",
        date_range: DateRange = "28d",
        time_zone: str | None = None,
        week_start: str = "monday",
        filters: Sequence[Sequence[Any]] = (),
        people: Sequence[Sequence[Any]] = (),
        api_key: str | None = None,
        session_id: str | None = None,
    ) -> RetentionResult:
        """Count how many came back, as POST /api/v1/website_events.retention does.

        Args:
            list_id: the list (`ListID`).
            start: the kind of event that starts, such as `{"Event": "signup", "Filters": []}`; None: any event (`Start`).
            return_: the kind of event that is a return; None: any event (`Return`).
            unit: `day`, `week` or `month` (`Unit`).
            periods: how many periods are counted, with that of the start (`Periods`).
            first: `ever`: the first start ever decides; `in_range`: the first one in the range (`First`).
            mode: `calendar`, or `rolling`: 24 hours, 7 or 30 days from each start (`Mode`).
            by: what is counted: `people` or `visitors` (`By`).
            date_range: when they started: `28d`, `month`, two days, ... (`DateRange`).
            time_zone: the IANA name of the time zone of days; None: the list's own (`TimeZone`).
            week_start: `monday` or `sunday` (`WeekStart`).
            filters: conditions on events, all of which hold (`Filters`).
            people: conditions on persons, all of which hold (`People`).
            api_key: a key to check. With neither key nor session, the caller is trusted.
            session_id: a session to check.

        Raises:
            InvalidRequest: a parameter is not as documented, or there is no such list.
            QueryTooLong: it took longer than the setting `query_timeout_s`.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self._get_waiter().run(self._ask("retention", locals(), read_retention_result))

    async def aretention(
        self,
        list_id: int | str,
        *,
        start: Mapping[str, Any] | None = None,
        return_: Mapping[str, Any] | None = None,
        unit: str = "week",
        periods: int = 12,
        first: str = "ever",
        mode: str = "calendar",
        by: str = "people",
        date_range: DateRange = "28d",
        time_zone: str | None = None,
        week_start: str = "monday",
        filters: Sequence[Sequence[Any]] = (),
        people: Sequence[Sequence[Any]] = (),
        api_key: str | None = None,
        session_id: str | None = None,
    ) -> RetentionResult:
        """Count how many came back as retention() does, for coroutines."""
        return await self._get_waiter().arun(self._ask("retention", locals(), read_retention_result))

    def _ask(self, kind: str, arguments: Mapping[str, Any], read: Callable[[bytes], R]) -> Steps[R]:
        params = write_params(arguments)
        is_host = arguments["api_key"] is None and arguments["session_id"] is None
        return read((yield from self._questions.ask(kind, params, HOST if is_host else Sender())))


NAMES = {"list_id": "ListID", "api_key": "APIKey", "session_id": "SessionID"}
"""The parameters whose names are not their arguments' in CamelCase."""


def write_params(arguments: Mapping[str, Any]) -> Params:
    """Return the parameters of a question from the arguments of a call, in types that JSON has.

    Raises:
        EventsError: an argument is of a type that JSON does not have; the message names it.
    """
    params: Params = {}
    for argument, value in arguments.items():
        if argument == "self" or value is None:
            continue
        name = NAMES.get(argument) or "".join(part.capitalize() for part in argument.split("_"))
        try:
            params[name] = msgspec.json.decode(encode_json(value))
        except Exception as error:  # also what the conversion of a value raises
            raise EventsError(find_fault(value, argument) or f"{argument}: {error}") from error
    return params
