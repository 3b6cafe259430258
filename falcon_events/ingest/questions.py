"""Questions: who may ask, what is asked, and the answer; over HTTP and as calls of the Python API."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

import msgspec

from falcon_events.access.directory import Directory
from falcon_events.contract.body import Params
from falcon_events.contract.questions import QuestionContract, refuse
from falcon_events.contract.schemas import QUESTION_NAMES
from falcon_events.contract.values import encode_json, find_fault
from falcon_events.errors import EventsError, Failure
from falcon_events.ingest.authorization import Authorization, read_credential
from falcon_events.link.link import Link
from falcon_events.model.answers import QueryResult
from falcon_events.model.operations import CHANGE_SAVED, QUERY, Operation
from falcon_events.model.reports import QueryAnswer
from falcon_events.model.sender import HOST, Sender
from falcon_events.query.person_reading import read_people_question, read_timeline_question
from falcon_events.query.question import Asked, encode_question, find_base
from falcon_events.query.reading import read_question, read_values_question
from falcon_events.query.saved_reading import read_forgetting, read_saved_question, read_saving
from falcon_events.runtime.steps import Steps, Waiter

DateRange = str | Sequence[str | date]
"""A range of time: `28d` and the like, or two days or date-times."""


Read = Callable[[Params, int, str, int], Asked | list[Failure]]
"""Reads the parameters, given the list, its time zone and the present in microseconds since 1970."""
T = TypeVar("T")
_READERS: dict[str, tuple[Read, Operation[[bytes], QueryAnswer]]] = {
    "query": (read_question, QUERY),
    "people": (read_people_question, QUERY),
    "timeline": (read_timeline_question, QUERY),
    "values": (read_values_question, QUERY),
    "saved": (read_saved_question, QUERY),
    "save": (read_saving, CHANGE_SAVED),
    "forget": (read_forgetting, CHANGE_SAVED),
}
"""How each question is read, and the operation that answers it."""


class Questions:
    """Asks questions about a list's events.

    Args:
        store: the link to the store.
        directory: has the lists' time zones.
        authorization: says who may ask.
        get_waiter: returns what runs steps in a thread or a coroutine.
        clock: returns the current time in seconds since 1970.
    """

    def __init__(
        self,
        store: Link,
        directory: Directory,
        authorization: Authorization,
        get_waiter: Callable[[], Waiter],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._directory = directory
        self._authorization = authorization
        self._get_waiter = get_waiter
        self._clock = clock
        self._contracts = {name: QuestionContract(f"{name}.request") for name in QUESTION_NAMES}

    def read_body(self, name: str, body: bytes) -> Params:
        """Read the parameters of a question from a request's body. Raises InvalidRequest if it is unreadable."""
        return self._contracts[name].read_body(body)

    def ask(self, name: str, params: Params, sender: Sender) -> Steps[bytes]:
        """Answer a question; return the answer as JSON.

        Args:
            name: which question (`QUESTION_NAMES` in contract/schemas.py).
            params: the parameters, named as in the schema.
            sender: who asks.

        Raises:
            RequestRefused: with the documented codes.
        """
        principal = yield from self._authorization.authorize_reading(read_credential(params, sender.bearer), sender)
        contract, (read, operation) = self._contracts[name], _READERS[name]
        list_id, failures = contract.read_list_id(params)
        zone = "UTC" if list_id is None else self._directory.rules_of(list_id).time_zone
        asked = read(params, list_id or 0, zone, int(self._clock() * 1e6))
        if isinstance(asked, list) or failures:
            raise refuse([*failures, *(asked if isinstance(asked, list) else ())])
        if (yield from self._authorization.find_account(principal, find_base(asked).list_id)) is None:
            raise contract.list_not_found()
        answer = yield self._store.ask(operation, encode_question(asked))
        if answer.failures:
            raise refuse(answer.failures)
        body: bytes = answer.body
        return body

    def call(self, name: str, arguments: Mapping[str, Any], kind: type[T]) -> T:
        """Ask a question with the arguments of a Python call, and return the answer as a struct of this type."""
        return self._get_waiter().run(self._call(name, arguments, kind))

    async def acall(self, name: str, arguments: Mapping[str, Any], kind: type[T]) -> T:
        """Ask a question as call() does, for coroutines."""
        return await self._get_waiter().arun(self._call(name, arguments, kind))

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
        return self.call("query", locals(), QueryResult)

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
        return await self.acall("query", locals(), QueryResult)

    def _call(self, name: str, arguments: Mapping[str, Any], kind: type[T]) -> Steps[T]:
        params = write_params(arguments)
        is_host = arguments["api_key"] is None and arguments["session_id"] is None
        return msgspec.json.decode((yield from self.ask(name, params, HOST if is_host else Sender())), type=kind)


NAMES = {"list_id": "ListID", "api_key": "APIKey", "session_id": "SessionID", "id": "ID", "uuid": "UUID"}
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
