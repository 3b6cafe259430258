"""Questions as methods of the Python API. The same for a store and for a remote server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from falcon_events.model.answers import (
    ForgetResult,
    FunnelResult,
    PeopleResult,
    QueryResult,
    RetentionResult,
    SavedResult,
    SaveResult,
    TimelineResult,
    ValuesResult,
)
from falcon_events.query.arguments import DateRange

T = TypeVar("T")


class QuestionCalls(ABC):
    """The methods that ask questions."""

    @abstractmethod
    def _ask_question(self, name: str, arguments: Mapping[str, Any], kind: type[T]) -> T:
        """Ask a question.

        Args:
            name: which question, such as `query`.
            arguments: the arguments of the method that asks it.
            kind: the type of the answer.
        """

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
            api_key: a key to check. With neither key nor session, the caller is trusted. Not for a client, which has its own key.
            session_id: a session to check. Not for a client.

        Raises:
            InvalidRequest: a parameter is not as documented, or there is no such list.
            QueryTooLong: it took longer than the setting `query_timeout_s`.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self._ask_question("query", locals(), QueryResult)

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
            api_key: a key to check. With neither key nor session, the caller is trusted. Not for a client, which has its own key.
            session_id: a session to check. Not for a client.

        Raises:
            InvalidRequest: a parameter is not as documented, or there is no such list.
            QueryTooLong: it took longer than the setting `query_timeout_s`.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self._ask_question("funnel", locals(), FunnelResult)

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
            api_key: a key to check. With neither key nor session, the caller is trusted. Not for a client, which has its own key.
            session_id: a session to check. Not for a client.

        Raises:
            InvalidRequest: a parameter is not as documented, or there is no such list.
            QueryTooLong: it took longer than the setting `query_timeout_s`.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self._ask_question("retention", locals(), RetentionResult)

    def people(
        self,
        list_id: int | str,
        *,
        people: Sequence[Sequence[Any]] | None = None,
        rules_json: Sequence[Sequence[Mapping[str, Any]]] | str | None = None,
        of: Mapping[str, Any] | None = None,
        order_by: str | Sequence[str] = "last_seen",
        limit: int = 100,
        cursor: str | None = None,
        time_zone: str | None = None,
        week_start: str = "monday",
        api_key: str | None = None,
        session_id: str | None = None,
    ) -> PeopleResult:
        """Return who meets conditions, or whom a number of another answer counts, as POST /api/v1/website_events.people does.

        Args:
            list_id: the list (`ListID`).
            people: conditions on persons, all of which hold; by default, all persons (`People`).
            rules_json: the same in the documented syntax of segments (`RulesJson`).
            of: the parameters of another question, named as in HTTP, with the number whose persons are meant (`Of`).
            order_by: `last_seen`, `first_seen`, `events` or `email`, or one of them and `asc` or `desc` (`OrderBy`).
            limit: how many persons are returned (`Limit`).
            cursor: the `next_cursor` of the page before (`Cursor`).
            time_zone: the IANA name of the time zone of days; None: the list's own (`TimeZone`).
            week_start: `monday` or `sunday` (`WeekStart`).
            api_key: a key to check. With neither key nor session, the caller is trusted. Not for a client, which has its own key.
            session_id: a session to check. Not for a client.

        Raises:
            InvalidRequest: a parameter is not as documented, or there is no such list.
            QueryTooLong: it took longer than the setting `query_timeout_s`.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self._ask_question("people", locals(), PeopleResult)

    def timeline(
        self,
        list_id: int | str,
        *,
        email: str | None = None,
        id: str | int | None = None,
        uuid: str | UUID | None = None,
        filters: Sequence[Sequence[Any]] = (),
        limit: int = 100,
        cursor: str | None = None,
        api_key: str | None = None,
        session_id: str | None = None,
    ) -> TimelineResult:
        """Return what one person did, the latest first, as POST /api/v1/website_events.timeline does. Give email, id or uuid.

        Args:
            list_id: the list (`ListID`).
            email: an address of the person (`Email`).
            id: the person's id in the sender's system (`ID`).
            uuid: a visitor of the person (`UUID`).
            filters: conditions on events, all of which hold (`Filters`).
            limit: how many events are returned (`Limit`).
            cursor: the `next_cursor` of the page before (`Cursor`).
            api_key: a key to check. With neither key nor session, the caller is trusted. Not for a client, which has its own key.
            session_id: a session to check. Not for a client.

        Raises:
            InvalidRequest: a parameter is not as documented, or there is no such list, or the list has no such person.
            QueryTooLong: it took longer than the setting `query_timeout_s`.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self._ask_question("timeline", locals(), TimelineResult)

    def values(
        self,
        list_id: int | str,
        dimension: str,
        *,
        prefix: str = "",
        date_range: DateRange = "28d",
        time_zone: str | None = None,
        week_start: str = "monday",
        filters: Sequence[Sequence[Any]] = (),
        people: Sequence[Sequence[Any]] = (),
        limit: int = 100,
        api_key: str | None = None,
        session_id: str | None = None,
    ) -> ValuesResult:
        """Return the values of a dimension, the most frequent first, as POST /api/v1/website_events.values does.

        Args:
            list_id: the list (`ListID`).
            dimension: the dimension (`Dimension`).
            prefix: how the values begin, without regard to case (`Prefix`).
            date_range: the range of time (`DateRange`).
            time_zone: the IANA name of the time zone of days; None: the list's own (`TimeZone`).
            week_start: `monday` or `sunday` (`WeekStart`).
            filters: conditions on events, all of which hold (`Filters`).
            people: conditions on persons, all of which hold (`People`).
            limit: how many values are returned (`Limit`).
            api_key: a key to check. With neither key nor session, the caller is trusted. Not for a client, which has its own key.
            session_id: a session to check. Not for a client.

        Raises:
            InvalidRequest: a parameter is not as documented, or there is no such list.
            QueryTooLong: it took longer than the setting `query_timeout_s`.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self._ask_question("values", locals(), ValuesResult)

    def saved(
        self,
        list_id: int | str,
        *,
        api_key: str | None = None,
        session_id: str | None = None,
    ) -> SavedResult:
        """Return the saved queries and segments of a list, as POST /api/v1/website_events.saved does.

        Args:
            list_id: the list (`ListID`).
            api_key: a key to check. With neither key nor session, the caller is trusted. Not for a client, which has its own key.
            session_id: a session to check. Not for a client.

        Raises:
            InvalidRequest: a parameter is not as documented, or there is no such list.
            QueryTooLong: it took longer than the setting `query_timeout_s`.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self._ask_question("saved", locals(), SavedResult)

    def save(
        self,
        list_id: int | str,
        name: str,
        *,
        query: Mapping[str, Any] | None = None,
        people: Sequence[Sequence[Any]] | None = None,
        rules_json: Sequence[Sequence[Mapping[str, Any]]] | str | None = None,
        api_key: str | None = None,
        session_id: str | None = None,
    ) -> SaveResult:
        """Save a query or a segment under a name, as POST /api/v1/website_events.save does. Give query, people or rules_json.

        Args:
            list_id: the list (`ListID`).
            name: the name (`Name`).
            query: the parameters of a query, named as in HTTP (`Query`).
            people: the conditions of a segment (`People`).
            rules_json: the same in the documented syntax of segments (`RulesJson`).
            api_key: a key to check. With neither key nor session, the caller is trusted. Not for a client, which has its own key.
            session_id: a session to check. Not for a client.

        Raises:
            InvalidRequest: a parameter is not as documented, or there is no such list.
            QueryTooLong: it took longer than the setting `query_timeout_s`.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self._ask_question("save", locals(), SaveResult)

    def forget(
        self,
        list_id: int | str,
        name: str,
        *,
        api_key: str | None = None,
        session_id: str | None = None,
    ) -> ForgetResult:
        """Forget a saved query or segment, as POST /api/v1/website_events.forget does.

        Args:
            list_id: the list (`ListID`).
            name: the name (`Name`).
            api_key: a key to check. With neither key nor session, the caller is trusted. Not for a client, which has its own key.
            session_id: a session to check. Not for a client.

        Raises:
            InvalidRequest: a parameter is not as documented, or there is no such list, or nothing is saved under the name.
            QueryTooLong: it took longer than the setting `query_timeout_s`.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self._ask_question("forget", locals(), ForgetResult)
