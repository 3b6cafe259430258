"""Questions as calls of the Python API: people, timeline, values, and what is saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from falcon_events.ingest.questions import DateRange, Questions
from falcon_events.model.answers import (
    ForgetResult,
    PeopleResult,
    SavedResult,
    SaveResult,
    TimelineResult,
    ValuesResult,
)


class QuestionCalls:
    """Methods for questions. Those whose names begin with `a` are for coroutines.

    Args:
        questions: asks the questions.
    """

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

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
            api_key: a key to check. With neither key nor session, the caller is trusted.
            session_id: a session to check.

        Raises:
            InvalidRequest: a parameter is not as documented, or there is no such list.
            QueryTooLong: it took longer than the setting `query_timeout_s`.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self._questions.call("people", locals(), PeopleResult)

    async def apeople(
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
        """Return who meets conditions, as people() does, for coroutines."""
        return await self._questions.acall("people", locals(), PeopleResult)

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
            api_key: a key to check. With neither key nor session, the caller is trusted.
            session_id: a session to check.

        Raises:
            InvalidRequest: a parameter is not as documented, or there is no such list, or the list has no such person.
            QueryTooLong: it took longer than the setting `query_timeout_s`.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self._questions.call("timeline", locals(), TimelineResult)

    async def atimeline(
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
        """Return what one person did, as timeline() does, for coroutines."""
        return await self._questions.acall("timeline", locals(), TimelineResult)

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
            api_key: a key to check. With neither key nor session, the caller is trusted.
            session_id: a session to check.

        Raises:
            InvalidRequest: a parameter is not as documented, or there is no such list.
            QueryTooLong: it took longer than the setting `query_timeout_s`.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self._questions.call("values", locals(), ValuesResult)

    async def avalues(
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
        """Return the values of a dimension, as values() does, for coroutines."""
        return await self._questions.acall("values", locals(), ValuesResult)

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
            api_key: a key to check. With neither key nor session, the caller is trusted.
            session_id: a session to check.

        Raises:
            InvalidRequest: a parameter is not as documented, or there is no such list.
            QueryTooLong: it took longer than the setting `query_timeout_s`.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self._questions.call("saved", locals(), SavedResult)

    async def asaved(
        self,
        list_id: int | str,
        *,
        api_key: str | None = None,
        session_id: str | None = None,
    ) -> SavedResult:
        """Return the saved queries and segments of a list, as saved() does, for coroutines."""
        return await self._questions.acall("saved", locals(), SavedResult)

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
            api_key: a key to check. With neither key nor session, the caller is trusted.
            session_id: a session to check.

        Raises:
            InvalidRequest: a parameter is not as documented, or there is no such list.
            QueryTooLong: it took longer than the setting `query_timeout_s`.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self._questions.call("save", locals(), SaveResult)

    async def asave(
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
        """Save a query or a segment under a name, as save() does, for coroutines."""
        return await self._questions.acall("save", locals(), SaveResult)

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
            api_key: a key to check. With neither key nor session, the caller is trusted.
            session_id: a session to check.

        Raises:
            InvalidRequest: a parameter is not as documented, or there is no such list, or nothing is saved under the name.
            QueryTooLong: it took longer than the setting `query_timeout_s`.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self._questions.call("forget", locals(), ForgetResult)

    async def aforget(
        self,
        list_id: int | str,
        name: str,
        *,
        api_key: str | None = None,
        session_id: str | None = None,
    ) -> ForgetResult:
        """Forget a saved query or segment, as forget() does, for coroutines."""
        return await self._questions.acall("forget", locals(), ForgetResult)
