"""Questions of every kind: who may ask, what is asked, and the answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from falcon_events.access.directory import Directory
from falcon_events.contract.body import Params
from falcon_events.contract.questions import QuestionContract, refuse
from falcon_events.ingest.authorization import Authorization, read_credential
from falcon_events.ingest.bodies import HeldBody
from falcon_events.link.link import Link
from falcon_events.model.operations import QUERY
from falcon_events.model.sender import Sender
from falcon_events.query.question import encode_question
from falcon_events.query.reading import read_funnel, read_question, read_retention
from falcon_events.runtime.steps import Steps

READERS: dict[str, Callable[[Params, int, str, int], Any]] = {
    "query": read_question,
    "funnel": read_funnel,
    "retention": read_retention,
}
"""Reads the parameters of each kind of question, whose endpoint and schemas have its name."""


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
        self._contracts = {kind: QuestionContract(f"{kind}.request") for kind in READERS}

    def ask_with_body(self, kind: str, body: HeldBody, sender: Sender) -> Steps[bytes]:
        """Answer the question in a request's body, which is let go before the store answers; otherwise as ask()."""
        params = self._contracts[kind].read_body(body.data)
        body.let_go()
        return (yield from self.ask(kind, params, sender))

    def ask(self, kind: str, params: Params, sender: Sender) -> Steps[bytes]:
        """Answer a question; return the answer as JSON.

        Args:
            kind: `query`, `funnel` or `retention`, as in `website_events.query`.
            params: the parameters, named as in the schema.
            sender: who asks.

        Raises:
            RequestRefused: with the documented codes.
        """
        contract = self._contracts[kind]
        principal = yield from self._authorization.authorize_reading(read_credential(params, sender.bearer), sender)
        list_id, failures = contract.read_list_id(params)
        zone = "UTC" if list_id is None else self._directory.rules_of(list_id).time_zone
        question = READERS[kind](params, list_id or 0, zone, int(self._clock() * 1e6))
        if isinstance(question, list) or failures:
            raise refuse([*failures, *(question if isinstance(question, list) else ())])
        if (yield from self._authorization.find_account(principal, question.list_id)) is None:
            raise contract.list_not_found()
        answer = yield self._store.ask(QUERY, encode_question(question))
        if answer.failures:
            raise refuse(answer.failures)
        body: bytes = answer.body
        return body
