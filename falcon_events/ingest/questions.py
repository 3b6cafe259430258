"""Questions about stored events, from the parameters of a request to the answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

from falcon_events.access.directory import Directory
from falcon_events.contract.body import Params
from falcon_events.contract.questions import QuestionContract, refuse
from falcon_events.errors import Failure
from falcon_events.ingest.authorization import Authorization, read_credential
from falcon_events.ingest.bodies import HeldBody
from falcon_events.link.link import Link
from falcon_events.model.operations import CHANGE_SAVED, QUERY, Operation
from falcon_events.model.reports import QueryAnswer
from falcon_events.model.sender import Sender
from falcon_events.query.patterns import find_excess, list_patterns
from falcon_events.query.person_reading import read_people_question, read_timeline_question
from falcon_events.query.question import Asked, encode_question, find_base
from falcon_events.query.reading import read_funnel, read_question, read_retention, read_values_question
from falcon_events.query.saved_reading import read_forgetting, read_saved_question, read_saving
from falcon_events.runtime.steps import Steps

Read = Callable[[Params, int, str, int], Asked | list[Failure]]
"""Reads the parameters, given the list, its time zone and the present in microseconds since 1970."""
_READERS: dict[str, tuple[Read, Operation[[bytes], QueryAnswer]]] = {
    "query": (read_question, QUERY),
    "funnel": (read_funnel, QUERY),
    "retention": (read_retention, QUERY),
    "people": (read_people_question, QUERY),
    "timeline": (read_timeline_question, QUERY),
    "values": (read_values_question, QUERY),
    "saved": (read_saved_question, QUERY),
    "save": (read_saving, CHANGE_SAVED),
    "forget": (read_forgetting, CHANGE_SAVED),
}
"""The reader of each question's parameters, and the operation that answers it."""


@lru_cache
def _load_contract(name: str) -> QuestionContract:
    """Return the contract of a question. It is read when the question is first asked, so that processes start quickly."""
    return QuestionContract(f"{name}.request")


class Questions:
    """Asks questions about a list's events.

    Args:
        store: the link to the store.
        directory: has the lists' time zones.
        authorization: says who may ask.
        clock: returns the current time in seconds since 1970.
    """

    def __init__(
        self,
        store: Link,
        directory: Directory,
        authorization: Authorization,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._directory = directory
        self._authorization = authorization
        self._clock = clock

    def ask_with_body(self, name: str, body: HeldBody, sender: Sender) -> Steps[bytes]:
        """Answer the question in a request's body, which is let go before the store answers; otherwise as ask()."""
        params = _load_contract(name).read_body(body.data)
        body.let_go()
        return (yield from self.ask(name, params, sender))

    def ask(self, name: str, params: Params, sender: Sender) -> Steps[bytes]:
        """Answer a question; return the answer as JSON.

        Args:
            name: which question, such as `query`.
            params: the parameters, named as in the schema.
            sender: who asks.

        Raises:
            RequestRefused: with the documented codes.
        """
        contract, (read, operation) = _load_contract(name), _READERS[name]
        principal = yield from self._authorization.authorize_reading(read_credential(params, sender.bearer), sender)
        list_id, failures = contract.read_list_id(params)
        zone = "UTC" if list_id is None else self._directory.rules_of(list_id).time_zone
        asked = read(params, list_id or 0, zone, int(self._clock() * 1e6))
        if not isinstance(asked, list) and (excess := find_excess(list_patterns(asked))):
            asked = excess
        if isinstance(asked, list) or failures:
            raise refuse([*failures, *(asked if isinstance(asked, list) else ())])
        if (yield from self._authorization.find_account(principal, find_base(asked).list_id)) is None:
            raise contract.list_not_found()
        future = self._store.ask(operation, encode_question(asked))
        try:
            answer = yield future
        finally:
            if not future.done():  # the client has left: its question must not take time from others
                self._store.drop(future)
        if answer.failures:
            raise refuse(answer.failures)
        body: bytes = answer.body
        return body
