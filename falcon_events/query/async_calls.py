"""Questions as coroutines of the Python API. The same for a store and for a remote server."""

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


class AsyncQuestionCalls(ABC):
    """The coroutines that ask questions, with the arguments of QuestionCalls."""

    @abstractmethod
    async def _ask_question(self, name: str, arguments: Mapping[str, Any], kind: type[T]) -> T:
        """Ask a question.

        Args:
            name: which question, such as `query`.
            arguments: the arguments of the method that asks it.
            kind: the type of the answer.
        """

    async def query(
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
        """Count what happened as QuestionCalls.query() does."""
        return await self._ask_question("query", locals(), QueryResult)

    async def funnel(
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
        """Count how many came through ordered steps as QuestionCalls.funnel() does."""
        return await self._ask_question("funnel", locals(), FunnelResult)

    async def retention(
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
        """Count how many came back as QuestionCalls.retention() does."""
        return await self._ask_question("retention", locals(), RetentionResult)

    async def people(
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
        """Return who meets conditions, as QuestionCalls.people() does."""
        return await self._ask_question("people", locals(), PeopleResult)

    async def timeline(
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
        """Return what one person did, as QuestionCalls.timeline() does."""
        return await self._ask_question("timeline", locals(), TimelineResult)

    async def values(
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
        """Return the values of a dimension, as QuestionCalls.values() does."""
        return await self._ask_question("values", locals(), ValuesResult)

    async def saved(
        self,
        list_id: int | str,
        *,
        api_key: str | None = None,
        session_id: str | None = None,
    ) -> SavedResult:
        """Return the saved queries and segments of a list, as QuestionCalls.saved() does."""
        return await self._ask_question("saved", locals(), SavedResult)

    async def save(
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
        """Save a query or a segment under a name, as QuestionCalls.save() does."""
        return await self._ask_question("save", locals(), SaveResult)

    async def forget(
        self,
        list_id: int | str,
        name: str,
        *,
        api_key: str | None = None,
        session_id: str | None = None,
    ) -> ForgetResult:
        """Forget a saved query or segment, as QuestionCalls.forget() does."""
        return await self._ask_question("forget", locals(), ForgetResult)
