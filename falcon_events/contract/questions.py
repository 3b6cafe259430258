"""Questions about stored events: what their requests share, from the body to a list's ID, and their refusals."""

from __future__ import annotations

from collections.abc import Iterable

from falcon_events.contract.body import Params, read_question
from falcon_events.contract.lists import read_list_id
from falcon_events.contract.schemas import RequestSchema, listed_errors, load_schema
from falcon_events.errors import Failure, InvalidRequest


class QuestionContract:
    """The rules of one endpoint for questions.

    Args:
        name: the name of its schema, such as `query.request`.
    """

    def __init__(self, name: str) -> None:
        schema = load_schema(name)
        self._parameters = {parameter.lower(): parameter for parameter in schema["properties"]}
        of_list = [rule for rule in schema["allOf"] if rule["required"] == ["ListID"]]
        self._lists = RequestSchema({**schema, "properties": {"ListID": schema["properties"]["ListID"]}, "allOf": of_list})
        self._not_found = listed_errors(schema)[3]

    def read_body(self, body: bytes) -> Params:
        """Read the parameters of a body. Raises InvalidRequest if it is unreadable."""
        return read_question(body, self._parameters)

    def read_list_id(self, params: Params) -> tuple[int | None, list[Failure]]:
        """Return the ID of the list, or None and the failures: it is missing (code 1) or not a valid list ID (code 2)."""
        list_id = read_list_id(params.get("ListID"))
        return list_id, [] if list_id is not None else self._lists.failures({"ListID": params.get("ListID")})

    def list_not_found(self) -> InvalidRequest:
        """Return the refusal for a list that is unknown or belongs to another account (code 3)."""
        status, failure = self._not_found
        return InvalidRequest(status, [failure])


def refuse(failures: Iterable[Failure]) -> InvalidRequest:
    """Return the refusal of a question with these failures."""
    return InvalidRequest(422, list(failures))
